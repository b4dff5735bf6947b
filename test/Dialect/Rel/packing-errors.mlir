// RUN: joinery-opt %s --split-input-file --verify-diagnostics

// Tests that a rank orders every column of its condition.
func.func @order(%m: !rel.rel<[b: ?B, s: ?S] x i1>) {
  // expected-error @below {{orders other columns than the operand has}}
  // expected-note @below {{name every column of}}
  %0 = rel.rank %m over [b] : <[b: ?B, s: ?S] x i1> -> <[i: "?B + 1"] x i64>
  return
}

// -----

// Tests that a rank has one element more than there are keys.
func.func @size(%m: !rel.rel<[b: ?B, s: ?S] x i1>) {
  // expected-error @below {{a rank of ?B * ?S keys has one element more, not ?B * ?S}}
  // expected-note @below {{rank and sizes must speak of the same columns}}
  %0 = rel.rank %m over [b, s] : <[b: ?B, s: ?S] x i1> -> <[i: "?B * ?S"] x i64>
  return
}

// -----

// Tests that only conditions are ranked.
func.func @condition(%m: !rel.rel<[s: ?S] x i64>) {
  // expected-error @below {{ranks a relation of i1, not of 'i64'}}
  %0 = rel.rank %m over [s] : <[s: ?S] x i64> -> <[i: "?S + 1"] x i64>
  return
}

// -----

// Tests that the number of kept keys is not claimed to be known.
func.func @known(%r: !rel.rel<[i: "?S + 1"] x i64>) {
  // expected-error @below {{the number of kept keys is known at run time only, it is not 4}}
  // expected-note @below {{give the result's column a symbol of its own}}
  %0 = rel.enumerate %r : <[i: "?S + 1"] x i64> -> <[r: 4] x i64>
  return
}

// -----

// Tests that what is packed has a packed column.
func.func @constant(%x: !rel.rel<[h: 8] x f32>, %rows: !rel.rel<[r: ?R] x i64>) {
  // expected-error @below {{the operand has none of the packed columns}}
  // expected-note @below {{it is the same for every row: use it as it is}}
  %0 = rel.pack %x by %rows over [s] sizes ["?S"] : (!rel.rel<[h: 8] x f32>, !rel.rel<[r: ?R] x i64>) -> !rel.rel<[r: ?R, h: 8] x f32>
  return
}

// -----

// Tests that sizes are the extents of the packed columns.
func.func @sizes(%x: !rel.rel<[s: ?S] x f32>, %rows: !rel.rel<[r: ?R] x i64>) {
  // expected-error @below {{packs column 's' of extent ?S with the size ?T}}
  %0 = rel.pack %x by %rows over [s] sizes ["?T"] : (!rel.rel<[s: ?S] x f32>, !rel.rel<[r: ?R] x i64>) -> !rel.rel<[r: ?R] x f32>
  return
}

// -----

// Tests that the column of packed rows exists.
func.func @row(%p: !rel.rel<[r: ?R] x f32>, %rank: !rel.rel<[i: "?S + 1"] x i64>) {
  // expected-error @below {{the operand has no column 'q'}}
  %0 = rel.unpack %p of q by %rank over [s] sizes ["?S"] else 0.0 : f32 : (!rel.rel<[r: ?R] x f32>, !rel.rel<[i: "?S + 1"] x i64>) -> !rel.rel<[s: ?S] x f32>
  return
}

// -----

// Tests that a default is an element.
func.func @default(%p: !rel.rel<[r: ?R] x f32>, %rank: !rel.rel<[i: "?S + 1"] x i64>) {
  // expected-error @below {{the default has another type than the elements}}
  %0 = rel.unpack %p of r by %rank over [s] sizes ["?S"] else 0 : i64 : (!rel.rel<[r: ?R] x f32>, !rel.rel<[i: "?S + 1"] x i64>) -> !rel.rel<[s: ?S] x f32>
  return
}
