// RUN: joinery-opt %s --rel-split-folds --split-input-file | FileCheck %s

!h = !rel.rel<[s: ?S, h: 4, d: 16] x f32>
!x = !rel.rel<[s: ?S, k: 64] x f32>
!p = !rel.rel<[s: ?S, k: 64, n: 32] x f32>
rel.table @w : !rel.rel<[k: 64, n: 32] x f32> from "w" at 0 length 8192

// Tests that heads that are merged for a contraction stay apart.
// CHECK-LABEL: func.func @merged_heads
// CHECK-SAME: %[[X:.+]]: !rel.rel
// CHECK: %[[W:.+]] = rel.rekey %{{.+}} [k = "#d + 16 * #h"]
// CHECK: rel.join %[[X]], %[[W]]
// CHECK: rel.aggregate sum %{{.+}} over [h, d]
func.func @merged_heads(%x: !h) -> !rel.rel<[s: ?S, n: 32] x f32> {
  %m = rel.rekey %x [h = "#k floordiv 16", d = "#k mod 16"] : !h -> !x
  %w = rel.scan @w : !rel.rel<[k: 64, n: 32] x f32>
  %q = rel.join %m, %w : (!x, !rel.rel<[k: 64, n: 32] x f32>) -> !p {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  %y = rel.aggregate sum %q over [k] : (!p) -> !rel.rel<[s: ?S, n: 32] x f32>
  return %y : !rel.rel<[s: ?S, n: 32] x f32>
}

// -----

!g = !rel.rel<[s: ?S, g: 16] x f32>

// Tests that a fold over a column that repeats keys stays one fold.
// CHECK-LABEL: func.func @repeated_keys
// CHECK: rel.rekey %{{.+}} [g = "#k floordiv 4"]
// CHECK: over [k]
func.func @repeated_keys(%x: !g) -> !rel.rel<[s: ?S] x f32> {
  %m = rel.rekey %x [g = "#k floordiv 4"] : !g -> !rel.rel<[s: ?S, k: 64] x f32>
  %y = rel.aggregate sum %m over [k] : (!rel.rel<[s: ?S, k: 64] x f32>) -> !rel.rel<[s: ?S] x f32>
  return %y : !rel.rel<[s: ?S] x f32>
}

// -----

!x = !rel.rel<[s: ?S, g: 4, e: 16] x f32>
!s = !rel.rel<[s: ?S, t: 64] x f32>
!v = !rel.rel<[t: 64, d: 8] x f32>
!y = !rel.rel<[s: ?S, d: 8] x f32>

// Tests that a softmax_sum keeps its mask.
// CHECK-LABEL: func.func @masked
// CHECK: rel.aggregate softmax_sum {{.*}} over [g, e] {{.*}} {mask = -1.000000e+04 : f64}
func.func @masked(%x: !x, %v: !v) -> !y {
  %s = rel.rekey %x [g = "#t floordiv 16", e = "#t mod 16"] : !x -> !s
  %y = rel.aggregate softmax_sum %s, %v over [t] : (!s, !v) -> !y {mask = -1.0e4 : f64}
  return %y : !y
}
