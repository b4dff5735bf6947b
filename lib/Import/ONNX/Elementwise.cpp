//===- Elementwise.cpp - Arithmetic, element by element
//--------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

//===----------------------------------------------------------------------===//
// One operand
//===----------------------------------------------------------------------===//

using Unary = Element (*)(Element);

/// A function of floats, or of any number where `integers` says so.
static LogicalResult unary(Importer &im, Unary body, bool integers = false) {
  const Tensor *x = integers ? required(im, 0) : requiredFloat(im, 0);
  if (!x)
    return failure();
  return setResult(im, mapUnary(im, *x, x->onnxType, body));
}

template <class Op> static Element apply(Element a) {
  return a.op<Op>(a.value);
}
template <class Op> static LogicalResult unaryOp(Importer &im) {
  return unary(im, apply<Op>);
}

static LogicalResult importAbs(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  if (isUnsigned(x->onnxType)) {
    im.setOutput(0, *x);
    return success();
  }
  return unary(
      im, [](Element a) { return abs(a); }, true);
}
static LogicalResult importNeg(Importer &im) {
  return unary(
      im, [](Element a) { return -a; }, true);
}
static LogicalResult importReciprocal(Importer &im) {
  return unary(im, [](Element a) { return 1.0 / a; });
}
static LogicalResult importSign(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  bool isSigned = !isUnsigned(x->onnxType);
  return setResult(im, mapUnary(im, *x, x->onnxType, [&](Element a) {
                     Element zero = a.constant(0);
                     if (!isSigned)
                       return equal(a, zero).select(zero, a.constant(1));
                     return less(zero, a).select(
                         a.constant(1),
                         less(a, zero).select(a.constant(-1), a));
                   }));
}
//===----------------------------------------------------------------------===//
// Two operands
//===----------------------------------------------------------------------===//

using Binary = llvm::function_ref<Element(Element, Element)>;

/// Both operands and the result have one numeric type.
static LogicalResult binary(Importer &im, Binary body) {
  const Tensor *x = required(im, 0), *y = required(im, 1);
  if (!x || !y)
    return failure();
  if (failed(refuseOldBroadcast(im)))
    return failure();
  if (x->onnxType != y->onnxType)
    return im.refuse("operands of different types " +
                     dataTypeName(x->onnxType) + " and " +
                     dataTypeName(y->onnxType));
  return setResult(im, mapBinary(im, *x, *y, x->onnxType, body));
}

static LogicalResult importAdd(Importer &im) {
  return binary(im, [](Element a, Element b) { return a + b; });
}
static LogicalResult importSub(Importer &im) {
  return binary(im, [](Element a, Element b) { return a - b; });
}
static LogicalResult importMul(Importer &im) {
  return binary(im, [](Element a, Element b) { return a * b; });
}
static LogicalResult importDiv(Importer &im) {
  const Tensor *x = required(im, 0);
  bool natural = x && isUnsigned(x->onnxType);
  return binary(im, [natural](Element a, Element b) {
    return natural ? a.op<arith::DivUIOp>(a.value, b.value) : a / b;
  });
}

static LogicalResult importMod(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  bool fmod = im.node().getInt("fmod", 0);
  if (isFloat(x->onnxType) && !fmod)
    return im.refuse("fmod = 0 on floats is not defined");
  bool natural = isUnsigned(x->onnxType);
  return binary(im, [=](Element a, Element b) {
    if (a.isFloat())
      return a.op<arith::RemFOp>(a.value, b.value);
    if (natural)
      return a.op<arith::RemUIOp>(a.value, b.value);
    Element rest = a.op<arith::RemSIOp>(a.value, b.value);
    if (fmod)
      return rest;
    // The result has the divisor's sign.
    Element zero = a.integer(a.type(), 0);
    Element differs = a.with(arith::XOrIOp::create(
        *a.builder, a.loc, less(rest, zero).value, less(b, zero).value));
    Element moved = equal(rest, zero).select(rest, rest + b);
    return differs.select(moved, rest);
  });
}

/// Small whole exponents are products, as other exporters write them.
static FailureOr<Tensor> power(Importer &im, const Tensor &x, double exponent) {
  auto map = [&](llvm::function_ref<Element(Element)> body) {
    return mapUnary(im, x, x.onnxType, body);
  };
  if (exponent == 1)
    return x;
  if (exponent == 2)
    return map([](Element a) { return a * a; });
  if (exponent == 3)
    return map([](Element a) { return a * a * a; });
  if (exponent == 0.5)
    return map([](Element a) { return sqrt(a); });
  if (exponent == -1)
    return map([](Element a) { return 1.0 / a; });
  return map([=](Element a) {
    return a.op<math::PowFOp>(a.value, a.constant(exponent).value);
  });
}

static LogicalResult importPow(Importer &im) {
  const Tensor *x = required(im, 0), *y = required(im, 1);
  if (!x || !y || failed(refuseOldBroadcast(im)))
    return failure();
  Type type = im.elementType(x->onnxType);
  if (!type || !im.elementType(y->onnxType))
    return im.refuse("operands of types " + dataTypeName(x->onnxType) +
                     " and " + dataTypeName(y->onnxType) +
                     " are not supported");
  if (isFloat(x->onnxType) && y->rank() == 0)
    if (auto exponent = im.constantElements(*y, 1))
      return setResult(im, power(im, *x, (*exponent)[0]));
  bool isFloats = isFloat(x->onnxType) || isFloat(y->onnxType);
  return setResult(
      im, mapBinary(im, *x, *y, x->onnxType, [&](Element a, Element b) {
        if (!isFloats) {
          Element exponent = castElement(b, y->onnxType, x->onnxType, type);
          return a.op<math::IPowIOp>(a.value, exponent.value);
        }
        int wide = isFloat(x->onnxType) ? x->onnxType : int(Double);
        Type wideType = im.elementType(wide);
        Element result = a.op<math::PowFOp>(
            castElement(a, x->onnxType, wide, wideType).value,
            castElement(b, y->onnxType, wide, wideType).value);
        return castElement(result, wide, x->onnxType, type);
      }));
}

//===----------------------------------------------------------------------===//
// Any number of operands
//===----------------------------------------------------------------------===//

static LogicalResult variadic(Importer &im, Binary body, bool average = false) {
  SmallVector<const Tensor *> operands;
  for (unsigned i = 0; i < im.node().numInputs(); ++i) {
    operands.push_back(required(im, i));
    if (!operands.back())
      return failure();
    if (operands.back()->onnxType != operands[0]->onnxType)
      return im.refuse("operands of different types");
  }
  if (operands.empty())
    return im.refuse("there is no operand");
  if (operands.size() == 1) {
    im.setOutput(0, *operands[0]);
    return success();
  }
  return setResult(
      im, mapElements(im, operands, operands[0]->onnxType, [&](Elements v) {
        Element result = v[0];
        for (Element next : v.drop_front())
          result = body(result, next);
        return average ? result / double(v.size()) : result;
      }));
}

static LogicalResult importMax(Importer &im) {
  const Tensor *x = im.input(0);
  bool natural = x && isUnsigned(x->onnxType);
  return variadic(im, [=](Element a, Element b) {
    return natural ? a.op<arith::MaxUIOp>(a.value, b.value) : maximum(a, b);
  });
}
static LogicalResult importMin(Importer &im) {
  const Tensor *x = im.input(0);
  bool natural = x && isUnsigned(x->onnxType);
  return variadic(im, [=](Element a, Element b) {
    return natural ? a.op<arith::MinUIOp>(a.value, b.value) : minimum(a, b);
  });
}
static LogicalResult importSum(Importer &im) {
  return variadic(im, [](Element a, Element b) { return a + b; });
}
static LogicalResult importMean(Importer &im) {
  if (!requiredFloat(im, 0))
    return failure();
  return variadic(
      im, [](Element a, Element b) { return a + b; }, true);
}

/// Bounds are attributes before opset 11, inputs from then on; one that binds
/// nothing is left out.
static LogicalResult importClip(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  bool natural = isUnsigned(x->onnxType);
  auto lower = [=](Element a, Element b) {
    return natural ? a.op<arith::MaxUIOp>(a.value, b.value) : maximum(a, b);
  };
  auto upper = [=](Element a, Element b) {
    return natural ? a.op<arith::MinUIOp>(a.value, b.value) : minimum(a, b);
  };
  if (im.node().opset() < 11) {
    constexpr double limit = std::numeric_limits<float>::max();
    double low = im.node().getFloat("min", -limit);
    double high = im.node().getFloat("max", limit);
    return setResult(im, mapUnary(im, *x, x->onnxType, [&](Element a) {
                       if (low > -limit)
                         a = lower(a, a.constant(low));
                       return high < limit ? upper(a, a.constant(high)) : a;
                     }));
  }
  SmallVector<const Tensor *> operands{x};
  const Tensor *low = im.input(1), *high = im.input(2);
  for (const Tensor *bound : {low, high}) {
    if (!bound)
      continue;
    if (bound->onnxType != x->onnxType || bound->rank() != 0)
      return im.refuse("a bound is not a scalar of the operand's type");
    operands.push_back(bound);
  }
  if (operands.size() == 1) {
    im.setOutput(0, *x);
    return success();
  }
  return setResult(im, mapElements(im, operands, x->onnxType, [&](Elements v) {
                     Element a = v[0];
                     if (low)
                       a = lower(a, v[1]);
                     return high ? upper(a, v.back()) : a;
                   }));
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

static constexpr const char *numbers = "no unsigned numbers";

static const OpEntry arithmeticTable[] = {
    {"", "Abs", 1, 0, importAbs, numbers},
    {"", "Add", 1, 0, importAdd, numbers},
    {"", "Ceil", 1, 0, unaryOp<math::CeilOp>, ""},
    {"", "Clip", 1, 0, importClip, numbers},
    {"", "Cos", 7, 0, unaryOp<math::CosOp>, ""},
    {"", "Cosh", 9, 0, unaryOp<math::CoshOp>, ""},
    {"", "Div", 1, 0, importDiv, numbers},
    {"", "Erf", 9, 0, unaryOp<math::ErfOp>, "floats only"},
    {"", "Exp", 1, 0, unaryOp<math::ExpOp>, ""},
    {"", "Floor", 1, 0, unaryOp<math::FloorOp>, ""},
    {"", "Log", 1, 0, unaryOp<math::LogOp>, ""},
    {"", "Max", 1, 0, importMax, numbers},
    {"", "Mean", 1, 0, importMean, ""},
    {"", "Min", 1, 0, importMin, numbers},
    {"", "Mod", 10, 0, importMod, numbers},
    {"", "Mul", 1, 0, importMul, numbers},
    {"", "Neg", 1, 0, importNeg, ""},
    {"", "Pow", 1, 0, importPow, numbers},
    {"", "Reciprocal", 1, 0, importReciprocal, ""},
    {"", "Round", 11, 0, unaryOp<math::RoundEvenOp>, ""},
    {"", "Sign", 9, 0, importSign, numbers},
    {"", "Sin", 7, 0, unaryOp<math::SinOp>, ""},
    {"", "Sinh", 9, 0, unaryOp<math::SinhOp>, ""},
    {"", "Sqrt", 1, 0, unaryOp<math::SqrtOp>, ""},
    {"", "Sub", 1, 0, importSub, numbers},
    {"", "Sum", 1, 0, importSum, ""},
    {"", "Tan", 7, 0, unaryOp<math::TanOp>, ""},
    {"", "Tanh", 1, 0, unaryOp<math::TanhOp>, ""},
};

ArrayRef<OpEntry> onnx_import::elementwiseOps() {
  static const std::vector<OpEntry> table =
      concat({arithmeticTable, activationOps(), compareOps()});
  return table;
}
