//===- Symbolic.cpp - Evaluates shape arithmetic over symbols -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Integer and bool tensors that depend on shapes and keys alone are evaluated
// here and never become relations, unless a value of the model reads them.
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace {
enum class Fn {
  None, Add, Sub, Mul, Div, Mod, Min, Max, Neg, Abs, Sign, Not, And, Or, Xor,
  Equal, Less, LessOrEqual, Greater, GreaterOrEqual, Where, Cast, CastLike,
  ReduceProd, ReduceSum, ReduceMax, ReduceMin
};
} // namespace

static Fn parseOp(StringRef name) {
  return llvm::StringSwitch<Fn>(name)
      .Case("Add", Fn::Add)
      .Case("Sub", Fn::Sub)
      .Case("Mul", Fn::Mul)
      .Case("Div", Fn::Div)
      .Case("Mod", Fn::Mod)
      .Case("Min", Fn::Min)
      .Case("Max", Fn::Max)
      .Case("Neg", Fn::Neg)
      .Case("Abs", Fn::Abs)
      .Case("Sign", Fn::Sign)
      .Case("Not", Fn::Not)
      .Case("And", Fn::And)
      .Case("Or", Fn::Or)
      .Case("Xor", Fn::Xor)
      .Case("Equal", Fn::Equal)
      .Case("Less", Fn::Less)
      .Case("LessOrEqual", Fn::LessOrEqual)
      .Case("Greater", Fn::Greater)
      .Case("GreaterOrEqual", Fn::GreaterOrEqual)
      .Case("Where", Fn::Where)
      .Case("Cast", Fn::Cast)
      .Case("CastLike", Fn::CastLike)
      .Case("ReduceProd", Fn::ReduceProd)
      .Case("ReduceSum", Fn::ReduceSum)
      .Case("ReduceMax", Fn::ReduceMax)
      .Case("ReduceMin", Fn::ReduceMin)
      .Default(Fn::None);
}

//===----------------------------------------------------------------------===//
// One element
//===----------------------------------------------------------------------===//

using Result = std::optional<SymExpr>;

static Result truth(bool yes, bool no) {
  if (yes)
    return SymExpr(1);
  return no ? Result(SymExpr(0)) : std::nullopt;
}

static Result divide(Importer &importer, const SymExpr &a, const SymExpr &b) {
  if (b.isConst(0))
    return std::nullopt;
  if (auto exact = a.exactDiv(b))
    return exact;
  if (!importer.isNonNegative(b))
    return std::nullopt;
  // ONNX rounds to zero, floordiv down.
  if (importer.isNonNegative(a))
    return SymExpr::floorDiv(a, b);
  if (importer.isNonNegative(-a))
    return -SymExpr::floorDiv(-a, b);
  // The length that convolutions leave, say: what is less than 0 fits none.
  if (a.hasKeys() || failed(importer.requireNonNegative(
                         a, "a length that is divided is not negative")))
    return std::nullopt;
  return SymExpr::floorDiv(a, b);
}

static Result evaluate(Importer &importer, Fn op, ArrayRef<SymExpr> x,
                       int toType) {
  auto less = [&](const SymExpr &a, const SymExpr &b) {
    return truth(importer.isLess(a, b), importer.isNonNegative(a - b));
  };
  // Expressions that no exporter writes would grow without bound.
  for (const SymExpr &operand : x)
    if (operand.terms().size() > 64 || operand.str().size() > 2048)
      return std::nullopt;
  auto negated = [](Result result) -> Result {
    return result ? Result(SymExpr(1) - *result) : std::nullopt;
  };
  switch (op) {
  case Fn::Add:
    return x[0] + x[1];
  case Fn::Sub:
    return x[0] - x[1];
  case Fn::Mul:
    return x[0] * x[1];
  case Fn::Div:
    return divide(importer, x[0], x[1]);
  case Fn::Mod:
    // The sign follows the divisor, or with fmod the dividend.
    if (x[1].isConst(0) || !importer.isNonNegative(x[1]) ||
        (importer.node().getInt("fmod", 0) && !importer.isNonNegative(x[0])))
      return std::nullopt;
    return SymExpr::mod(x[0], x[1]);
  case Fn::Min:
  case Fn::Max: {
    SymExpr result = x[0];
    for (const SymExpr &next : x.drop_front())
      result = op == Fn::Min ? SymExpr::min(result, next)
                             : SymExpr::max(result, next);
    return result;
  }
  case Fn::Neg:
    return -x[0];
  case Fn::Abs:
    if (importer.isNonNegative(x[0]))
      return x[0];
    if (importer.isNonNegative(-x[0]))
      return -x[0];
    return SymExpr::max(x[0], -x[0]);
  case Fn::Sign:
    if (importer.isLess(0, x[0]))
      return SymExpr(1);
    if (importer.isLess(x[0], 0))
      return SymExpr(-1);
    return x[0].isConst(0) ? Result(SymExpr(0)) : std::nullopt;
  case Fn::Not:
    return SymExpr(1) - x[0];
  case Fn::And:
    return x[0] * x[1];
  case Fn::Or:
    return x[0] + x[1] - x[0] * x[1];
  case Fn::Xor:
    return x[0] + x[1] - SymExpr(2) * x[0] * x[1];
  case Fn::Equal:
    return truth(importer.simplify(x[0] - x[1]).isConst(0),
                 importer.isLess(x[0], x[1]) || importer.isLess(x[1], x[0]));
  case Fn::Less:
    return less(x[0], x[1]);
  case Fn::Greater:
    return less(x[1], x[0]);
  case Fn::GreaterOrEqual:
    return negated(less(x[0], x[1]));
  case Fn::LessOrEqual:
    return negated(less(x[1], x[0]));
  case Fn::Where:
    if (x[0].isConst())
      return x[0].isConst(0) ? x[2] : x[1];
    return x[1] == x[2] ? Result(x[1]) : std::nullopt;
  case Fn::Cast:
  case Fn::CastLike:
    if (toType != Bool)
      return x[0];
    return truth(importer.isLess(0, x[0]) || importer.isLess(x[0], 0),
                 x[0].isConst(0));
  default:
    return std::nullopt;
  }
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

static bool isSymbolic(const Tensor &tensor) {
  return (isInteger(tensor.onnxType) || tensor.onnxType == Bool) &&
         (tensor.poly || tensor.elements);
}

/// The chosen operand with the shape of all of them together.
static LogicalResult forward(Importer &importer,
                             ArrayRef<const Tensor *> operands, size_t chosen) {
  auto aligned = importer.broadcast(operands);
  if (failed(aligned))
    return failure();
  const Tensor &tensor = aligned->tensors[chosen];
  Dims dims;
  size_t offset = aligned->dims.size() - tensor.dims.size();
  for (auto [i, dim] : llvm::enumerate(aligned->dims)) {
    bool own = i >= offset && !tensor.dims[i - offset].columns.empty();
    dims.push_back({dim.extent, own ? dim.columns : decltype(dim.columns)()});
  }
  bool same = sizeOf(tensor) == [&] {
    SymExpr size(1);
    for (const Dim &dim : dims)
      size = size * dim.extent;
    return size;
  }();
  Tensor result = tensor;
  if (!same) {
    if (!result.poly && !result.relation)
      result.relation = importer.relation(result);
    result.elements.reset();
    result.constant = nullptr;
  }
  importer.setOutput(0, viewOf(importer, result, std::move(dims)));
  return success();
}

/// Operators that one constant operand decides, whatever the others are.
static LogicalResult evaluatePartly(Importer &importer, Fn op,
                                    ArrayRef<const Tensor *> inputs) {
  auto constant = [&](const Tensor *tensor) -> std::optional<int64_t> {
    if (!isSymbolic(*tensor) || !tensor->poly)
      return std::nullopt;
    return tensor->poly->asConst();
  };
  if (op == Fn::Where) {
    auto condition = constant(inputs[0]);
    if (!condition)
      return failure();
    return forward(importer, inputs, *condition ? 1 : 2);
  }
  if (op != Fn::And && op != Fn::Or)
    return failure();
  for (size_t i : {0, 1})
    if (auto value = constant(inputs[i])) {
      bool decides = (*value != 0) == (op == Fn::Or);
      return forward(importer, inputs, decides ? i : 1 - i);
    }
  return failure();
}

static LogicalResult reduce(Importer &importer, Fn op, const Tensor &input) {
  if (!input.elements || input.rank() != 1 || input.elements->empty())
    return failure();
  SymExpr result = input.elements->front();
  for (const SymExpr &next : ArrayRef(*input.elements).drop_front())
    result = op == Fn::ReduceProd  ? result * next
             : op == Fn::ReduceSum ? result + next
             : op == Fn::ReduceMax ? SymExpr::max(result, next)
                                   : SymExpr::min(result, next);
  bool keep = importer.node().getInt("keepdims", 1);
  importer.setOutput(0, importer.vector({result}, input.onnxType, !keep));
  return success();
}

/// Cast between constants of floats and integers, as exporters write literals.
static LogicalResult castConstant(Importer &importer, const Tensor &input,
                                  int toType) {
  bool fromFloat = isFloat(input.onnxType), toFloat = isFloat(toType);
  if (fromFloat == toFloat)
    return failure();
  auto values = importer.constantElements(input, 1);
  if (!values || values->size() != 1)
    return failure();
  double value = (*values)[0];
  if (!toFloat && !(std::abs(value) < 9e15))
    return failure();
  Tensor result = toType == Bool
                      ? importer.scalar(value != 0, toType)
                      : importer.scalar(toFloat ? value : std::trunc(value),
                                        toType);
  for (int64_t i = 0; i < input.rank(); ++i)
    result.dims.push_back({1, {}});
  importer.setOutput(0, std::move(result));
  return success();
}

/// An integer relation in a sum or product with a polynomial of keys becomes a
/// symbol of it, so that index arithmetic can be split into digits later.
static std::optional<Tensor> withOpaque(Importer &importer,
                                        const Tensor &tensor) {
  if (isSymbolic(tensor))
    return tensor;
  if (!isInteger(tensor.onnxType) || isUnsigned(tensor.onnxType) ||
      !tensor.relation)
    return std::nullopt;
  Tensor result = tensor;
  result.poly = importer.impl->opaqueSymbol(tensor.relation,
                                            knownBound(tensor.relation));
  result.relation = {};
  result.constant = nullptr;
  return result;
}

LogicalResult joinery::onnx_import::evaluateSymbolically(Importer &importer) {
  const Node &node = importer.node();
  if (!node.domain().empty())
    return failure();
  Fn op = parseOp(node.op());
  if (op == Fn::None || node.numInputs() == 0)
    return failure();
  std::vector<const Tensor *> inputs;
  for (unsigned i = 0; i < node.numInputs(); ++i) {
    if (!node.hasInput(i))
      return failure();
    inputs.push_back(importer.input(i));
  }
  int toType = inputs.back()->onnxType;
  if (op == Fn::Cast)
    toType = node.getInt("to", 0);
  bool compares = op == Fn::Equal || op == Fn::Less || op == Fn::LessOrEqual ||
                  op == Fn::Greater || op == Fn::GreaterOrEqual;
  if (compares)
    toType = Bool;
  if (op == Fn::CastLike)
    inputs.pop_back(); // only the type of the second input counts
  if (op >= Fn::ReduceProd)
    return isSymbolic(*inputs[0]) ? reduce(importer, op, *inputs[0])
                                  : failure();
  size_t arity = op == Fn::Where ? 3
                 : op == Fn::Min || op == Fn::Max ? inputs.size()
                 : (op >= Fn::Neg && op <= Fn::Not) || op >= Fn::Cast ? 1
                                                                      : 2;
  if (inputs.size() != arity)
    return failure();
  if ((op == Fn::Cast || op == Fn::CastLike) &&
      (!isSymbolic(*inputs[0]) || isFloat(toType)))
    return castConstant(importer, *inputs[0], toType);
  if (!isInteger(toType) && toType != Bool)
    return evaluatePartly(importer, op, inputs);

  std::vector<Tensor> held(inputs.size());
  bool mixed = false, keyed = false;
  for (auto [i, input] : llvm::enumerate(inputs)) {
    if (isSymbolic(*input)) {
      keyed |= input->poly && !input->poly->isConst();
      continue;
    }
    mixed = true;
    auto opaque = op == Fn::Add || op == Fn::Sub || op == Fn::Mul
                      ? withOpaque(importer, *input)
                      : std::nullopt;
    if (!opaque)
      return evaluatePartly(importer, op, inputs);
    held[i] = std::move(*opaque);
    input = &held[i];
  }
  if (mixed && !keyed)
    return failure();

  // Shape tensors: element by element.
  bool vectors = llvm::all_of(inputs, [](const Tensor *tensor) {
    return tensor->elements && tensor->rank() <= 1;
  });
  if (vectors) {
    size_t count = 1;
    bool isScalar = true;
    for (const Tensor *tensor : inputs) {
      isScalar &= tensor->rank() == 0;
      if (tensor->elements->size() != 1)
        count = tensor->elements->size();
    }
    std::vector<SymExpr> elements;
    for (size_t i = 0; i < count; ++i) {
      SmallVector<SymExpr> operands;
      for (const Tensor *tensor : inputs) {
        size_t size = tensor->elements->size();
        if (size != 1 && size != count)
          return failure();
        operands.push_back((*tensor->elements)[size == 1 ? 0 : i]);
      }
      auto element = evaluate(importer, op, operands, toType);
      if (!element)
        return failure();
      elements.push_back(*element);
    }
    importer.setOutput(0, importer.vector(std::move(elements), toType,
                                          isScalar));
    return success();
  }
  for (const Tensor *tensor : inputs)
    if (!tensor->poly)
      return evaluatePartly(importer, op, inputs);
  auto aligned = importer.broadcast(inputs);
  if (failed(aligned))
    return failure();
  SmallVector<SymExpr> operands;
  for (const Tensor &tensor : aligned->tensors)
    operands.push_back(*tensor.poly);
  auto value = evaluate(importer, op, operands, toType);
  if (!value)
    return evaluatePartly(importer, op, inputs);
  importer.setOutput(0, importer.polynomial(*value, aligned->dims, toType));
  return success();
}

std::optional<SymExpr> joinery::onnx_import::knownBound(Value relation) {
  Operation *op = relation.getDefiningOp();
  if (auto aggregate = dyn_cast_or_null<rel::AggregateOp>(op)) {
    bool keyed = aggregate.getMonoid() == rel::Monoid::ArgMax ||
                 aggregate.getMonoid() == rel::Monoid::ArgMin;
    if (!keyed)
      return std::nullopt;
    auto column = cast<StringAttr>(aggregate.getOver()[0]).getValue();
    return cast<rel::RelType>(aggregate.getInputs()[0].getType())
        .extentOf(column);
  }
  if (auto rekey = dyn_cast_or_null<rel::RekeyOp>(op))
    return rekey.getOtherwise() ? std::nullopt : knownBound(rekey.getInput());
  return std::nullopt;
}
