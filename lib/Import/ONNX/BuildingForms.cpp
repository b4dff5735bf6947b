//===- BuildingForms.cpp - Products, means, softmax, norms ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace joinery::onnx_import {

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Sums away the labels that only this operand has, so that they are folded
/// before the join.
static LogicalResult reducePrivate(Importer &im, Tensor &x,
                                   SmallVectorImpl<int> &labels,
                                   ArrayRef<int> otherLabels,
                                   ArrayRef<int> result) {
  SmallVector<int64_t> axes;
  SmallVector<int> kept;
  for (auto [i, label] : llvm::enumerate(labels)) {
    if (llvm::is_contained(otherLabels, label) ||
        llvm::is_contained(result, label))
      kept.push_back(label);
    else
      axes.push_back(i);
  }
  if (axes.empty())
    return success();
  FailureOr<Tensor> reduced = im.reduce(rel::Monoid::Sum, x, axes, false);
  if (failed(reduced))
    return failure();
  x = *reduced;
  labels = kept;
  return success();
}

/// The tensor with one dimension per label of `order`; those that it lacks have
/// extent 1.
static Tensor arrange(Importer &im, const Tensor &x, ArrayRef<int> labels,
                      ArrayRef<int> order) {
  SmallVector<unsigned> permutation;
  for (int label : order)
    if (auto it = llvm::find(labels, label); it != labels.end())
      permutation.push_back(it - labels.begin());
  Tensor result = permuteDims(im, x, permutation);
  for (auto [i, label] : llvm::enumerate(order))
    if (!llvm::is_contained(labels, label))
      result = insertUnitDim(im, result, i);
  return result;
}

FailureOr<Tensor> product(Importer &im, const Tensor &a, ArrayRef<int> labelsA,
                          const Tensor *b, ArrayRef<int> labelsB,
                          ArrayRef<int> result, ArrayRef<int> broadcasts) {
  Tensor left = a, right;
  SmallVector<int> leftLabels(labelsA), rightLabels(labelsB);
  if (failed(reducePrivate(im, left, leftLabels, labelsB, result)))
    return failure();
  if (!b)
    return arrange(im, left, leftLabels, result);
  right = *b;
  if (failed(reducePrivate(im, right, rightLabels, labelsA, result)))
    return failure();

  SmallVector<int> order(result);
  for (int label : leftLabels)
    if (!llvm::is_contained(order, label))
      order.push_back(label);
  for (auto [i, label] : llvm::enumerate(leftLabels)) {
    auto it = llvm::find(rightLabels, label);
    if (it == rightLabels.end() || llvm::is_contained(broadcasts, label))
      continue;
    size_t j = it - rightLabels.begin();
    if (failed(im.requireEqual(left.dims[i].extent, right.dims[j].extent,
                               "contracted and batch dimensions are equal")))
      return failure();
  }
  Tensor x = arrange(im, left, leftLabels, order);
  Tensor y = arrange(im, right, rightLabels, order);
  auto aligned = im.broadcast({&x, &y});
  if (failed(aligned))
    return failure();
  SmallVector<std::string> folded;
  SymExpr repeated(1);
  for (size_t i = result.size(); i < order.size(); ++i) {
    const Dim &dim = aligned->dims[i];
    folded.append(dim.columns.begin(), dim.columns.end());
    if (dim.columns.empty())
      repeated = repeated * dim.extent;
  }
  Tensor sum;
  sum.onnxType = a.onnxType;
  sum.dims.append(aligned->dims.begin(), aligned->dims.begin() + result.size());
  Value u = im.relation(aligned->tensors[0]),
        v = im.relation(aligned->tensors[1]);
  if (folded.empty())
    sum.relation = joinValues(im, {u, v}, im.elementType(a.onnxType),
                              [](Elements x) { return x[0] * x[1]; });
  else
    sum.relation = im.contract(u, v, folded);
  if (!repeated.isConst(1)) {
    Value factor = im.extentAsFloat(repeated, im.elementType(a.onnxType));
    sum.relation =
        joinValues(im, {sum.relation, factor}, im.elementType(a.onnxType),
                   [](Elements x) { return x[0] * x[1]; });
  }
  orderColumns(sum.relation, sum.dims);
  return sum;
}

FailureOr<Tensor> matmul(Importer &im, const Tensor &a, const Tensor &b) {
  if (a.rank() == 0 || b.rank() == 0)
    return im.refuse("a matrix product needs operands of rank 1 or more");
  // Labels: -1 rows, -2 contracted, -3 columns, batch dimensions from 0.
  auto labels = [](int64_t rank, int row, int column) {
    SmallVector<int> result;
    for (int64_t i = rank - 2; i-- > 0;)
      result.push_back(i);
    if (row)
      result.push_back(row);
    if (column)
      result.push_back(column);
    return result;
  };
  SmallVector<int> la = labels(a.rank(), a.rank() > 1 ? -1 : 0, -2),
                   lb = labels(b.rank(), -2, b.rank() > 1 ? -3 : 0);
  SmallVector<int> batch, result;
  for (int64_t i = std::max(a.rank(), b.rank()) - 2; i-- > 0;)
    batch.push_back(i);
  result = batch;
  if (a.rank() > 1)
    result.push_back(-1);
  if (b.rank() > 1)
    result.push_back(-3);
  return product(im, a, la, &b, lb, result, batch);
}

//===----------------------------------------------------------------------===//
// Means, softmax, norms
//===----------------------------------------------------------------------===//

SymExpr extentOf(const Tensor &x, ArrayRef<int64_t> axes) {
  SymExpr extent(1);
  for (int64_t axis : axes)
    extent = extent * x.dims[axis].extent;
  return extent;
}

FailureOr<Tensor> divideByExtent(Importer &im, const Tensor &x,
                                 const SymExpr &extent) {
  if (extent.isConst(1))
    return x;
  Tensor count;
  count.onnxType = x.onnxType;
  count.relation = im.extentAsFloat(extent, im.elementType(x.onnxType));
  return mapBinary(im, x, count, x.onnxType,
                   [](Element a, Element b) { return a / b; });
}

FailureOr<Tensor> mean(Importer &im, const Tensor &x, ArrayRef<int64_t> axes,
                       bool keepDims) {
  SymExpr extent = extentOf(x, axes);
  FailureOr<Tensor> sum = im.reduce(rel::Monoid::Sum, x, axes, keepDims);
  if (failed(sum))
    return failure();
  return divideByExtent(im, *sum, extent);
}

FailureOr<Tensor> softmax(Importer &im, const Tensor &x, ArrayRef<int64_t> axes,
                          bool logarithm) {
  int type = x.onnxType;
  auto top = im.reduce(rel::Monoid::Max, x, axes, true);
  if (failed(top))
    return failure();
  if (logarithm) {
    auto shifted = mapBinary(im, x, *top, type,
                             [](Element a, Element b) { return a - b; });
    if (failed(shifted))
      return failure();
    auto powers = mapUnary(im, *shifted, type, exp);
    if (failed(powers))
      return failure();
    auto sum = im.reduce(rel::Monoid::Sum, *powers, axes, true);
    if (failed(sum))
      return failure();
    return mapBinary(im, *shifted, *sum, type,
                     [](Element a, Element b) { return a - log(b); });
  }
  auto powers = mapBinary(im, x, *top, type,
                          [](Element a, Element b) { return exp(a - b); });
  if (failed(powers))
    return failure();
  auto sum = im.reduce(rel::Monoid::Sum, *powers, axes, true);
  if (failed(sum))
    return failure();
  return mapBinary(im, *powers, *sum, type,
                   [](Element a, Element b) { return a / b; });
}

FailureOr<Normalized> normalize(Importer &im, const Tensor &x,
                                ArrayRef<int64_t> axes, double eps,
                                bool centre) {
  Normalized result;
  Tensor centred = x;
  if (centre) {
    auto average = mean(im, x, axes, true);
    if (failed(average))
      return failure();
    result.mean = *average;
    auto difference = mapBinary(im, x, *average, x.onnxType,
                                [](Element a, Element b) { return a - b; });
    if (failed(difference))
      return failure();
    centred = *difference;
  }
  auto squares =
      mapUnary(im, centred, x.onnxType, [](Element a) { return a * a; });
  if (failed(squares))
    return failure();
  auto variance = mean(im, *squares, axes, true);
  if (failed(variance))
    return failure();
  auto deviation = mapUnary(im, *variance, x.onnxType,
                            [&](Element a) { return sqrt(a + eps); });
  if (failed(deviation))
    return failure();
  auto inverse =
      mapUnary(im, *deviation, x.onnxType, [](Element a) { return 1.0 / a; });
  auto y = mapBinary(im, centred, *deviation, x.onnxType,
                     [](Element a, Element b) { return a / b; });
  if (failed(inverse) || failed(y))
    return failure();
  result.inverse = *inverse;
  result.y = *y;
  return result;
}

FailureOr<Tensor> scaleAndShift(Importer &im, const Tensor &y,
                                const Tensor *gamma, const Tensor *beta,
                                int onnxType) {
  // A parameter of another float type is computed with in y's type.
  Tensor g, b;
  SmallVector<const Tensor *> operands{&y};
  for (auto [parameter, copy] : {std::pair(gamma, &g), std::pair(beta, &b)}) {
    if (!parameter)
      continue;
    if (parameter->rank() > y.rank())
      return im.refuse("a scale or bias of rank " + Twine(parameter->rank()) +
                       " for an operand of rank " + Twine(y.rank()));
    auto cast = castTensor(im, *parameter, y.onnxType);
    if (failed(cast))
      return failure();
    *copy = *cast;
    operands.push_back(copy);
  }
  Tensor result = y;
  if (operands.size() > 1) {
    auto scaled = mapElements(im, operands, y.onnxType, [&](Elements v) {
      Element value = v[0];
      if (gamma)
        value = value * v[1];
      if (beta)
        value = value + v.back();
      return value;
    });
    if (failed(scaled))
      return failure();
    result = *scaled;
  }
  return castTensor(im, result, onnxType);
}

} // namespace joinery::onnx_import
