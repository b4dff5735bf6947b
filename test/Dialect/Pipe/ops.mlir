// RUN: joinery-opt %s | joinery-opt | FileCheck %s

!x = !rel.rel<[s: ?S, k: 16] x f32, ["s", "k"]>

// Tests that kernels, with and without a design, print as they are read.
// CHECK: pipe.kernel @plain by "rows" {
// CHECK: pipe.yield
pipe.kernel @plain by "rows" {
^bb0(%x: !x):
  %y = rel.materialize %x by "rows" : !x -> !x
  pipe.yield %y : !x
}

// CHECK: pipe.kernel @blocked by "contraction" with {rows = 48 : i64, slice = 16 : i64} {
pipe.kernel @blocked by "contraction" with {rows = 48 : i64, slice = 16 : i64} {
^bb0(%x: !x):
  %y = rel.materialize %x by "contraction" {rows = 48 : i64, slice = 16 : i64} : !x -> !x
  pipe.yield %y : !x
}

// CHECK-LABEL: func.func @main
// CHECK: pipe.run @plain(%{{.+}}) : (!rel.rel<[s: ?S, k: 16] x f32, ["s", "k"]>)
func.func @main(%x: !x) -> !x {
  %y = pipe.run @plain(%x) : (!x) -> !x
  return %y : !x
}
