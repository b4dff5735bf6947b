// RUN: joinery-opt %s --rel-select-masks --split-input-file | FileCheck %s
// RUN: joinery-opt %s --rel-select-masks=keep-finite --split-input-file | FileCheck %s --check-prefix=KEEP

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that (1 - m) * -1e4 selects by the mask, which must be 0 or 1, and that
// the run will check the scores; or, on demand, that it stays.
// CHECK-LABEL: func.func @arithmetic
// CHECK-SAME: %[[M:[a-z0-9]+]]: !rel.rel<[t: ?S] x i64> {rel.binary}
// CHECK: %[[K:.+]] = rel.join %[[M]]
// CHECK: arith.cmpi ne
// CHECK: %[[S:.+]] = rel.select %{{.+}} where %[[K]] else 0xFF800000
// CHECK: softmax_sum %[[S]]
// CHECK-SAME: {mask = -1.000000e+04 : f64}
// KEEP-LABEL: func.func @arithmetic
// KEEP-NOT: rel.binary
// KEEP-NOT: rel.select
// KEEP-NOT: mask =
func.func @arithmetic(%s: !s, %v: !v, %m: !rel.rel<[t: ?S] x i64>) -> !y {
  %a = rel.join %s, %m : (!s, !rel.rel<[t: ?S] x i64>) -> !s {
  ^bb0(%x: f32, %k: i64):
    %one = arith.constant 1.0 : f32
    %low = arith.constant -1.0e4 : f32
    %0 = arith.sitofp %k : i64 to f32
    %1 = arith.subf %one, %0 : f32
    %2 = arith.mulf %1, %low : f32
    %3 = arith.addf %x, %2 : f32
    rel.yield %3 : f32
  }
  %y = rel.aggregate softmax_sum %a, %v over [t] : (!s, !v) -> !y
  return %y : !y
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that a conjunction is two selections, each with its own columns, that a
// comparison assumes nothing of the mask, and that no score is near the lowest
// number.
// CHECK-LABEL: func.func @conjunction
// CHECK-NOT: rel.binary
// CHECK: %[[CAUSAL:.+]] = rel.join %{{.+}}, %{{.+}} : ({{.*}}) -> !rel.rel<[s: ?S, t: ?S] x i1>
// CHECK: rel.select %{{.+}} where %[[CAUSAL]]
// CHECK: %[[PAD:.+]] = rel.join %{{.+}} : (!rel.rel<[t: ?S] x i64>) -> !rel.rel<[t: ?S] x i1>
// CHECK: rel.select %{{.+}} where %[[PAD]]
// CHECK: softmax_sum
// CHECK-NOT: mask =
// KEEP-LABEL: func.func @conjunction
// KEEP-NOT: rel.select
func.func @conjunction(%s: !s, %v: !v, %m: !rel.rel<[t: ?S] x i64>) -> !y {
  %i = rel.range : !rel.rel<[s: ?S] x i64>
  %j = rel.range : !rel.rel<[t: ?S] x i64>
  %a = rel.join %s, %m, %i, %j : (!s, !rel.rel<[t: ?S] x i64>, !rel.rel<[s: ?S] x i64>, !rel.rel<[t: ?S] x i64>) -> !s {
  ^bb0(%x: f32, %k: i64, %p: i64, %q: i64):
    %zero = arith.constant 0.0 : f32
    %none = arith.constant 0 : i64
    %low = arith.constant 0xFF7FFFFF : f32
    %0 = arith.cmpi sle, %q, %p : i64
    %1 = arith.cmpi ne, %k, %none : i64
    %2 = arith.andi %0, %1 : i1
    %3 = arith.select %2, %zero, %low : f32
    %4 = arith.addf %x, %3 : f32
    rel.yield %4 : f32
  }
  %y = rel.aggregate softmax_sum %a, %v over [t] : (!s, !v) -> !y
  return %y : !y
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that -100 is a bias.
// CHECK-LABEL: func.func @bias
// CHECK-NOT: rel.select
func.func @bias(%s: !s, %v: !v, %m: !rel.rel<[t: ?S] x i1>) -> !y {
  %a = rel.join %s, %m : (!s, !rel.rel<[t: ?S] x i1>) -> !s {
  ^bb0(%x: f32, %k: i1):
    %zero = arith.constant 0.0 : f32
    %low = arith.constant -100.0 : f32
    %0 = arith.select %k, %zero, %low : f32
    %1 = arith.addf %x, %0 : f32
    rel.yield %1 : f32
  }
  %y = rel.aggregate softmax_sum %a, %v over [t] : (!s, !v) -> !y
  return %y : !y
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that replaced scores are not there.
// CHECK-LABEL: func.func @replaced
// CHECK: arith.xori
// CHECK: rel.select
// CHECK-NOT: mask =
// KEEP-LABEL: func.func @replaced
// KEEP: rel.select
func.func @replaced(%s: !s, %v: !v, %m: !rel.rel<[t: ?S] x i1>) -> !y {
  %a = rel.join %s, %m : (!s, !rel.rel<[t: ?S] x i1>) -> !s {
  ^bb0(%x: f32, %k: i1):
    %low = arith.constant 0xFF800000 : f32
    %0 = arith.select %k, %low, %x : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate softmax_sum %a, %v over [t] : (!s, !v) -> !y
  return %y : !y
}

// -----

!s = !rel.rel<[s: ?S, t: ?S] x f32>
!v = !rel.rel<[t: ?S, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that of several constants the nearest to the scores counts, and that it
// is remembered if one takes the place of scores.
// CHECK-LABEL: func.func @filled
// CHECK: softmax_sum
// CHECK-SAME: {fills, mask = -2.000000e+04 : f64}
func.func @filled(%s: !s, %v: !v, %m: !rel.rel<[t: ?S] x i1>, %n: !rel.rel<[s: ?S, t: ?S] x i1>) -> !y {
  %a = rel.join %s, %m, %n : (!s, !rel.rel<[t: ?S] x i1>, !rel.rel<[s: ?S, t: ?S] x i1>) -> !s {
  ^bb0(%x: f32, %k: i1, %l: i1):
    %zero = arith.constant 0.0 : f32
    %near = arith.constant -2.0e4 : f32
    %far = arith.constant -1.0e9 : f32
    %0 = arith.select %k, %x, %far : f32
    %1 = arith.select %l, %zero, %near : f32
    %2 = arith.addf %0, %1 : f32
    rel.yield %2 : f32
  }
  %y = rel.aggregate softmax_sum %a, %v over [t] : (!s, !v) -> !y
  return %y : !y
}
