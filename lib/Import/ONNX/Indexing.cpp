//===- Indexing.cpp - Gather and its kin ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An index that is a polynomial of keys is no lookup but another key: masks and
// position tables that exporters index by grids become renamings here.
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

//===----------------------------------------------------------------------===//
// Lookups of several dimensions
//===----------------------------------------------------------------------===//

/// The greatest value of a polynomial that is linear in the keys, over symbols.
static std::optional<SymExpr> greatest(Importer &importer,
                                       const SymExpr &poly) {
  SymExpr result;
  for (const auto &[monomial, coefficient] : poly.terms()) {
    SymExpr term(coefficient);
    unsigned keys = 0;
    for (const SymExpr::Atom &atom : monomial) {
      if (atom.kind != SymExpr::Atom::Symbol)
        return std::nullopt;
      if (atom.text[0] != '#') {
        term = term * SymExpr::symbol(atom.text);
        continue;
      }
      auto bound = importer.impl->bound(atom.text);
      if (!bound || ++keys > 1)
        return std::nullopt;
      term = term * (coefficient > 0 ? *bound - SymExpr(1) : SymExpr(0));
    }
    result = result + term;
  }
  return importer.simplify(result);
}

static bool hasOpaque(const Importer &importer, const SymExpr &poly) {
  std::set<std::string> symbols;
  poly.collect(symbols);
  return llvm::any_of(symbols, [&](const std::string &symbol) {
    return importer.impl->opaque.count(symbol);
  });
}

namespace {
/// Dimension `dim` of a tensor is read at `index`.
struct DimIndex {
  unsigned dim;
  Tensor index;
};
} // namespace

/// The index as a key expression within [0, extent), if that can be proved, or
/// be left to the border. Negative indices count from the end.
static std::optional<SymExpr> keyOf(Importer &importer, const Tensor &index,
                                    const SymExpr &extent) {
  if (!index.poly)
    return std::nullopt;
  SymExpr key = importer.simplify(*index.poly);
  if (importer.isLess(key, 0))
    key = importer.simplify(key + extent);
  bool opaque = hasOpaque(importer, key);
  if (!importer.isNonNegative(key)) {
    // x[-1] of a symbolic dimension: it must not be empty.
    if (opaque || key.hasKeys())
      return std::nullopt;
    if (failed(importer.requireAtMost(0, key, "the index")))
      return std::nullopt;
  }
  if (importer.isLess(key, extent))
    return key;
  if (opaque)
    return std::nullopt;
  auto most = greatest(importer, key);
  if (!most || failed(importer.requireAtMost(*most + SymExpr(1), extent,
                                             "the indexed length")))
    return std::nullopt;
  return key;
}

/// `data`, with the check that `index` lies in a dimension of `extent` that it
/// is constant along: what is looked up is the key itself, and nothing else
/// depends on it.
static Tensor checked(Importer &importer, const Tensor &data,
                      const Tensor &index, const SymExpr &extent) {
  OpBuilder &builder = importer.builder;
  std::string column = importer.newColumn("v", extent);
  Value relation = importer.relation(index);
  RelType type = cast<RelType>(relation.getType());
  Value keys = rel::RangeOp::create(
      builder, importer.loc(),
      RelType::get({Column(builder.getContext(), column, extent)},
                   builder.getI64Type()));
  Value key = rel::LookupOp::create(
      builder, importer.loc(),
      RelType::get(type.getColumns(), builder.getI64Type()), keys, relation,
      builder.getStrArrayAttr({StringRef(column)}), /*proved=*/false);
  Value source = importer.relation(data);
  SmallVector<Value> inputs{source, key};
  Type element = cast<RelType>(source.getType()).getElementType();
  Tensor result;
  result.onnxType = data.onnxType;
  result.dims = data.dims;
  result.relation = rel::JoinOp::create(
      builder, importer.loc(), inputs, element,
      [&](OpBuilder &b, Location loc, ValueRange x) -> Value {
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        Value valid = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                            x[1], zero);
        Value none = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
        return arith::SelectOp::create(b, loc, valid, x[0], none);
      });
  orderColumns(result.relation, result.dims);
  return result;
}

/// Reads `data` at the given indices, whose columns must differ from all other
/// columns of the data except where both are to be joined. `dims` are the
/// result's dimensions.
static FailureOr<Tensor> readAt(Importer &importer, Tensor data,
                                ArrayRef<DimIndex> indices, Dims dims) {
  std::map<std::string, SymExpr> map;
  SmallVector<std::pair<std::string, Value>> lookups;
  SmallVector<std::pair<const Tensor *, SymExpr>> unread;
  bool proved = true;
  for (const auto &[i, index] : indices) {
    const Dim dim = data.dims[i];
    auto key = keyOf(importer, index, importer.simplify(dim.extent));
    if (importer.impl->refused)
      return failure();
    if (dim.columns.empty()) { // constant along it
      // Known values stay known: exporters look up zeros at computed positions.
      if (key || data.poly)
        continue;
      auto bound = knownBound(importer.relation(index));
      if (!bound || !importer.isNonNegative(dim.extent - *bound))
        unread.push_back({&index, importer.simplify(dim.extent)});
      continue;
    }
    if (!key) {
      data = importer.withOneColumn(data, i);
      Value relation = importer.relation(index);
      if (!index.poly || hasOpaque(importer, *index.poly))
        if (auto bound = knownBound(relation);
            !bound || !importer.isNonNegative(dim.extent - *bound))
          proved = false;
      if (index.poly)
        proved = false;
      lookups.push_back({data.dims[i].columns[0], relation});
      continue;
    }
    // The key is a number in the dimension's digits.
    SymExpr stride(1);
    for (size_t k = dim.columns.size(); k-- > 0;) {
      const SymExpr &extent = importer.impl->columns.at(dim.columns[k]);
      SymExpr digit = importer.simplify(SymExpr::floorDiv(*key, stride));
      if (k)
        digit = importer.simplify(SymExpr::mod(digit, extent));
      stride = stride * extent;
      if (!hasOpaque(importer, digit)) {
        map[dim.columns[k]] = digit;
        continue;
      }
      std::set<std::string> names;
      importer.impl->keysOf(digit, names);
      Dims keyDims;
      for (const std::string &name : names)
        keyDims.push_back({importer.impl->columns.at(name), {name}});
      lookups.push_back(
          {dim.columns[k], importer.relation(importer.polynomial(
                               digit, std::move(keyDims), Int64))});
    }
  }
  auto withChecks = [&](Tensor tensor) {
    for (const auto &[index, extent] : unread)
      tensor = checked(importer, tensor, *index, extent);
    return tensor;
  };
  Tensor result = importer.remap(data, map, dims);
  if (lookups.empty())
    return withChecks(std::move(result));
  Value source = importer.relation(result);
  OpBuilder &builder = importer.builder;
  // Columns that renaming made equal to a looked-up one are others.
  SmallVector<Value> values;
  SmallVector<StringRef> keys;
  SmallVector<Column> columns;
  auto add = [&](Column column) {
    if (llvm::none_of(columns,
                      [&](Column c) { return c.name == column.name; }))
      columns.push_back(column);
  };
  for (auto &[column, relation] : lookups) {
    if (!cast<RelType>(source.getType()).has(column))
      continue;
    keys.push_back(column);
    values.push_back(relation);
    for (Column c : cast<RelType>(relation.getType()).getColumns())
      add(c);
  }
  if (keys.empty())
    return withChecks(std::move(result));
  for (Column c : cast<RelType>(source.getType()).getColumns())
    if (!llvm::is_contained(keys, c.getName()))
      add(c);
  Tensor read;
  read.onnxType = data.onnxType;
  read.dims = std::move(dims);
  read.relation = rel::LookupOp::create(
      builder, importer.loc(),
      RelType::get(columns,
                   cast<RelType>(source.getType()).getElementType()),
      source, values, builder.getStrArrayAttr(keys), proved);
  orderColumns(read.relation, read.dims);
  return withChecks(std::move(read));
}

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
