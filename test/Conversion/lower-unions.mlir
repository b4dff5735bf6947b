// RUN: joinery-opt --plan --fuse --lower=level=avx2 %s | FileCheck %s

!x = !rel.rel<[s: ?S, h: 32] x f32>
!p = !rel.rel<[s: ?S, h: 16] x f32>
!m = !rel.rel<[s: ?S] x f32>

// Tests that a union over the vectors' column is a loop for each part: no vector
// has a condition, and the statistic of the first part is computed before them.
// CHECK-LABEL: func.func private @k0_avx2
// CHECK-NOT: scf.if
// CHECK: vector.extract {{.*}} : f32 from vector<1xf32>
// CHECK: scf.for
// CHECK: llvm.store {{.*}} : vector<8xf32>
// CHECK-NOT: vector.extract
// CHECK: scf.for
// CHECK: arith.negf {{.*}} : vector<8xf32>
// CHECK: llvm.store {{.*}} : vector<8xf32>
// CHECK-NOT: scf.if
// CHECK: return
func.func @main(%x: !x {rel.name = "x", rel.shape = ["?S", "32"]})
    -> (!x {rel.name = "y", rel.shape = ["?S", "32"], rel.dims = [["s"], ["h"]]}) {
  %a = rel.rekey %x [h = "#h + 16"] : !x -> !p
  %b = rel.rekey %x [h = "#h"] : !x -> !p
  %sum = rel.aggregate sum %a over [h] : (!p) -> !m
  %first = rel.join %a, %sum : (!p, !m) -> !p {
  ^bb0(%u: f32, %v: f32):
    %0 = arith.divf %u, %v : f32
    rel.yield %0 : f32
  }
  %second = rel.join %b : (!p) -> !p {
  ^bb0(%u: f32):
    %0 = arith.negf %u : f32
    rel.yield %0 : f32
  }
  %y = rel.union over h(%first, %second) sizes ["16", "16"] : (!p, !p) -> !x
  return %y : !x
}
