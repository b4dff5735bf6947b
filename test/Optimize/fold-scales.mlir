// RUN: joinery-opt %s --rel-fold-scales --split-input-file | FileCheck %s

!x = !rel.rel<[s: ?S, h: 4] x f32>
!y = !rel.rel<[s: ?S, n: 4] x f32>
!b = !rel.rel<[n: 4] x f32>
!w = !rel.rel<[h: 4, n: 4] x f32>
!p = !rel.rel<[s: ?S, h: 4, n: 4] x f32>
rel.table @w : !w = dense<0.5> : tensor<16xf32>

// Tests that the factor of a contraction with a table goes into the table.
// CHECK-LABEL: func.func @table
// CHECK: %[[W:.+]] = rel.scan @w
// CHECK: %[[C:.+]] = rel.join %[[W]]
// CHECK: arith.constant 5.000000e-01
// CHECK: arith.mulf
// CHECK: rel.join %{{.+}}, %[[C]]
// CHECK: %[[Y:.+]] = rel.aggregate sum
// CHECK: rel.join %[[Y]], %{{.+}}
// CHECK-NOT: arith.mulf
// CHECK: arith.addf
func.func @table(%x: !x, %b: !b) -> !y {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!p) -> !y
  %z = rel.join %y, %b : (!y, !b) -> !y {
  ^bb0(%a: f32, %c: f32):
    %h = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %h : f32
    %1 = arith.addf %0, %c : f32
    rel.yield %1 : f32
  }
  return %z : !y
}

// Tests that a sum that is read twice keeps its factor.
// CHECK-LABEL: func.func @twice
// CHECK: rel.aggregate sum
// CHECK: arith.mulf
func.func @twice(%x: !x) -> (!y, !y) {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!p) -> !y
  %z = rel.join %y : (!y) -> !y {
  ^bb0(%a: f32):
    %h = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %h : f32
    rel.yield %0 : f32
  }
  return %y, %z : !y, !y
}

// Tests that what a comparison reads, and a product of two activations, keep
// their factors.
// CHECK-LABEL: func.func @compared
// CHECK: rel.aggregate sum
// CHECK: arith.mulf
// CHECK: arith.cmpf
func.func @compared(%x: !x) -> !rel.rel<[s: ?S, n: 4] x i1> {
  %w = rel.scan @w : !w
  %j = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!p) -> !y
  %z = rel.join %y : (!y) -> !rel.rel<[s: ?S, n: 4] x i1> {
  ^bb0(%a: f32):
    %h = arith.constant 0.3 : f32
    %0 = arith.mulf %a, %h : f32
    %1 = arith.cmpf ogt, %0, %h : f32
    rel.yield %1 : i1
  }
  return %z : !rel.rel<[s: ?S, n: 4] x i1>
}

// CHECK-LABEL: func.func @activations
// CHECK: rel.aggregate sum
// CHECK: rel.join
// CHECK: arith.mulf %{{.+}}, %{{.+}} : f32
func.func @activations(%x: !x, %w: !w) -> !y {
  %j = rel.join %x, %w : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %j over [h] : (!p) -> !y
  %z = rel.join %y : (!y) -> !y {
  ^bb0(%a: f32):
    %h = arith.constant 0.5 : f32
    %0 = arith.mulf %a, %h : f32
    rel.yield %0 : f32
  }
  return %z : !y
}
