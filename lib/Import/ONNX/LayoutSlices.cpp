//===- LayoutSlices.cpp - Split and Slice ---------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

static LogicalResult importSplit(Importer &importer) {
  const Node &node = importer.node();
  const Tensor x = *importer.input(0);
  auto axis = importer.axisOf(node.getInt("axis", 0), x.rank());
  if (failed(axis))
    return failure();
  SymExpr total = importer.simplify(x.dims[*axis].extent);
  std::vector<SymExpr> sizes;
  if (node.opset() < 13) {
    for (int64_t size : node.getInts("split"))
      sizes.push_back(size);
  } else if (node.hasInput(1)) {
    auto given = importer.symbolicElements(*importer.input(1));
    if (!given)
      return importer.refuse("the sizes of the split depend on data");
    sizes = *given;
  }
  int64_t count = node.numOutputs();
  if (sizes.empty()) {
    // Equal pieces; the last may be smaller.
    SymExpr size = SymExpr::ceilDiv(total, count);
    if (auto exact = total.exactDiv(count))
      size = *exact;
    else if (!total.isConst())
      return importer.refuse("a dimension of size " + total.str() +
                             " can't be proved to split into " + Twine(count) +
                             " equal pieces");
    for (int64_t i = 0; i + 1 < count; ++i)
      sizes.push_back(size);
    sizes.push_back(total - size * SymExpr(count - 1));
  }
  if (int64_t(sizes.size()) != count)
    return importer.refuse("the split names " + Twine(sizes.size()) +
                           " sizes for " + Twine(count) + " outputs");
  SymExpr sum;
  for (const SymExpr &size : sizes) {
    if (!importer.isNonNegative(size))
      return importer.refuse("a piece of the split has size " + size.str());
    sum = sum + size;
  }
  if (failed(importer.requireEqual(sum, total, "the sizes of the split")))
    return failure();
  SymExpr start;
  for (int64_t i = 0; i < count; ++i) {
    importer.setOutput(i, sliceOf(importer, x, *axis, start, 1, sizes[i]));
    start = importer.simplify(start + sizes[i]);
  }
  return success();
}

/// Bounds beyond this mean "to the end".
static constexpr int64_t farAway = (int64_t(1) << 31) - 1;

/// One bound of a slice, counted from the front and within the dimension. What
/// can't be proved to lie within becomes an obligation of the border, except
/// that an upper end is clamped. So does a sign that isn't known: x[-S:] counts
/// back where S > 0, and x[128 - S:] from the front where S <= 128.
static FailureOr<SymExpr> sliceBound(Importer &importer, const SymExpr &bound,
                                     const SymExpr &extent, bool isEnd) {
  auto number = bound.asConst();
  if (number && *number >= farAway)
    return extent;
  if (number && *number <= -farAway)
    return SymExpr(0);
  bool back = importer.isNonNegative(-bound) && !bound.isConst(0);
  if (!back) {
    if (failed(importer.requireNonNegative(
            bound, "a bound of the slice is not negative")))
      return failure();
    if (importer.isNonNegative(extent - bound))
      return bound;
    if (isEnd || extent.isConst())
      return importer.simplify(SymExpr::min(bound, extent));
    if (failed(importer.requireAtMost(bound, extent, "the start of the slice")))
      return failure();
    return bound;
  }
  SymExpr counted = importer.simplify(extent + bound);
  // The first key, from either side.
  if (counted.isConst(0))
    return counted;
  if (failed(importer.requireAtMost(1, -bound,
                                    "a slice counts back by at least 1")))
    return failure();
  if (importer.isNonNegative(counted))
    return counted;
  if (extent.isConst())
    return importer.simplify(SymExpr::max(counted, 0));
  if (failed(importer.requireAtMost(-bound, extent,
                                    "the length that a slice counts back")))
    return failure();
  return counted;
}

static LogicalResult importSlice(Importer &importer) {
  const Node &node = importer.node();
  Tensor x = *importer.input(0);
  auto list = [&](unsigned i,
                  StringRef name) -> std::optional<std::vector<SymExpr>> {
    if (node.opset() >= 10)
      return node.hasInput(i) ? importer.symbolicElements(*importer.input(i))
                              : std::nullopt;
    if (!node.hasAttr(name))
      return std::nullopt;
    std::vector<SymExpr> values;
    for (int64_t value : node.getInts(name))
      values.push_back(value);
    return values;
  };
  auto starts = list(1, "starts"), ends = list(2, "ends");
  if (!starts || !ends || starts->size() != ends->size())
    return importer.refuse("the bounds of the slice depend on data");
  std::vector<int64_t> axes, steps(starts->size(), 1);
  bool hasAxes = node.opset() >= 10 ? node.hasInput(3) : node.hasAttr("axes");
  if (hasAxes) {
    auto given = list(3, "axes");
    for (size_t i = 0; given && i < given->size(); ++i)
      axes.push_back((*given)[i].asConst().value_or(INT64_MAX));
  } else {
    for (size_t i = 0; i < starts->size(); ++i)
      axes.push_back(i);
  }
  if (node.opset() >= 10 && node.hasInput(4)) {
    auto given = importer.constantInts(4, "steps");
    if (failed(given))
      return failure();
    steps = *given;
  }
  if (axes.size() != starts->size() || steps.size() != starts->size())
    return importer.refuse("axes and steps have other lengths than the bounds");
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = importer.axisOf(axes[i], x.rank());
    if (failed(axis))
      return failure();
    SymExpr extent = importer.simplify(x.dims[*axis].extent);
    int64_t step = steps[i];
    if (step == 0 || step == INT64_MIN)
      return importer.refuse("a step of the slice is 0");
    SymExpr start, count;
    if (step > 0) {
      auto first = sliceBound(importer, (*starts)[i], extent, false);
      auto end = sliceBound(importer, (*ends)[i], extent, true);
      if (failed(first) || failed(end))
        return failure();
      start = *first;
      count = importer.simplify(SymExpr::ceilDiv(*end - start, step));
      if (extent.isConst(1) && !count.isConst()) {
        // Who cuts a single key by other sizes keeps it for broadcasting.
        if (failed(importer.requireAtMost(1, count,
                                          "the slice keeps its only key")))
          return failure();
        start = 0;
        count = 1;
      }
    } else {
      // Backwards: from min(start, E-1) down to, not including, the end.
      auto from = (*starts)[i].asConst(), to = (*ends)[i].asConst();
      if (!from || !to)
        return importer.refuse("a backward slice has computed bounds");
      auto endAfter = [&](int64_t key) {
        return sliceBound(importer,
                          key == -1 ? INT64_MAX : key + (key < farAway), extent,
                          /*isEnd=*/true);
      };
      auto last = endAfter(*from);
      SymExpr stop(0); // one after the last key read, counted from the front
      if (*to > -farAway) {
        auto bound = endAfter(*to);
        if (failed(bound))
          return failure();
        stop = *bound;
      }
      if (failed(last))
        return failure();
      start = *last - SymExpr(1);
      count = importer.simplify(SymExpr::ceilDiv(*last - stop, -step));
    }
    if (!importer.isNonNegative(count))
      count = importer.simplify(SymExpr::max(count, 0));
    x = sliceOf(importer, x, *axis, start, step, count);
  }
  importer.setOutput(0, std::move(x));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::sliceOps() {
  static const OpEntry entries[] = {
      {"", "Split", 2, 0, importSplit, "sizes that depend on data are refused",
       true},
      {"", "Slice", 1, 0, importSlice,
       "bounds that depend on data are refused", true},
  };
  return entries;
}
