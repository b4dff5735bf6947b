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
    // Of f32 only tiles make something of their own, where k is whole steps.
    bool splits = isa.tiles && k % (kPairDepth * kTileRows) == 0;
    if (isa.dotBF16 && !splits && options.precision != Precision::BF16)
      continue;
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
