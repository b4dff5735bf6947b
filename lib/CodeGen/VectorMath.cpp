//===- VectorMath.cpp - Polynomials for elementary functions --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The coefficients are minimax fits (Remez exchange at 45 digits).
//
//===----------------------------------------------------------------------===//

#include "VectorMath.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace joinery {

VectorMath::VectorMath(OpBuilder &builder, Location loc, Type type)
    : b(loc, builder), type(type),
      isDouble(getElementTypeOrSelf(type).isF64()) {
  bitsType = withElement(isDouble ? b.getI64Type() : b.getI32Type());
}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value VectorMath::constant(double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr = b.getFloatAttr(element, value);
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, type, attr);
}

Value VectorMath::bitsConstant(uint64_t value) {
  Type element = getElementTypeOrSelf(bitsType);
  unsigned width = element.getIntOrFloatBitWidth();
  TypedAttr attr = b.getIntegerAttr(
      element, llvm::APInt(width, value, false, /*implicitTrunc=*/true));
  if (auto vector = dyn_cast<VectorType>(bitsType))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, bitsType, attr);
}

Value VectorMath::fma(Value x, Value y, Value z) {
  return math::FmaOp::create(b, x, y, z);
}
Value VectorMath::add(Value x, Value y) {
  return arith::AddFOp::create(b, x, y);
}
Value VectorMath::sub(Value x, Value y) {
  return arith::SubFOp::create(b, x, y);
}
Value VectorMath::mul(Value x, Value y) {
  return arith::MulFOp::create(b, x, y);
}
Value VectorMath::div(Value x, Value y) {
  return arith::DivFOp::create(b, x, y);
}
Value VectorMath::neg(Value x) { return arith::NegFOp::create(b, x); }
Value VectorMath::abs(Value x) { return math::AbsFOp::create(b, x); }
Value VectorMath::copySign(Value magnitude, Value sign) {
  return math::CopySignOp::create(b, magnitude, sign);
}
Value VectorMath::toBits(Value x) {
  return arith::BitcastOp::create(b, bitsType, x);
}
Value VectorMath::fromBits(Value x) {
  return arith::BitcastOp::create(b, type, x);
}
Value VectorMath::compare(arith::CmpFPredicate predicate, Value x, Value y) {
  return arith::CmpFOp::create(b, predicate, x, y);
}
Value VectorMath::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, condition, x, y);
}
Value VectorMath::atLeast(Value x, double bound) {
  Value limit = constant(bound);
  return select(compare(arith::CmpFPredicate::OGT, limit, x), limit, x);
}
Value VectorMath::atMost(Value x, double bound) {
  Value limit = constant(bound);
  return select(compare(arith::CmpFPredicate::OLT, limit, x), limit, x);
}

Value VectorMath::polynomial(Value x, ArrayRef<double> coefficients,
                             double scale) {
  Value sum = constant(coefficients.back() * scale);
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = fma(sum, x, constant(coefficient * scale));
  return sum;
}

VectorMath::Rounded VectorMath::roundMultiple(Value x, double factor,
                                              int64_t offset) {
  // Adding 1.5 * 2^mantissa leaves the integer in the low bits; that needs
  // neither a rounding nor a conversion instruction.
  double magic = (isDouble ? 0x1.8p52 : 0x1.8p23) + double(offset);
  Value shifted = factor == 1 ? add(x, constant(magic))
                              : fma(x, constant(factor), constant(magic));
  return {sub(shifted, constant(magic)), toBits(shifted)};
}

Value VectorMath::inDouble(
    ArrayRef<Value> arguments,
    llvm::function_ref<Value(VectorMath &, ArrayRef<Value>)> function) {
  if (isDouble)
    return function(*this, arguments);
  VectorMath wide(b, b.getLoc(), withElement(b.getF64Type()));
  SmallVector<Value, 2> extended;
  for (Value argument : arguments)
    extended.push_back(arith::ExtFOp::create(b, wide.type, argument));
  return arith::TruncFOp::create(b, type, function(wide, extended));
}

Type VectorMath::withElement(Type element) const {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

//===----------------------------------------------------------------------===//
// Exponentials
//===----------------------------------------------------------------------===//

VectorMath::Reduced VectorMath::reduceByLn2(Value x, int64_t offset) {
  int64_t bias = isDouble ? 1023 : 127;
  Rounded n = roundMultiple(x, kLog2E, bias + offset);
  // ln 2 in two parts; the first product is exact before it is subtracted.
  double high = isDouble ? kLn2 : double(float(kLn2));
  double low = isDouble ? 2.3190468138462996e-17 : kLn2 - high;
  Value rest = fma(n.value, constant(-high), x);
  rest = fma(n.value, constant(-low), rest);
  Value field =
      arith::ShLIOp::create(b, n.bits, bitsConstant(isDouble ? 52 : 23));
  return {rest, fromBits(field)};
}

Value VectorMath::expTail(Value r, double scale) {
  static const double single[] = {4.999999343e-1, 1.66665204e-1, 4.166839072e-2,
                                  8.36874515e-3, 1.381454163e-3};
  static const double twice[] = {
      5.0000000000000000441e-1, 1.6666666666666683486e-1,
      4.1666666666666091966e-2, 8.3333333333169824534e-3,
      1.3888888889116364684e-3, 1.9841269896515343905e-4,
      2.4801586925712098023e-5, 2.7557234727575546083e-6,
      2.7557582286138066256e-7, 2.511208459778990928e-8,
      2.0826581611188989678e-9};
  return isDouble ? polynomial(r, twice, scale) : polynomial(r, single, scale);
}

Value VectorMath::expBounded(Reduced reduced) {
  // The scale is 2^(n - 1): n reaches one more than an exponent field holds.
  Value two = constant(2);
  Value r = reduced.rest;
  Value p = fma(fma(expTail(r, 2), r, two), r, two);
  return mul(p, reduced.scale);
}

Value VectorMath::exp(Value x) {
  // At the lower bound the exponent field is 0, at the upper bound the result
  // overflows by itself.
  x = atLeast(x, (isDouble ? -1022 : -126) * kLn2);
  x = atMost(x, isDouble ? 710 : 89);
  return expBounded(reduceByLn2(x, -1));
}

Value VectorMath::exp2(Value x) {
  x = atLeast(x, isDouble ? -1022 : -126);
  x = atMost(x, isDouble ? 1024.25 : 128.25);
  Rounded n = roundMultiple(x, 1, isDouble ? 1022 : 126);
  Value field =
      arith::ShLIOp::create(b, n.bits, bitsConstant(isDouble ? 52 : 23));
  Value rest = mul(sub(x, n.value), constant(kLn2));
  return expBounded({rest, fromBits(field)});
}

Value VectorMath::expm1(Value x) {
  x = atLeast(x, isDouble ? -700 : -80);
  x = atMost(x, isDouble ? 710 : 89);
  auto [r, scale] = reduceByLn2(x, -1);
  Value tail = fma(mul(r, r), expTail(r, 1), r);
  Value half = sub(scale, constant(0.5));
  return mul(fma(tail, scale, half), constant(2));
}

Value VectorMath::tanh(Value x) {
  // (e^2a - 1) / (e^2a + 1), which keeps the relative error near zero.
  Value a = atMost(abs(x), isDouble ? 20 : 10);
  Value t = expm1(add(a, a));
  return copySign(div(t, add(t, constant(2))), x);
}

Value VectorMath::erf(Value x) {
  if (isDouble) {
    VectorMath single(b, b.getLoc(), withElement(b.getF32Type()));
    Value narrow = arith::TruncFOp::create(b, single.type, x);
    return arith::ExtFOp::create(b, type, single.erf(narrow));
  }
  // 1 - e^g(a) with g = log(1 - erf), a polynomial without constant term. It
  // falls for ever, so that no bound on a is needed.
  static const double coefficients[] = {
      -1.128379207,    -6.366164967e-1, -1.02814411e-1, 1.932171706e-2,
      -2.057175495e-4, -1.251745329e-3, 3.810000295e-4, -4.070781175e-5};
  Value a = abs(x);
  Value g = mul(a, polynomial(a, coefficients));
  auto [r, scale] = reduceByLn2(atLeast(g, -80), 0);
  Value tail = fma(mul(r, r), expTail(r, 1), r);
  Value negative = fma(tail, scale, sub(scale, constant(1)));
  return copySign(negative, x);
}

Value VectorMath::erfc(Value x) { return sub(constant(1), erf(x)); }

Value VectorMath::exp2Normal(Value q, ArrayRef<double> power) {
  Rounded n = roundMultiple(q, 1, 127);
  Value scale = fromBits(arith::ShLIOp::create(b, n.bits, bitsConstant(23)));
  return mul(polynomial(sub(q, n.value), power), scale);
}

Value VectorMath::erfGate(Value x) {
  assert(!isDouble && "its polynomials are for f32");
  // 1 + erf(x / sqrt 2) is t or 2 - t, where t = erfc(a / sqrt 2) = 2^q(a) and
  // a = |x|: one exponential with a polynomial in its exponent, no product
  // apart. Minimax fits: a t to 1e-7 absolute up to a = 13, from where t counts
  // for nothing, and 2^r to 8e-8 relative on |r| <= 1/2.
  static const double exponent[] = {
      6.9392050704990874e-06, -1.1512017035048583,  -0.45877096976991414,
      -0.05341210818405445,   0.00808071875576355,  -0.0007692202968762052,
      3.309287620101298e-05};
  static const double power[] = {1.0000000716548705,  0.6931469670643241,
                                 0.24022119722914748, 0.05550713273763247,
                                 0.00967554138466803, 0.0013276472047928471};
  Value t = exp2Normal(polynomial(atMost(abs(x), 13), exponent), power);
  Value positive = compare(arith::CmpFPredicate::OGT, x, constant(0));
  return mul(x, select(positive, sub(constant(2), t), t));
}

Value VectorMath::erfGateForBFloat16(Value x) {
  assert(!isDouble && "its polynomials are for f32");
  // As erfGate, as max(2x, 0) - a 2^(1 + log2 Phi(-a)). Minimax fits relative to
  // the result: 1.5e-4 where it exceeds 1e-3, where bf16 rounds by up to 4e-3.
  static const double exponent[] = {
      -4.8468701331760e-05, -1.1505144226502106,  -0.4608320025601361,
      -0.05096222637546064, 0.006730457644244787, -0.00042380555580594947};
  static const double power[] = {0.9999280673998509, 0.6932609882502108,
                                 0.24261122562177273, 0.05517171041320383};
  Value a = atMost(abs(x), 11.5);
  Value t = exp2Normal(polynomial(a, exponent), power);
  return fma(neg(a), t, atLeast(add(x, x), 0));
}

//===----------------------------------------------------------------------===//
// The rest
//===----------------------------------------------------------------------===//

Value VectorMath::sinOrCos(Value x, int64_t quadrant) {
  static const double sin32[] = {-1.666665454e-1, 8.332156056e-3,
                                 -1.951463219e-4};
  static const double cos32[] = {4.166664675e-2, -1.388736145e-3,
                                 2.443773048e-5};
  static const double sin64[] = {
      -1.666666666666666664e-1,  8.3333333333333223748e-3,
      -1.9841269841254648118e-4, 2.7557319213985087124e-6,
      -2.5052104860762504789e-8, 1.605836043880703195e-10,
      -7.5784032345990420843e-13};
  static const double cos64[] = {
      4.1666666666666666614e-2, -1.388888888888887403e-3,
      2.4801587301571381202e-5, -2.7557319215325670325e-7,
      2.0876754354663330023e-9, -1.1470291939240758899e-11,
      4.7380482883926360263e-14};
  // pi / 2 in three parts.
  double parts[3] = {1.5707963705062866, -4.371138828673793e-08,
                     -1.7151245100058819e-15};
  if (isDouble) {
    parts[0] = 1.5707963267948966;
    parts[1] = 6.123233995736766e-17;
    parts[2] = -1.497384905065873e-33;
  }
  Rounded n = roundMultiple(x, 0.63661977236758134308, 0);
  Value r = x;
  for (double part : parts)
    r = fma(n.value, constant(-part), r);
  Value square = mul(r, r);
  Value sine =
      fma(mul(square, r),
          isDouble ? polynomial(square, sin64) : polynomial(square, sin32), r);
  Value cosine =
      fma(mul(square, square),
          isDouble ? polynomial(square, cos64) : polynomial(square, cos32),
          fma(square, constant(-0.5), constant(1)));
  Value turns = n.bits;
  if (quadrant)
    turns = arith::AddIOp::create(b, turns, bitsConstant(quadrant));
  Value odd = arith::CmpIOp::create(
      b, arith::CmpIPredicate::ne,
      arith::AndIOp::create(b, turns, bitsConstant(1)), bitsConstant(0));
  Value sign =
      arith::ShLIOp::create(b, arith::AndIOp::create(b, turns, bitsConstant(2)),
                            bitsConstant(isDouble ? 62 : 30));
  Value result = select(odd, cosine, sine);
  return fromBits(arith::XOrIOp::create(b, toBits(result), sign));
}

Value VectorMath::sin(Value x) { return sinOrCos(x, 0); }
Value VectorMath::cos(Value x) { return sinOrCos(x, 1); }

Value VectorMath::fmod(Value x, Value y) {
  return inDouble({x, y}, [](VectorMath &wide, ArrayRef<Value> arguments) {
    Value x = arguments[0], y = arguments[1];
    using P = arith::CmpFPredicate;
    Value n = wide.abs(x), d = wide.abs(y), zero = wide.constant(0);
    Value quotient = math::TruncOp::create(wide.b, wide.div(n, d));
    Value r = wide.fma(wide.neg(quotient), d, n);
    // The quotient may have been rounded across an integer.
    r = wide.select(wide.compare(P::OLT, r, zero), wide.add(r, d), r);
    r = wide.select(wide.compare(P::OGE, r, d), wide.sub(r, d), r);
    // fmod(x, inf) = x
    Value infinite = wide.compare(P::OEQ, d, wide.constant(kInfinity));
    Value finite = wide.compare(P::OLT, n, wide.constant(kInfinity));
    r = wide.select(arith::AndIOp::create(wide.b, infinite, finite), n, r);
    return wide.copySign(r, x);
  });
}

Value VectorMath::round(Value x) {
  // The largest number below a half, so that just below a half stays below.
  double half = isDouble ? 0x1.fffffffffffffp-2 : double(0x1.fffffep-2f);
  return math::TruncOp::create(b, add(x, copySign(constant(half), x)));
}

Value VectorMath::rsqrt(Value x) {
  return div(constant(1), math::SqrtOp::create(b, x));
}

} // namespace joinery
