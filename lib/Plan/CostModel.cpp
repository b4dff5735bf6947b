//===- CostModel.cpp - What a choice costs --------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/CostModel.h"
#include "joinery/CodeGen/Isa.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace joinery;

int64_t plan::cacheBudget() {
  int64_t least = INT64_MAX;
  for (const Isa &isa : allIsas())
    least = std::min(least, isa.l2);
  // A fifth is left for code, stacks and what the prefetchers bring.
  return least * 4 / 5;
}

int64_t plan::choosePanelWidth(int64_t n, int64_t widest) {
  // Share of peak of the register block for each width (measured; a narrow
  // block loads a row's element for fewer products).
  const std::pair<int64_t, double> widths[] = {
      {48, 1.0}, {64, 0.97}, {32, 0.9}, {16, 0.6}};
  int64_t best = 16;
  double leastWork = 1e300;
  for (auto [width, efficiency] : widths) {
    if (width > std::max<int64_t>(widest, 64))
      continue;
    double work = double(llvm::alignTo(n, width)) / efficiency;
    if (work < leastWork) {
      leastWork = work;
      best = width;
    }
  }
  return best;
}

plan::ContractionBlocks plan::chooseContractionBlocks(int64_t k, int64_t n,
                                                      int64_t width,
                                                      bool wholeRows,
                                                      int64_t weightBytes) {
  constexpr int64_t element = 4, unit = 24, most = 192, least = 48;
  int64_t budget = cacheBudget();
  ContractionBlocks blocks{most, k};
  // Long rows are cut, so that a panel's slice takes at most a quarter.
  int64_t slices = llvm::divideCeil(k * width * weightBytes, budget / 4);
  // Slices are equal up to a multiple of 16: a short last one wastes its start.
  if (slices > 1)
    blocks.slice = llvm::alignTo(llvm::divideCeil(k, slices), 16);
  bool waiting = wholeRows || blocks.slice < k;
  int64_t panel = blocks.slice * width * weightBytes;
  int64_t perRow =
      (blocks.slice + (waiting ? llvm::alignTo(n, width) : width)) * element;
  blocks.rows = std::clamp((budget - panel) / perRow / unit * unit, least, most);
  return blocks;
}

plan::ContractionBlocks plan::chooseAttentionBlocks(int64_t depth,
                                                    int64_t width) {
  // The score tile is written and read twice: it should stay in the level-1
  // cache with a panel of keys where it can, so few queries and many keys.
  (void)depth;
  (void)width;
  return {24, 480};
}
