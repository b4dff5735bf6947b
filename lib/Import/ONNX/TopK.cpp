//===- TopK.cpp - The greatest elements along an axis ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The place of an element is the number of those that come before it: greater
// ones, and equal ones at lower keys. The element at place k is the sum over the
// axis of what is selected where place = k:
//
//   place[t] = sum over u of (x[u] > x[t] or (x[u] = x[t] and u < t))
//   y[k]     = sum over t of (place[t] = k ? x[t] : 0)
//
// That is quadratic in the axis, which suits what encoders choose from: experts,
// labels, the tokens of a sequence.
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Monoid;

/// Longer axes would take seconds for each row.
static constexpr int64_t kLongestAxis = 8192;

/// How many elements are asked for: input 1, or the attribute before opset 10.
static FailureOr<SymExpr> countOf(Importer &im) {
  if (!im.input(1)) {
    int64_t count = im.node().getInt("k", -1);
    if (count < 0)
      return im.refuse("the number of elements k is missing");
    return SymExpr(count);
  }
  auto given = im.symbolicElements(*im.input(1));
  if (!given || given->size() != 1)
    return im.refuse("the number of elements k depends on data");
  return given->front();
}

static LogicalResult importTopK(Importer &im) {
  const Tensor *x = required(im, 0);
  if (!x || failed(requireAxes(im, *x)))
    return failure();
  if (isUnsigned(x->onnxType) || x->onnxType == Bool ||
      !im.elementType(x->onnxType))
    return im.refuse("elements of type " + dataTypeName(x->onnxType) +
                     " are not supported");
  auto axis = im.axisOf(im.node().getInt("axis", -1), x->rank());
  auto count = countOf(im);
  if (failed(axis) || failed(count))
    return failure();
  Tensor source = withColumn(im, *x, *axis);
  Dim dim = source.dims[*axis];
  if (dim.extent.asConst().value_or(0) > kLongestAxis)
    return im.refuse("an axis of more than " + Twine(kLongestAxis) +
                     " elements is not supported");
  if (failed(im.requireNonNegative(*count, "the number of elements k")) ||
      failed(im.requireAtMost(*count, dim.extent,
                              "the number of elements k")))
    return failure();
  bool largest = im.node().getInt("largest", 1);
  std::string t = dim.columns[0], u = im.newColumn(t, dim.extent),
              k = im.newColumn(t, *count);
  Value values = im.relation(source);
  Value rivals = im.relation(im.rename(source, {{t, u}}));
  Value own = keysOf(im, t, dim.extent),
        other = keysOf(im, u, dim.extent);
  Value before = joinValues(
      im, {values, rivals, own, other}, im.builder.getI64Type(),
      [&](Elements v) {
        Element one = v[2].constant(1), zero = v[2].constant(0);
        Element better = largest ? less(v[0], v[1]) : less(v[1], v[0]);
        return better.select(
            one, equal(v[0], v[1]).select(
                     less(v[3], v[2]).select(one, zero), zero));
      });
  Value place = rel::AggregateOp::create(im.builder, im.loc(), Monoid::Sum,
                                         ValueRange(before), {StringRef(u)});
  Value chosen =
      joinValues(im, {place, keysOf(im, k, *count)}, im.builder.getI1Type(),
                 [](Elements v) { return equal(v[0], v[1]); });
  Tensor result = source;
  result.dims[*axis] = Dim{*count, {k}};
  im.setOutput(0, withRelation(result, sumWhere(im, values, chosen, t),
                               x->onnxType));
  im.setOutput(1, withRelation(result, sumWhere(im, own, chosen, t), Int64));
  return success();
}

static const OpEntry topKTable[] = {
    {"", "TopK", 1, 0, importTopK, "no unsigned numbers; at most 8192 elements"},
};

ArrayRef<OpEntry> onnx_import::topKOps() { return topKTable; }
