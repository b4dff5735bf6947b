//===- OneHot.cpp - Relations of a key and an index -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

/// A constant index of values that depend on extents (the widths of a Pad): the
/// result's elements are known one by one. Fails without refusing if they are
/// not, or are many.
static LogicalResult oneHotOfExtents(Importer &importer) {
  constexpr int64_t most = 1024;
  const Tensor &index = *importer.input(0);
  auto places = importer.symbolicElements(index);
  auto depth = importer.symbolicElements(*importer.input(1));
  auto values = importer.symbolicElements(*importer.input(2));
  int type = importer.input(2)->onnxType;
  if (!places || places->size() != 1 || !depth || depth->size() != 1 ||
      !values || values->size() != 2 || !isInteger(type) || isUnsigned(type))
    return failure();
  auto place = places->front().asConst(), size = depth->front().asConst();
  if (!place || !size || *size < 0 || *size > most)
    return failure();
  auto axis = importer.axisOf(importer.node().getInt("axis", -1),
                              index.rank() + 1);
  if (failed(axis) || *axis != index.rank())
    return failure();
  std::vector<SymExpr> elements(size_t(*size), values->front());
  int64_t at = *place < 0 ? *place + *size : *place;
  if (at >= 0 && at < *size)
    elements[size_t(at)] = values->back();
  SmallVector<SymExpr> extents(index.rank(), SymExpr(1));
  extents.push_back(SymExpr(*size));
  auto result = reshapeTo(
      importer, importer.vector(std::move(elements), type), extents);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

static LogicalResult importOneHot(Importer &importer) {
  if (succeeded(oneHotOfExtents(importer)))
    return success();
  Tensor index = *importer.input(0);
  auto depth = importer.symbolicElements(*importer.input(1));
  auto values = importer.constantElements(*importer.input(2), 2);
  if (!depth || depth->size() != 1 || !values || values->size() != 2)
    return importer.refuse("the depth or the values depend on data");
  auto axis = importer.axisOf(importer.node().getInt("axis", -1),
                              index.rank() + 1);
  if (failed(axis))
    return failure();
  if (!isInteger(index.onnxType))
    return importer.refuse("the indices are not integers");
  int type = importer.input(2)->onnxType;
  Type element = importer.elementType(type);
  if (!element)
    return importer.refuse("values of type " + dataTypeName(type) +
                           " have no relation");
  Dims indexDims = index.dims, keyDims;
  indexDims.insert(indexDims.begin() + *axis, Dim{1, {}});
  keyDims.push_back(importer.newDim("v", (*depth)[0]));
  SymExpr key = keyDims[0].columns.empty()
                    ? SymExpr(0)
                    : SymExpr::key(keyDims[0].columns[0]);
  for (int64_t i = *axis; i < index.rank(); ++i)
    keyDims.push_back({1, {}});
  index = viewOf(importer, index, std::move(indexDims));
  Tensor keys = importer.polynomial(key, keyDims, Int64);
  Tensor size = importer.polynomial((*depth)[0], {}, Int64);
  auto result = importer.map(
      {&index, &keys, &size}, type,
      [&](OpBuilder &b, Location loc, ValueRange x) -> Value {
        Value at = x[0];
        if (!at.getType().isInteger(64))
          at = arith::ExtSIOp::create(b, loc, b.getI64Type(), at);
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        Value negative = arith::CmpIOp::create(
            b, loc, arith::CmpIPredicate::slt, at, zero);
        Value wrapped = arith::AddIOp::create(b, loc, at, x[2]);
        at = arith::SelectOp::create(b, loc, negative, wrapped, at);
        Value hit = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at,
                                          x[1]);
        auto constant = [&](double value) -> Value {
          TypedAttr attr =
              isa<FloatType>(element)
                  ? TypedAttr(b.getFloatAttr(element, value))
                  : TypedAttr(b.getIntegerAttr(element, int64_t(value)));
          return arith::ConstantOp::create(b, loc, attr);
        };
        return arith::SelectOp::create(b, loc, hit, constant((*values)[1]),
                                       constant((*values)[0]));
      });
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

static const OpEntry oneHotTable[] = {
    {"", "OneHot", 9, 0, importOneHot,
     "depth known from the shapes; constant values, or those of one index from "
     "the shapes"},
};

ArrayRef<OpEntry> joinery::onnx_import::oneHotOps() { return oneHotTable; }
