// RUN: joinery-opt --plan --fuse --lower=level=amx --split-input-file %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w = !rel.rel<[k: 64, n: 96] x f32>
!p = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!y = !rel.rel<[b: ?B, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 24576

// Tests that a level with tiles multiplies f32 as the six products of terms that
// matter, for 2 x 2 tiles each, where there are 64 rows or more, and calls the
// micro-kernel of its base where there are less.
// CHECK-LABEL: func.func private @jn_split_f32_amx
// CHECK-COUNT-3: arith.truncf {{.*}} : vector<16xf32> to vector<16xbf16>
// CHECK-LABEL: func.func private @k0_amx
// CHECK: arith.cmpi sge, %{{.+}}, %c64{{.*}} : i64
// CHECK: scf.if
// CHECK: call @jn_split_f32_amx
// CHECK-COUNT-24: "llvm.x86.tdpbf16ps.internal"
// CHECK-NOT: tdpbf16ps
// CHECK: arith.cmpi slt, %{{.+}}, %c64{{.*}} : i64
// CHECK: scf.if
// CHECK-NOT: tdpbf16ps
// CHECK: call @jn_gemm_f32x48_avx512
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!p) -> !y
  return %y : !y
}

// -----

!x = !rel.rel<[b: ?B, k: 72] x f32>
!w = !rel.rel<[k: 72, n: 96] x f32>
!p = !rel.rel<[b: ?B, k: 72, n: 96] x f32>
!y = !rel.rel<[b: ?B, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 27648

// Tests that of a depth which is not whole steps the level makes no code.
// CHECK-NOT: tdpbf16ps
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "72"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!p) -> !y
  return %y : !y
}
