//===- BuildingWindows.cpp - Sliding windows ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

namespace joinery::onnx_import {

/// The attribute's value for each of `count` dimensions, or a refusal.
static FailureOr<std::vector<int64_t>>
perDimension(Importer &im, StringRef name, size_t count, int64_t otherwise) {
  std::vector<int64_t> values = im.node().getInts(name);
  if (values.empty())
    values.assign(count, otherwise);
  if (values.size() != count)
    return im.refuse(name + " has " + Twine(values.size()) +
                     " values where there are " + Twine(count) + " dimensions");
  for (int64_t value : values)
    if (value < 0 || (otherwise > 0 && value == 0) || value > INT32_MAX)
      return im.refuse(name + " holds " + Twine(value));
  return values;
}

FailureOr<SmallVector<Window>> windowsOf(Importer &im, const Tensor &x,
                                         ArrayRef<int64_t> kernel) {
  const Node &node = im.node();
  size_t count = kernel.size();
  if (x.rank() != int64_t(count) + 2)
    return im.refuse("the operand's rank does not fit the kernel's");
  auto strides = perDimension(im, "strides", count, 1);
  auto dilations = perDimension(im, "dilations", count, 1);
  auto pads = perDimension(im, "pads", 2 * count, 0);
  if (failed(strides) || failed(dilations) || failed(pads))
    return failure();
  std::string mode = node.getString("auto_pad", "NOTSET");
  bool explicitly = mode == "NOTSET" || mode.empty();
  if (!explicitly && mode != "VALID" && mode != "SAME_UPPER" &&
      mode != "SAME_LOWER")
    return im.refuse("auto_pad = '" + mode + "' is not known");
  bool ceil = node.getInt("ceil_mode", 0);

  SmallVector<Window> windows;
  for (size_t i = 0; i < count; ++i) {
    if (kernel[i] <= 0 || kernel[i] > INT32_MAX)
      return im.refuse("a kernel of extent " + Twine(kernel[i]));
    Window window{0, 0, 0, kernel[i], (*strides)[i], (*dilations)[i], true};
    const SymExpr &extent = x.dims[i + 2].extent;
    int64_t reach = (kernel[i] - 1) * window.dilation + 1;
    if (explicitly || mode == "VALID") {
      int64_t begin = explicitly ? (*pads)[i] : 0,
              end = explicitly ? (*pads)[count + i] : 0;
      SymExpr room = extent + SymExpr(begin + end - reach);
      if (failed(im.requireAtMost(SymExpr(0) - room, window.stride,
                                  "the windows fit the operand")))
        return failure();
      window.pad = begin;
      window.padEnd = end;
      window.inside = begin == 0 && end == 0;
      window.output = SymExpr::floorDiv(room, window.stride) + SymExpr(1);
      if (ceil && window.stride > 1) {
        // A window must not start in the padding at the end.
        window.output = im.simplify(SymExpr::min(
            SymExpr::ceilDiv(room, window.stride) + SymExpr(1),
            SymExpr::ceilDiv(extent + SymExpr(begin), window.stride)));
        window.inside &= im.isNonNegative(
            room - (window.output - SymExpr(1)) * SymExpr(window.stride));
      }
    } else {
      window.output = SymExpr::ceilDiv(extent, window.stride);
      SymExpr last = (window.output - SymExpr(1)) * SymExpr(window.stride);
      SymExpr total = im.simplify(last + SymExpr(reach) - extent);
      if (!im.isNonNegative(total))
        total = SymExpr::max(total, 0);
      SymExpr half = SymExpr::floorDiv(total, 2);
      window.pad = mode == "SAME_UPPER" ? half : total - half;
      window.padEnd = total - window.pad;
      window.inside = total.isConst(0);
    }
    window.output = im.simplify(window.output);
    windows.push_back(window);
  }
  return windows;
}

/// Dimension `i` becomes (output, kernel), read at
/// output*stride + kernel*dilation - pad.
static Tensor windowDim(Importer &im, const Tensor &x, unsigned i,
                        const Window &window, double otherwise) {
  Tensor source = withColumn(im, x, i);
  std::string column = source.dims[i].columns[0];
  Dim output = im.newDim(column, window.output),
      kernel = im.newDim("w", window.kernel);
  SymExpr key = SymExpr(0) - window.pad;
  SmallVector<Column> columns;
  auto add = [&](const Dim &dim, int64_t factor) {
    if (dim.columns.empty())
      return;
    key = key + SymExpr(factor) * SymExpr::key(dim.columns[0]);
    columns.push_back(
        Column(im.builder.getContext(), dim.columns[0], dim.extent));
  };
  add(output, window.stride);
  add(kernel, window.dilation);
  Value value = im.relation(source);
  TypedAttr fallback;
  if (!window.inside)
    fallback = im.builder.getFloatAttr(
        cast<RelType>(value.getType()).getElementType(), otherwise);
  Tensor result = withRelation(
      source, rekey(im, value, {{column, key}}, columns, fallback), x.onnxType);
  result.dims[i] = output;
  result.dims.push_back(kernel);
  return result;
}

Tensor applyWindows(Importer &im, const Tensor &x, ArrayRef<Window> windows,
                    double otherwise) {
  Tensor result = x;
  for (auto [i, window] : llvm::enumerate(windows))
    result = windowDim(im, result, i + 2, window, otherwise);
  return result;
}

} // namespace joinery::onnx_import
