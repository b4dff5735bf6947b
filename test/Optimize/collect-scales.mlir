// RUN: joinery-opt %s --rel-collect-scales --split-input-file | FileCheck %s

!q = !rel.rel<[s: ?S, d: 16] x f32>
!k = !rel.rel<[t: ?S, d: 16] x f32>
!p = !rel.rel<[s: ?S, t: ?S, d: 16] x f32>
!s = !rel.rel<[s: ?S, t: ?S] x f32>

// Tests that roots on q and on k are one factor on the scores.
// CHECK-LABEL: func.func @roots
// CHECK: %[[SUM:.+]] = rel.aggregate sum
// CHECK: rel.join %[[SUM]]
// CHECK: arith.constant 2.500000e-01
// CHECK: arith.mulf
func.func @roots(%q: !q, %k: !k) -> !s {
  %a = rel.join %q : (!q) -> !q {
  ^bb0(%x: f32):
    %c = arith.constant 0.5 : f32
    %0 = arith.mulf %x, %c : f32
    rel.yield %0 : f32
  }
  %b = rel.join %k : (!k) -> !k {
  ^bb0(%x: f32):
    %c = arith.constant 0.5 : f32
    %0 = arith.mulf %x, %c : f32
    rel.yield %0 : f32
  }
  %p = rel.join %a, %b : (!q, !k) -> !p {
  ^bb0(%x: f32, %y: f32):
    %0 = arith.mulf %x, %y : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate sum %p over [d] : (!p) -> !s
  return %s : !s
}

// -----

!q = !rel.rel<[s: ?S, d: 16] x f32>

// Tests that a greatest value is no sum: a negative factor would turn it round.
// CHECK-LABEL: func.func @greatest
// CHECK: arith.mulf
// CHECK: rel.aggregate max
// CHECK-NEXT: return
func.func @greatest(%q: !q) -> !rel.rel<[s: ?S] x f32> {
  %a = rel.join %q : (!q) -> !q {
  ^bb0(%x: f32):
    %c = arith.constant -0.5 : f32
    %0 = arith.mulf %x, %c : f32
    rel.yield %0 : f32
  }
  %s = rel.aggregate max %a over [d] : (!q) -> !rel.rel<[s: ?S] x f32>
  return %s : !rel.rel<[s: ?S] x f32>
}
