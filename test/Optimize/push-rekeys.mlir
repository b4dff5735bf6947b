// RUN: joinery-opt %s --rel-push-rekeys --split-input-file | FileCheck %s

!x = !rel.rel<[s: ?S, k: 64] x f32>
!y = !rel.rel<[s: ?S, n: 64] x f32>
rel.table @w : !rel.rel<[k: 64, n: 64] x f32> from "w" at 0 length 16384

// Tests that splitting a contraction's result into heads splits its weight.
// CHECK-LABEL: func.func @splits_heads
// CHECK-SAME: %[[X:.+]]: !rel.rel
// CHECK: %[[W:.+]] = rel.rekey %{{.+}} [n = "#d + 16 * #h"]
// CHECK: %[[P:.+]] = rel.join %[[X]], %[[W]]
// CHECK: %[[Y:.+]] = rel.aggregate sum %[[P]] over [k]
// CHECK: return %[[Y]]
func.func @splits_heads(%x: !x) -> !rel.rel<[s: ?S, h: 4, d: 16] x f32> {
  %w = rel.scan @w : !rel.rel<[k: 64, n: 64] x f32>
  %p = rel.join %x, %w : (!x, !rel.rel<[k: 64, n: 64] x f32>) -> !rel.rel<[s: ?S, k: 64, n: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!rel.rel<[s: ?S, k: 64, n: 64] x f32>) -> !y
  %h = rel.rekey %y [n = "16 * #h + #d"] : !y -> !rel.rel<[s: ?S, h: 4, d: 16] x f32>
  return %h : !rel.rel<[s: ?S, h: 4, d: 16] x f32>
}

// -----

!x = !rel.rel<[s: ?S, k: 64] x f32>

// Tests that a fold gives way where a key of the result has its name, and that
// renamed scans are scans.
rel.table @w : !rel.rel<[k: 64, n: 32] x f32> from "w" at 0 length 8192
// CHECK-LABEL: func.func @renames_folds
// CHECK: rel.scan @w : <[k_1: 64, k: 32] x f32>
// CHECK: over [k_1]
func.func @renames_folds(%x: !x) -> !rel.rel<[s: ?S, k: 32] x f32> {
  %w = rel.scan @w : !rel.rel<[k: 64, n: 32] x f32>
  %p = rel.join %x, %w : (!x, !rel.rel<[k: 64, n: 32] x f32>) -> !rel.rel<[s: ?S, k: 64, n: 32] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!rel.rel<[s: ?S, k: 64, n: 32] x f32>) -> !rel.rel<[s: ?S, n: 32] x f32>
  %h = rel.rekey %y [n = "#k"] : !rel.rel<[s: ?S, n: 32] x f32> -> !rel.rel<[s: ?S, k: 32] x f32>
  return %h : !rel.rel<[s: ?S, k: 32] x f32>
}

// -----

!x = !rel.rel<[s: ?S, k: 64] x f32>
!r = !rel.rel<[s: ?S] x f32>

// Tests that a value with another use is not computed twice.
// CHECK-LABEL: func.func @keeps_shared_producers
// CHECK: %[[R:.+]] = rel.aggregate sum
// CHECK: rel.rekey %[[R]] [s = "#t"]
func.func @keeps_shared_producers(%x: !x) -> (!r, !rel.rel<[t: ?S] x f32>) {
  %r = rel.aggregate sum %x over [k] : (!x) -> !r
  %t = rel.rekey %r [s = "#t"] : !r -> !rel.rel<[t: ?S] x f32>
  return %r, %t : !r, !rel.rel<[t: ?S] x f32>
}

// -----

!x = !rel.rel<[s: ?S, k: 64] x f32>

// Tests that reading one row of a fold folds one row.
// CHECK-LABEL: func.func @slices_below
// CHECK: %[[ROW:.+]] = rel.rekey %{{.+}} [s = "0"]
// CHECK: rel.aggregate max %[[ROW]] over [k]
func.func @slices_below(%x: !x) -> !rel.rel<[] x f32> {
  %r = rel.aggregate max %x over [k] : (!x) -> !rel.rel<[s: ?S] x f32>
  %t = rel.rekey %r [s = "0"] : !rel.rel<[s: ?S] x f32> -> !rel.rel<[] x f32>
  return %t : !rel.rel<[] x f32>
}

// -----

!c = !rel.rel<[h: 8] x f32>
!p = !rel.rel<[s: 16, h: 8] x f32>

// Tests that a slice of a union is its part.
// CHECK-LABEL: func.func @slices_union
// CHECK-SAME: %[[C:.+]]: !rel.rel<[h: 8] x f32>
// CHECK-NEXT: return %[[C]]
func.func @slices_union(%c: !c, %p: !p) -> !c {
  %u = rel.union over s(%c, %p) sizes ["1", "16"] : (!c, !p) -> !rel.rel<[s: 17, h: 8] x f32>
  %r = rel.rekey %u [s = "0"] : !rel.rel<[s: 17, h: 8] x f32> -> !c
  return %r : !c
}

// -----

!s = !rel.rel<[s: 64, t: ?T] x f32>
!v = !rel.rel<[t: ?T, d: 8] x f32>
!y = !rel.rel<[s: 64, d: 8] x f32>
!h = !rel.rel<[g: 4, s: 16, d: 8] x f32>

// Tests that a softmax_sum keeps its mask.
// CHECK-LABEL: func.func @masked
// CHECK: rel.aggregate softmax_sum {{.*}} -> !rel.rel<[g: 4, s: 16, d: 8] x f32> {fills, mask = -1.000000e+04 : f64}
func.func @masked(%s: !s, %v: !v) -> !h {
  %y = rel.aggregate softmax_sum %s, %v over [t] : (!s, !v) -> !y {fills, mask = -1.0e4 : f64}
  %h = rel.rekey %y [s = "16 * #g + #s"] : !y -> !h
  return %h : !h
}

// -----

!x = !rel.rel<[b: ?B, n: 6, s: ?S, d: 4] x f32>
!t = !rel.rel<[k: 8, h: 24] x f32>

// Tests that a key which two rekeys cancel out leaves a join's operand.
// CHECK-LABEL: func.func @drops_cancelled_keys
// CHECK: %[[T:.+]] = rel.rekey %{{.+}} [h = "#d + 4 * #n"]
// CHECK-SAME: -> <[k: 8, n: 6, d: 4] x f32>
// CHECK: rel.join %{{.+}}, %[[T]]
rel.table @w : !t from "w" at 0 length 768
func.func @drops_cancelled_keys(%x: !x) -> !rel.rel<[b: ?B, n: 6, s: ?S, d: 4, k: 8] x f32> {
  %w = rel.scan @w : !t
  %i = rel.rekey %w [h = "#d + 4 * (#i mod 6)"] : !t -> !rel.rel<[i: "6 * ?B", k: 8, d: 4] x f32>
  %o = rel.rekey %i [i = "6 * #b + #n"] : !rel.rel<[i: "6 * ?B", k: 8, d: 4] x f32> -> !rel.rel<[b: ?B, n: 6, k: 8, d: 4] x f32>
  %y = rel.join %x, %o : (!x, !rel.rel<[b: ?B, n: 6, k: 8, d: 4] x f32>) -> !rel.rel<[b: ?B, n: 6, s: ?S, d: 4, k: 8] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  return %y : !rel.rel<[b: ?B, n: 6, s: ?S, d: 4, k: 8] x f32>
}

// -----

!x = !rel.rel<[s: 16, k: 64] x f32>
!y = !rel.rel<[s: 16, n: 32] x f32>
!half = !rel.rel<[s: 8, n: 32] x f32>
rel.table @w : !rel.rel<[k: 64, n: 32] x f32> from "w" at 0 length 8192

// Tests that halves of the rows in another order, as rolls make them, are views of
// one contraction, and that those of the columns are contractions of their own.
// CHECK-LABEL: func.func @cuts_no_rows
// CHECK: %[[Y:.+]] = rel.aggregate sum %{{.+}} over [k]
// CHECK-DAG: %[[SECOND:.+]] = rel.rekey %[[Y]] [s = "#s + 8"]
// CHECK-DAG: %[[FIRST:.+]] = rel.rekey %[[Y]] [] : <[s: 16, n: 32] x f32> -> <[s: 8, n: 32] x f32>
// CHECK: rel.union over s(%[[SECOND]], %[[FIRST]])
func.func @cuts_no_rows(%x: !x) -> !y {
  %w = rel.scan @w : !rel.rel<[k: 64, n: 32] x f32>
  %p = rel.join %x, %w : (!x, !rel.rel<[k: 64, n: 32] x f32>) -> !rel.rel<[s: 16, k: 64, n: 32] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!rel.rel<[s: 16, k: 64, n: 32] x f32>) -> !y
  %a = rel.rekey %y [s = "#s + 8"] : !y -> !half
  %b = rel.rekey %y [] : !y -> !half
  %u = rel.union over s(%a, %b) sizes ["8", "8"] : (!half, !half) -> !y
  return %u : !y
}

// CHECK-LABEL: func.func @cuts_columns
// CHECK-COUNT-2: rel.aggregate sum
func.func @cuts_columns(%x: !x) -> (!rel.rel<[s: 16, n: 16] x f32>, !rel.rel<[s: 16, n: 16] x f32>) {
  %w = rel.scan @w : !rel.rel<[k: 64, n: 32] x f32>
  %p = rel.join %x, %w : (!x, !rel.rel<[k: 64, n: 32] x f32>) -> !rel.rel<[s: 16, k: 64, n: 32] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [k] : (!rel.rel<[s: 16, k: 64, n: 32] x f32>) -> !y
  %a = rel.rekey %y [n = "#n + 16"] : !y -> !rel.rel<[s: 16, n: 16] x f32>
  %b = rel.rekey %y [] : !y -> !rel.rel<[s: 16, n: 16] x f32>
  return %a, %b : !rel.rel<[s: 16, n: 16] x f32>, !rel.rel<[s: 16, n: 16] x f32>
}

// -----

!q = !rel.rel<[s: ?S, d: 64] x f32>
!k = !rel.rel<[p: "2 * ?S", d: 64] x f32>
!p = !rel.rel<[s: ?S, p: "2 * ?S", d: 64] x f32>

// Tests that a view of a product's result stays one where a factor would have to
// have a row for each of its elements, as with relative positions.
// CHECK-LABEL: func.func @keeps_products
// CHECK: %[[Y:.+]] = rel.aggregate sum %{{.+}} over [d]
// CHECK: rel.rekey %[[Y]] [p = "?S + #s - #t"]
func.func @keeps_products(%q: !q, %k: !k) -> !rel.rel<[s: ?S, t: ?S] x f32> {
  %p = rel.join %q, %k : (!q, !k) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [d] : (!p) -> !rel.rel<[s: ?S, p: "2 * ?S"] x f32>
  %r = rel.rekey %y [p = "?S + #s - #t"] : !rel.rel<[s: ?S, p: "2 * ?S"] x f32> -> !rel.rel<[s: ?S, t: ?S] x f32>
  return %r : !rel.rel<[s: ?S, t: ?S] x f32>
}

rel.table @t : !rel.rel<[p: 32, d: 64] x f32> from "t" at 0 length 8192

// The same where that factor is a table.
// CHECK-LABEL: func.func @keeps_tables_small
// CHECK: %[[Y:.+]] = rel.aggregate sum %{{.+}} over [d]
// CHECK: rel.rekey %[[Y]] [p = "16 + #s - #t"]
func.func @keeps_tables_small(%q: !rel.rel<[s: 16, d: 64] x f32>) -> !rel.rel<[s: 16, t: 16] x f32> {
  %k = rel.scan @t : !rel.rel<[p: 32, d: 64] x f32>
  %p = rel.join %q, %k : (!rel.rel<[s: 16, d: 64] x f32>, !rel.rel<[p: 32, d: 64] x f32>) -> !rel.rel<[s: 16, p: 32, d: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %p over [d] : (!rel.rel<[s: 16, p: 32, d: 64] x f32>) -> !rel.rel<[s: 16, p: 32] x f32>
  %r = rel.rekey %y [p = "16 + #s - #t"] : !rel.rel<[s: 16, p: 32] x f32> -> !rel.rel<[s: 16, t: 16] x f32>
  return %r : !rel.rel<[s: 16, t: 16] x f32>
}
