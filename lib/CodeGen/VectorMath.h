//===- VectorMath.h - Polynomials for elementary functions ------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Builds elementary functions out of arith and fused multiply-adds, on f32 or
// f64 scalars and vectors of them. There are no branches and no table, so the
// same code serves scalars and vectors and gives them the same bits.
//
// All functions propagate NaN and take infinities to their limits. Results
// below the least normal number may become zero (the runtime flushes those
// anyway). Errors are the largest that the tests find, see ExpandMathTest.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_VECTORMATH_H
#define JOINERY_LIB_CODEGEN_VECTORMATH_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <limits>

namespace joinery {

class VectorMath {
public:
  using Value = mlir::Value;

  /// Works on values of `type`: f32, f64 or vectors of them.
  VectorMath(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type);

  /// e^x. f32: relative 1e-7, inf from 88.73, 0 below -87.3.
  Value exp(Value x);
  /// 2^x. f32: relative 1e-7, inf from 128, 0 below -126.
  Value exp2(Value x);
  /// e^x - 1. f32: relative 2e-7 near zero as well.
  Value expm1(Value x);
  /// Natural, binary and decimal logarithm, computed in f64. f32: correctly
  /// rounded but for about one argument in a million; log(0) = -inf.
  Value log(Value x);
  Value log2(Value x);
  Value log10(Value x);
  /// log(1 + x). f32: relative 1e-7 near zero as well.
  Value log1p(Value x);
  /// x^y in f64 with C's conventions for zero, one, infinities and negative x.
  /// f32: relative 1e-7.
  Value pow(Value x, Value y);
  /// f32: relative 3e-7 near zero as well. f64: relative 1e-15.
  Value tanh(Value x);
  /// f32: relative 3e-7 near zero as well. f64 has f32's accuracy.
  Value erf(Value x);
  Value erfc(Value x);
  /// x (1 + erf(x / sqrt 2)), f32 only: twice GELU. Absolute 2e-7 max(1, |x|).
  Value erfGate(Value x);
  /// The same for a result that is rounded to bf16: relative 1.5e-4 where it exceeds
  /// 1e-3, absolute 2e-6 below.
  Value erfGateForBFloat16(Value x);
  /// f32: absolute 1e-7 for |x| <= 1e5. Unspecified for |x| > 4e6.
  Value sin(Value x);
  Value cos(Value x);
  /// C's fmod, exact while |x / y| < 2^53 (f64: 2^52).
  Value fmod(Value x, Value y);
  /// To the nearest integer, halves away from zero.
  Value round(Value x);
  Value rsqrt(Value x);

private:
  static constexpr double kLn2 = 0.69314718055994530942;
  static constexpr double kLog2E = 1.4426950408889634074;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  Value constant(double value);
  Value bitsConstant(uint64_t value);
  Value fma(Value x, Value y, Value z);
  Value add(Value x, Value y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value div(Value x, Value y);
  Value neg(Value x);
  Value abs(Value x);
  Value copySign(Value magnitude, Value sign);
  Value toBits(Value x);
  Value fromBits(Value x);
  Value compare(mlir::arith::CmpFPredicate predicate, Value x, Value y);
  Value select(Value condition, Value x, Value y);
  /// Bounds that let NaN through.
  Value atLeast(Value x, double bound);
  Value atMost(Value x, double bound);
  /// coefficients[0] + x * (coefficients[1] + ...), times `scale`.
  Value polynomial(Value x, llvm::ArrayRef<double> coefficients,
                   double scale = 1);
  /// A multiple of x rounded to the nearest integer: as a float, and, plus an
  /// offset, in the low bits of an integer.
  struct Rounded {
    Value value, bits;
  };
  Rounded roundMultiple(Value x, double factor, int64_t offset);
  /// x = n * ln 2 + r: r, and the exponent field of 2^(n + offset).
  struct Reduced {
    Value rest, scale;
  };
  Reduced reduceByLn2(Value x, int64_t offset);
  /// (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2, times `scale`.
  Value expTail(Value r, double scale);
  /// e^(r) scaled by 2^n, where x is already bounded.
  Value expBounded(Reduced reduced);
  /// 2^q in f32, where that is a normal number; `power` is 2^r on |r| <= 1/2.
  Value exp2Normal(Value q, llvm::ArrayRef<double> power);
  /// log2 or ln of a positive f64, see log.
  Value logCore(Value x, bool binary);
  Value logAnyBase(Value x, bool binary, double factor);
  Value sinOrCos(Value x, int64_t quadrant);
  /// Applies `function` in f64, whatever the type.
  Value inDouble(
      llvm::ArrayRef<Value> arguments,
      llvm::function_ref<Value(VectorMath &, llvm::ArrayRef<Value>)> function);
  /// The type with another element.
  mlir::Type withElement(mlir::Type element) const;

  mlir::ImplicitLocOpBuilder b;
  mlir::Type type, bitsType;
  bool isDouble;
};

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_VECTORMATH_H
