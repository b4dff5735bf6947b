// RUN: joinery-opt %s --pass-pipeline='builtin.module(func.func(expand-math))' | FileCheck %s

// Tests that an exponential becomes fused multiply-adds between two bounds,
// without a call, a rounding or a conversion to integers.
// CHECK-LABEL: func.func @exp
// CHECK-SAME:    (%[[X:.+]]: vector<16xf32>)
// CHECK-NOT:     math.exp
// CHECK-DAG:     %[[LOW:.+]] = arith.constant dense<-87.3{{.*}}> : vector<16xf32>
// CHECK:         %[[ABOVE:.+]] = arith.cmpf ogt, %[[LOW]], %[[X]]
// CHECK:         arith.select %[[ABOVE]], %[[LOW]], %[[X]]
// CHECK-COUNT-9: math.fma
// CHECK-NOT:     arith.fptosi
// CHECK:         return
func.func @exp(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// Tests that twice GELU is one exponential with a polynomial in its exponent,
// whichever way its operands are written, and that erf alone is not.
// CHECK-LABEL: func.func @erf_gate
// CHECK-SAME:    (%[[X:.+]]: vector<16xf32>)
// CHECK-NOT:     math.copysign
// CHECK-COUNT-11: math.fma
// CHECK-NOT:     math.fma
// CHECK:         return
// CHECK-LABEL: func.func @other_gate
// CHECK:         math.copysign
func.func @erf_gate(%x: vector<16xf32>) -> vector<16xf32> {
  %c = arith.constant dense<0.707106769> : vector<16xf32>
  %one = arith.constant 1.0 : f32
  %ones = vector.broadcast %one : f32 to vector<16xf32>
  %0 = arith.mulf %c, %x : vector<16xf32>
  %1 = math.erf %0 : vector<16xf32>
  %2 = arith.addf %ones, %1 : vector<16xf32>
  %3 = arith.mulf %2, %x : vector<16xf32>
  return %3 : vector<16xf32>
}
func.func @other_gate(%x: f32, %y: f32) -> f32 {
  %c = arith.constant 0.707106769 : f32
  %one = arith.constant 1.0 : f32
  %0 = arith.mulf %x, %c : f32
  %1 = math.erf %0 : f32
  %2 = arith.addf %1, %one : f32
  %3 = arith.mulf %2, %y : f32
  return %3 : f32
}

// Tests that a gate that is rounded to bf16 takes polynomials of smaller degrees,
// also if a half comes between, and one that is used as f32 as well does not.
// CHECK-LABEL: func.func @rounded_gate
// CHECK-COUNT-9: math.fma
// CHECK-NOT:     math.fma
// CHECK:         return
// CHECK-LABEL: func.func @partly_rounded_gate
// CHECK-COUNT-11: math.fma
// CHECK-NOT:     math.fma
// CHECK:         return
func.func @rounded_gate(%x: f32) -> bf16 {
  %c = arith.constant 0.707106769 : f32
  %one = arith.constant 1.0 : f32
  %half = arith.constant 0.5 : f32
  %0 = arith.mulf %x, %c : f32
  %1 = math.erf %0 : f32
  %2 = arith.addf %1, %one : f32
  %3 = arith.mulf %2, %x : f32
  %4 = arith.mulf %3, %half : f32
  %5 = arith.truncf %4 : f32 to bf16
  return %5 : bf16
}
func.func @partly_rounded_gate(%x: f32) -> (f32, bf16) {
  %c = arith.constant 0.707106769 : f32
  %one = arith.constant 1.0 : f32
  %0 = arith.mulf %x, %c : f32
  %1 = math.erf %0 : f32
  %2 = arith.addf %1, %one : f32
  %3 = arith.mulf %2, %x : f32
  %4 = arith.truncf %3 : f32 to bf16
  return %3, %4 : f32, bf16
}

// Tests that half precision is computed in f32.
// CHECK-LABEL: func.func @tanh_f16
// CHECK:         arith.extf %{{.+}} : f16 to f32
// CHECK-NOT:     math.tanh
// CHECK:         arith.truncf %{{.+}} : f32 to f16
func.func @tanh_f16(%x: f16) -> f16 {
  %0 = math.tanh %x : f16
  return %0 : f16
}

// Tests that logarithms, whose results are truncated by bucket formulas, are
// computed in f64.
// CHECK-LABEL: func.func @log
// CHECK:         arith.extf %{{.+}} : f32 to f64
// CHECK-NOT:     math.log
// CHECK:         arith.truncf %{{.+}} : f64 to f32
func.func @log(%x: f32) -> f32 {
  %0 = math.log %x : f32
  return %0 : f32
}

// Tests that a square is one multiplication.
// CHECK-LABEL: func.func @square
// CHECK-SAME:    (%[[X:.+]]: vector<8xf32>)
// CHECK-NEXT:    %[[R:.+]] = arith.mulf %[[X]], %[[X]]
// CHECK-NEXT:    return %[[R]]
func.func @square(%x: vector<8xf32>) -> vector<8xf32> {
  %two = arith.constant dense<2.0> : vector<8xf32>
  %0 = math.powf %x, %two : vector<8xf32>
  return %0 : vector<8xf32>
}

// Tests that what the processor does itself stays.
// CHECK-LABEL: func.func @native
// CHECK:         math.sqrt
// CHECK:         math.floor
// CHECK:         math.roundeven
func.func @native(%x: f32) -> f32 {
  %0 = math.sqrt %x : f32
  %1 = math.floor %0 : f32
  %2 = math.roundeven %1 : f32
  return %2 : f32
}

// Tests that an integer becomes a bf16 by way of f64, which is rounded once.
// CHECK-LABEL: func.func @integer_to_bf16
// CHECK: arith.uitofp %{{.+}} : vector<8xi8> to vector<8xf64>
// CHECK: arith.truncf %{{.+}} : vector<8xf64> to vector<8xf32>
// CHECK: arith.truncf %{{.+}} : vector<8xf32> to vector<8xbf16>
func.func @integer_to_bf16(%x: vector<8xi8>) -> vector<8xbf16> {
  %y = arith.uitofp %x : vector<8xi8> to vector<8xbf16>
  return %y : vector<8xbf16>
}
