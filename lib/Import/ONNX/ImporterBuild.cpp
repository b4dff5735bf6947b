//===- ImporterBuild.cpp - Joins and aggregates of tensors ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::RelType;

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

/// The constant of a relation that is a join of nothing.
static TypedAttr constantOf(Value relation) {
  auto join = relation.getDefiningOp<rel::JoinOp>();
  if (!join || !join.getInputs().empty())
    return {};
  auto yield = cast<rel::YieldOp>(join.getBody().front().getTerminator());
  auto constant = yield.getValue().getDefiningOp<arith::ConstantOp>();
  return constant ? constant.getValue() : TypedAttr();
}

FailureOr<Tensor> Importer::map(ArrayRef<const Tensor *> operands,
                                int onnxType, const Scalar &body) {
  Type type = elementType(onnxType);
  if (!type)
    return refuse("results of type " + dataTypeName(onnxType) +
                  " have no relation");
  for (const Tensor *operand : operands)
    if (!elementType(operand->onnxType))
      return refuse("operands of type " + dataTypeName(operand->onnxType) +
                    " have no relation");
  auto aligned = broadcast(operands);
  if (failed(aligned))
    return failure();
  SmallVector<Value> relations;
  llvm::SetVector<Value> inputs;
  for (const Tensor &tensor : aligned->tensors) {
    relations.push_back(relation(tensor));
    if (!constantOf(relations.back()))
      inputs.insert(relations.back());
  }
  Tensor result;
  result.onnxType = onnxType;
  result.dims = aligned->dims;
  result.relation = rel::JoinOp::create(
      builder, loc(), inputs.getArrayRef(), type,
      [&](OpBuilder &b, Location loc, ValueRange arguments) -> Value {
        SmallVector<Value> values;
        for (Value relation : relations) {
          if (TypedAttr constant = constantOf(relation))
            values.push_back(arith::ConstantOp::create(b, loc, constant));
          else
            values.push_back(
                arguments[llvm::find(inputs, relation) - inputs.begin()]);
        }
        return body(b, loc, values);
      });
  orderColumns(result.relation, result.dims);
  return result;
}

//===----------------------------------------------------------------------===//
// Contractions and reductions
//===----------------------------------------------------------------------===//

/// `relation` times the value of an extent.
static Value scale(Importer &importer, Value relation, const SymExpr &extent) {
  Type type = cast<RelType>(relation.getType()).getElementType();
  Value factor = importer.extentAsFloat(extent, type);
  return rel::JoinOp::create(
      importer.builder, importer.loc(), ValueRange{relation, factor}, type,
      [&](OpBuilder &b, Location loc, ValueRange x) -> Value {
        if (isa<FloatType>(type))
          return arith::MulFOp::create(b, loc, x[0], x[1]);
        return arith::MulIOp::create(b, loc, x[0], x[1]);
      });
}

Value Importer::contract(Value a, Value b, ArrayRef<std::string> k) {
  Type type = cast<RelType>(a.getType()).getElementType();
  Value product = rel::JoinOp::create(
      builder, loc(), ValueRange{a, b}, type,
      [&](OpBuilder &builder, Location loc, ValueRange x) -> Value {
        if (isa<FloatType>(type))
          return arith::MulFOp::create(builder, loc, x[0], x[1]);
        return arith::MulIOp::create(builder, loc, x[0], x[1]);
      });
  SmallVector<StringRef> over;
  SymExpr constant(1);
  for (const std::string &column : k) {
    if (cast<RelType>(product.getType()).has(column))
      over.push_back(column);
    else
      constant = constant * impl->columns.at(column);
  }
  Value sum = product;
  if (!over.empty())
    sum = rel::AggregateOp::create(builder, loc(), rel::Monoid::Sum,
                                   ValueRange{product}, over);
  return constant.isConst(1) ? sum : scale(*this, sum, constant);
}

FailureOr<Tensor> Importer::reduce(rel::Monoid monoid, const Tensor &tensor,
                                   ArrayRef<int64_t> axes, bool keepDims) {
  Tensor source = tensor;
  bool keyed = monoid == rel::Monoid::ArgMax || monoid == rel::Monoid::ArgMin;
  if (keyed) {
    if (axes.size() != 1)
      return refuse("the position is taken over more than one axis");
    source = withOneColumn(source, axes[0]);
  }
  Value value = relation(source);
  auto type = cast<RelType>(value.getType());
  SmallVector<StringRef> over;
  SymExpr constant(1);
  for (int64_t axis : axes) {
    const Dim &dim = source.dims[axis];
    if (dim.columns.empty())
      constant = constant * dim.extent;
    for (const std::string &column : dim.columns) {
      if (type.has(column))
        over.push_back(column);
      else
        constant = constant * impl->columns.at(column);
    }
  }
  Tensor result;
  result.onnxType = keyed ? int(Int64) : tensor.onnxType;
  for (auto [i, dim] : llvm::enumerate(source.dims)) {
    bool folded = llvm::is_contained(axes, int64_t(i));
    if (!folded)
      result.dims.push_back(dim);
    else if (keepDims)
      result.dims.push_back({1, {}});
  }
  constant = simplify(constant);
  if (over.empty() && keyed)
    return polynomial(0, result.dims, Int64);
  if (!over.empty())
    value = rel::AggregateOp::create(builder, loc(), monoid, ValueRange{value},
                                     over);
  if (!constant.isConst(1)) {
    if (monoid == rel::Monoid::Sum)
      value = scale(*this, value, constant);
    else if (monoid == rel::Monoid::Prod)
      return refuse("the product runs over a dimension that the operand does "
                    "not depend on");
    // The others are idempotent.
  }
  result.relation = value;
  return result;
}
