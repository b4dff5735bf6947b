//===- Design.cpp - Layouts and blocks of stored values -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/Isa.h"
#include "lib/Plan/Planner.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

DictionaryAttr Planner::blocks(ContractionBlocks chosen) {
  return b.getDictionaryAttr(
      {b.getNamedAttr("rows", b.getI64IntegerAttr(chosen.rows)),
       b.getNamedAttr("slice", b.getI64IntegerAttr(chosen.slice))});
}

/// The readers of a stored value decide its order: the columns that a core
/// runs through innermost come last.
ArrayAttr Planner::chooseLayout(Value value, const Breaker &breaker,
                                Breakers &breakers) {
  Operation *end = function.getBody().front().getTerminator();
  for (auto [i, result] : llvm::enumerate(end->getOperands()))
    if (result == value)
      if (auto layout = function.getResultAttrOfType<ArrayAttr>(i, "rel.layout"))
        return layout;
  const std::set<std::string> &inner = breakers.innermostOf(value);
  SmallVector<Column> order, last;
  auto split = [&](Column column) {
    (inner.count(column.getName().str()) ? last : order).push_back(column);
  };
  // A contraction's own order is its rows, then the panel's columns.
  std::optional<Contraction> match;
  if (breaker.algorithm == Breaker::Contract)
    match = breakers.contractionOf(breaker.core);
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
  order.append(last);
  return plainLayout(order);
}

DictionaryAttr Planner::design(const Breaker &breaker, Breakers &breakers,
                               Value root) {
  if (breaker.algorithm == Breaker::Rows ||
      breaker.algorithm == Breaker::Multiply ||
      breaker.algorithm == Breaker::Scan)
    return {};
  if (breaker.algorithm == Breaker::Attend) {
    DictionaryAttr chosen = blocks(chooseAttentionBlocks(64, 64));
    if (options.precision != Precision::BF16)
      return chosen;
    // Levels that have products of bf16 use them.
    SmallVector<NamedAttribute> entries(chosen.getValue());
    entries.push_back(
        b.getNamedAttr("products", b.getStringAttr("bf16")));
    return b.getDictionaryAttr(entries);
  }
  auto match = breakers.contractionOf(breaker.core);
  int64_t k = 1, n = 1;
  for (Column column : match->k)
    k *= *column.getExtent().asConst();
  for (Column column : match->rightFree)
    n *= *column.getExtent().asConst();
  bool whole = false;
  SmallVector<Value> work{root};
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op || op == breaker.core || !breaker.core->isBeforeInBlock(op))
      continue;
    whole |= isa<AggregateOp>(op);
    llvm::append_range(work, op->getOperands());
  }
  return contractionDesign(k, n, whole);
}

/// The blocks of a contraction of depth `k` and width `n`, whose results wait for
/// the epilogue or for each other: those of the last level, and of each level
/// that differs under its name.
DictionaryAttr Planner::contractionDesign(int64_t k, int64_t n, bool waits) {
  SmallVector<NamedAttribute> entries;
  std::optional<ContractionBlocks> common;
  for (const Isa &isa : llvm::reverse(allIsas())) {
    if (isa.dotBF16 && options.precision != Precision::BF16)
      continue; // has no code of its own
    ContractionBlocks chosen = chooseContractionBlocks(
        k, n, choosePanelWidth(n, options.panelWidth), waits,
        options.precision == Precision::BF16 ? 2 : 4, isa);
    std::string prefix = common ? isa.name + "_" : "";
    if (common && common->rows == chosen.rows && common->slice == chosen.slice)
      continue;
    entries.push_back(b.getNamedAttr(prefix + "rows",
                                     b.getI64IntegerAttr(chosen.rows)));
    entries.push_back(b.getNamedAttr(prefix + "slice",
                                     b.getI64IntegerAttr(chosen.slice)));
    if (!common)
      common = chosen;
  }
  return b.getDictionaryAttr(entries);
}
