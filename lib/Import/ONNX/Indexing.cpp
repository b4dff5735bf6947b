//===- Indexing.cpp - Gather and its kin ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

//===----------------------------------------------------------------------===//
// Columns of data and indices
//===----------------------------------------------------------------------===//

static void collectColumns(const Dims &dims, std::set<std::string> &names) {
  for (const Dim &dim : dims)
    names.insert(dim.columns.begin(), dim.columns.end());
}

/// Renames columns of `tensor` that are in `taken`; a stored one for nothing.
static Tensor avoid(Importer &importer, const Tensor &tensor,
                    const std::set<std::string> &taken) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const Dim &dim : tensor.dims)
    for (const std::string &column : dim.columns)
      if (taken.count(column))
        names.push_back(
            {column, importer.newColumn(
                         column, importer.impl->columns.at(column))});
  return names.empty() ? tensor : importer.rename(tensor, names);
}

static bool renamesFreely(const Tensor &tensor) {
  return !tensor.relation || tensor.relation.getDefiningOp<rel::ScanOp>();
}

/// Makes the columns of both differ: an index says nothing about the other
/// dimensions of the data, even if both come from one value.
static void separate(Importer &importer, Tensor &data, Tensor &index) {
  std::set<std::string> names;
  if (renamesFreely(data) && !renamesFreely(index)) {
    collectColumns(index.dims, names);
    data = avoid(importer, data, names);
  } else {
    collectColumns(data.dims, names);
    index = avoid(importer, index, names);
  }
}

//===----------------------------------------------------------------------===//
// Gather
//===----------------------------------------------------------------------===//

/// Elements of a shape, or one tensor of a stack.
static bool gatherElements(Importer &importer, const Tensor &data,
                           const Tensor &index, int64_t axis) {
  auto positions = importer.symbolicElements(index);
  if (!positions || index.rank() > 1)
    return false;
  bool last = !data.parts.empty() && axis + 1 == data.rank();
  if (!last && (!data.elements || data.rank() != 1))
    return false;
  int64_t size = last ? data.parts.size() : data.elements->size();
  std::vector<int64_t> at;
  for (const SymExpr &position : *positions) {
    auto number = position.asConst();
    if (!number || *number < -size || *number >= size)
      return false;
    at.push_back(*number < 0 ? *number + size : *number);
  }
  if (last) {
    if (index.rank() != 0)
      return false;
    importer.setOutput(0, Tensor(data.parts[at[0]]));
    return true;
  }
  std::vector<SymExpr> elements;
  for (int64_t position : at)
    elements.push_back((*data.elements)[position]);
  importer.setOutput(0, importer.vector(std::move(elements), data.onnxType,
                                        index.rank() == 0));
  return true;
}

static LogicalResult importGather(Importer &importer) {
  Tensor data = *importer.input(0), index = *importer.input(1);
  auto axis = importer.axisOf(importer.node().getInt("axis", 0), data.rank());
  if (failed(axis))
    return failure();
  if (data.rank() == 0)
    return importer.refuse("the data is a scalar");
  if (gatherElements(importer, data, index, *axis))
    return success();
  if (!importer.elementType(data.onnxType))
    return importer.refuse("elements of type " + dataTypeName(data.onnxType) +
                           " have no relation");
  if (auto extent = data.dims[*axis].extent.asConst())
    if (auto positions = importer.symbolicElements(index))
      for (const SymExpr &position : *positions)
        if (auto number = position.asConst();
            number && (*number >= *extent || *number < -*extent))
          return importer.refuse("index " + Twine(*number) +
                                 " is out of range for size " +
                                 Twine(*extent));
  separate(importer, data, index);
  Dims dims(data.dims.begin(), data.dims.begin() + *axis);
  dims.append(index.dims.begin(), index.dims.end());
  dims.append(data.dims.begin() + *axis + 1, data.dims.end());
  auto result = readAt(importer, data, {{unsigned(*axis), index}}, dims);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

/// Dimension `i` of `data` read at the keys of dimension `k` of `index`, which
/// must not be longer.
static LogicalResult follow(Importer &importer, Tensor &data, unsigned i,
                            const Dim &dim) {
  data = importer.withOneColumn(data, i);
  const Dim own = data.dims[i];
  if (failed(importer.requireAtMost(dim.extent, own.extent,
                                    "the index's size on another axis")))
    return failure();
  Dims dims = data.dims;
  dims[i] = dim;
  if (own.columns.empty()) {
    data = viewOf(importer, data, std::move(dims));
    return success();
  }
  SymExpr key, stride(1);
  for (const std::string &column : llvm::reverse(dim.columns)) {
    key = key + SymExpr::key(column) * stride;
    stride = stride * importer.impl->columns.at(column);
  }
  data = importer.remap(data, {{own.columns[0], importer.simplify(key)}},
                        std::move(dims));
  return success();
}

/// Gives every dimension of the index that is longer than 1 its columns, even
/// where the index is constant along it.
static void nameColumns(Importer &importer, Tensor &index) {
  Dims dims = index.dims;
  for (Dim &dim : dims)
    if (dim.columns.empty() && !dim.extent.isConst(1))
      dim = importer.newDim("i", dim.extent);
  index = viewOf(importer, index, std::move(dims));
}

static LogicalResult importGatherElements(Importer &importer) {
  Tensor data = *importer.input(0), index = *importer.input(1);
  auto axis = importer.axisOf(importer.node().getInt("axis", 0), data.rank());
  if (failed(axis))
    return failure();
  if (index.rank() != data.rank())
    return importer.refuse("data and indices differ in rank");
  nameColumns(importer, index);
  separate(importer, data, index);
  for (int64_t i = 0; i < data.rank(); ++i)
    if (i != *axis && failed(follow(importer, data, i, index.dims[i])))
      return failure();
  auto result =
      readAt(importer, data, {{unsigned(*axis), index}}, index.dims);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

static LogicalResult importGatherND(Importer &importer) {
  Tensor data = *importer.input(0), index = *importer.input(1);
  int64_t batch = importer.node().getInt("batch_dims", 0);
  if (index.rank() == 0 || batch < 0 || batch >= index.rank() ||
      batch >= data.rank())
    return importer.refuse("batch_dims does not fit the ranks");
  auto count = index.dims.back().extent.asConst();
  if (!count || *count < 1 || batch + *count > data.rank())
    return importer.refuse("the length of the index tuples does not fit");
  Dims outer(index.dims.begin(), index.dims.end() - 1);
  for (Dim &dim : outer)
    if (dim.columns.empty() && !dim.extent.isConst(1))
      dim = importer.newDim("i", dim.extent);
  Dims all = outer;
  all.push_back(index.dims.back());
  if (index.parts.empty())
    index = viewOf(importer, index, std::move(all));
  // One index tensor per looked-up dimension.
  std::vector<Tensor> parts = index.parts;
  if (parts.empty())
    for (int64_t k = 0; k < *count; ++k) {
      Tensor part = lastOf(importer, index, k);
      // A slice of known elements has columns of its own.
      for (auto [i, dim] : llvm::enumerate(outer))
        if (part.dims[i].columns != dim.columns &&
            failed(follow(importer, part, i, dim)))
          return failure();
      parts.push_back(std::move(part));
    }
  // The indices are joined with each other, not with the data.
  std::set<std::string> names;
  for (const Tensor &part : parts)
    collectColumns(part.dims, names);
  collectColumns(outer, names);
  data = avoid(importer, data, names);
  for (int64_t i = 0; i < batch; ++i)
    if (failed(follow(importer, data, i, outer[i])))
      return failure();
  Dims dims = outer;
  dims.append(data.dims.begin() + batch + *count, data.dims.end());
  std::vector<DimIndex> indices;
  for (int64_t k = 0; k < *count; ++k)
    indices.push_back({unsigned(batch + k), parts[k]});
  auto result = readAt(importer, data, indices, dims);
  if (failed(result))
    return failure();
  importer.setOutput(0, std::move(*result));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::indexingOps() {
  static const std::vector<OpEntry> entries = [] {
    std::vector<OpEntry> all = {
      {"", "Gather", 1, 0, importGather, "", true},
      {"", "GatherElements", 11, 0, importGatherElements, "", true},
      {"", "GatherND", 11, 0, importGatherND, "", true},
    };
    for (ArrayRef<OpEntry> more : {scatterOps(), oneHotOps()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return entries;
}
