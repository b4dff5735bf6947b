// RUN: joinery-opt --plan %s | FileCheck %s

!x = !rel.rel<[s: ?S, k: 64] x f32>
!z = !rel.rel<[s: ?S, l: 32] x f32>
!w = !rel.rel<[k: 64, n: 96] x f32>
!u = !rel.rel<[l: 32, n: 96] x f32>
!xw = !rel.rel<[s: ?S, k: 64, n: 96] x f32>
!zu = !rel.rel<[s: ?S, l: 32, n: 96] x f32>
!y = !rel.rel<[s: ?S, n: 96] x f32>
!r = !rel.rel<[s: ?S] x f32>

rel.table @w : !w from "m.onnx" at 0 length 24576
rel.table @u : !u from "m.onnx" at 24576 length 12288

// Tests that of two contractions which meet in a sum (attention and feed-forward
// of a parallel block) each has a pipeline: the first one's result is stored, and
// the second one's epilogue adds it and goes on.
// CHECK-LABEL: func.func @main
// CHECK: %[[FIRST:.+]] = rel.materialize %{{.+}} by "contraction"
// CHECK-SAME: -> <[s: ?S, n: 96] x f32, ["s", "n"]>
// CHECK: rel.join %[[FIRST]], %{{.+}} : (!rel.rel<[s: ?S, n: 96] x f32, ["s", "n"]>, !rel.rel<[s: ?S, n: 96] x f32>)
// CHECK: rel.aggregate sum %{{.+}} over [n]
// CHECK: %[[LAST:.+]] = rel.materialize %{{.+}} by "contraction"
// CHECK-NEXT: return %[[LAST]]
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "64"]},
                %z: !z {rel.name = "z", rel.shape = ["?S", "32"]})
    -> (!y {rel.name = "y", rel.shape = ["?S", "96"], rel.dims = [["s"], ["n"]]}) {
  %w = rel.scan @w : !w
  %u = rel.scan @u : !u
  %p = rel.join %x, %w : (!x, !w) -> !xw {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %first = rel.aggregate sum %p over [k] : (!xw) -> !y
  %q = rel.join %z, %u : (!z, !u) -> !zu {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %second = rel.aggregate sum %q over [l] : (!zu) -> !y
  %sum = rel.join %first, %second : (!y, !y) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %total = rel.aggregate sum %sum over [n] : (!y) -> !r
  %out = rel.join %sum, %total : (!y, !r) -> !y {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    rel.yield %0 : f32
  }
  return %out : !y
}
