// RUN: joinery-opt --split-input-file --plan %s | FileCheck %s

!x = !rel.rel<[b: ?B, s: ?S, c: 64] x f32>
!g = !rel.rel<[b: ?B, g: 32, s: ?S] x f32>
!v = !rel.rel<[b: ?B, g: 32, t: ?S, w: 3] x f32>
!w = !rel.rel<[g: 32, w: 3] x f32>
!y = !rel.rel<[b: ?B, t: ?S, g: 32] x f32>

rel.table @w : !w from "m.onnx" at 0 length 384

// Tests that what a row-wise kernel reads lies along the column that its vectors
// take, though that is not its last: a gate before a depthwise convolution.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "rows" : <[b: ?B, g: 32, s: ?S] x f32> -> <[b: ?B, g: 32, s: ?S] x f32, ["b", "s", "g"]>
// CHECK: rel.aggregate sum %{{.+}} over [w]
// CHECK: rel.materialize %{{.+}} by "rows" : {{.+}} -> <[b: ?B, t: ?S, g: 32] x f32, ["b", "t", "g"]>
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "?S", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?S", "32"], rel.dims = [["b"], ["t"], ["g"]]}) {
  %a = rel.rekey %x [c = "#g"] : !x -> !g
  %b = rel.rekey %x [c = "#g + 32"] : !x -> !g
  %gate = rel.join %a, %b : (!g, !g) -> !g {
  ^bb0(%p: f32, %q: f32):
    %0 = math.erf %q : f32
    %1 = arith.mulf %p, %0 : f32
    rel.yield %1 : f32
  }
  %v = rel.rekey %gate [s = "#t + #w - 1"] else 0.0 : f32 : !g -> !v
  %w = rel.scan @w : !w
  %p = rel.join %v, %w : (!v, !w) -> !v {
  ^bb0(%m: f32, %n: f32):
    %0 = arith.mulf %m, %n : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [w] : (!v) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, h: 32, s: ?S] x f32>
!m = !rel.rel<[b: ?B, s: ?S] x f32>
!y = !rel.rel<[b: ?B, t: ?S, h: 32] x f32>
!v = !rel.rel<[b: ?B, t: ?S, w: 3, h: 32] x f32>

// Tests that a value with a statistic of its own rows keeps its order.
// CHECK-LABEL: func.func @main
// CHECK: rel.aggregate sum %arg0 over [s]
// CHECK: rel.materialize %{{.+}} by "rows" : {{.+}} -> <[b: ?B, h: 32, s: ?S] x f32, ["b", "h", "s"]>
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "32", "?S"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "?S", "32"], rel.dims = [["b"], ["t"], ["h"]]}) {
  %sum = rel.aggregate sum %x over [s] : (!x) -> !rel.rel<[b: ?B, h: 32] x f32>
  %n = rel.join %x, %sum : (!x, !rel.rel<[b: ?B, h: 32] x f32>) -> !x {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.divf %p, %q : f32
    %1 = math.erf %0 : f32
    rel.yield %1 : f32
  }
  %v = rel.rekey %n [s = "#t + #w - 1"] else 0.0 : f32 : !x -> !v
  %y = rel.aggregate max %v over [w] : (!v) -> !y
  return %y : !y
}
