// RUN: joinery-opt %s --rel-simplify-scalars --split-input-file | FileCheck %s

!x = !rel.rel<[h: 8] x f32>

// Tests that the three spellings of GELU have one form.
// CHECK-LABEL: func.func @gelu
// CHECK-COUNT-3: arith.mulf {{.*}}%[[HALF:cst.*]]
func.func @gelu(%x: !x) -> (!x, !x, !x) {
  %a = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %half = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %root = arith.constant 1.41421354 : f32
    %0 = arith.divf %u, %root : f32
    %1 = math.erf %0 : f32
    %2 = arith.addf %1, %one : f32
    %3 = arith.mulf %u, %2 : f32
    %4 = arith.mulf %3, %half : f32
    rel.yield %4 : f32
  }
  %b = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %half = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %root = arith.constant 0.707106769 : f32
    %0 = arith.mulf %u, %root : f32
    %1 = math.erf %0 : f32
    %2 = arith.addf %one, %1 : f32
    %3 = arith.mulf %2, %half : f32
    %4 = arith.mulf %u, %3 : f32
    rel.yield %4 : f32
  }
  %c = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %half = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %root = arith.constant 0.707106769 : f32
    %0 = arith.mulf %u, %root : f32
    %1 = math.erf %0 : f32
    %2 = arith.addf %one, %1 : f32
    %3 = arith.mulf %u, %half : f32
    %4 = arith.mulf %3, %2 : f32
    rel.yield %4 : f32
  }
  return %a, %b, %c : !x, !x, !x
}

// -----

!x = !rel.rel<[h: 8] x f32>

// Tests powers, roots and divisions.
// CHECK-LABEL: func.func @powers
// CHECK-NOT: math.powf
// CHECK: %[[V:.+]] = arith.mulf %[[X:.+]], %[[X]]
// CHECK: math.rsqrt %[[V]]
// CHECK-NOT: arith.divf
func.func @powers(%x: !x) -> !x {
  %a = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %two = arith.constant 2.0 : f32
    %half = arith.constant 0.5 : f32
    %0 = math.powf %u, %two : f32
    %1 = math.powf %0, %half : f32
    %2 = arith.divf %u, %1 : f32
    rel.yield %2 : f32
  }
  return %a : !x
}

// -----

!x = !rel.rel<[h: 8] x f32>

// Tests that nothing is reassociated that a cast to an integer reads, in this
// region or in another.
// CHECK-LABEL: func.func @keeps_before_cast
// CHECK: arith.divf
// CHECK: arith.fptosi
func.func @keeps_before_cast(%x: !x) -> !rel.rel<[h: 8] x i64> {
  %a = rel.join %x : (!x) -> !rel.rel<[h: 8] x i64> {
  ^bb0(%u: f32):
    %c = arith.constant 3.0 : f32
    %0 = arith.divf %u, %c : f32
    %1 = arith.fptosi %0 : f32 to i64
    rel.yield %1 : i64
  }
  return %a : !rel.rel<[h: 8] x i64>
}

// CHECK-LABEL: func.func @keeps_before_other_cast
// CHECK: arith.divf
// CHECK: arith.fptosi
func.func @keeps_before_other_cast(%x: !x, %y: !x) -> (!x, !rel.rel<[h: 8] x i64>) {
  %q = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %c = arith.constant 3.0 : f32
    %0 = arith.divf %u, %c : f32
    rel.yield %0 : f32
  }
  %a = rel.join %q : (!x) -> !rel.rel<[h: 8] x i64> {
  ^bb0(%u: f32):
    %1 = arith.fptosi %u : f32 to i64
    rel.yield %1 : i64
  }
  return %q, %a : !x, !rel.rel<[h: 8] x i64>
}

// -----

!m = !rel.rel<[t: ?S] x i1>
!x = !rel.rel<[t: ?S] x f32>

// Tests that a function of one binary value is a select of two constants.
// CHECK-LABEL: func.func @binary
// CHECK: %[[LOW:.+]] = arith.constant -1.000000e+09
// CHECK: arith.select %{{.+}}, %{{.+}}, %[[LOW]]
// CHECK-NEXT: rel.yield
func.func @binary(%m: !m) -> !x {
  %a = rel.join %m : (!m) -> !x {
  ^bb0(%u: i1):
    %one = arith.constant 1.0 : f32
    %low = arith.constant -1.0e9 : f32
    %0 = arith.uitofp %u : i1 to f32
    %1 = arith.subf %one, %0 : f32
    %2 = arith.mulf %1, %low : f32
    rel.yield %2 : f32
  }
  return %a : !x
}
