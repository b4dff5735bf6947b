//===- Numbers.cpp - Rounding and wrapping to element types ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bytecode.h"
#include "mlir/IR/BuiltinTypes.h"
#include <cmath>
#include <cstring>
#include <limits>

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

/// Rounds to `precision` bits with exponents from `minExponent` on; beyond
/// `greatest` (after rounding) lies infinity.
static double roundBits(double x, int precision, int minExponent,
                        double greatest) {
  if (x == 0 || !std::isfinite(x))
    return x;
  int exponent;
  std::frexp(x, &exponent);
  int quantum = std::max(exponent - 1, minExponent) - (precision - 1);
  double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -quantum)), quantum);
  if (std::fabs(rounded) > greatest)
    return std::copysign(std::numeric_limits<double>::infinity(), x);
  return rounded;
}

static uint32_t toBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
static float fromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

Format::Format(Type type) : bits(type.getIntOrFloatBitWidth()) {
  if (isa<FloatType>(type))
    kind = type.isF64()    ? F64
           : type.isF32()  ? F32
           : type.isF16()  ? F16
           : type.isBF16() ? BF16
                           : OtherFloat;
  else
    isUnsigned = bits == 1 || type.isUnsignedInteger();
}

static double toBFloat(double x) {
  // Weights are f32 numbers: their upper halves do.
  if (float single = static_cast<float>(x); single == x) {
    uint32_t bits = toBits(single) + 0x7fff + (toBits(single) >> 16 & 1);
    return fromBits(bits & 0xffff0000);
  }
  return roundBits(x, 8, -126, 3.3895313892515355e38);
}

void interp::roundLanes(double *x, int64_t n, Format format) {
  auto each = [&](auto round) {
    for (int64_t i = 0; i < n; ++i)
      x[i] = round(x[i]);
  };
  if (format.kind == Format::F32)
    each([](double x) { return static_cast<float>(x); });
  else if (format.kind == Format::F16)
    each([](double x) { return roundBits(x, 11, -14, 65504.0); });
  else if (format.kind == Format::BF16)
    each(toBFloat);
}

int64_t interp::toInteger(double x, Format format) {
  if (std::isnan(x))
    return 0;
  int bits = format.bits;
  if (bits == 1)
    return x != 0;
  bool isUnsigned = format.isUnsigned;
  double low = isUnsigned ? 0 : -std::ldexp(1.0, bits - 1);
  double high = std::ldexp(1.0, isUnsigned ? bits : bits - 1);
  x = std::trunc(x);
  if (x <= low)
    return isUnsigned ? 0
           : bits == 64
               ? std::numeric_limits<int64_t>::min()
               : -(int64_t(1) << (bits - 1));
  if (x < high)
    return isUnsigned && bits == 64 ? static_cast<int64_t>(uint64_t(x))
                                    : static_cast<int64_t>(x);
  if (bits == 64)
    return isUnsigned ? int64_t(-1) : std::numeric_limits<int64_t>::max();
  return (int64_t(1) << (isUnsigned ? bits : bits - 1)) - 1;
}
