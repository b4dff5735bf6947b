//===- Reduction.cpp - Reductions and running sums ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Monoid;

//===----------------------------------------------------------------------===//
// Reduce*
//===----------------------------------------------------------------------===//

namespace {
/// A reduction is a sum (or another monoid) between two maps.
struct Form {
  Monoid monoid = Monoid::Sum;
  Element (*before)(Element) = nullptr;
  Element (*after)(Element) = nullptr;
  bool mean = false, integers = true;
};
} // namespace

/// The axes of the node, all of them if none are named; nothing if the node
/// says that then none are meant.
static FailureOr<SmallVector<int64_t>>
reducedAxes(Importer &im, const Tensor &x, int inputSince) {
  auto axes = im.axes(1, inputSince, x.rank());
  if (failed(axes))
    return failure();
  SmallVector<int64_t> result(axes->begin(), axes->end());
  if (result.empty() && !im.node().getInt("noop_with_empty_axes", 0))
    for (int64_t i = 0; i < x.rank(); ++i)
      result.push_back(i);
  return result;
}

template <int inputSince>
static LogicalResult reduce(Importer &im, const Form &form) {
  const Tensor *input = required(im, 0);
  if (!input || (!form.integers && failed(requireFloat(im, *input))))
    return failure();
  if (!im.elementType(input->onnxType))
    return im.refuse("elements of type " + dataTypeName(input->onnxType) +
                     " are not supported");
  Monoid monoid = form.monoid;
  if (input->onnxType == Bool && monoid != Monoid::Max && monoid != Monoid::Min)
    return im.refuse("elements of type bool are not supported");
  if (input->onnxType == Bool)
    monoid = monoid == Monoid::Max ? Monoid::Any : Monoid::All;
  else if (isUnsigned(input->onnxType) &&
           (monoid == Monoid::Max || monoid == Monoid::Min))
    return im.refuse("unsigned elements are not supported");
  auto axes = reducedAxes(im, *input, inputSince);
  if (failed(axes))
    return failure();
  FailureOr<Tensor> y = *input;
  if (form.before)
    y = mapUnary(im, *y, y->onnxType, form.before);
  if (failed(y))
    return failure();
  bool keep = im.node().getInt("keepdims", 1);
  if (!axes->empty()) {
    y = form.mean ? mean(im, *y, *axes, keep)
                  : im.reduce(monoid, *y, *axes, keep);
    if (failed(y))
      return failure();
  }
  if (form.after)
    y = mapUnary(im, *y, y->onnxType, form.after);
  return setResult(im, std::move(y));
}

static LogicalResult importSum(Importer &im) { return reduce<13>(im, {}); }
static LogicalResult importMean(Importer &im) {
  return reduce<18>(im, {.mean = true});
}
static LogicalResult importMax(Importer &im) {
  return reduce<18>(im, {.monoid = Monoid::Max});
}
static LogicalResult importMin(Importer &im) {
  return reduce<18>(im, {.monoid = Monoid::Min});
}
static LogicalResult importProd(Importer &im) {
  return reduce<18>(im, {.monoid = Monoid::Prod});
}
static LogicalResult importL1(Importer &im) {
  return reduce<18>(im, {.before = [](Element a) { return abs(a); }});
}
static LogicalResult importL2(Importer &im) {
  return reduce<18>(im, {.before = [](Element a) { return a * a; },
                         .after = [](Element a) { return sqrt(a); },
                         .integers = false});
}
static LogicalResult importSumSquare(Importer &im) {
  return reduce<18>(im, {.before = [](Element a) { return a * a; }});
}
static LogicalResult importLogSum(Importer &im) {
  return reduce<18>(
      im, {.after = [](Element a) { return log(a); }, .integers = false});
}

/// max + log(sum(exp(x - max))), with 0 for a maximum that is not finite.
static LogicalResult importLogSumExp(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  auto axes = reducedAxes(im, *x, 18);
  if (failed(axes))
    return failure();
  if (axes->empty()) {
    im.setOutput(0, *x);
    return success();
  }
  bool keep = im.node().getInt("keepdims", 1);
  auto top = im.reduce(Monoid::Max, *x, *axes, true);
  auto edge = im.reduce(Monoid::Max, *x, *axes, keep);
  if (failed(top) || failed(edge))
    return failure();
  auto finite = [](Element a) {
    return equal(abs(a), a.constant(INFINITY)).select(a.constant(0), a);
  };
  auto powers = mapBinary(im, *x, *top, x->onnxType, [&](Element a, Element b) {
    return exp(a - finite(b));
  });
  if (failed(powers))
    return failure();
  auto sum = im.reduce(Monoid::Sum, *powers, *axes, keep);
  if (failed(sum))
    return failure();
  return setResult(
      im, mapBinary(im, *sum, *edge, x->onnxType,
                    [&](Element a, Element b) { return log(a) + finite(b); }));
}

//===----------------------------------------------------------------------===//
// Positions, running sums, norms
//===----------------------------------------------------------------------===//

static LogicalResult argument(Importer &im, Monoid monoid) {
  const Tensor *x = required(im, 0);
  if (!x)
    return failure();
  if (failed(requireAxes(im, *x)))
    return failure();
  if (im.node().getInt("select_last_index", 0))
    return im.refuse("select_last_index = 1 is not supported");
  if (isUnsigned(x->onnxType) || !im.elementType(x->onnxType))
    return im.refuse("elements of type " + dataTypeName(x->onnxType) +
                     " are not supported");
  auto axis = im.axisOf(im.node().getInt("axis", 0), x->rank());
  if (failed(axis))
    return failure();
  return setResult(
      im, im.reduce(monoid, *x, {*axis}, im.node().getInt("keepdims", 1)));
}
static LogicalResult importArgMax(Importer &im) {
  return argument(im, Monoid::ArgMax);
}
static LogicalResult importArgMin(Importer &im) {
  return argument(im, Monoid::ArgMin);
}

/// y[s] is the sum over t of x[t] where t <= s (or <, >=, >).
static LogicalResult importCumSum(Importer &im) {
  const Tensor *x = required(im, 0);
  auto given = im.constantInts(1, "axis");
  if (!x || failed(given) || failed(requireAxes(im, *x)))
    return failure();
  if (!im.elementType(x->onnxType) || given->size() != 1)
    return im.refuse("elements of type " + dataTypeName(x->onnxType) +
                     " are not supported");
  auto axis = im.axisOf((*given)[0], x->rank());
  if (failed(axis))
    return failure();
  bool exclusive = im.node().getInt("exclusive", 0),
       reverse = im.node().getInt("reverse", 0);
  Tensor source = withColumn(im, *x, *axis);
  Dim dim = source.dims[*axis];
  std::string s = dim.columns[0], t = im.newColumn(s, dim.extent);
  Tensor moved = im.rename(source, {{s, t}});
  Value first = keysOf(im, reverse ? s : t, dim.extent),
        second = keysOf(im, reverse ? t : s, dim.extent);
  Value kept =
      joinValues(im, {first, second}, im.builder.getI1Type(), [&](Elements v) {
        return exclusive ? less(v[0], v[1]) : lessEqual(v[0], v[1]);
      });
  Value sum = sumWhere(im, im.relation(moved), kept, t);
  im.setOutput(0, withRelation(source, sum, x->onnxType));
  return success();
}

/// x over its norm; zero where the norm is zero.
static LogicalResult importLpNormalization(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x || failed(requireAxes(im, *x)))
    return failure();
  int64_t p = im.node().getInt("p", 2);
  auto axis = im.axisOf(im.node().getInt("axis", -1), x->rank());
  if (failed(axis))
    return failure();
  if (p != 1 && p != 2)
    return im.refuse("p = " + Twine(p) + " is not supported");
  int type = x->onnxType;
  auto powers = mapUnary(im, *x, type,
                         [&](Element a) { return p == 1 ? abs(a) : a * a; });
  if (failed(powers))
    return failure();
  auto sum = im.reduce(Monoid::Sum, *powers, {*axis}, true);
  if (failed(sum))
    return failure();
  auto norm =
      mapUnary(im, *sum, type, [&](Element a) { return p == 1 ? a : sqrt(a); });
  if (failed(norm))
    return failure();
  return setResult(im, mapBinary(im, *x, *norm, type, [](Element a, Element b) {
                     Element zero = b.constant(0);
                     return equal(b, zero).select(zero, a / b);
                   }));
}

static const OpEntry reduceTable[] = {
    {"", "ArgMax", 1, 0, importArgMax, "no select_last_index"},
    {"", "ArgMin", 1, 0, importArgMin, "no select_last_index"},
    {"", "CumSum", 11, 0, importCumSum, "a constant axis"},
    {"", "LpNormalization", 1, 0, importLpNormalization, ""},
    {"", "ReduceL1", 1, 0, importL1, "constant axes"},
    {"", "ReduceL2", 1, 0, importL2, "constant axes; floats only"},
    {"", "ReduceLogSum", 1, 0, importLogSum, "constant axes; floats only"},
    {"", "ReduceLogSumExp", 1, 0, importLogSumExp,
     "constant axes; floats only"},
    {"", "ReduceMax", 1, 0, importMax, "constant axes; no unsigned numbers"},
    {"", "ReduceMean", 1, 0, importMean, "constant axes"},
    {"", "ReduceMin", 1, 0, importMin, "constant axes; no unsigned numbers"},
    {"", "ReduceProd", 1, 0, importProd, "constant axes"},
    {"", "ReduceSum", 1, 0, importSum, "constant axes"},
    {"", "ReduceSumSquare", 1, 0, importSumSquare, "constant axes"},
};

ArrayRef<OpEntry> onnx_import::reductionOps() {
  static const std::vector<OpEntry> table = concat({reduceTable, poolingOps(), topKOps()});
  return table;
}
