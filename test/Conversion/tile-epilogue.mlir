// RUN: joinery-opt --plan=bf16 --fuse --lower=level=amx %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 640] x f32>
!w = !rel.rel<[k: 640, n: 96] x f32>
!p = !rel.rel<[b: ?B, k: 640, n: 96] x f32>
!y = !rel.rel<[b: ?B, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 245760

// Tests that of an epilogue over whole rows, here the distance to the row's sum, what
// is joined to the sums column by column is done between the products of the next
// block, whose own part of the residual is fetched meanwhile. The rest comes after.
// Sums are stored by the first step of the next block, tile by tile.
// CHECK-LABEL: func.func private @k0_amx
// CHECK-COUNT-6: llvm.x86.tdpbf16ps.internal
// CHECK: llvm.x86.tilezero.internal
// CHECK: llvm.x86.tilestored64.internal
// CHECK: llvm.x86.tilezero.internal
// CHECK: llvm.x86.tdpbf16ps.internal
// CHECK: llvm.x86.tilestored64.internal
// CHECK: llvm.x86.tilezero.internal
// CHECK: llvm.x86.tdpbf16ps.internal
// CHECK: llvm.x86.tilestored64.internal
// CHECK: llvm.x86.tilezero.internal
// CHECK: llvm.x86.tdpbf16ps.internal
// CHECK: llvm.x86.tilestored64.internal
// CHECK: llvm.x86.tilezero.internal
// CHECK: llvm.x86.tdpbf16ps.internal
// CHECK: scf.for
// CHECK-COUNT-4: llvm.x86.tdpbf16ps.internal
// CHECK: scf.for
// CHECK: arith.addf
// CHECK-NOT: arith.subf
// CHECK: scf.for
// CHECK-COUNT-2: llvm.intr.prefetch
// CHECK: scf.for
// CHECK-COUNT-4: llvm.x86.tdpbf16ps.internal
// CHECK-COUNT-4: llvm.x86.tilestored64.internal
// CHECK: arith.addf
// CHECK-NOT: llvm.x86
// CHECK: arith.subf
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "640"]},
                      %r: !y {rel.name = "r", rel.shape = ["?B", "96"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %m: f32):
    %0 = arith.mulf %l, %m : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [k] : (!p) -> !y
  %t = rel.join %s, %r : (!y, !y) -> !y {
  ^bb0(%l: f32, %m: f32):
    %0 = arith.addf %l, %m : f32
    rel.yield %0 : f32
  }
  %u = rel.aggregate sum %t over [n] : (!y) -> !rel.rel<[b: ?B] x f32>
  %y = rel.join %t, %u : (!y, !rel.rel<[b: ?B] x f32>) -> !y {
  ^bb0(%l: f32, %m: f32):
    %0 = arith.subf %l, %m : f32
    rel.yield %0 : f32
  }
  return %y : !y
}
