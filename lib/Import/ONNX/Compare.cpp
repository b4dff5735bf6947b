//===- Compare.cpp - Comparisons, logic, Where and casts
//-------------------===//
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

//===----------------------------------------------------------------------===//
// Comparisons
//===----------------------------------------------------------------------===//

static LogicalResult compare(Importer &im, arith::CmpFPredicate floats,
                             arith::CmpIPredicate integers,
                             arith::CmpIPredicate naturals) {
  const Tensor *x = required(im, 0), *y = required(im, 1);
  if (!x || !y || failed(refuseOldBroadcast(im)))
    return failure();
  if (x->onnxType != y->onnxType)
    return im.refuse("operands of different types");
  auto predicate = isUnsigned(x->onnxType) ? naturals : integers;
  return setResult(
      im, mapBinary(im, *x, *y, Bool, [&](Element a, Element b) {
        return a.isFloat() ? a.op<arith::CmpFOp>(floats, a.value, b.value)
                           : a.op<arith::CmpIOp>(predicate, a.value, b.value);
      }));
}

using F = arith::CmpFPredicate;
using I = arith::CmpIPredicate;

static LogicalResult importEqual(Importer &im) {
  return compare(im, F::OEQ, I::eq, I::eq);
}
static LogicalResult importLess(Importer &im) {
  return compare(im, F::OLT, I::slt, I::ult);
}
static LogicalResult importLessOrEqual(Importer &im) {
  return compare(im, F::OLE, I::sle, I::ule);
}
static LogicalResult importGreater(Importer &im) {
  return compare(im, F::OGT, I::sgt, I::ugt);
}
static LogicalResult importGreaterOrEqual(Importer &im) {
  return compare(im, F::OGE, I::sge, I::uge);
}

//===----------------------------------------------------------------------===//
// Logic and bits
//===----------------------------------------------------------------------===//

/// A bitwise operator; on bool a logical one.
template <class Op, bool bits> static LogicalResult logic(Importer &im) {
  const Tensor *x = required(im, 0), *y = required(im, 1);
  if (!x || !y || failed(refuseOldBroadcast(im)))
    return failure();
  bool fits = bits ? isInteger(x->onnxType) : x->onnxType == Bool;
  if (!fits || x->onnxType != y->onnxType)
    return im.refuse("operands of types " + dataTypeName(x->onnxType) +
                     " and " + dataTypeName(y->onnxType));
  return setResult(im,
                   mapBinary(im, *x, *y, x->onnxType, [](Element a, Element b) {
                     return a.op<Op>(a.value, b.value);
                   }));
}

static LogicalResult importNot(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  return setResult(im, mapUnary(im, *x, x->onnxType, [](Element a) {
                     return a.op<arith::XOrIOp>(a.value,
                                                a.integer(a.type(), -1).value);
                   }));
}

static LogicalResult importIsNaN(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  return setResult(im, mapUnary(im, *x, Bool, [](Element a) {
                     return a.op<arith::CmpFOp>(F::UNO, a.value, a.value);
                   }));
}

static LogicalResult importIsInf(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  bool negative = im.node().getInt("detect_negative", 1),
       positive = im.node().getInt("detect_positive", 1);
  return setResult(im, mapUnary(im, *x, Bool, [=](Element a) {
                     if (!negative && !positive)
                       return a.integer(a.builder->getI1Type(), 0);
                     if (negative && positive)
                       a = abs(a);
                     return equal(a,
                                  a.constant(positive ? INFINITY : -INFINITY));
                   }));
}

static LogicalResult importWhere(Importer &im) {
  const Tensor *condition = required(im, 0), *x = required(im, 1),
               *y = required(im, 2);
  if (!condition || !x || !y)
    return failure();
  if (condition->onnxType != Bool || x->onnxType != y->onnxType)
    return im.refuse("operands of types " + dataTypeName(x->onnxType) +
                     " and " + dataTypeName(y->onnxType));
  return setResult(
      im, mapElements(im, {condition, x, y}, x->onnxType,
                      [](Elements v) { return v[0].select(v[1], v[2]); }));
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

static LogicalResult importCast(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  return setResult(im, castTensor(im, *x, im.node().getInt("to", 0)));
}

static LogicalResult importCastLike(Importer &im) {
  const Tensor *x = required(im, 0), *like = required(im, 1);
  if (!x || !like)
    return failure();
  return setResult(im, castTensor(im, *x, like->onnxType));
}

static constexpr const char *numbers = "no unsigned numbers";

static const OpEntry table[] = {
    {"", "And", 1, 0, logic<arith::AndIOp, false>, ""},
    {"", "BitwiseAnd", 18, 0, logic<arith::AndIOp, true>, numbers},
    {"", "BitwiseNot", 18, 0, importNot, numbers},
    {"", "BitwiseOr", 18, 0, logic<arith::OrIOp, true>, numbers},
    {"", "BitwiseXor", 18, 0, logic<arith::XOrIOp, true>, numbers},
    {"", "Cast", 6, 0, importCast,
     "no strings, 8-bit floats, 4-bit and unsigned numbers; NaN to an integer "
     "gives the "
     "least value, overflow saturates", true},
    {"", "CastLike", 15, 0, importCastLike, "as Cast", true},
    {"", "Equal", 1, 0, importEqual, "no strings"},
    {"", "Greater", 1, 0, importGreater, numbers},
    {"", "GreaterOrEqual", 12, 0, importGreaterOrEqual, numbers},
    {"", "IsInf", 10, 0, importIsInf, ""},
    {"", "IsNaN", 9, 0, importIsNaN, ""},
    {"", "Less", 1, 0, importLess, numbers},
    {"", "LessOrEqual", 12, 0, importLessOrEqual, numbers},
    {"", "Not", 1, 0, importNot, ""},
    {"", "Or", 1, 0, logic<arith::OrIOp, false>, ""},
    {"", "Where", 9, 0, importWhere, "no strings"},
    {"", "Xor", 1, 0, logic<arith::XOrIOp, false>, ""},
};

ArrayRef<OpEntry> onnx_import::compareOps() { return table; }
