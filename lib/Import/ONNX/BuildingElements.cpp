//===- BuildingElements.cpp - Scalar regions ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace joinery::onnx_import {

Element Element::constant(Type type, double v) const {
  if (mlir::isa<FloatType>(type))
    return with(arith::ConstantOp::create(*builder, loc,
                                          builder->getFloatAttr(type, v)));
  return integer(type, int64_t(v));
}

Element Element::integer(Type type, int64_t v) const {
  if (type.isInteger(1))
    return with(
        arith::ConstantOp::create(*builder, loc, builder->getBoolAttr(v != 0)));
  return with(arith::ConstantOp::create(
      *builder, loc,
      builder->getIntegerAttr(
          type, APInt(type.getIntOrFloatBitWidth(), uint64_t(v),
                      /*isSigned=*/true, /*implicitTrunc=*/true))));
}

Element Element::select(Element a, Element b) const {
  return op<arith::SelectOp>(value, a.value, b.value);
}

template <class FloatOp, class IntOp>
static Element arithmetic(Element a, Element b) {
  return a.isFloat() ? a.op<FloatOp>(a.value, b.value)
                     : a.op<IntOp>(a.value, b.value);
}

Element operator+(Element a, Element b) {
  return arithmetic<arith::AddFOp, arith::AddIOp>(a, b);
}
Element operator-(Element a, Element b) {
  return arithmetic<arith::SubFOp, arith::SubIOp>(a, b);
}
Element operator*(Element a, Element b) {
  return arithmetic<arith::MulFOp, arith::MulIOp>(a, b);
}
Element operator/(Element a, Element b) {
  return arithmetic<arith::DivFOp, arith::DivSIOp>(a, b);
}
Element operator-(Element a) {
  if (a.isFloat())
    return a.op<arith::NegFOp>(a.value);
  return a.integer(a.type(), 0) - a;
}

static Element compare(Element a, Element b, arith::CmpFPredicate f,
                       arith::CmpIPredicate i) {
  return a.isFloat() ? a.op<arith::CmpFOp>(f, a.value, b.value)
                     : a.op<arith::CmpIOp>(i, a.value, b.value);
}
Element less(Element a, Element b) {
  return compare(a, b, arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt);
}
Element lessEqual(Element a, Element b) {
  return compare(a, b, arith::CmpFPredicate::OLE, arith::CmpIPredicate::sle);
}
Element equal(Element a, Element b) {
  return compare(a, b, arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq);
}
Element maximum(Element a, Element b) {
  return arithmetic<arith::MaximumFOp, arith::MaxSIOp>(a, b);
}
Element minimum(Element a, Element b) {
  return arithmetic<arith::MinimumFOp, arith::MinSIOp>(a, b);
}

Element exp(Element a) { return a.op<math::ExpOp>(a.value); }
Element log(Element a) { return a.op<math::LogOp>(a.value); }
Element sqrt(Element a) { return a.op<math::SqrtOp>(a.value); }
Element erf(Element a) { return a.op<math::ErfOp>(a.value); }
Element tanh(Element a) { return a.op<math::TanhOp>(a.value); }
Element abs(Element a) {
  return a.isFloat() ? a.op<math::AbsFOp>(a.value)
                     : a.op<math::AbsIOp>(a.value);
}
Element sigmoid(Element a) { return 1.0 / (1.0 + exp(-a)); }
Element gelu(Element x) { return 0.5 * x * (1.0 + erf(x * M_SQRT1_2)); }
Element geluTanh(Element x) {
  Element cubic = 0.044715 * x * x * x;
  return 0.5 * x * (1.0 + tanh(std::sqrt(M_2_PI) * (x + cubic)));
}

Element leakyRelu(Element x, double slope) {
  return less(x, x.constant(0)).select(slope * x, x);
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

/// Truncates toward zero and saturates; NaN gives the least value.
static Element floatToInt(Element a, Type type, bool isUnsigned) {
  unsigned bits = type.getIntOrFloatBitWidth();
  double low = isUnsigned ? 0 : -std::ldexp(1.0, bits - 1);
  double end = std::ldexp(1.0, isUnsigned ? bits : bits - 1);
  Element below = a.op<arith::CmpFOp>(arith::CmpFPredicate::ULT, a.value,
                                      a.constant(low).value);
  Element above = a.op<arith::CmpFOp>(arith::CmpFPredicate::OGE, a.value,
                                      a.constant(end).value);
  Element inside = isUnsigned ? a.op<arith::FPToUIOp>(type, a.value)
                              : a.op<arith::FPToSIOp>(type, a.value);
  APInt least =
      isUnsigned ? APInt::getMinValue(bits) : APInt::getSignedMinValue(bits);
  APInt most =
      isUnsigned ? APInt::getMaxValue(bits) : APInt::getSignedMaxValue(bits);
  Element result = above.select(a.integer(type, most.getSExtValue()), inside);
  return below.select(a.integer(type, least.getSExtValue()), result);
}

Element castElement(Element a, int from, int to, Type type) {
  if (from == to)
    return a;
  unsigned width = a.type().getIntOrFloatBitWidth(),
           target = type.getIntOrFloatBitWidth();
  if (to == Bool) {
    Element zero = a.constant(0);
    if (a.isFloat())
      return a.op<arith::CmpFOp>(arith::CmpFPredicate::UNE, a.value,
                                 zero.value);
    return a.op<arith::CmpIOp>(arith::CmpIPredicate::ne, a.value, zero.value);
  }
  bool zeroExtend = from == Bool || isUnsigned(from);
  if (isFloat(from) && isFloat(to)) {
    if (width == target) { // the two 16-bit types
      Element wide = a.op<arith::ExtFOp>(a.builder->getF32Type(), a.value);
      return wide.op<arith::TruncFOp>(type, wide.value);
    }
    return width < target ? a.op<arith::ExtFOp>(type, a.value)
                          : a.op<arith::TruncFOp>(type, a.value);
  }
  if (isFloat(from))
    return floatToInt(a, type, isUnsigned(to));
  if (isFloat(to))
    return zeroExtend ? a.op<arith::UIToFPOp>(type, a.value)
                      : a.op<arith::SIToFPOp>(type, a.value);
  if (width == target)
    return a;
  if (width > target)
    return a.op<arith::TruncIOp>(type, a.value);
  return zeroExtend ? a.op<arith::ExtUIOp>(type, a.value)
                    : a.op<arith::ExtSIOp>(type, a.value);
}

FailureOr<Tensor> castTensor(Importer &im, const Tensor &x, int to) {
  if (x.onnxType == to)
    return x;
  Type type = im.elementType(to);
  if (!type || !im.elementType(x.onnxType))
    return im.refuse("a cast from " + dataTypeName(x.onnxType) + " to " +
                     dataTypeName(to) + " is not supported");
  return mapUnary(im, x, to, [&](Element a) {
    return castElement(a, x.onnxType, to, type);
  });
}

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

static Value emit(Body body, OpBuilder &builder, Location loc,
                  ValueRange values) {
  SmallVector<Element> elements;
  for (Value value : values)
    elements.push_back(Element(builder, loc, value));
  return body(elements).value;
}

FailureOr<Tensor> mapElements(Importer &im, ArrayRef<const Tensor *> operands,
                              int onnxType, Body body) {
  for (const Tensor *operand : operands)
    if (!im.elementType(operand->onnxType))
      return im.refuse("elements of type " + dataTypeName(operand->onnxType) +
                       " are not supported");
  if (!im.elementType(onnxType))
    return im.refuse("elements of type " + dataTypeName(onnxType) +
                     " are not supported");
  return im.map(operands, onnxType,
                [&](OpBuilder &builder, Location loc, ValueRange values) {
                  return emit(body, builder, loc, values);
                });
}

FailureOr<Tensor> mapUnary(Importer &im, const Tensor &x, int onnxType,
                           llvm::function_ref<Element(Element)> body) {
  return mapElements(im, {&x}, onnxType,
                     [&](Elements v) { return body(v[0]); });
}

FailureOr<Tensor>
mapBinary(Importer &im, const Tensor &x, const Tensor &y, int onnxType,
          llvm::function_ref<Element(Element, Element)> body) {
  return mapElements(im, {&x, &y}, onnxType,
                     [&](Elements v) { return body(v[0], v[1]); });
}

FailureOr<Tensor> add(Importer &im, const Tensor &x, const Tensor &y) {
  return mapBinary(im, x, y, x.onnxType,
                   [](Element a, Element b) { return a + b; });
}

Value joinValues(Importer &im, ValueRange inputs, Type elementType, Body body) {
  return rel::JoinOp::create(
      im.builder, im.loc(), inputs, elementType,
      [&](OpBuilder &builder, Location loc, ValueRange values) {
        return emit(body, builder, loc, values);
      });
}

Value keysOf(Importer &im, const std::string &column, const SymExpr &extent) {
  return im.relation(
      im.polynomial(SymExpr::key(column), {Dim{extent, {column}}}, Int64));
}

Value sumWhere(Importer &im, Value values, Value kept, StringRef column) {
  auto type = cast<rel::RelType>(values.getType());
  SmallVector<rel::Column> columns = rel::JoinOp::joinColumns({values, kept});
  Value selected = rel::SelectOp::create(
      im.builder, im.loc(), type.withColumns(columns), values, kept,
      cast<TypedAttr>(im.builder.getZeroAttr(type.getElementType())));
  return rel::AggregateOp::create(im.builder, im.loc(), rel::Monoid::Sum,
                                  ValueRange(selected), {column});
}

} // namespace joinery::onnx_import
