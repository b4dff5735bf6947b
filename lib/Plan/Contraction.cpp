//===- Contraction.cpp - Joins and aggregates that contract ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Contraction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

std::optional<plan::Contraction> plan::matchContraction(Operation *op) {
  auto aggregate = dyn_cast_or_null<AggregateOp>(op);
  if (!aggregate || aggregate.getMonoid() != Monoid::Sum ||
      !aggregate.getType().getElementType().isF32())
    return std::nullopt;
  auto join = aggregate.getInputs()[0].getDefiningOp<JoinOp>();
  if (!join || join.getInputs().size() != 2)
    return std::nullopt;
  Block &body = join.getBody().front();
  auto product = dyn_cast_or_null<arith::MulFOp>(
      cast<YieldOp>(body.getTerminator()).getValue().getDefiningOp());
  if (!product || body.getOperations().size() != 2)
    return std::nullopt;
  bool straight = product.getLhs() == body.getArgument(0) &&
                  product.getRhs() == body.getArgument(1);
  bool crossed = product.getLhs() == body.getArgument(1) &&
                 product.getRhs() == body.getArgument(0);
  if (!straight && !crossed)
    return std::nullopt;
  Contraction result;
  result.aggregate = aggregate;
  result.join = join;
  result.left = join.getInputs()[0];
  result.right = join.getInputs()[1];
  auto left = cast<RelType>(result.left.getType());
  auto right = cast<RelType>(result.right.getType());
  for (Column column : left.getColumns()) {
    bool both = right.has(column.getName());
    if (aggregate.folds(column.getName())) {
      if (!both)
        return std::nullopt;
      result.k.push_back(column);
    } else {
      (both ? result.batch : result.leftFree).push_back(column);
    }
  }
  for (Column column : right.getColumns())
    if (!left.has(column.getName())) {
      if (aggregate.folds(column.getName()))
        return std::nullopt;
      result.rightFree.push_back(column);
    }
  return result;
}

std::optional<plan::Contraction> plan::matchProduct(Operation *op) {
  // Smaller ones would fill a tile with padding.
  constexpr int64_t leastRows = 4, leastLanes = 8, leastDepth = 4;
  auto match = matchContraction(op);
  if (!match || match->leftFree.empty() || match->rightFree.empty())
    return std::nullopt;
  Column last = match->aggregate.getType().getColumns().back();
  if (llvm::is_contained(match->leftFree, last))
    match->swapSides();
  auto atLeast = [](ArrayRef<Column> columns, int64_t least) {
    auto size = product(columns).asConst();
    return !size || *size >= least;
  };
  if (!atLeast(match->leftFree, leastRows) ||
      !atLeast(match->rightFree, leastLanes) || !atLeast(match->k, leastDepth))
    return std::nullopt;
  return match;
}

plan::View plan::viewOf(Value value) {
  View view;
  auto type = cast<RelType>(value.getType());
  for (Column column : type.getColumns())
    view.keys[column.getName().str()] = SymExpr::key(column.getName());
  auto bounds = [&](StringRef symbol) -> std::optional<SymExpr> {
    if (symbol.consume_front("#") && type.has(symbol))
      return type.extentOf(symbol);
    return std::nullopt;
  };
  while (auto rekey = value.getDefiningOp<RekeyOp>()) {
    if (rekey.getOtherwise())
      break;
    std::map<std::string, SymExpr> keys;
    for (Column column : rekey.getInput().getType().getColumns())
      keys[column.getName().str()] =
          rekey.sourceKey(column.getName())
              .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
                if (!symbol.consume_front("#"))
                  return std::nullopt;
                return view.keys.at(symbol.str());
              })
              .simplify(bounds);
    view.keys = std::move(keys);
    value = rekey.getInput();
  }
  view.base = value;
  return view;
}

bool plan::isWidening(Operation *op) {
  auto join = dyn_cast_or_null<JoinOp>(op);
  if (!join || join.getInputs().size() != 1)
    return false;
  Block &body = join.getBody().front();
  auto extend = dyn_cast_or_null<arith::ExtFOp>(
      cast<YieldOp>(body.getTerminator()).getValue().getDefiningOp());
  return extend && body.getOperations().size() == 2 &&
         extend.getIn().getType().isBF16() && extend.getType().isF32();
}

plan::View plan::tableViewOf(Value value) {
  View view = viewOf(value);
  // A join of one input keeps its columns.
  if (isWidening(view.base.getDefiningOp()))
    view.base = view.base.getDefiningOp()->getOperand(0);
  return view;
}

std::optional<plan::PackedView> plan::packedViewOf(Value value) {
  View outer = viewOf(value);
  auto unpack = outer.base.getDefiningOp<UnpackOp>();
  if (!unpack)
    return std::nullopt;
  PackedView result{unpack, viewOf(unpack.getInput()), {}};
  for (StringRef name : unpack.getOver().getAsValueRange<StringAttr>()) {
    auto symbol = outer.keys.at(name.str()).asSymbol();
    if (!symbol || !StringRef(*symbol).starts_with("#"))
      return std::nullopt;
    result.over.push_back(symbol->substr(1));
  }
  std::string row = "#" + unpack.getRow().str();
  for (auto &[name, key] : result.view.keys)
    key = key.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
      if (symbol == row || !symbol.consume_front("#"))
        return std::nullopt;
      return outer.keys.at(symbol.str());
    });
  return result;
}

plan::View plan::storedViewOf(Value value) {
  auto packed = packedViewOf(value);
  return packed ? packed->view : viewOf(value);
}

Value plan::storedBase(Value value) { return storedViewOf(value).base; }

std::optional<SymExpr> plan::viewOffset(const View &view, RelType stored) {
  SymExpr offset;
  for (StringRef digit : stored.getLayout().getAsValueRange<StringAttr>()) {
    if (!stored.has(digit))
      return std::nullopt;
    offset = offset * stored.extentOf(digit) + view.keys.at(digit.str());
  }
  return offset;
}

std::optional<SymExpr> plan::strideOf(const SymExpr &offset, StringRef column) {
  std::string key = ("#" + column).str();
  SymExpr stride;
  for (const auto &[monomial, coefficient] : offset.terms()) {
    SymExpr rest(coefficient);
    bool found = false;
    for (const SymExpr::Atom &atom : monomial) {
      if (atom.text == key && !found) {
        found = true;
        continue;
      }
      rest = rest * *SymExpr::parse(atom.text);
    }
    if (rest.uses(key))
      return std::nullopt;
    if (!found)
      continue;
    if (rest.hasKeys())
      return std::nullopt;
    stride = stride + rest;
  }
  return stride;
}

SymExpr plan::product(ArrayRef<Column> columns) {
  SymExpr result(1);
  for (Column column : columns)
    result = result * column.getExtent();
  return result;
}

std::optional<plan::RowRuns> plan::rowRuns(const SymExpr &offset,
                                           ArrayRef<Column> columns) {
  SmallVector<SymExpr> strides;
  // Of no rows it does not matter where they lie.
  bool empty = product(columns).isConst(0);
  for (Column column : columns) {
    auto stride = strideOf(offset, column.getName());
    if (!stride || (stride->isConst(0) && !empty))
      return std::nullopt;
    strides.push_back(*stride);
  }
  RowRuns best;
  // Try each column as the fastest; then each next one must continue it.
  for (size_t first = 0; first < columns.size(); ++first) {
    SmallVector<size_t> run{first};
    for (bool found = true; found;) {
      found = false;
      SymExpr next = strides[run.back()] * columns[run.back()].getExtent();
      for (size_t i = 0; i < columns.size() && !found; ++i)
        if (!llvm::is_contained(run, i) && strides[i] == next) {
          run.push_back(i);
          found = true;
        }
    }
    // Of equally many columns those of neighbours: batch rows lie far apart.
    auto stride = strides[first].asConst(), other = best.stride.asConst();
    bool near = stride && (!other || *stride < *other);
    if (run.size() < best.inner.size() ||
        (run.size() == best.inner.size() && !near))
      continue;
    best = {{}, {}, strides[first]};
    for (size_t i : llvm::reverse(run))
      best.inner.push_back(columns[i]);
    for (size_t i = 0; i < columns.size(); ++i)
      if (!llvm::is_contained(run, i))
        best.outer.push_back(columns[i]);
  }
  return best;
}

bool plan::hasLongRuns(const RowRuns &rows) {
  constexpr int64_t least = 12;
  auto length = product(rows.inner).asConst();
  return rows.outer.empty() || !length || *length >= least;
}

std::optional<plan::Walk> plan::walkContraction(const SymExpr &offset,
                                                ArrayRef<Column> rows,
                                                ArrayRef<Column> folded) {
  // Each run of folded elements is a call of its own, and code of its own.
  constexpr int64_t mostRuns = 16;
  auto found = rowRuns(offset, rows);
  if (!found || !hasLongRuns(*found))
    return std::nullopt;
  Walk walk{*found, {{}, unitColumns(offset, folded)}};
  for (Column column : folded) {
    if (llvm::is_contained(walk.folds.inner, column))
      continue;
    if (!strideOf(offset, column.getName()))
      return std::nullopt;
    walk.folds.outer.push_back(column);
  }
  auto count = product(walk.folds.outer).asConst(),
       run = product(walk.folds.inner).asConst();
  if (!count || !run ||
      (*count > 1 && (*count > mostRuns || *run < kLeastFoldRun || *run % 2)))
    return std::nullopt;
  return walk;
}

std::optional<SymExpr> plan::chain(const SymExpr &offset,
                                   SmallVectorImpl<Column> &columns) {
  auto runs = rowRuns(offset, columns);
  if (!runs || !runs->outer.empty())
    return std::nullopt;
  columns = runs->inner;
  return runs->stride;
}

SmallVector<Column> plan::unitColumns(const SymExpr &offset,
                                      ArrayRef<Column> columns) {
  SmallVector<Column> found;
  SymExpr next(1);
  for (bool more = true; more;) {
    more = false;
    for (Column column : columns) {
      auto stride = strideOf(offset, column.getName());
      if (!stride || *stride != next || llvm::is_contained(found, column))
        continue;
      found.insert(found.begin(), column);
      next = next * column.getExtent();
      more = true;
      break;
    }
  }
  return found;
}
