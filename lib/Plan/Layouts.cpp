//===- Layouts.cpp - In which order a stored value lies -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The readers decide: what a contraction folds comes last in what it reads. What
// a row-wise kernel reads element by element lies along the column that the
// kernel's vectors take, unless the value's own kernel would then fold across
// its vectors.
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Breakers.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

/// The columns of a base whose keys the columns `folded` of a view decide: alone,
/// or at least with others (windows of a convolution).
static std::set<std::string> foldedColumns(const View &view,
                                           ArrayRef<Column> folded) {
  std::set<std::string> alone, together;
  for (const auto &[name, key] : view.keys) {
    std::set<std::string> symbols;
    key.collect(symbols);
    auto isFolded = [&](const std::string &symbol) {
      return llvm::any_of(folded, [&](Column column) {
        return symbol == "#" + column.getName().str();
      });
    };
    auto isKey = [](StringRef symbol) { return symbol.starts_with("#"); };
    if (llvm::none_of(symbols, isFolded))
      continue;
    together.insert(name);
    if (llvm::all_of(symbols, [&](const std::string &symbol) {
          return !isKey(symbol) || isFolded(symbol);
        }))
      alone.insert(name);
  }
  return alone.empty() ? together : alone;
}

void Breakers::findInnermost() {
  for (auto &[root, breaker] : stored) {
    if (breaker.algorithm != Breaker::Contract)
      continue;
    auto match = contractionOf(breaker.core);
    View view = viewOf(match->left);
    // The first reader decides.
    if (auto &columns = innermost[view.base]; columns.empty())
      columns = foldedColumns(view, match->k);
  }
  // Readers come after what they read.
  SmallVector<Value> roots;
  for (auto &[root, breaker] : stored)
    if (breaker.algorithm != Breaker::Attend)
      roots.push_back(root);
  llvm::sort(roots, [&](Value a, Value b) {
    return order.lookup(a.getDefiningOp()) > order.lookup(b.getDefiningOp());
  });
  for (Value root : roots)
    preferLane(root);
}

void Breakers::preferLane(Value root) {
  SmallVector<Column> own = layoutOf(root);
  if (own.empty())
    return;
  SmallVector<std::pair<Value, std::string>> work{
      {root, own.back().getName().str()}};
  std::set<std::pair<void *, std::string>> seen;
  while (!work.empty()) {
    auto [value, lane] = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || isConstant(value) ||
        !seen.insert({value.getAsOpaquePointer(), lane}).second)
      continue;
    if (auto it = stored.find(value); it != stored.end() && value != root) {
      auto &columns = innermost[value];
      if (columns.empty() && it->second.algorithm == Breaker::Rows &&
          !attended.contains(value) && !foldsRows(value))
        columns = {lane};
      continue;
    }
    if (auto rekey = dyn_cast<RekeyOp>(op)) {
      for (Column column : rekey.getInput().getType().getColumns()) {
        auto stride = strideOf(rekey.sourceKey(column.getName()), lane);
        if (stride && stride->isConst(1))
          work.push_back({rekey.getInput(), column.getName().str()});
      }
      continue;
    }
    for (Value operand : op->getOperands())
      if (typeOf(operand).has(lane))
        work.push_back({operand, lane});
  }
}

/// Has the pipeline of `root` a statistic of its rows, which are read best along
/// the column that it folds?
bool Breakers::foldsRows(Value root) const {
  size_t columns = typeOf(root).getColumns().size();
  SmallVector<Value> work{root};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || (value != root && stored.count(value)) ||
        !seen.insert(value).second)
      continue;
    if (isa<AggregateOp>(op) && typeOf(value).getColumns().size() < columns)
      return true;
    llvm::append_range(work, op->getOperands());
  }
  return false;
}


/// Will the rows of a stored value run along a column that `type` has, and not
/// along one that it lacks?
bool Breakers::variesByLane(Value root, RelType type) const {
  auto lanes = innermost.find(root);
  if (lanes == innermost.end() || lanes->second.empty())
    return false;
  return llvm::all_of(lanes->second, [&](const std::string &column) {
    return type.has(column);
  });
}

SmallVector<Column> Breakers::layoutOf(Value value) {
  Operation *end = function.getBody().front().getTerminator();
  auto columnsOf = [&](ArrayAttr names) {
    SmallVector<Column> columns;
    for (StringRef name : names.getAsValueRange<StringAttr>())
      columns.push_back(typeOf(value).getColumns()[typeOf(value).find(name)]);
    return columns;
  };
  for (auto [i, result] : llvm::enumerate(end->getOperands()))
    if (result == value)
      if (auto layout =
              function.getResultAttrOfType<ArrayAttr>(i, "rel.layout"))
        return columnsOf(layout);
  const Breaker &breaker = stored.find(value)->second;
  const std::set<std::string> &inner = innermost[value];
  SmallVector<Column> first, last;
  auto split = [&](Column column) {
    (inner.count(column.getName().str()) ? last : first).push_back(column);
  };
  // A contraction's own order is its rows, then the panel's columns.
  std::optional<Contraction> match;
  if (breaker.algorithm == Breaker::Contract)
    match = contractionOf(breaker.core);
  else if (breaker.algorithm == Breaker::Multiply)
    match = matchProduct(breaker.core);
  if (match) {
    for (ArrayRef<Column> part :
         {ArrayRef(match->batch), ArrayRef(match->leftFree),
          ArrayRef(match->rightFree)})
      llvm::for_each(part, split);
  } else {
    for (Column column : typeOf(value).getColumns())
      split(column);
  }
  first.append(last);
  return first;
}
