// RUN: joinery-opt %s --rel-merge-equal-plans | FileCheck %s

!w = !rel.rel<[i: 2] x f32>

// Tests that tables with equal contents, and operations that read them, are
// one; a table with another slice is another.
// CHECK: rel.table @a
// CHECK-NOT: rel.table @b
// CHECK: rel.table @c
rel.table @a : !w from "w" at 0 length 8
rel.table @b : !w from "w" at 0 length 8
rel.table @c : !w from "w" at 8 length 8

// CHECK-LABEL: func.func @main
// CHECK: %[[A:.+]] = rel.scan @a
// CHECK-NOT: rel.scan @a
// CHECK: %[[C:.+]] = rel.scan @c
// CHECK: return %[[A]], %[[A]], %[[C]]
func.func @main() -> (!w, !w, !w) {
  %a = rel.scan @a : !w
  %b = rel.scan @b : !w
  %c = rel.scan @c : !w
  return %a, %b, %c : !w, !w, !w
}
