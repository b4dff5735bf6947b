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

Value plan::storedBase(Value value) {
  if (auto packed = packedViewOf(value))
    return packed->view.base;
  return viewOf(value).base;
}

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

std::optional<SymExpr> plan::chain(const SymExpr &offset,
                                   SmallVectorImpl<Column> &columns) {
  SmallVector<std::pair<Column, SymExpr>> rest, ordered;
  for (Column column : columns) {
    auto stride = strideOf(offset, column.getName());
    if (!stride || stride->isConst(0))
      return std::nullopt;
    rest.push_back({column, *stride});
  }
  if (rest.empty())
    return SymExpr(0);
  // Try each column as the fastest; then each next one must continue it.
  for (size_t first = 0; first < rest.size(); ++first) {
    SmallVector<bool> used(rest.size(), false);
    ordered.assign({rest[first]});
    used[first] = true;
    SymExpr next = rest[first].second * rest[first].first.getExtent();
    for (bool found = true; found && ordered.size() < rest.size();) {
      found = false;
      for (size_t i = 0; i < rest.size() && !found; ++i)
        if (!used[i] && rest[i].second == next) {
          used[i] = found = true;
          ordered.push_back(rest[i]);
          next = rest[i].second * rest[i].first.getExtent();
        }
    }
    if (ordered.size() != rest.size())
      continue;
    columns.clear();
    for (auto &[column, stride] : llvm::reverse(ordered))
      columns.push_back(column);
    return rest[first].second;
  }
  return std::nullopt;
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
