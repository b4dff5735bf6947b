//===- Shape.cpp - Operators about shapes, and those that vanish ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "onnx/onnx_pb.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

SymExpr joinery::onnx_import::sizeOf(const Tensor &tensor) {
  SymExpr size(1);
  for (const Dim &dim : tensor.dims)
    size = size * dim.extent;
  return size;
}

//===----------------------------------------------------------------------===//
// Shape, Size
//===----------------------------------------------------------------------===//

static LogicalResult importShape(Importer &importer) {
  const Tensor *x = importer.input(0);
  int64_t rank = x->rank();
  auto position = [&](StringRef name, int64_t otherwise) {
    int64_t at = importer.node().getInt(name, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  int64_t start = position("start", 0), end = position("end", rank);
  std::vector<SymExpr> extents;
  for (int64_t i = start; i < end; ++i)
    extents.push_back(x->dims[i].extent);
  // Targets of Expand are compared with -1, say.
  for (const SymExpr &extent : extents)
    if (!importer.isNonNegative(extent))
      importer.impl->addNonNegative(extent);
  importer.setOutput(0, importer.vector(std::move(extents), Int64));
  return success();
}

static LogicalResult importSize(Importer &importer) {
  importer.setOutput(
      0, importer.vector({sizeOf(*importer.input(0))}, Int64, true));
  return success();
}

/// Exporters write the keys of a dimension as where a tensor of ones is not zero.
static LogicalResult importNonZero(Importer &importer) {
  const Tensor &x = *importer.input(0);
  Tensor element = x; // the one, where the tensor has no columns
  element.dims.clear();
  if (x.rank() == 1 && !x.elements && !x.constant)
    if (auto same = importer.constantElements(element); same && (*same)[0]) {
      Dim keys = importer.newDim("i", x.dims[0].extent);
      SymExpr key = keys.columns.empty() ? SymExpr(0)
                                         : SymExpr::key(keys.columns[0]);
      importer.setOutput(
          0, importer.polynomial(key, {Dim{1, {}}, keys}, Int64));
      return success();
    }
  auto values = importer.constantElements(x);
  if (!values || x.rank() == 0)
    return importer.refuse("the number of elements depends on data");
  std::vector<std::vector<SymExpr>> keys(x.rank());
  for (auto [i, value] : llvm::enumerate(*values)) {
    int64_t rest = i;
    for (int64_t d = x.rank(); value && d-- > 0;) {
      int64_t extent = *x.dims[d].extent.asConst();
      keys[d].push_back(rest % extent);
      rest /= extent;
    }
  }
  if (keys[0].empty())
    return importer.refuse("no element differs from zero");
  Tensor result;
  result.onnxType = Int64;
  result.dims = {importer.newDim("d", x.rank()),
                 importer.newDim("i", int64_t(keys[0].size()))};
  result.elements.emplace();
  for (const std::vector<SymExpr> &row : keys)
    llvm::append_range(*result.elements, row);
  importer.setOutput(0, std::move(result));
  return success();
}

//===----------------------------------------------------------------------===//
// ConstantOfShape, Range, EyeLike
//===----------------------------------------------------------------------===//

static LogicalResult importConstantOfShape(Importer &importer) {
  auto shape = importer.symbolicElements(*importer.input(0));
  if (!shape)
    return importer.refuse("the shape depends on data");
  int type = Float;
  double value = 0;
  if (const auto *attribute = importer.node().attribute("value")) {
    std::string error;
    auto stored = importer.impl->file.locate(attribute->t(), error);
    if (!stored)
      return importer.refuse(error);
    if (stored->count() != 1)
      return importer.refuse("the value has more than one element");
    type = stored->type;
    // Few bytes stay in the message: they are at hand.
    ArrayRef<char> bytes = importer.impl->file.bytes(*stored);
    auto element = readElement(bytes, 0, type);
    if (!element)
      return importer.refuse("values of type " + dataTypeName(type) +
                             " have no relation");
    value = *element;
  }
  Dims dims;
  for (const SymExpr &extent : *shape)
    dims.push_back({importer.simplify(extent), {}});
  if (!importer.elementType(type))
    return importer.refuse("values of type " + dataTypeName(type) +
                           " have no relation");
  Tensor result = importer.scalar(value, type);
  result.elements.reset();
  result.dims = std::move(dims);
  importer.setOutput(0, std::move(result));
  return success();
}

static LogicalResult importRange(Importer &importer) {
  int type = importer.input(0)->onnxType;
  if (isFloat(type)) {
    double bounds[3];
    for (unsigned i = 0; i < 3; ++i) {
      auto values = importer.constantElements(*importer.input(i), 1);
      if (!values || values->size() != 1)
        return importer.refuse("a range of floats with computed bounds");
      bounds[i] = (*values)[0];
    }
    if (bounds[2] == 0)
      return importer.refuse("the step is 0");
    double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
    if (!(count < 1e9))
      return importer.refuse("the range is too long");
    Dim dim = importer.newDim("i", int64_t(std::max(count, 0.0)));
    SymExpr key = dim.columns.empty() ? SymExpr(0)
                                      : SymExpr::key(dim.columns[0]);
    Tensor keys = importer.polynomial(key, {dim}, Int64);
    auto result = importer.map(
        {&keys}, type,
        [&](OpBuilder &b, Location loc, ValueRange x) -> Value {
          Type t = importer.elementType(type);
          auto constant = [&](double value) -> Value {
            return arith::ConstantOp::create(
                b, loc, cast<TypedAttr>(b.getFloatAttr(t, value)));
          };
          Value key = arith::SIToFPOp::create(b, loc, t, x[0]);
          Value step = arith::MulFOp::create(b, loc, key, constant(bounds[2]));
          return arith::AddFOp::create(b, loc, step, constant(bounds[0]));
        });
    if (failed(result))
      return failure();
    result->dims[0].extent = dim.extent;
    importer.setOutput(0, std::move(*result));
    return success();
  }
  SymExpr bounds[3];
  for (unsigned i = 0; i < 3; ++i) {
    auto elements = importer.symbolicElements(*importer.input(i));
    if (!elements || elements->size() != 1)
      return importer.refuse("the range's bounds depend on data");
    bounds[i] = (*elements)[0];
  }
  auto step = bounds[2].asConst();
  if (!step || *step == 0)
    return importer.refuse("the range's step is not a constant");
  SymExpr length = *step > 0 ? bounds[1] - bounds[0] : bounds[0] - bounds[1];
  int64_t stride = std::abs(*step);
  SymExpr count = importer.simplify(SymExpr::ceilDiv(length, stride));
  if (!importer.isNonNegative(count))
    count = importer.simplify(SymExpr::max(count, 0));
  Dim dim = importer.newDim("i", count);
  SymExpr key = dim.columns.empty() ? SymExpr(0) : SymExpr::key(dim.columns[0]);
  importer.setOutput(
      0, importer.polynomial(bounds[0] + bounds[2] * key, {dim}, type));
  return success();
}

static LogicalResult importEyeLike(Importer &importer) {
  const Tensor *x = importer.input(0);
  if (x->rank() != 2)
    return importer.refuse("the operand has not two dimensions");
  int type = importer.node().getInt("dtype", x->onnxType);
  int64_t k = importer.node().getInt("k", 0);
  Type element = importer.elementType(type);
  if (!element)
    return importer.refuse("results of type " + dataTypeName(type) +
                           " have no relation");
  Dims dims{importer.newDim("i", x->dims[0].extent),
            importer.newDim("j", x->dims[1].extent)};
  SymExpr difference(k);
  if (!dims[0].columns.empty())
    difference = difference + SymExpr::key(dims[0].columns[0]);
  if (!dims[1].columns.empty())
    difference = difference - SymExpr::key(dims[1].columns[0]);
  Tensor keys = importer.polynomial(difference, dims, Int64);
  auto result = importer.map(
      {&keys}, type, [&](OpBuilder &b, Location loc, ValueRange x) -> Value {
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        Value on = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x[0],
                                         zero);
        if (element.isInteger(1))
          return on;
        if (isa<FloatType>(element))
          return arith::UIToFPOp::create(b, loc, element, on);
        return arith::ExtUIOp::create(b, loc, element, on);
      });
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

//===----------------------------------------------------------------------===//
// Operators that vanish
//===----------------------------------------------------------------------===//

static LogicalResult importIdentity(Importer &importer) {
  importer.setOutput(0, Tensor(*importer.input(0)));
  return success();
}

static LogicalResult importDropout(Importer &importer) {
  const Node &node = importer.node();
  if (node.hasInput(2)) {
    auto training = importer.constantInts(2, "training_mode");
    if (failed(training))
      return failure();
    if (!training->empty() && (*training)[0])
      return importer.refuse("training mode is on");
  }
  const Tensor x = *importer.input(0);
  Dims dims;
  for (const Dim &dim : x.dims)
    dims.push_back({dim.extent, {}});
  importer.setOutput(0, x);
  if (node.hasOutput(1))
    importer.setOutput(1, importer.polynomial(1, dims, Bool));
  return success();
}

static LogicalResult importIf(Importer &importer) {
  auto condition = importer.symbolicElements(*importer.input(0));
  if (!condition || condition->size() != 1 || !(*condition)[0].isConst())
    return importer.refuse("the condition depends on data or on a shape that "
                           "is not known at compile time");
  const char *name = (*condition)[0].isConst(0) ? "else_branch" : "then_branch";
  const auto *branch = importer.node().attribute(name);
  if (!branch || !branch->has_g())
    return importer.refuse(Twine("the attribute ") + name + " is missing");
  std::vector<Node> nodes;
  std::vector<std::string> outputs;
  std::string error;
  Importer::Impl &impl = *importer.impl;
  if (!impl.graph.expand(importer.node(), branch->g(), nodes, outputs, error))
    return importer.refuse(error);
  impl.runNodes(importer, nodes);
  for (auto [i, output] : llvm::enumerate(outputs)) {
    if (impl.poisoned.contains(output)) {
      // The branch's own nodes have said why.
      if (importer.node().hasOutput(i))
        impl.poisoned.insert(importer.node().outputName(i));
      continue;
    }
    auto it = impl.values.find(output);
    const Tensor *tensor = it != impl.values.end()
                               ? &it->second
                               : impl.stored(importer, output);
    if (!tensor)
      return importer.refuse("result '" + output + "' is not computed");
    importer.setOutput(i, Tensor(*tensor));
  }
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::shapeOps() {
  static const OpEntry entries[] = {
      {"", "Shape", 1, 0, importShape, "", true},
      {"", "Size", 1, 0, importSize, "", true},
      {"", "NonZero", 9, 0, importNonZero,
       "of constants, and of vectors of one constant"},
      {"", "ConstantOfShape", 9, 0, importConstantOfShape,
       "shapes that depend on data are refused"},
      {"", "Range", 11, 0, importRange,
       "bounds that depend on data are refused"},
      {"", "EyeLike", 9, 0, importEyeLike, ""},
      {"", "Identity", 1, 0, importIdentity, "", true},
      {"", "Dropout", 7, 0, importDropout, "inference only"},
      {"", "If", 1, 0, importIf,
       "the condition must be known from the shapes"},
  };
  return entries;
}
