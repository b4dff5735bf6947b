// RUN: joinery-opt --split-input-file --plan %s | FileCheck %s

!x = !rel.rel<[s: ?S, i: 8192] x f32>
!a = !rel.rel<[i: 8192] x f32>
!b = !rel.rel<[j: 4096] x f32>
!ab = !rel.rel<[i: 8192, j: 4096] x f32>
!xab = !rel.rel<[s: ?S, i: 8192, j: 4096] x f32>
!y = !rel.rel<[s: ?S, j: 4096] x f32>

rel.table @a : !a from "m.onnx" at 0 length 32768
rel.table @b : !b from "m.onnx" at 32768 length 16384

// Tests that a constant which is far larger than its tables is computed in each
// run, and the tables are what is stored.
// CHECK-LABEL: func.func @main
// CHECK-NOT: by "table" : <[i: 8192, j: 4096]
// CHECK: rel.materialize %{{.+}} by "table" : <[i: 8192] x f32>
// CHECK-NOT: by "table" : <[i: 8192, j: 4096]
// CHECK: rel.materialize %{{.+}} by "table" : <[j: 4096] x f32>
// CHECK-NOT: by "table" : <[i: 8192, j: 4096]
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "8192"]})
    -> (!y {rel.name = "y", rel.shape = ["?S", "4096"], rel.dims = [["s"], ["j"]]}) {
  %a = rel.scan @a : !a
  %b = rel.scan @b : !b
  %ab = rel.join %a, %b : (!a, !b) -> !ab {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.mulf %p, %q : f32
    rel.yield %0 : f32
  }
  %xab = rel.join %x, %ab : (!x, !ab) -> !xab {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.addf %p, %q : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate max %xab over [i] : (!xab) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[s: ?S, i: 64] x f32>
!a = !rel.rel<[i: 64] x f32>
!b = !rel.rel<[j: 32] x f32>
!ab = !rel.rel<[i: 64, j: 32] x f32>
!xab = !rel.rel<[s: ?S, i: 64, j: 32] x f32>
!y = !rel.rel<[s: ?S, j: 32] x f32>

rel.table @a : !a from "m.onnx" at 0 length 256
rel.table @b : !b from "m.onnx" at 256 length 128

// Tests that a small one is stored, once and for all runs.
// CHECK-LABEL: func.func @main
// CHECK: rel.materialize %{{.+}} by "table" : <[i: 64, j: 32] x f32>
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?S", "32"], rel.dims = [["s"], ["j"]]}) {
  %a = rel.scan @a : !a
  %b = rel.scan @b : !b
  %ab = rel.join %a, %b : (!a, !b) -> !ab {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.mulf %p, %q : f32
    rel.yield %0 : f32
  }
  %xab = rel.join %x, %ab : (!x, !ab) -> !xab {
  ^bb0(%p: f32, %q: f32):
    %0 = arith.addf %p, %q : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate max %xab over [i] : (!xab) -> !y
  return %y : !y
}
