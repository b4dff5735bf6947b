// RUN: joinery-opt --plan=bf16 --fuse --store-halves --block-halves --split-input-file %s | FileCheck %s
// RUN: joinery-opt --plan=bf16 --fuse --store-halves --block-halves --split-input-file --lower=level=amx %s | FileCheck %s --check-prefix=TILES
// RUN: joinery-opt --plan=bf16 --fuse --store-halves --block-halves --split-input-file --lower=level=avx512_bf16 %s | FileCheck %s --check-prefix=ROWS

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 96] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!h = !rel.rel<[b: ?B, n: 96] x f32>
!w2 = !rel.rel<[n: 96, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 96, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 24576
rel.table @w2 : !w2 from "m.onnx" at 24576 length 24576

// Tests that a level with tiles stores in blocks of 32 columns what its tiles read:
// block c lies 32 * B elements after block 0. A level without has plain rows.
// CHECK-LABEL: pipe.kernel @k0 by "contraction"
// CHECK: } {pipe.blocked_result = 96 : i64, pipe.half_result}
// CHECK-LABEL: pipe.kernel @k1 by "contraction"
// CHECK: } {pipe.blocked_inputs = array<i64: {{.*}}96{{.*}}>, pipe.half_inputs = array<i64: {{[0-9]}}>}
// CHECK-LABEL: func.func @main
// TILES-LABEL: func.func private @k0_amx
// TILES: arith.truncf %{{.+}} : vector<16xf32> to vector<16xbf16>
// TILES: %[[BLOCK:.+]] = arith.divui %[[LANE:.+]], %c32{{.*}} : i64
// TILES: arith.muli %[[BLOCK]], %{{.+}} : i64
// TILES: arith.remui %[[LANE]], %c32{{.*}} : i64
// TILES: llvm.store %{{.+}} : vector<16xbf16>, !llvm.ptr
// TILES-NOT: masked_scatter
// TILES-LABEL: func.func private @k1_amx
// ROWS-LABEL: func.func private @k0_avx512_bf16
// ROWS: arith.truncf
// ROWS-NOT: arith.remui
// ROWS: func.func private @k1_avx512_bf16
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "64"], rel.dims = [["b"], ["m"]]}) {
  %a = rel.scan @w1 : !w1
  %p = rel.join %x, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p1) -> !h
  %c = rel.scan @w2 : !w2
  %q = rel.join %h, %c : (!h, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [n] : (!p2) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 80] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 80] x f32>
!h = !rel.rel<[b: ?B, n: 80] x f32>
!w2 = !rel.rel<[n: 80, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 80, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 20480
rel.table @w2 : !w2 from "m.onnx" at 20480 length 20480

// Tests that rows which do not fill blocks stay as they are.
// CHECK-LABEL: pipe.kernel @k0
// CHECK: } {pipe.half_result}
// CHECK-NOT: pipe.blocked
// CHECK-LABEL: func.func @main
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "64"], rel.dims = [["b"], ["m"]]}) {
  %a = rel.scan @w1 : !w1
  %p = rel.join %x, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p1) -> !h
  %c = rel.scan @w2 : !w2
  %q = rel.join %h, %c : (!h, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [n] : (!p2) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 96] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!h = !rel.rel<[b: ?B, n: 96] x f32>
!g = !rel.rel<[b: ?B, n: 64] x f32>
!w2 = !rel.rel<[n: 64, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 64, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 24576
rel.table @w2 : !w2 from "m.onnx" at 24576 length 16384

// Tests the same of a product that begins within a block,
// CHECK-LABEL: pipe.kernel @k0
// CHECK: } {pipe.half_result}
// CHECK-NOT: pipe.blocked
// CHECK-LABEL: func.func @main
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "64"], rel.dims = [["b"], ["m"]]}) {
  %a = rel.scan @w1 : !w1
  %p = rel.join %x, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p1) -> !h
  %g = rel.rekey %h [n = "#n + 16"] : !h -> !g
  %c = rel.scan @w2 : !w2
  %q = rel.join %g, %c : (!g, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [n] : (!p2) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 96] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!h = !rel.rel<[b: ?B, n: 96] x f32>
!g = !rel.rel<[b: ?B, n: 64] x f32>
!w2 = !rel.rel<[n: 64, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 64, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 24576
rel.table @w2 : !w2 from "m.onnx" at 24576 length 16384

// and that one which begins with a block reads blocks.
// CHECK-LABEL: pipe.kernel @k0
// CHECK: } {pipe.blocked_result = 96 : i64, pipe.half_result}
// CHECK-LABEL: func.func @main
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "64"], rel.dims = [["b"], ["m"]]}) {
  %a = rel.scan @w1 : !w1
  %p = rel.join %x, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p1) -> !h
  %g = rel.rekey %h [n = "#n + 32"] : !h -> !g
  %c = rel.scan @w2 : !w2
  %q = rel.join %g, %c : (!g, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [n] : (!p2) -> !y
  return %y : !y
}
