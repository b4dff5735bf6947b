// RUN: joinery-opt --plan %s | FileCheck %s

!q = !rel.rel<[b: ?B, s: ?S, n: 2, d: 16] x f32>
!k = !rel.rel<[b: ?B, t: ?S, n: 2, d: 16] x f32>
!p = !rel.rel<[b: ?B, s: ?S, n: 2, d: 16, t: ?S] x f32>
!y = !rel.rel<[b: ?B, n: 2, s: ?S, t: ?S] x f32>

// Tests that a contraction of two computed relations is a product, with what
// follows it key by key, stored in its own order.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "product" :
// CHECK-SAME: -> <[b: ?B, n: 2, s: ?S, t: ?S] x f32, ["b", "n", "s", "t"]>
// CHECK-NEXT: return
func.func @main(%q: !q {rel.name = "q", rel.shape = ["?B", "?S", "2", "16"]},
                %k: !k {rel.name = "k", rel.shape = ["?B", "?S", "2", "16"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "2", "?S", "?S"], rel.dims = [["b"], ["n"], ["s"], ["t"]]}) {
  %p = rel.join %q, %k : (!q, !k) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %sum = rel.aggregate sum %p over [d] : (!p) -> !y
  %y = rel.join %sum : (!y) -> !y {
  ^bb0(%a: f32):
    %0 = arith.addf %a, %a : f32
    rel.yield %0 : f32
  }
  return %y : !y
}
