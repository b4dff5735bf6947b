// RUN: joinery-opt --plan=bf16 --fuse --store-halves --split-input-file %s | FileCheck %s
// RUN: joinery-opt --plan=bf16 --fuse --store-halves --split-input-file --lower=level=amx %s | FileCheck %s --check-prefix=PAIRS
// RUN: joinery-opt --plan=bf16 --fuse --store-halves --split-input-file --lower=level=avx512 %s | FileCheck %s --check-prefix=DECODE

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 96] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!h = !rel.rel<[b: ?B, n: 96] x f32>
!w2 = !rel.rel<[n: 96, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 96, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 24576
rel.table @w2 : !w2 from "m.onnx" at 24576 length 24576

// Tests that a relation that only a product reads is stored in bf16 at a level
// that multiplies pairs, and nowhere else; the output stays f32.
// CHECK-LABEL: pipe.kernel @k0 by "contraction"
// CHECK: } {pipe.half_result}
// CHECK-LABEL: pipe.kernel @k1 by "contraction"
// CHECK: } {pipe.half_inputs = array<i64: {{[0-9]}}>}
// CHECK-LABEL: func.func @main
// PAIRS-LABEL: func.func private @k0_amx
// PAIRS: arith.truncf %{{.+}} : vector<16xf32> to vector<16xbf16>
// PAIRS-LABEL: func.func private @k1_amx
// PAIRS-NOT: call @jn_pack_bf16
// PAIRS: call @jn_copy_rows
// PAIRS-NOT: arith.truncf
// DECODE-NOT: arith.truncf
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
!w1 = !rel.rel<[k: 64, n: 64] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 64] x f32>
!h = !rel.rel<[b: ?B, n: 64] x f32>
!w2 = !rel.rel<[n: 64, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 64, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 16384
rel.table @w2 : !w2 from "m.onnx" at 16384 length 16384

// Tests that what something else than the product reads, a residual here, is not.
// CHECK-LABEL: pipe.kernel @k0
// CHECK-NOT: pipe.half
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
  %s = rel.aggregate sum %q over [n] : (!p2) -> !y
  %g = rel.rekey %h [n = "#m"] : !h -> !y
  %y = rel.join %s, %g : (!y, !y) -> !y {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.addf %l, %r : f32
    rel.yield %0 : f32
  }
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 64] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 64] x f32>
!h = !rel.rel<[b: ?B, n: 64] x f32>
!t = !rel.rel<[b: ?B] x f32>
!w2 = !rel.rel<[n: 64, m: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 64, m: 64] x f32>
!y = !rel.rel<[b: ?B, m: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 16384
rel.table @w2 : !w2 from "m.onnx" at 16384 length 16384

// Tests the same of a maximum over the operand itself, which no view stands before.
// CHECK-LABEL: pipe.kernel @k0
// CHECK-NOT: pipe.half
// CHECK: rel.aggregate max
// CHECK-NOT: pipe.half
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
  %t = rel.aggregate max %h over [n] : (!h) -> !t
  %c = rel.scan @w2 : !w2
  %q = rel.join %h, %c : (!h, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %q over [n] : (!p2) -> !y
  %y = rel.join %s, %t : (!y, !t) -> !y {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.addf %l, %r : f32
    rel.yield %0 : f32
  }
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w1 = !rel.rel<[k: 64, n: 96] x f32>
!p1 = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!h = !rel.rel<[b: ?B, n: 96] x f32>
!w2 = !rel.rel<[n: 96, k: 64] x f32>
!p2 = !rel.rel<[b: ?B, n: 96, k: 64] x f32>

rel.table @w1 : !w1 from "m.onnx" at 0 length 24576
rel.table @w2 : !w2 from "m.onnx" at 24576 length 24576

// Tests that an operand stays as it is where one run of its kernel reads the border,
// and with it what other runs read there.
// CHECK-LABEL: pipe.kernel @k0
// CHECK-LABEL: pipe.kernel @k1
// CHECK-NOT: pipe.half
// CHECK-LABEL: func.func @main
// CHECK: pipe.run @k0
// CHECK: pipe.run @k1
// CHECK: pipe.run @k0
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!h {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w1 : !w1
  %c = rel.scan @w2 : !w2
  %p = rel.join %x, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %h = rel.aggregate sum %p over [k] : (!p1) -> !h
  %q = rel.join %h, %c : (!h, !w2) -> !p2 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %z = rel.aggregate sum %q over [n] : (!p2) -> !x
  %t = rel.join %z, %a : (!x, !w1) -> !p1 {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %t over [k] : (!p1) -> !h
  return %y : !h
}
