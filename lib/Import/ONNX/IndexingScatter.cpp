//===- IndexingScatter.cpp - Scatter where it writes a box ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace {
/// Along one dimension of the data, keys [start, start + count) are written.
/// They lie along dimension `dim` of the indices, or are just one key.
struct Side {
  SymExpr start, count = 1;
  std::optional<unsigned> dim;
};
} // namespace

/// The index component as a run of keys along one dimension of the indices. Negative
/// ones count from the end of the data's dimension.
static std::optional<Side> sideOf(Importer &importer, const Tensor &part,
                                  const SymExpr &extent) {
  if (!part.poly)
    return std::nullopt;
  std::set<std::string> names;
  importer.impl->keysOf(*part.poly, names);
  if (names.size() > 1)
    return std::nullopt;
  Side side;
  side.start = *part.poly;
  if (!names.empty())
    side.start = side.start - SymExpr::key(*names.begin());
  side.start = importer.simplify(side.start);
  if (side.start.hasKeys())
    return std::nullopt;
  if (importer.isLess(side.start, 0))
    side.start = importer.simplify(side.start + extent);
  if (!importer.isNonNegative(side.start))
    return std::nullopt;
  if (names.empty())
    return side;
  for (auto [i, dim] : llvm::enumerate(part.dims))
    if (dim.columns.size() == 1 && dim.columns[0] == *names.begin())
      side.dim = i;
  if (!side.dim)
    return std::nullopt;
  side.count = part.dims[*side.dim].extent;
  return side;
}

/// `data` with the box of `sides` from dimension `i` on replaced by `updates`,
/// whose dimensions are the data's.
static FailureOr<Tensor> writeBox(Importer &importer, const Tensor &data,
                                  ArrayRef<Side> sides, unsigned i,
                                  const Tensor &updates) {
  if (i == sides.size())
    return updates;
  const Side &side = sides[i];
  SymExpr extent = importer.simplify(data.dims[i].extent);
  SymExpr end = importer.simplify(side.start + side.count);
  if (failed(importer.requireAtMost(end, extent, "the scattered keys")))
    return failure();
  auto inner = writeBox(
      importer, sliceOf(importer, data, i, side.start, 1, side.count), sides,
      i + 1, updates);
  if (failed(inner))
    return failure();
  SymExpr rest = importer.simplify(extent - end);
  Tensor before = sliceOf(importer, data, i, 0, 1, side.start);
  Tensor after = sliceOf(importer, data, i, end, 1, rest);
  std::vector<const Tensor *> pieces;
  if (!side.start.isConst(0))
    pieces.push_back(&before);
  pieces.push_back(&*inner);
  if (!rest.isConst(0))
    pieces.push_back(&after);
  if (pieces.size() == 1)
    return inner;
  return unite(importer, pieces, i);
}

static LogicalResult refuseReduction(Importer &importer) {
  std::string reduction = importer.node().getString("reduction", "none");
  if (reduction != "none")
    return importer.refuse("reduction '" + reduction + "' is not supported");
  return success();
}

static LogicalResult importScatterND(Importer &importer) {
  const Tensor data = *importer.input(0), index = *importer.input(1);
  Tensor updates = *importer.input(2);
  if (failed(refuseReduction(importer)))
    return failure();
  auto count = index.rank() ? index.dims.back().extent.asConst() : std::nullopt;
  if (!count || *count < 1 || *count > data.rank())
    return importer.refuse("the length of the index tuples does not fit");
  int64_t outer = index.rank() - 1;
  if (updates.rank() != outer + data.rank() - *count)
    return importer.refuse("the updates' rank does not fit");
  std::vector<Side> sides;
  SmallVector<bool> used(outer, false);
  for (int64_t k = 0; k < *count; ++k) {
    auto side =
        sideOf(importer, lastOf(importer, index, k), data.dims[k].extent);
    if (!side || (side->dim && used[*side->dim]))
      return importer.refuse("the indices depend on data, or are not runs of "
                             "keys along different dimensions");
    if (side->dim)
      used[*side->dim] = true;
    sides.push_back(*side);
  }
  for (int64_t i = 0; i < outer; ++i)
    if (!used[i] && !index.dims[i].extent.isConst(1))
      return importer.refuse("the same elements are written more than once");
  // The updates with the data's dimensions.
  Dims dims;
  for (const Side &side : sides)
    dims.push_back(side.dim ? updates.dims[*side.dim] : Dim{1, {}});
  dims.append(updates.dims.begin() + outer, updates.dims.end());
  updates = viewOf(importer, updates, std::move(dims));
  auto result = writeBox(importer, data, sides, 0, updates);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

/// Along all axes but one the updates go to the keys that they have.
static LogicalResult importScatterElements(Importer &importer) {
  const Tensor data = *importer.input(0), index = *importer.input(1),
               updates = *importer.input(2);
  if (failed(refuseReduction(importer)))
    return failure();
  auto axis = importer.axisOf(importer.node().getInt("axis", 0), data.rank());
  if (failed(axis))
    return failure();
  if (data.rank() == 0 || index.rank() != data.rank() ||
      updates.rank() != data.rank())
    return importer.refuse("the ranks of data, indices and updates differ");
  std::vector<Side> sides;
  for (int64_t i = 0; i < data.rank(); ++i) {
    if (failed(importer.requireEqual(index.dims[i].extent,
                                     updates.dims[i].extent,
                                     "sizes of indices and updates")))
      return failure();
    sides.push_back({SymExpr(0), index.dims[i].extent, unsigned(i)});
  }
  auto side = sideOf(importer, index, data.dims[*axis].extent);
  bool once = side && (side->dim ? *side->dim == unsigned(*axis)
                                 : index.dims[*axis].extent.isConst(1));
  if (!once)
    return importer.refuse("the indices depend on data, or are not a run of "
                           "keys along the axis");
  sides[*axis] = *side;
  auto result = writeBox(importer, data, sides, 0, updates);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::scatterOps() {
  static const OpEntry entries[] = {
      {"", "Scatter", 9, 10, importScatterElements,
       "the indices must be a run of keys along the axis"},
      {"", "ScatterElements", 11, 0, importScatterElements,
       "the indices must be a run of keys along the axis"},
      {"", "ScatterND", 11, 0, importScatterND,
       "the indices must be runs of keys known from the shapes"},
  };
  return entries;
}
