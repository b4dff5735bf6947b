// RUN: joinery-opt %s --rel-drop-shifts | FileCheck %s

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!m = !rel.rel<[t: ?S] x i1>
!c = !rel.rel<[s: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that a maximum that is subtracted before a selection cancels.
// CHECK-LABEL: func.func @shift
// CHECK-SAME: %[[X:[a-z0-9]+]]: !rel{{.*}}, %[[V:[a-z0-9]+]]: !rel
// CHECK-NOT: rel.aggregate max
// CHECK: %[[J:.+]] = rel.join %[[X]] :
// CHECK: rel.select %[[J]] where
// CHECK: rel.aggregate softmax_sum
func.func @shift(%x: !s, %v: !v, %m: !m) -> !y {
  %c = rel.aggregate max %x over [t] : (!s) -> !c
  %j = rel.join %x, %c : (!s, !c) -> !s {
  ^bb0(%a: f32, %b: f32):
    %k = arith.constant 32.0 : f32
    %0 = arith.subf %a, %b : f32
    %1 = arith.mulf %0, %k : f32
    rel.yield %1 : f32
  }
  %n = rel.select %j where %m else 0xFF800000 : f32 : (!s, !m) -> !s
  %y = rel.aggregate softmax_sum %n, %v over [t] : (!s, !v) -> !y
  return %y : !y
}

// Tests that a temperature for each query is no shift, nor is a bias for each
// key.
// CHECK-LABEL: func.func @scale
// CHECK: rel.join %{{.+}}, %{{.+}} :
// CHECK: rel.join %{{.+}}, %{{.+}} :
func.func @scale(%x: !s, %c: !c, %k: !rel.rel<[t: ?S] x f32>, %v: !v) -> (!y, !y) {
  %j = rel.join %x, %c : (!s, !c) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate softmax_sum %j, %v over [t] : (!s, !v) -> !y
  %i = rel.join %x, %k : (!s, !rel.rel<[t: ?S] x f32>) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %z = rel.aggregate softmax_sum %i, %v over [t] : (!s, !v) -> !y
  return %y, %z : !y, !y
}

// Tests that scores that an output shows keep their shift.
// CHECK-LABEL: func.func @shown
// CHECK: rel.join %{{.+}}, %{{.+}} :
func.func @shown(%x: !s, %c: !c, %v: !v) -> (!y, !s) {
  %j = rel.join %x, %c : (!s, !c) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate softmax_sum %j, %v over [t] : (!s, !v) -> !y
  return %y, %j : !y, !s
}

// Tests that a shift stays where a constant takes the place of scores, and goes
// where one is added to them.
// CHECK-LABEL: func.func @masked
// CHECK-SAME: (%[[X:[a-z0-9]+]]: {{[^%]*}}%[[C:[a-z0-9]+]]:
// CHECK: %[[F:.+]] = rel.join %[[X]], %[[C]] :
// CHECK: rel.select %[[F]] where
// CHECK: softmax_sum {{.*}} {fills, mask = -1.000000e+04 : f64}
// CHECK: %[[A:.+]] = rel.join %[[X]] :
// CHECK: rel.select %[[A]] where
// CHECK: softmax_sum {{.*}} {mask = -1.000000e+04 : f64}
func.func @masked(%x: !s, %c: !c, %v: !v, %m: !m) -> (!y, !y) {
  %j = rel.join %x, %c : (!s, !c) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %n = rel.select %j where %m else 0xFF800000 : f32 : (!s, !m) -> !s
  %y = rel.aggregate softmax_sum %n, %v over [t] : (!s, !v) -> !y {fills, mask = -1.0e4 : f64}
  %i = rel.join %x, %c : (!s, !c) -> !s {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  %o = rel.select %i where %m else 0xFF800000 : f32 : (!s, !m) -> !s
  %z = rel.aggregate softmax_sum %o, %v over [t] : (!s, !v) -> !y {mask = -1.0e4 : f64}
  return %y, %z : !y, !y
}
