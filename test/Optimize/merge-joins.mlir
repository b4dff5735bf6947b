// RUN: joinery-opt %s --rel-merge-joins | FileCheck %s

!x = !rel.rel<[s: ?S, k: 8] x f32>
!z = !rel.rel<[t: ?S, k: 8] x f32>
!w = !rel.rel<[k: 8, h: 2, d: 4] x f32>
!p = !rel.rel<[s: ?S, k: 8, h: 2, d: 4] x f32>
!q = !rel.rel<[s: ?S, h: 2, d: 4] x f32>
!r = !rel.rel<[t: ?S, k: 8, h: 2, d: 4] x f32>
!u = !rel.rel<[t: ?S, h: 2, d: 4] x f32>
!b = !rel.rel<[h: 2, d: 4] x f32>
rel.table @w0 : !w from "w" at 0 length 256
rel.table @w1 : !w from "w" at 256 length 256
rel.table @b0 : !b from "w" at 512 length 32

// Tests that two projections of one operand, one of them behind a rename, are
// one contraction of a union of weights, and that a bias comes along.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:.+]]: !rel.rel
// CHECK: %[[W:.+]] = rel.union over j({{.*}}) sizes ["8", "8"]
// CHECK: %[[P:.+]] = rel.join %[[X]], %[[W]]
// CHECK: %[[S:.+]] = rel.aggregate sum %[[P]] over [k]
// CHECK-NOT: rel.aggregate
// CHECK: %[[B:.+]] = rel.union over j
// CHECK: %[[Y:.+]] = rel.join %[[S]], %[[B]]
// CHECK-DAG: rel.rekey %[[Y]] [j = "#d + 4 * #h"]
// CHECK-DAG: rel.rekey %[[Y]] [s = "#t", j = "#d + 4 * #h + 8"]
func.func @main(%x: !x) -> (!q, !u) {
  %w0 = rel.scan @w0 : !w
  %w1 = rel.scan @w1 : !w
  %b0 = rel.scan @b0 : !b
  %p = rel.join %x, %w0 : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %q0 = rel.aggregate sum %p over [k] : (!p) -> !q
  %q = rel.join %q0, %b0 : (!q, !b) -> !q {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.addf %a, %c : f32
    rel.yield %0 : f32
  }
  %z = rel.rekey %x [s = "#t"] : !x -> !z
  %r = rel.join %z, %w1 : (!z, !w) -> !r {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %u = rel.aggregate sum %r over [k] : (!r) -> !u
  return %q, %u : !q, !u
}

// Tests that contractions of two operands stay two.
// CHECK-LABEL: func.func @two_operands
// CHECK-NOT: rel.union
// CHECK-COUNT-2: rel.aggregate
func.func @two_operands(%x: !x, %y: !x) -> (!q, !q) {
  %w0 = rel.scan @w0 : !w
  %w1 = rel.scan @w1 : !w
  %p = rel.join %x, %w0 : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %q = rel.aggregate sum %p over [k] : (!p) -> !q
  %r = rel.join %y, %w1 : (!x, !w) -> !p {
  ^bb0(%a: f32, %c: f32):
    %0 = arith.mulf %a, %c : f32
    rel.yield %0 : f32
  }
  %u = rel.aggregate sum %r over [k] : (!p) -> !q
  return %q, %u : !q, !q
}
