//===- Building.cpp - Views and relational forms --------------------------===//
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

std::vector<OpEntry> concat(std::initializer_list<ArrayRef<OpEntry>> tables) {
  std::vector<OpEntry> rows;
  for (ArrayRef<OpEntry> table : tables)
    rows.insert(rows.end(), table.begin(), table.end());
  return rows;
}

//===----------------------------------------------------------------------===//
// The current node
//===----------------------------------------------------------------------===//

const Tensor *required(Importer &im, unsigned i) {
  const Tensor *tensor = im.input(i);
  if (!tensor)
    (void)im.refuse("input " + Twine(i) + " is missing");
  return tensor;
}

LogicalResult requireFloat(Importer &im, const Tensor &tensor) {
  if (isFloat(tensor.onnxType))
    return success();
  return im.refuse("elements of type " + dataTypeName(tensor.onnxType) +
                   " are not supported, only floats");
}

const Tensor *requiredFloat(Importer &im, unsigned i) {
  const Tensor *tensor = required(im, i);
  return tensor && succeeded(requireFloat(im, *tensor)) ? tensor : nullptr;
}

LogicalResult refuseInputs(Importer &im,
                           ArrayRef<std::pair<unsigned, StringRef>> indices) {
  for (auto [i, name] : indices)
    if (im.node().hasInput(i))
      return im.refuse("input '" + name + "' is not supported");
  return success();
}

LogicalResult refuseOutputs(Importer &im,
                            ArrayRef<std::pair<unsigned, StringRef>> indices) {
  for (auto [i, name] : indices)
    if (im.node().hasOutput(i))
      return im.refuse("output '" + name + "' is not supported");
  return success();
}

LogicalResult requireRank(Importer &im, const Tensor &tensor, int64_t rank,
                          StringRef what) {
  if (tensor.rank() == rank)
    return success();
  return im.refuse(what + " has rank " + Twine(tensor.rank()) + ", not " +
                   Twine(rank));
}

LogicalResult requireAxes(Importer &im, const Tensor &tensor) {
  if (tensor.rank() > 0)
    return success();
  return im.refuse("an operand of rank 0");
}

LogicalResult refuseOldBroadcast(Importer &im) {
  if (im.node().opset() < 7 && im.node().hasAttr("axis"))
    return im.refuse("broadcasting by axis is not supported");
  return success();
}

LogicalResult setResult(Importer &im, FailureOr<Tensor> result, unsigned i) {
  if (failed(result))
    return failure();
  im.setOutput(i, std::move(*result));
  return success();
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

Tensor withRelation(const Tensor &like, Value relation, int onnxType) {
  Tensor result;
  result.onnxType = onnxType;
  result.dims = like.dims;
  result.relation = relation;
  return result;
}

/// The tensor without forms that list its elements in row-major order.
static Tensor unordered(Importer &im, const Tensor &x) {
  Tensor result;
  result.onnxType = x.onnxType;
  result.dims = x.dims;
  result.poly = x.poly;
  if (!x.poly)
    result.relation = im.relation(x);
  return result;
}

Tensor insertUnitDim(Importer &im, const Tensor &x, unsigned i) {
  Tensor result = unordered(im, x);
  result.dims.insert(result.dims.begin() + i, Dim{1, {}});
  return result;
}

Tensor permuteDims(Importer &im, const Tensor &x, ArrayRef<unsigned> order) {
  bool identity = true;
  for (auto [i, from] : llvm::enumerate(order))
    identity &= i == from;
  if (identity)
    return x;
  Tensor result = unordered(im, x);
  result.dims.clear();
  for (unsigned from : order)
    result.dims.push_back(x.dims[from]);
  return result;
}

Value rekey(Importer &im, Value input,
            const std::map<std::string, SymExpr> &map, ArrayRef<Column> columns,
            TypedAttr otherwise) {
  RelType type = cast<RelType>(input.getType());
  SmallVector<StringRef> sources;
  SmallVector<std::string> texts;
  std::set<std::string> used;
  SmallVector<Column> result;
  for (Column column : type.getColumns()) {
    auto it = map.find(column.getName().str());
    if (it == map.end()) {
      result.push_back(column);
      continue;
    }
    sources.push_back(column.getName());
    texts.push_back(it->second.str());
    it->second.collect(used);
  }
  for (Column column : columns)
    if (used.count(("#" + column.getName()).str()))
      result.push_back(column);
  SmallVector<StringRef> exprs(texts.begin(), texts.end());
  return rel::RekeyOp::create(im.builder, im.loc(), type.withColumns(result),
                              input, im.builder.getStrArrayAttr(sources),
                              im.builder.getStrArrayAttr(exprs), otherwise);
}

/// rel.union over `column` of relations that hold it with the given sizes.
static Value unite(Importer &im, StringRef column, ValueRange inputs,
                   ArrayRef<SymExpr> sizes) {
  MLIRContext *context = im.builder.getContext();
  SmallVector<Column> columns;
  for (Column c : rel::JoinOp::joinColumns(inputs))
    if (c.getName() != column)
      columns.push_back(c);
  SymExpr total;
  SmallVector<std::string> texts;
  for (const SymExpr &size : sizes) {
    total = total + size;
    texts.push_back(size.str());
  }
  columns.push_back(Column(context, column, total));
  SmallVector<StringRef> refs(texts.begin(), texts.end());
  return rel::UnionOp::create(
      im.builder, im.loc(),
      cast<RelType>(inputs[0].getType()).withColumns(columns),
      im.builder.getStringAttr(column), inputs,
      im.builder.getStrArrayAttr(refs));
}

Tensor withColumn(Importer &im, const Tensor &x, unsigned i) {
  Tensor result = x;
  if (!x.dims[i].columns.empty()) {
    result = im.withOneColumn(unordered(im, x), i);
    result.relation = im.relation(result);
    if (cast<RelType>(result.relation.getType()).has(result.dims[i].columns[0]))
      return result;
  }
  Dim dim{x.dims[i].extent, {im.newColumn("u", x.dims[i].extent)}};
  result = withRelation(
      x, unite(im, dim.columns[0], im.relation(x), dim.extent), x.onnxType);
  result.dims[i] = dim;
  return result;
}

FailureOr<Tensor> splitDim(Importer &im, const Tensor &x, unsigned i,
                           ArrayRef<SymExpr> extents,
                           ArrayRef<StringRef> hints) {
  SymExpr total(1);
  SmallVector<std::string> columns;
  SmallVector<SymExpr> sizes;
  Dims dims;
  for (auto [extent, hint] : llvm::zip_equal(extents, hints)) {
    total = total * extent;
    dims.push_back({extent, {}});
    if (x.dims[i].columns.empty() || extent.isConst(1))
      continue;
    columns.push_back(im.newColumn(hint, extent));
    sizes.push_back(extent);
    dims.back().columns.push_back(columns.back());
  }
  if (failed(
          im.requireEqual(x.dims[i].extent, total,
                          "dimension " + Twine(i) + " splits into its parts")))
    return failure();
  Tensor result = unordered(im, x);
  if (!x.dims[i].columns.empty()) {
    FailureOr<Tensor> split = im.withDigits(result, i, columns, sizes);
    if (failed(split))
      return im.refuse("a dimension of extent " + x.dims[i].extent.str() +
                       " can't be split into parts of " + total.str());
    result = *split;
  }
  result.dims.erase(result.dims.begin() + i);
  result.dims.insert(result.dims.begin() + i, dims.begin(), dims.end());
  return result;
}

Tensor mergeDims(Importer &im, const Tensor &x, unsigned i) {
  Tensor result = unordered(im, x);
  bool any = !x.dims[i].columns.empty() || !x.dims[i + 1].columns.empty();
  for (unsigned j : {i, i + 1})
    if (any && result.dims[j].columns.empty() &&
        !result.dims[j].extent.isConst(1))
      result = withColumn(im, result, j);
  Dim &first = result.dims[i], &second = result.dims[i + 1];
  first.extent = first.extent * second.extent;
  first.columns.append(second.columns.begin(), second.columns.end());
  result.dims.erase(result.dims.begin() + i + 1);
  return result;
}

Tensor sliceDim(Importer &im, const Tensor &x, unsigned i, const SymExpr &start,
                const SymExpr &extent) {
  if (start.isConst(0) && extent == x.dims[i].extent)
    return x;
  Tensor result = im.withOneColumn(unordered(im, x), i);
  Dim old = result.dims[i];
  Dims dims = result.dims;
  dims[i] = {extent, {}};
  if (old.columns.empty()) {
    result.dims = dims;
    return result;
  }
  dims[i] = im.newDim(old.columns[0], extent);
  SymExpr source = start;
  if (!dims[i].columns.empty())
    source = source + SymExpr::key(dims[i].columns[0]);
  return im.remap(result, {{old.columns[0], source}}, dims);
}

FailureOr<Tensor> concatDims(Importer &im, ArrayRef<const Tensor *> parts,
                             unsigned i) {
  // Every part brings its own dimension, so that only the others are aligned.
  std::vector<Tensor> views;
  for (auto [j, part] : llvm::enumerate(parts)) {
    Tensor view = im.withOneColumn(unordered(im, *part), i);
    view = withRelation(view, im.relation(view), part->onnxType);
    Dim own = view.dims[i];
    view.dims.erase(view.dims.begin() + i);
    for (size_t k = 0; k < parts.size(); ++k)
      view.dims.push_back(k == j ? own : Dim{1, {}});
    views.push_back(view);
  }
  SmallVector<const Tensor *> pointers;
  for (Tensor &view : views)
    pointers.push_back(&view);
  auto aligned = im.broadcast(pointers);
  if (failed(aligned))
    return failure();
  size_t others = parts[0]->rank() - 1;
  SymExpr total;
  SmallVector<SymExpr> sizes;
  for (const Tensor *part : parts) {
    sizes.push_back(part->dims[i].extent);
    total = total + sizes.back();
  }
  std::string column = im.newColumn("c", total);
  SmallVector<Value> inputs;
  for (size_t j = 0; j < parts.size(); ++j) {
    Value value = im.relation(aligned->tensors[j]);
    for (const std::string &own : aligned->dims[others + j].columns)
      value = rekey(im, value, {{own, SymExpr::key(column)}},
                    Column(im.builder.getContext(), column, sizes[j]));
    inputs.push_back(value);
  }
  Tensor result;
  result.onnxType = parts[0]->onnxType;
  result.dims.append(aligned->dims.begin(), aligned->dims.begin() + others);
  result.dims.insert(result.dims.begin() + i, Dim{total, {column}});
  result.relation = unite(im, column, inputs, sizes);
  return result;
}

FailureOr<Tensor> lookupRows(Importer &im, const Tensor &table,
                             const Tensor &index) {
  if (failed(requireAxes(im, table)))
    return failure();
  if (!isInteger(index.onnxType))
    return im.refuse("indices of type " + dataTypeName(index.onnxType) +
                     " are not supported");
  Tensor source = withColumn(im, table, 0);
  // The rows must not share a column with the indices by accident.
  std::vector<std::pair<std::string, std::string>> fresh;
  for (const Dim &dim : ArrayRef(source.dims).drop_front())
    for (const std::string &column : dim.columns)
      for (const Dim &other : index.dims)
        if (llvm::is_contained(other.columns, column))
          fresh.push_back(
              {column, im.newColumn("h", im.columnExtent(source, column))});
  if (!fresh.empty())
    source = im.rename(source, fresh);
  Value rows = im.relation(source), keys = im.relation(index);
  std::string column = source.dims[0].columns[0];
  RelType type = cast<RelType>(rows.getType());
  SmallVector<Column> columns(
      cast<RelType>(keys.getType()).getColumns().begin(),
      cast<RelType>(keys.getType()).getColumns().end());
  for (Column c : type.getColumns())
    if (c.getName() != column)
      columns.push_back(c);
  Tensor result;
  result.onnxType = table.onnxType;
  result.dims = index.dims;
  result.dims.append(source.dims.begin() + 1, source.dims.end());
  result.relation = rel::LookupOp::create(
      im.builder, im.loc(), type.withColumns(columns), rows, ValueRange(keys),
      im.builder.getStrArrayAttr({column}), UnitAttr());
  return result;
}

Tensor keyOf(Importer &im, const SymExpr &extent, StringRef hint) {
  Dim dim = im.newDim(hint, extent);
  SymExpr key = dim.columns.empty() ? SymExpr(0) : SymExpr::key(dim.columns[0]);
  return im.polynomial(key, {dim}, Int64);
}

} // namespace joinery::onnx_import
