// RUN: joinery-opt %s --rel-compose-joins --split-input-file | FileCheck %s

!x = !rel.rel<[s: ?S, h: 8] x f32>

// Tests that a join with the same columns and one use is absorbed.
// CHECK-LABEL: func.func @absorbs
// CHECK-SAME: %[[X:.+]]: !rel.rel<{{.*}}>, %[[Y:.+]]: !rel.rel
// CHECK: %[[J:.+]] = rel.join %[[X]], %[[Y]]
// CHECK: math.exp
// CHECK: arith.addf
// CHECK: return %[[J]]
func.func @absorbs(%x: !x, %y: !x) -> !x {
  %a = rel.join %x : (!x) -> !x {
  ^bb0(%u: f32):
    %0 = math.exp %u : f32
    rel.yield %0 : f32
  }
  %b = rel.join %a, %y : (!x, !x) -> !x {
  ^bb0(%u: f32, %v: f32):
    %0 = arith.addf %u, %v : f32
    rel.yield %0 : f32
  }
  return %b : !x
}

// -----

!x = !rel.rel<[s: ?S, h: 8] x f32>
!r = !rel.rel<[s: ?S] x f32>

// Tests that what is computed once per row is not computed once per element.
// CHECK-LABEL: func.func @keeps_row_values
// CHECK: %[[R:.+]] = rel.join
// CHECK: math.exp
// CHECK: rel.join %{{.+}}, %[[R]]
func.func @keeps_row_values(%x: !x, %r: !r) -> !x {
  %a = rel.join %r : (!r) -> !r {
  ^bb0(%u: f32):
    %0 = math.exp %u : f32
    rel.yield %0 : f32
  }
  %b = rel.join %x, %a : (!x, !r) -> !x {
  ^bb0(%u: f32, %v: f32):
    %0 = arith.mulf %u, %v : f32
    rel.yield %0 : f32
  }
  return %b : !x
}

// -----

!x = !rel.rel<[s: ?S, h: 8] x f32>
!m = !rel.rel<[s: ?S] x i64>

// Tests that constants and casts of masks are absorbed wherever they are read,
// and that folding leaves constants in the region.
// CHECK-LABEL: func.func @repeats_cheap_joins
// CHECK-SAME: %[[X:.+]]: !rel.rel<{{.*}}>, %[[M:.+]]: !rel.rel
// CHECK: rel.join %[[M]]
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.sitofp
// CHECK-NEXT: rel.yield
// CHECK: rel.join %[[X]], %[[M]]
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.sitofp
// CHECK-NEXT: arith.mulf
func.func @repeats_cheap_joins(%x: !x, %m: !m) -> (!x, !rel.rel<[s: ?S] x f32>) {
  %one = rel.join : () -> !rel.rel<[] x f32> {
    %c = arith.constant 1.0 : f32
    rel.yield %c : f32
  }
  %f = rel.join %m, %one : (!m, !rel.rel<[] x f32>) -> !rel.rel<[s: ?S] x f32> {
  ^bb0(%u: i64, %v: f32):
    %0 = arith.sitofp %u : i64 to f32
    %1 = arith.mulf %0, %v : f32
    rel.yield %1 : f32
  }
  %b = rel.join %x, %f : (!x, !rel.rel<[s: ?S] x f32>) -> !x {
  ^bb0(%u: f32, %v: f32):
    %0 = arith.mulf %u, %v : f32
    rel.yield %0 : f32
  }
  return %b, %f : !x, !rel.rel<[s: ?S] x f32>
}

// -----

!x = !rel.rel<[s: ?S, h: 8] x f32>

// Tests that an operand that only gives columns is not computed.
// CHECK-LABEL: func.func @drops_unused
// CHECK-NOT: rel.aggregate
// CHECK: rel.range : <[s: ?S] x i64>
func.func @drops_unused(%x: !x, %y: !rel.rel<[h: 8] x f32>) -> !x {
  %sum = rel.aggregate sum %x over [h] : (!x) -> !rel.rel<[s: ?S] x f32>
  %b = rel.join %sum, %y : (!rel.rel<[s: ?S] x f32>, !rel.rel<[h: 8] x f32>) -> !x {
  ^bb0(%u: f32, %v: f32):
    rel.yield %v : f32
  }
  return %b : !x
}
