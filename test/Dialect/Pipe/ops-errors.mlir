// RUN: joinery-opt %s --split-input-file --verify-diagnostics

// Tests that a kernel reads stored relations.
// expected-error @below {{operand 0 is not a stored relation}}
pipe.kernel @k by "rows" {
^bb0(%x: !rel.rel<[s: 4] x f32>):
  %y = rel.materialize %x by "rows" : !rel.rel<[s: 4] x f32> -> !rel.rel<[s: 4] x f32, ["s"]>
  pipe.yield %y : !rel.rel<[s: 4] x f32, ["s"]>
}

// -----

// Tests that a run names a kernel and passes all of its operands.
pipe.kernel @k by "rows" {
^bb0(%x: !rel.rel<[s: 4] x f32, ["s"]>):
  %y = rel.materialize %x by "rows" : !rel.rel<[s: 4] x f32, ["s"]> -> !rel.rel<[s: 4] x f32, ["s"]>
  pipe.yield %y : !rel.rel<[s: 4] x f32, ["s"]>
}
func.func @main() {
  // expected-error @below {{passes 0 relations to a kernel of 1}}
  %y = pipe.run @k() : () -> !rel.rel<[s: 4] x f32, ["s"]>
  return
}

// -----

func.func @main() {
  // expected-error @below {{there is no kernel @k}}
  %y = pipe.run @k() : () -> !rel.rel<[s: 4] x f32, ["s"]>
  return
}
