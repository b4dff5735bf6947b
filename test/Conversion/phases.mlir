// RUN: joinery-opt --plan=bf16 --fuse --lower=level=amx %s | FileCheck %s

!x = !rel.rel<[b: ?B, k: 64] x f32>
!w = !rel.rel<[k: 64, n: 96] x f32>
!p = !rel.rel<[b: ?B, k: 64, n: 96] x f32>
!y = !rel.rel<[b: ?B, n: 96] x f32>

rel.table @w : !w from "m.onnx" at 0 length 24576

// Tests that rows are packed in calls that do all or prepare, multiplied in those that
// do all or the main phase, and that an epilogue over whole rows runs in those that
// do all, once no other has the block's panels left, or that finish.
// CHECK-LABEL: func.func private @k0_amx(%arg0
// CHECK: %[[FIELD:.*]] = llvm.getelementptr %arg0[9]
// CHECK: %[[PHASE:.*]] = llvm.load %[[FIELD]]
// CHECK: scf.for
// CHECK: %[[ALL:.*]] = arith.cmpi eq, %[[PHASE]], %c0_i64
// CHECK: %[[PREPARE:.*]] = arith.cmpi eq, %[[PHASE]], %c1_i64
// CHECK: %[[PACKS:.*]] = arith.ori %[[ALL]], %[[PREPARE]]
// CHECK: scf.if %[[PACKS]]
// CHECK-NOT: scf.if
// CHECK: call @jn_pack_bf16_amx
// CHECK: %[[MAIN:.*]] = arith.cmpi eq, %[[PHASE]], %c2_i64
// CHECK: %[[MULTIPLIES:.*]] = arith.ori %{{.*}}, %[[MAIN]]
// CHECK: scf.if %[[MULTIPLIES]]
// CHECK: llvm.x86.tdpbf16ps.internal
// CHECK: %[[FINISH:.*]] = arith.cmpi eq, %[[PHASE]], %c3_i64
// CHECK: %[[ENDS:.*]] = arith.ori %{{.*}}, %[[FINISH]]
// CHECK: scf.if %[[ENDS]]
// CHECK: llvm.atomicrmw add
// CHECK: arith.subf
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?B", "64"]})
    -> (!y {rel.name = "y", rel.shape = ["?B", "96"], rel.dims = [["b"], ["n"]]}) {
  %a = rel.scan @w : !w
  %p = rel.join %x, %a : (!x, !w) -> !p {
  ^bb0(%l: f32, %m: f32):
    %0 = arith.mulf %l, %m : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [k] : (!p) -> !y
  %u = rel.aggregate sum %s over [n] : (!y) -> !rel.rel<[b: ?B] x f32>
  %y = rel.join %s, %u : (!y, !rel.rel<[b: ?B] x f32>) -> !y {
  ^bb0(%l: f32, %m: f32):
    %0 = arith.subf %l, %m : f32
    rel.yield %0 : f32
  }
  return %y : !y
}
