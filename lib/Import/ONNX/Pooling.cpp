//===- Pooling.cpp - Pooling ----------------------------------------------===//
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

static LogicalResult importGlobal(Importer &im, bool average) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  if (x->rank() < 3)
    return im.refuse("an operand of rank " + Twine(x->rank()));
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < x->rank(); ++i)
    axes.push_back(i);
  return setResult(im, average ? mean(im, *x, axes, true)
                               : im.reduce(Monoid::Max, *x, axes, true));
}
static LogicalResult importGlobalAveragePool(Importer &im) {
  return importGlobal(im, true);
}
static LogicalResult importGlobalMaxPool(Importer &im) {
  return importGlobal(im, false);
}

/// Folds the positions in the windows, which are the last dimensions.
static FailureOr<Tensor> fold(Importer &im, Monoid monoid, const Tensor &x,
                              size_t count) {
  SmallVector<int64_t> axes;
  for (size_t i = 0; i < count; ++i)
    axes.push_back(x.rank() - count + i);
  return im.reduce(monoid, x, axes, false);
}

static LogicalResult importMaxPool(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x || failed(refuseOutputs(im, {{1, "Indices"}})))
    return failure();
  std::vector<int64_t> kernel = im.node().getInts("kernel_shape");
  auto windows = windowsOf(im, *x, kernel);
  if (failed(windows))
    return failure();
  Tensor view = applyWindows(im, *x, *windows, -INFINITY);
  return setResult(im, fold(im, Monoid::Max, view, kernel.size()));
}

static LogicalResult importAveragePool(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  std::vector<int64_t> kernel = im.node().getInts("kernel_shape");
  auto windows = windowsOf(im, *x, kernel);
  if (failed(windows))
    return failure();
  auto sum =
      fold(im, Monoid::Sum, applyWindows(im, *x, *windows, 0), kernel.size());
  if (failed(sum))
    return failure();
  int64_t size = 1;
  bool inside = true;
  for (const Window &window : *windows) {
    size *= window.kernel;
    inside &= window.inside;
  }
  bool all = im.node().getInt("count_include_pad", 0);
  if (inside || (all && !im.node().getInt("ceil_mode", 0)))
    return setResult(im, divideByExtent(im, *sum, size));
  // The number of elements under each window: the same windows over ones. What
  // a last window reads beyond the padding never counts.
  Tensor ones = im.scalar(1, x->onnxType);
  ones.dims.append(2, Dim{1, {}});
  for (auto [i, window] : llvm::enumerate(*windows)) {
    SymExpr extent = x->dims[i + 2].extent;
    if (all) {
      extent = extent + window.pad + window.padEnd;
      window.pad = 0;
    }
    ones.dims.push_back({extent, {}});
  }
  auto count =
      fold(im, Monoid::Sum, applyWindows(im, ones, *windows, 0), kernel.size());
  if (failed(count))
    return failure();
  return setResult(im, mapBinary(im, *sum, *count, x->onnxType,
                                 [](Element a, Element b) { return a / b; }));
}

static const OpEntry table[] = {
    {"", "AveragePool", 1, 0, importAveragePool, ""},
    {"", "GlobalAveragePool", 1, 0, importGlobalAveragePool, ""},
    {"", "GlobalMaxPool", 1, 0, importGlobalMaxPool, ""},
    {"", "MaxPool", 1, 0, importMaxPool, "no output Indices"},
};

ArrayRef<OpEntry> onnx_import::poolingOps() { return table; }
