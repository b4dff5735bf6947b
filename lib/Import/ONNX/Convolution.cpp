//===- Convolution.cpp - Conv ---------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

/// Windows of the operand against the kernel: a contraction over channels and
/// positions in the window. Groups are a digit of both channel dimensions.
FailureOr<Tensor> onnx_import::convolve(Importer &im, const Tensor &input,
                                        const Tensor &weight,
                                        const Tensor *bias) {
  int64_t spatial = weight.rank() - 2;
  if (spatial < 1 || input.rank() != weight.rank())
    return im.refuse("the operand has rank " + Twine(input.rank()) +
                     ", the kernel " + Twine(weight.rank()));
  SmallVector<int64_t> kernel;
  for (const Dim &dim : ArrayRef(weight.dims).drop_front(2)) {
    auto extent = dim.extent.asConst();
    if (!extent)
      return im.refuse("the kernel's shape is not known at compile time");
    kernel.push_back(*extent);
  }
  std::vector<int64_t> stated = im.node().getInts("kernel_shape");
  if (!stated.empty() && ArrayRef(stated) != ArrayRef(kernel))
    return im.refuse("kernel_shape differs from the kernel's shape");
  auto windows = windowsOf(im, input, kernel);
  if (failed(windows))
    return failure();

  int64_t groups = im.node().getInt("group", 1);
  auto filters = weight.dims[0].extent.asConst(),
       channels = weight.dims[1].extent.asConst();
  if (groups < 1 || !filters || !channels || *filters % groups)
    return im.refuse("group = " + Twine(groups) +
                     " does not divide the number of filters");
  if (failed(im.requireEqual(input.dims[1].extent, *channels * groups,
                             "the channels fit the kernel")))
    return failure();
  FailureOr<Tensor> x = applyWindows(im, input, *windows, 0), w = weight;
  // Labels: batch, group, channel, filter, then outputs, then positions.
  enum { B, G, C, M, spatialLabels };
  SmallVector<int> ofX{B}, ofW, ofY{B};
  if (groups > 1) {
    x = splitDim(im, *x, 1, {groups, *channels}, {"g", "c"});
    w = splitDim(im, *w, 0, {groups, *filters / groups}, {"g", "m"});
    if (failed(x) || failed(w))
      return failure();
    for (SmallVector<int> *labels : {&ofX, &ofW, &ofY})
      labels->push_back(G);
  }
  ofX.push_back(C);
  ofW.append({M, C});
  ofY.push_back(M);
  for (int i = 0; i < spatial; ++i) {
    ofX.push_back(spatialLabels + i);
    ofY.push_back(spatialLabels + i);
  }
  for (int i = 0; i < spatial; ++i) {
    ofX.push_back(spatialLabels + spatial + i);
    ofW.push_back(spatialLabels + spatial + i);
  }
  FailureOr<Tensor> y = product(im, *x, ofX, &*w, ofW, ofY);
  if (failed(y))
    return failure();
  if (groups > 1)
    y = mergeDims(im, *y, 1);
  if (bias) {
    if (bias->rank() != 1)
      return im.refuse("the bias has rank " + Twine(bias->rank()));
    Tensor spread = *bias;
    for (int i = 0; i < spatial; ++i)
      spread = insertUnitDim(im, spread, spread.rank());
    y = add(im, *y, spread);
  }
  return y;
}

static LogicalResult importConv(Importer &im) {
  const Tensor *x = requiredFloat(im, 0), *w = requiredFloat(im, 1);
  if (!x || !w)
    return failure();
  return setResult(im, convolve(im, *x, *w, im.input(2)));
}

static const OpEntry table[] = {
    {"", "Conv", 1, 0, importConv,
     "the kernel's shape must be known at compile time"},
};

ArrayRef<OpEntry> onnx_import::convolutionOps() { return table; }
