//===- IndexingReads.cpp - Data read at indices ---------------------------===//
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

FailureOr<Tensor> onnx_import::readAt(Importer &importer, Tensor data,
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
