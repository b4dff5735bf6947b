// RUN: joinery-opt %s --rel-fold-constants --split-input-file | FileCheck %s
// RUN: joinery-opt %s --rel-fold-constants=byte-limit=4 --split-input-file | FileCheck %s --check-prefix=LIMIT

!w = !rel.rel<[i: 2] x f32>
rel.table @w : !w = dense<[1.0, 2.0]> : tensor<2xf32>

// Tests that a plan over tables is a table, computed in double.
// CHECK: rel.table @folded.0 : !rel.rel<[i: 2] x f32> = dense<[0.333333343, 0.666666686]>
// CHECK-LABEL: func.func @folds
// CHECK-NEXT: %[[T:.+]] = rel.scan @folded.0
// CHECK-NEXT: return %[[T]]
// LIMIT-LABEL: func.func @folds
// LIMIT: rel.join
func.func @folds() -> !w {
  %w = rel.scan @w : !w
  %r = rel.join %w : (!w) -> !w {
  ^bb0(%a: f32):
    %c = arith.constant 3.0 : f32
    %0 = arith.divf %a, %c : f32
    rel.yield %0 : f32
  }
  return %r : !w
}

// -----

!w = !rel.rel<[i: 2] x f32>
rel.table @w : !w = dense<[1.0, 2.0]> : tensor<2xf32>

// Tests that a value without columns is a constant.
// CHECK-LABEL: func.func @scalar
// CHECK-NEXT: rel.join : () ->
// CHECK-NEXT: arith.constant 3.000000e+00
func.func @scalar() -> !rel.rel<[] x f32> {
  %w = rel.scan @w : !w
  %r = rel.aggregate sum %w over [i] : (!w) -> !rel.rel<[] x f32>
  return %r : !rel.rel<[] x f32>
}

// -----

!w = !rel.rel<[i: 2] x f32>
rel.table @w : !w = dense<[1.0, 2.0]> : tensor<2xf32>

// Tests that views of tables, and what depends on an argument, stay.
// CHECK-LABEL: func.func @stays
// CHECK: rel.rekey
// CHECK: rel.join
func.func @stays(%x: !w) -> (!w, !w) {
  %w = rel.scan @w : !w
  %v = rel.rekey %w [i = "-1 * #i + 1"] : !w -> !w
  %r = rel.join %w, %x : (!w, !w) -> !w {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    rel.yield %0 : f32
  }
  return %v, %r : !w, !w
}
