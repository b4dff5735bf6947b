// RUN: joinery-opt --plan=bf16 --fuse --lower=level=amx %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 640] x f32>
!w = !rel.rel<[k: 640, n: 96] x f32>
!p = !rel.rel<[b: ?B, k: 640, n: 96] x f32>
!y = !rel.rel<[b: ?B, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 245760

// Tests that a contraction on tiles keeps the sums of 2 x 2 tiles through all steps
// of k, stores them once, and does the epilogue of the block before, a negation,
// between its products: 16 steps whose tiles of the panel stay in the level-1
// cache, then 4 whose tiles pass it by. The last block's epilogue comes after.
// Blocks of at most 16 rows have a form of their own, with one tile of rows.
// CHECK-LABEL: func.func private @k0_amx
// CHECK: call @jn_pack_bf16_amx
// CHECK-NOT: call @jn_gemm
// CHECK: scf.if
// CHECK-COUNT-2: llvm.x86.tilezero.internal
// CHECK: scf.for {{.*}} -> (!llvm.x86_amx, !llvm.x86_amx){{ +}}: i64
// CHECK-COUNT-2: llvm.x86.tdpbf16ps.internal
// CHECK: scf.if
// CHECK: scf.for
// CHECK: scf.for
// CHECK-COUNT-4: llvm.x86.tilezero.internal
// CHECK: scf.for {{.*}} -> (!llvm.x86_amx, !llvm.x86_amx, !llvm.x86_amx, !llvm.x86_amx){{ +}}: i64
// CHECK: llvm.intr.prefetch
// CHECK: llvm.x86.tileloaddt164.internal
// CHECK-COUNT-2: llvm.x86.tileloadd64.internal
// CHECK-COUNT-4: llvm.x86.tdpbf16ps.internal
// CHECK: arith.negf
// CHECK: scf.for {{.*}} -> (!llvm.x86_amx, !llvm.x86_amx, !llvm.x86_amx, !llvm.x86_amx){{ +}}: i64
// CHECK-NOT: llvm.x86.tileloadd64.internal
// CHECK-COUNT-4: llvm.x86.tdpbf16ps.internal
// CHECK-NOT: arith.negf
// CHECK-COUNT-4: llvm.x86.tilestored64.internal
// CHECK: arith.negf
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "640"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [k] : (!p) -> !y
  %y = rel.join %s : (!y) -> !y {
  ^bb0(%l: f32):
    %0 = arith.negf %l : f32
    rel.yield %0 : f32
  }
  return %y : !y
}
