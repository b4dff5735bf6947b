// RUN: joinery-opt --plan --fuse %s --split-input-file | FileCheck %s --check-prefix=PIPE
// RUN: joinery-opt --plan --fuse --lower=level=avx2 %s --split-input-file | FileCheck %s

!q = !rel.rel<[b: ?B, n: 2, s: ?S, d: 32] x f32>
!k = !rel.rel<[b: ?B, n: 2, t: ?S, d: 32] x f32>
!v = !rel.rel<[b: ?B, n: 2, t: ?S, e: 32] x f32>
!p = !rel.rel<[b: ?B, n: 2, s: ?S, d: 32, t: ?S] x f32>
!sc = !rel.rel<[b: ?B, n: 2, s: ?S, t: ?S] x f32>
!m = !rel.rel<[b: ?B, t: ?S] x i1>
!c = !rel.rel<[b: ?B, n: 2, s: ?S, e: 32] x f32>

// Tests that streaming attention compares the greatest score of each row that
// has weights with half of the mask's constant, and reports the first such row.
// One without a constant compares nothing, and is another kernel.
// PIPE: pipe.kernel @k0 by "attention"
// PIPE: pipe.kernel @k1 by "attention"

// CHECK-LABEL: func.func private @k0_avx2
// CHECK: math.exp
// CHECK: %[[BOUND:.+]] = arith.constant -5.000000e+03 : f32
// CHECK: %[[LOW:.+]] = arith.cmpf ole, %[[PEAK:.+]], %[[BOUND]] : f32
// CHECK: %[[SOME:.+]] = arith.cmpf ogt, %{{.+}}, %{{.+}} : f32
// CHECK: %[[BAD:.+]] = arith.andi %[[LOW]], %[[SOME]] : i1
// CHECK: %[[BITS:.+]] = arith.bitcast %[[PEAK]] : f32 to i32
// CHECK: %[[VALUE:.+]] = arith.extui %[[BITS]] : i32 to i64
// CHECK: scf.if %[[BAD]]
// CHECK: llvm.store %[[VALUE]]
// CHECK-LABEL: func.func private @k1_avx2
// CHECK-NOT: arith.cmpf ole
// CHECK: return
func.func @main(
    %q: !q {rel.name = "q", rel.shape = ["?B", "2", "?S", "32"]},
    %k: !k {rel.name = "k", rel.shape = ["?B", "2", "?S", "32"]},
    %v: !v {rel.name = "v", rel.shape = ["?B", "2", "?S", "32"]},
    %m: !m {rel.name = "m", rel.shape = ["?B", "?S"]})
    -> (!c {rel.name = "c", rel.shape = ["?B", "2", "?S", "32"], rel.dims = [["b"], ["n"], ["s"], ["e"]]},
        !c {rel.name = "d", rel.shape = ["?B", "2", "?S", "32"], rel.dims = [["b"], ["n"], ["s"], ["e"]]}) {
  %p = rel.join %q, %k : (!q, !k) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %raw = rel.aggregate sum %p over [d] : (!p) -> !sc
  %sc = rel.select %raw where %m else 0xFF800000 : f32 : (!sc, !m) -> !sc
  %c = rel.aggregate softmax_sum %sc, %v over [t] : (!sc, !v) -> !c {mask = -1.0e4 : f64}
  %p1 = rel.join %q, %k : (!q, !k) -> !p {
  ^bb0(%l: f32, %r: f32):
    %0 = arith.mulf %l, %r : f32
    rel.yield %0 : f32
  }
  %raw1 = rel.aggregate sum %p1 over [d] : (!p) -> !sc
  %sc1 = rel.select %raw1 where %m else 0xFF800000 : f32 : (!sc, !m) -> !sc
  %d = rel.aggregate softmax_sum %sc1, %v over [t] : (!sc, !v) -> !c
  return %c, %d : !c, !c
}

// -----

!sc = !rel.rel<[s: ?S, t: ?S] x f32>
!m = !rel.rel<[t: ?S] x i1>
!v = !rel.rel<[t: ?S, e: 32] x f32>
!c = !rel.rel<[s: ?S, e: 32] x f32>

// Tests that scores that are stored are checked, too.
// PIPE: pipe.kernel @k0 by "rows"
// CHECK-LABEL: func.func private @k0_avx2
// CHECK: arith.constant {{.*}}-3.275200e+04
// CHECK: arith.cmpf ole
// CHECK: scf.if
func.func @main(
    %s: !sc {rel.name = "s", rel.shape = ["?S", "?S"]},
    %v: !v {rel.name = "v", rel.shape = ["?S", "32"]},
    %m: !m {rel.name = "m", rel.shape = ["?S"]})
    -> (!c {rel.name = "c", rel.shape = ["?S", "32"], rel.dims = [["s"], ["e"]]}) {
  %sc = rel.select %s where %m else 0xFF800000 : f32 : (!sc, !m) -> !sc
  %c = rel.aggregate softmax_sum %sc, %v over [t] : (!sc, !v) -> !c {mask = -6.5504e4 : f64}
  return %c : !c
}
