// RUN: joinery-opt %s --rel-simplify-lookups --split-input-file | FileCheck %s

!m = !rel.rel<[b: ?B, t: ?S] x i64>

// Tests that a gather of the mask by (b, key) is a rename.
// CHECK-LABEL: func.func @index_grid
// CHECK-SAME: %[[M:.+]]: !rel.rel
// CHECK-NOT: rel.lookup
// CHECK: rel.rekey %{{.+}} [t = "#s"]
func.func @index_grid(%m: !m) -> !rel.rel<[b: ?B, s: ?S] x i64> {
  %b = rel.range : !rel.rel<[b: ?B] x i64>
  %s = rel.range : !rel.rel<[s: ?S] x i64>
  %r = rel.lookup %m[b = %b, t = %s] : (!m, !rel.rel<[b: ?B] x i64>, !rel.rel<[s: ?S] x i64>)
    -> !rel.rel<[b: ?B, s: ?S] x i64>
  return %r : !rel.rel<[b: ?B, s: ?S] x i64>
}

// -----

!t = !rel.rel<[p: 64, h: 8] x f32>

// Tests that positions that start at 2 are a slice of the table.
// CHECK-LABEL: func.func @positions
// CHECK: rel.rekey %{{.+}} [p = "#s + 2"]
func.func @positions(%t: !t) -> !rel.rel<[s: 62, h: 8] x f32> {
  %s = rel.range : !rel.rel<[s: 62] x i64>
  %i = rel.join %s : (!rel.rel<[s: 62] x i64>) -> !rel.rel<[s: 62] x i64> {
  ^bb0(%a: i64):
    %c = arith.constant 2 : i64
    %0 = arith.addi %a, %c : i64
    rel.yield %0 : i64
  }
  %r = rel.lookup %t[p = %i] : (!t, !rel.rel<[s: 62] x i64>) -> !rel.rel<[s: 62, h: 8] x f32>
  return %r : !rel.rel<[s: 62, h: 8] x f32>
}

// -----

!t = !rel.rel<[p: 64, h: 8] x f32>

// Tests that an index that may be out of range stays a checked lookup.
// CHECK-LABEL: func.func @unproved
// CHECK: rel.lookup
func.func @unproved(%t: !t) -> !rel.rel<[s: ?S, h: 8] x f32> {
  %s = rel.range : !rel.rel<[s: ?S] x i64>
  %r = rel.lookup %t[p = %s] : (!t, !rel.rel<[s: ?S] x i64>) -> !rel.rel<[s: ?S, h: 8] x f32>
  return %r : !rel.rel<[s: ?S, h: 8] x f32>
}

// -----

!i = !rel.rel<[s: ?S] x i64>

// Tests that a constant looked up by anything is the constant.
// CHECK-LABEL: func.func @constant
// CHECK-NOT: rel.lookup
// CHECK: arith.constant 5
func.func @constant(%i: !i) -> !rel.rel<[s: ?S] x i64> {
  %p = rel.range : !rel.rel<[p: 70] x i64>
  %c = rel.join %p : (!rel.rel<[p: 70] x i64>) -> !rel.rel<[p: 70] x i64> {
  ^bb0(%a: i64):
    %0 = arith.constant 5 : i64
    rel.yield %0 : i64
  }
  %r = rel.lookup %c[p = %i] : (!rel.rel<[p: 70] x i64>, !i) -> !rel.rel<[s: ?S] x i64>
  return %r : !rel.rel<[s: ?S] x i64>
}
