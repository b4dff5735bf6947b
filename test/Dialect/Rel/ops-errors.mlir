// RUN: joinery-opt %s --split-input-file --verify-diagnostics

// Tests that columns that join have equal extents.
func.func @extents(%x: !rel.rel<[k: 64] x f32>, %y: !rel.rel<[k: 48] x f32>) {
  // expected-error @below {{joins column 'k' of extent 64 with one of extent 48}}
  // expected-note @below {{rename one of them with rel.rekey, or slice it to the other's extent}}
  %p = rel.join %x, %y : (!rel.rel<[k: 64] x f32>, !rel.rel<[k: 48] x f32>) -> !rel.rel<[k: 64] x f32> {
  ^bb0(%a: f32, %b: f32):
    rel.yield %a : f32
  }
  return
}

// -----

// Tests that a product that is not folded keeps its contracted column.
func.func @unfolded(%x: !rel.rel<[s: 4, k: 64] x f32>, %y: !rel.rel<[k: 64, n: 8] x f32>) {
  // expected-error @below {{the result lacks column 'k' of extent 64}}
  // expected-note @below {{fold it away with rel.aggregate, or add it to the result's type}}
  %p = rel.join %x, %y : (!rel.rel<[s: 4, k: 64] x f32>, !rel.rel<[k: 64, n: 8] x f32>) -> !rel.rel<[s: 4, n: 8] x f32> {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %b : f32
    rel.yield %0 : f32
  }
  return
}

// -----

// Tests that only a softmax_sum has a mask, and that it is a negative number.
func.func @mask_of_sum(%x: !rel.rel<[s: 4] x f32>) -> !rel.rel<[] x f32> {
  // expected-error @below {{'rel.aggregate' op has a mask, which is softmax_sum's only}}
  %y = rel.aggregate sum %x over [s] : (!rel.rel<[s: 4] x f32>) -> !rel.rel<[] x f32> {mask = -1.0e4 : f64}
  return %y : !rel.rel<[] x f32>
}

// -----

func.func @mask_of_inf(%x: !rel.rel<[s: 4] x f32>) -> !rel.rel<[] x f32> {
  // expected-error @below {{'rel.aggregate' op has a mask that is no negative number}}
  %y = rel.aggregate softmax_sum %x, %x over [s] : (!rel.rel<[s: 4] x f32>, !rel.rel<[s: 4] x f32>) -> !rel.rel<[] x f32> {mask = 0xFFF0000000000000 : f64}
  return %y : !rel.rel<[] x f32>
}

// -----

// Tests that an aggregate folds columns that its operand has.
func.func @missing(%x: !rel.rel<[s: 4] x f32>) {
  // expected-error @below {{folds column 'k', which the operand lacks}}
  // expected-note @below {{multiply a sum by the extent instead}}
  %y = rel.aggregate sum %x over [k] : (!rel.rel<[s: 4] x f32>) -> !rel.rel<[s: 4] x f32>
  return
}

// -----

// Tests that a result has no column that no operand has.
func.func @invented(%x: !rel.rel<[s: 4] x f32>) {
  // expected-error @below {{the result has column 't', which no operand has}}
  // expected-note @below {{a relation that is constant along a column lacks it}}
  %y = rel.join %x : (!rel.rel<[s: 4] x f32>) -> !rel.rel<[s: 4, t: 4] x f32> {
  ^bb0(%a: f32):
    rel.yield %a : f32
  }
  return
}

// -----

// Tests that keys of a map are columns of the result.
func.func @unknown_key(%x: !rel.rel<[h: 48] x f32>) {
  // expected-error @below {{the map uses key '#m', which the result lacks}}
  // expected-note @below {{name a column of the result, or map the input's column to a constant}}
  %y = rel.rekey %x [h = "16 * #m + #d"] : !rel.rel<[h: 48] x f32> -> !rel.rel<[n: 3, d: 16] x f32>
  return
}

// -----

// Tests that a support is a relation of booleans.
func.func @support(%x: !rel.rel<[s: 4] x f32>, %m: !rel.rel<[s: 4] x i64>) {
  // expected-error @below {{the support is a relation of i1, not of 'i64'}}
  %y = rel.select %x where %m else 0.0 : f32 : (!rel.rel<[s: 4] x f32>, !rel.rel<[s: 4] x i64>) -> !rel.rel<[s: 4] x f32>
  return
}

// -----

// Tests that a scan only renames.
rel.table @w : !rel.rel<[k: 2] x f32> = dense<[0.0, 1.0]> : tensor<2xf32> // expected-note {{a scan may only rename the columns}}
func.func @scan() {
  // expected-error @below {{from a table of type}}
  %w = rel.scan @w : !rel.rel<[k: 3] x f32>
  return
}

// -----

// Tests that a table's slice has the bytes that its type needs.
// expected-error @below {{the slice has 100 bytes, the type needs 256}}
rel.table @w : !rel.rel<[k: 64] x f32> from "m.onnx" at 0 length 100

// -----

// Tests that one name is one column.
// expected-error @below {{column 's' occurs twice; rename one with rel.rekey}}
func.func private @twice(!rel.rel<[s: 4, s: 4] x f32>)

// -----

// Tests that a layout names digits of columns.
// expected-error @below {{the layout names "m/48", which is no digit of a column}}
func.func private @foreign() -> !rel.rel<[k: 4] x f32, ["m/48", "m%48"]>

// -----

// Tests that a digit's block is a positive number.
// expected-error @below {{the layout's digit "k/0" is not of the form c, c/A or c%A}}
func.func private @block() -> !rel.rel<[k: 4] x bf16, ["k/0", "k%0"]>

// -----

// Tests that the digits of a column make up the column.
// expected-error @below {{the layout must have column 'k' as one digit, or as 'k/A' and 'k%A'}}
func.func private @digits() -> !rel.rel<[k: 4, n: 8] x bf16, ["k/2", "n", "k%4"]>
