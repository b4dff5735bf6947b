// RUN: joinery-opt --plan %s | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, k: 64] x f32>
!w = !rel.rel<[k: 64, n: 96] x f32>
!p = !rel.rel<[b: ?B, s: ?S, k: 64, n: 96] x f32>
!y = !rel.rel<[b: ?B, s: ?S, n: 96] x f32>
!r = !rel.rel<[b: ?B, s: ?S] x f32>

rel.table @w : !w from "m.onnx" at 0 length 24576
rel.table @bias : !rel.rel<[n: 96] x f32> from "m.onnx" at 24576 length 384

// Tests that bias and row statistics end in the pipeline of the contraction,
// that the weight becomes panels, and that only the result is stored.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "table" : <[n: 96] x f32> -> <[n: 96] x f32, ["n"]>
// CHECK: %[[PANELS:.+]] = rel.materialize %{{.+}} by "table" : <[k: 64, j: 96] x f32> -> <[k: 64, j: 96] x f32, ["j/48", "k", "j%48"]>
// CHECK: rel.rekey %[[PANELS]] [j = "#n"]
// CHECK-NOT: rel.materialize
// CHECK: rel.materialize %{{.+}} by "contraction" {{[{].*}}, rows = {{[0-9]+}} : i64, slice = 64 : i64}
// CHECK-SAME: -> <[b: ?B, s: ?S, n: 96] x f32, ["b", "s", "n"]>
// CHECK-NEXT: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "?S", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?S", "96"], rel.dims = [["b"], ["s"], ["n"]]}) {
  %w = rel.scan @w : !w
  %bias = rel.scan @bias : !rel.rel<[n: 96] x f32>
  %p = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %sum = rel.aggregate sum %p over [k] : (!p) -> !y
  %z = rel.join %sum, %bias : (!y, !rel.rel<[n: 96] x f32>) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %total = rel.aggregate sum %z over [n] : (!y) -> !r
  %q = rel.join %z, %total : (!y, !r) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    rel.yield %0 : f32
  }
  return %q : !y
}
