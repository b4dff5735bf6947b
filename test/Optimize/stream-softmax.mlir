// RUN: joinery-opt %s --rel-stream-softmax --split-input-file | FileCheck %s

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!r = !rel.rel<[s: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!p = !rel.rel<[s: ?S, t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that softmax and weighted sum are one aggregate, with the guard that
// makes NaN weights zero.
// CHECK-LABEL: func.func @guarded
// CHECK-SAME: %[[S:.+]]: !rel.rel<{{.*}}>, %[[V:.+]]: !rel.rel
// CHECK-NEXT: %[[Y:.+]] = rel.aggregate softmax_sum %[[S]], %[[V]] over [t]
// CHECK-NEXT: return %[[Y]]
func.func @guarded(%s: !s, %v: !v) -> !y {
  %m = rel.aggregate max %s over [t] : (!s) -> !r
  %e = rel.join %s, %m : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    rel.yield %1 : f32
  }
  %z = rel.aggregate sum %e over [t] : (!s) -> !r
  %p = rel.join %e, %z : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %c = arith.constant 0.0 : f32
    %0 = arith.divf %a, %b : f32
    %1 = math.isnan %0 : f32
    %2 = arith.select %1, %c, %0 : f32
    rel.yield %2 : f32
  }
  %q = rel.join %v, %p : (!v, !s) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [t] : (!p) -> !y
  return %y : !y
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!r = !rel.rel<[s: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!p = !rel.rel<[s: ?S, t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that weights that the model also returns are computed.
// CHECK-LABEL: func.func @weights_are_used
// CHECK-NOT: softmax_sum
func.func @weights_are_used(%s: !s, %v: !v) -> (!y, !s) {
  %m = rel.aggregate max %s over [t] : (!s) -> !r
  %e = rel.join %s, %m : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    rel.yield %1 : f32
  }
  %z = rel.aggregate sum %e over [t] : (!s) -> !r
  %p = rel.join %e, %z : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    rel.yield %0 : f32
  }
  %q = rel.join %v, %p : (!v, !s) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [t] : (!p) -> !y
  return %y, %p : !y, !s
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!r = !rel.rel<[s: ?S] x f32>
!v = !rel.rel<[s: ?S, d: 8] x f32>
!y = !rel.rel<[t: ?S, d: 8] x f32>
!p = !rel.rel<[s: ?S, t: ?S, d: 8] x f32>

// Tests that a sum over another column than that of the softmax is no stream.
// CHECK-LABEL: func.func @other_column
// CHECK-NOT: softmax_sum
func.func @other_column(%s: !s, %v: !v) -> !y {
  %m = rel.aggregate max %s over [t] : (!s) -> !r
  %e = rel.join %s, %m : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.subf %a, %b : f32
    %1 = math.exp %0 : f32
    rel.yield %1 : f32
  }
  %z = rel.aggregate sum %e over [t] : (!s) -> !r
  %p = rel.join %e, %z : (!s, !r) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.divf %a, %b : f32
    rel.yield %0 : f32
  }
  %q = rel.join %v, %p : (!v, !s) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [s] : (!p) -> !y
  return %y : !y
}
