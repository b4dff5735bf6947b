// RUN: joinery-opt %s --rel-drop-round-trips | FileCheck %s

!x = !rel.rel<[b: ?B, k: 8] x f32>
!w = !rel.rel<[k: 8, n: 4] x f32>
!p = !rel.rel<[b: ?B, k: 8, n: 4] x f32>
!y = !rel.rel<[b: ?B, n: 4] x f32>

// Tests that levels of a byte which are read again never become integers, and that
// what lies beyond the last level still is the last level.
// CHECK-LABEL: func.func @levels
// CHECK: math.roundeven
// CHECK: %[[BELOW:.+]] = arith.cmpf ult
// CHECK-NOT: arith.fptoui
// CHECK: %[[MOST:.+]] = arith.select %{{.+}}, %{{.+}}, %{{.+}} : f32
// CHECK: arith.select %[[BELOW]], %{{.+}}, %[[MOST]] : f32
// CHECK-NOT: arith.uitofp
func.func @levels(%x: !x) -> !x {
  %y = rel.join %x : (!x) -> !x {
  ^bb0(%a: f32):
    %scale = arith.constant 0.5 : f32
    %zero = arith.constant 3.0 : f32
    %low = arith.constant 0.0 : f32
    %end = arith.constant 256.0 : f32
    %first = arith.constant 0 : i8
    %last = arith.constant -1 : i8
    %0 = arith.divf %a, %scale : f32
    %1 = math.roundeven %0 : f32
    %2 = arith.addf %1, %zero : f32
    %below = arith.cmpf ult, %2, %low : f32
    %above = arith.cmpf oge, %2, %end : f32
    %3 = arith.fptoui %2 : f32 to i8
    %4 = arith.select %above, %last, %3 : i8
    %5 = arith.select %below, %first, %4 : i8
    %6 = arith.uitofp %5 : i8 to f32
    rel.yield %6 : f32
  }
  return %y : !x
}

// Tests that a sum of products of whole numbers is one.
// CHECK-LABEL: func.func @sums
// CHECK-NOT: arith.fptosi
// CHECK: return
func.func @sums(%x: !rel.rel<[b: ?B, k: 8] x i8>, %w: !w) -> !y {
  %rounded = rel.join %w : (!w) -> !w {
  ^bb0(%a: f32):
    %0 = math.floor %a : f32
    rel.yield %0 : f32
  }
  %p = rel.join %x, %rounded : (!rel.rel<[b: ?B, k: 8] x i8>, !w) -> !p {
  ^bb0(%a: i8, %b: f32):
    %0 = arith.sitofp %a : i8 to f32
    %1 = arith.mulf %0, %b : f32
    rel.yield %1 : f32
  }
  %s = rel.aggregate sum %p over [k] : (!p) -> !y
  %y = rel.join %s : (!y) -> !y {
  ^bb0(%a: f32):
    %0 = arith.fptosi %a : f32 to i32
    %1 = arith.sitofp %0 : i32 to f32
    rel.yield %1 : f32
  }
  return %y : !y
}

// Tests that a cast which cuts off digits stays, as does one that is read as an
// integer.
// CHECK-LABEL: func.func @cut
// CHECK: arith.fptosi
// CHECK: arith.sitofp
// CHECK: arith.fptosi
func.func @cut(%x: !x) -> (!x, !rel.rel<[b: ?B, k: 8] x i32>) {
  %y = rel.join %x : (!x) -> !x {
  ^bb0(%a: f32):
    %two = arith.constant 2.0 : f32
    %0 = arith.divf %a, %two : f32
    %1 = arith.fptosi %0 : f32 to i32
    %2 = arith.sitofp %1 : i32 to f32
    rel.yield %2 : f32
  }
  %z = rel.join %x : (!x) -> !rel.rel<[b: ?B, k: 8] x i32> {
  ^bb0(%a: f32):
    %0 = math.roundeven %a : f32
    %1 = arith.fptosi %0 : f32 to i32
    rel.yield %1 : i32
  }
  return %y, %z : !x, !rel.rel<[b: ?B, k: 8] x i32>
}
