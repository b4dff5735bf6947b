//===- VectorLogarithm.cpp - Logarithms and powers ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VectorMath.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace joinery;

Value VectorMath::logCore(Value x, bool binary) {
  assert(isDouble && "logarithms are computed in f64");
  static const double coefficients[] = {
      6.6666666666666660933e-1, 4.0000000000006287056e-1,
      2.8571428569072972515e-1, 2.2222222648749602446e-1,
      1.8181775508570651695e-1, 1.5387097649638888953e-1,
      1.3249962041869202614e-1, 1.3252754761828221583e-1};
  constexpr uint64_t sqrtHalf = 0x3fe6a09e667f3bcd;
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)), e kept positive for the shift.
  constexpr uint64_t positive = 1024;
  Value bits = arith::AddIOp::create(b, toBits(x),
                                     bitsConstant((positive << 52) - sqrtHalf));
  Value exponent = arith::ShRUIOp::create(b, bits, bitsConstant(52));
  Value mantissa =
      arith::AndIOp::create(b, bits, bitsConstant((uint64_t(1) << 52) - 1));
  Value m =
      fromBits(arith::AddIOp::create(b, mantissa, bitsConstant(sqrtHalf)));
  Value e = sub(fromBits(arith::OrIOp::create(
                    b, exponent, bitsConstant(0x4330000000000000))),
                constant(0x1p52 + double(positive)));
  // log m = 2 atanh(s)
  Value s = div(sub(m, constant(1)), add(m, constant(1)));
  Value square = mul(s, s);
  Value tail = mul(mul(s, square), polynomial(square, coefficients));
  Value ln = fma(s, constant(2), tail);
  return binary ? fma(ln, constant(kLog2E), e) : fma(e, constant(kLn2), ln);
}

Value VectorMath::logAnyBase(Value x, bool binary, double factor) {
  return inDouble(x, [&](VectorMath &wide, ArrayRef<Value> arguments) {
    Value x = arguments[0];
    using P = arith::CmpFPredicate;
    Value result = wide.logCore(x, binary);
    if (factor != 1)
      result = wide.mul(result, wide.constant(factor));
    Value infinity = wide.constant(kInfinity), zero = wide.constant(0);
    result = wide.select(wide.compare(P::OLT, x, infinity), result, x);
    result = wide.select(wide.compare(P::OLT, x, zero),
                         wide.constant(std::nan("")), result);
    return wide.select(wide.compare(P::OEQ, x, zero), wide.constant(-kInfinity),
                       result);
  });
}

Value VectorMath::log(Value x) { return logAnyBase(x, false, 1); }
Value VectorMath::log2(Value x) { return logAnyBase(x, true, 1); }
Value VectorMath::log10(Value x) {
  return logAnyBase(x, false, 0.43429448190325182765);
}

Value VectorMath::log1p(Value x) {
  return inDouble(x, [&](VectorMath &wide, ArrayRef<Value> arguments) {
    Value x = arguments[0];
    using P = arith::CmpFPredicate;
    // What 1 + x loses is put back in proportion.
    Value u = wide.add(wide.constant(1), x);
    Value lost = wide.sub(u, wide.constant(1));
    Value logarithm = wide.log(u);
    Value fixed = wide.mul(logarithm, wide.div(x, lost));
    Value small = wide.compare(P::OEQ, lost, wide.constant(0));
    Value finite =
        wide.compare(P::OLT, wide.abs(logarithm), wide.constant(kInfinity));
    return wide.select(small, x, wide.select(finite, fixed, logarithm));
  });
}

Value VectorMath::pow(Value x, Value y) {
  return inDouble({x, y}, [](VectorMath &wide, ArrayRef<Value> arguments) {
    Value x = arguments[0], y = arguments[1];
    using P = arith::CmpFPredicate;
    Value zero = wide.constant(0), one = wide.constant(1);
    // A bounded exponent keeps (+-1)^inf from being 0 * inf.
    Value bounded = wide.atMost(wide.atLeast(y, -1e300), 1e300);
    Value result = wide.exp2(wide.mul(bounded, wide.log2(wide.abs(x))));
    // A negative base needs an integer exponent, an odd one negates.
    Value half = wide.mul(y, wide.constant(0.5));
    Value isInteger = wide.compare(P::OEQ, math::TruncOp::create(wide.b, y), y);
    Value isEven =
        wide.compare(P::OEQ, math::TruncOp::create(wide.b, half), half);
    Value signed_ = wide.select(isEven, result, wide.copySign(result, x));
    signed_ = wide.select(isInteger, signed_, result);
    Value isNegative = wide.compare(P::OLT, x, zero);
    Value isFinite = wide.compare(P::OGT, x, wide.constant(-kInfinity));
    Value undefined = arith::AndIOp::create(
        wide.b, arith::AndIOp::create(wide.b, isNegative, isFinite),
        arith::XOrIOp::create(
            wide.b, isInteger,
            arith::CmpFOp::create(wide.b, P::AlwaysTrue, x, x)));
    result = wide.select(undefined, wide.constant(std::nan("")), signed_);
    // x^0 = 1 and 1^y = 1, even for NaN.
    Value isOne = arith::OrIOp::create(wide.b, wide.compare(P::OEQ, x, one),
                                       wide.compare(P::OEQ, y, zero));
    return wide.select(isOne, one, result);
  });
}
