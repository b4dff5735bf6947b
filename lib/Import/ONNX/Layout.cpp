//===- Layout.cpp - Operators that change only the view -------------------===//
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

//===----------------------------------------------------------------------===//
// Reshape, Flatten
//===----------------------------------------------------------------------===//

static LogicalResult importReshape(Importer &importer) {
  const Tensor &x = *importer.input(0);
  std::optional<std::vector<SymExpr>> target;
  if (importer.node().hasInput(1)) {
    target = importer.symbolicElements(*importer.input(1));
  } else {
    target.emplace();
    for (int64_t extent : importer.node().getInts("shape"))
      target->push_back(extent);
  }
  if (!target)
    return importer.refuse("the target shape depends on data");
  bool allowZero = importer.node().getInt("allowzero", 0);
  SymExpr product(1);
  std::optional<size_t> open;
  for (auto [i, extent] : llvm::enumerate(*target)) {
    if (extent.isConst(-1)) {
      if (open)
        return importer.refuse("the target shape has more than one -1");
      open = i;
      continue;
    }
    if (extent.isConst(0) && !allowZero) {
      if (int64_t(i) >= x.rank())
        return importer.refuse("the target shape copies a dimension that the "
                               "operand lacks");
      extent = x.dims[i].extent;
    }
    if (!importer.isNonNegative(extent) &&
        failed(importer.requireAtMost(0, extent, "a size of the reshape")))
      return failure();
    product = product * importer.simplify(extent);
  }
  SymExpr total = importer.simplify(sizeOf(x));
  if (open) {
    if (product.isConst(0))
      return importer.refuse("the target shape has both 0 and -1");
    SymExpr extent = importer.simplify(SymExpr::floorDiv(total, product));
    if (importer.simplify(extent * product - total) != SymExpr(0)) {
      // The same factors may be there under two names.
      if (failed(importer.requireEqual(extent * product, total,
                                       "the size of the reshaped tensor")))
        return failure();
    }
    (*target)[*open] = extent;
  }
  auto result = reshapeTo(importer, x, *target);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

static LogicalResult importFlatten(Importer &importer) {
  const Tensor &x = *importer.input(0);
  int64_t axis = importer.node().getInt("axis", 1);
  if (axis < -x.rank() || axis > x.rank())
    return importer.refuse("axis " + Twine(axis) +
                           " is out of range for rank " + Twine(x.rank()));
  if (axis < 0)
    axis += x.rank();
  SymExpr rows(1), columns(1);
  for (auto [i, dim] : llvm::enumerate(x.dims))
    (int64_t(i) < axis ? rows : columns) =
        (int64_t(i) < axis ? rows : columns) * dim.extent;
  auto result = reshapeTo(importer, x, {rows, columns});
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

//===----------------------------------------------------------------------===//
// Transpose, Squeeze, Unsqueeze
//===----------------------------------------------------------------------===//

static LogicalResult importTranspose(Importer &importer) {
  const Tensor &x = *importer.input(0);
  std::vector<int64_t> perm = importer.node().getInts("perm");
  if (perm.empty() && !importer.node().hasAttr("perm"))
    for (int64_t i = x.rank(); i-- > 0;)
      perm.push_back(i);
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (auto [i, axis] : llvm::enumerate(sorted))
    if (int64_t(i) != axis || int64_t(sorted.size()) != x.rank())
      return importer.refuse("perm is not a permutation of the dimensions");
  if (int64_t(sorted.size()) != x.rank())
    return importer.refuse("perm is not a permutation of the dimensions");
  if (std::is_sorted(perm.begin(), perm.end())) {
    importer.setOutput(0, Tensor(x));
    return success();
  }
  Dims dims;
  for (int64_t axis : perm)
    dims.push_back(x.dims[axis]);
  if (x.elements && !x.poly) {
    importer.setOutput(0, pickElements(importer, x, std::move(dims),
                                       [&](MutableArrayRef<int64_t> key) {
                                         SmallVector<int64_t> result(key);
                                         for (auto [i, axis] :
                                              llvm::enumerate(perm))
                                           key[axis] = result[i];
                                       }));
    return success();
  }
  importer.setOutput(0, viewOf(importer, x, std::move(dims)));
  return success();
}

static LogicalResult importSqueeze(Importer &importer) {
  const Tensor &x = *importer.input(0);
  auto axes = importer.axes(1, 13, x.rank());
  if (failed(axes))
    return failure();
  bool given = importer.node().opset() < 13 ? importer.node().hasAttr("axes")
                                            : importer.node().hasInput(1);
  Dims dims;
  std::map<std::string, SymExpr> map;
  for (auto [i, dim] : llvm::enumerate(x.dims)) {
    bool drop = given ? llvm::is_contained(*axes, int64_t(i))
                      : dim.extent.isConst(1);
    if (!drop) {
      dims.push_back(dim);
      continue;
    }
    if (failed(importer.requireEqual(dim.extent, 1,
                                     "the size of a squeezed dimension")))
      return failure();
    for (const std::string &column : dim.columns)
      map[column] = 0;
  }
  importer.setOutput(0, map.empty() ? viewOf(importer, x, std::move(dims))
                                    : importer.remap(x, map, std::move(dims)));
  return success();
}

static LogicalResult importUnsqueeze(Importer &importer) {
  const Tensor &x = *importer.input(0);
  size_t count = importer.node().getInts("axes").size();
  if (importer.node().opset() >= 13) {
    auto values = importer.constantInts(1, "axes");
    if (failed(values))
      return failure();
    count = values->size();
  }
  auto axes = importer.axes(1, 13, x.rank() + int64_t(count));
  if (failed(axes))
    return failure();
  Dims dims;
  size_t next = 0;
  for (size_t i = 0; i < x.rank() + axes->size(); ++i)
    if (llvm::is_contained(*axes, int64_t(i)))
      dims.push_back({1, {}});
    else
      dims.push_back(x.dims[next++]);
  importer.setOutput(0, viewOf(importer, x, std::move(dims)));
  return success();
}

static LogicalResult importExpand(Importer &importer) {
  auto shape = importer.symbolicElements(*importer.input(1));
  if (!shape)
    return importer.refuse("the target shape depends on data");
  auto result = expandTo(importer, *importer.input(0), *shape);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

//===----------------------------------------------------------------------===//
// Tile, DepthToSpace, SpaceToDepth
//===----------------------------------------------------------------------===//

static LogicalResult importTile(Importer &importer) {
  const Tensor &x = *importer.input(0);
  auto repeats = importer.symbolicElements(*importer.input(1));
  if (!repeats || int64_t(repeats->size()) != x.rank())
    return importer.refuse("the repeats depend on data");
  Tensor source = x;
  Dims dims;
  bool same = true;
  for (auto [dim, repeat] : llvm::zip_equal(x.dims, *repeats)) {
    if (!importer.isNonNegative(repeat))
      return importer.refuse("a dimension is repeated " + repeat.str() +
                             " times");
    Dim tiled{importer.simplify(dim.extent * repeat), dim.columns};
    same &= repeat.isConst(1);
    // The number of the copy is a digit that the relation is constant along.
    if (!repeat.isConst(1) && !dim.columns.empty())
      tiled.columns.insert(tiled.columns.begin(),
                           importer.newColumn("r", repeat));
    dims.push_back(std::move(tiled));
  }
  if (!same) {
    if (!source.poly && !source.relation)
      source.relation = importer.relation(source);
    source.elements.reset();
    source.constant = nullptr;
  }
  importer.setOutput(0, viewOf(importer, source, std::move(dims)));
  return success();
}

static LogicalResult importDepthToSpace(Importer &importer) {
  const Tensor &x = *importer.input(0);
  const Node &node = importer.node();
  int64_t block = node.getInt("blocksize", 0);
  if (x.rank() != 4 || block <= 0)
    return importer.refuse("the operand has not four dimensions, or the block "
                           "no size");
  auto e = [&](unsigned i) { return importer.simplify(x.dims[i].extent); };
  bool toSpace = node.op() == "DepthToSpace";
  std::string mode = node.getString("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    return importer.refuse("the mode '" + mode + "' is neither DCR nor CRD");
  // Where the depth is among the digits of the channel: last, or first.
  bool depthFirst = mode == "CRD";
  SymExpr b(block), area(block * block);
  auto part = [&](const SymExpr &a, const SymExpr &by) {
    return importer.simplify(SymExpr::floorDiv(a, by));
  };
  std::vector<SymExpr> split, merged;
  SmallVector<int64_t> perm;
  if (toSpace && depthFirst) {
    split = {e(0), part(e(1), area), b, b, e(2), e(3)};
    perm = {0, 1, 4, 2, 5, 3};
  } else if (toSpace) {
    split = {e(0), b, b, part(e(1), area), e(2), e(3)};
    perm = {0, 3, 4, 1, 5, 2};
  } else {
    split = {e(0), e(1), part(e(2), b), b, part(e(3), b), b};
    perm = depthFirst ? SmallVector<int64_t>{0, 1, 3, 5, 2, 4}
                      : SmallVector<int64_t>{0, 3, 5, 1, 2, 4};
  }
  if (toSpace)
    merged = {e(0), part(e(1), area), e(2) * b, e(3) * b};
  else
    merged = {e(0), e(1) * area, part(e(2), b), part(e(3), b)};
  auto pieces = reshapeTo(importer, x, split);
  if (failed(pieces))
    return failure();
  Dims dims;
  for (int64_t i : perm)
    dims.push_back(pieces->dims[i]);
  auto result =
      reshapeTo(importer, viewOf(importer, *pieces, std::move(dims)), merged);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::layoutOps() {
  static const std::vector<OpEntry> entries = [] {
    std::vector<OpEntry> all = {
        {"", "Reshape", 1, 0, importReshape,
         "targets that depend on data are refused", true},
        {"", "Flatten", 1, 0, importFlatten, "", true},
        {"", "Transpose", 1, 0, importTranspose, "", true},
        {"", "Squeeze", 1, 0, importSqueeze, "", true},
        {"", "Unsqueeze", 1, 0, importUnsqueeze, "", true},
        {"", "Expand", 8, 0, importExpand,
         "targets that depend on data are refused", true},
        {"", "Tile", 6, 0, importTile,
         "repeats that depend on data are refused", true},
        {"", "DepthToSpace", 1, 0, importDepthToSpace, "", true},
        {"", "SpaceToDepth", 1, 0, importDepthToSpace, "", true},
    };
    for (ArrayRef<OpEntry> more : {sliceOps(), layoutBorderOps(), resizeOps()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return entries;
}
