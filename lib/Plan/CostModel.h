//===- CostModel.h - What a choice costs ------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_COSTMODEL_H
#define JOINERY_LIB_PLAN_COSTMODEL_H

#include "joinery/CodeGen/Isa.h"
#include "joinery/CodeGen/MicroKernel.h"
#include "lib/Plan/Target.h"
#include <vector>

namespace joinery::plan {

/// Cycles of one call of the contraction's micro-kernel; `depth` counts what
/// one multiply-add takes, a pair if the operands are pairs.
double gemmCycles(const Target &target, Operands operands, int64_t width,
                  int64_t rows, int64_t depth);

/// Cycles to bring in `bytes` `passes` times (or a part of them), the first time
/// from where a run that reads `footprint` bytes in all finds them.
double streamCycles(const Target &target, double bytes, double passes,
                    double footprint);

/// The part of a core's level-2 cache that a pipeline may count on, in bytes.
int64_t cacheBudget(const Isa &isa);

/// Columns of a weight panel for `n` result columns: the width with the least
/// padded work, weighted by the register block's efficiency.
int64_t choosePanelWidth(int64_t n, int64_t widest);

/// All widths that it chooses from, with the cost that it minimises.
struct WidthCost {
  int64_t width;
  double cost;
};
std::vector<WidthCost> panelWidths(int64_t n, int64_t widest);

/// Rows that run through all panels before the next ones, and how much of k at
/// a time, so that a slice of the rows, one panel and the results that wait for
/// the epilogue stay in the level-2 cache of `isa`: those that move the least
/// memory for a row. A weight takes `weightBytes`.
struct ContractionBlocks {
  int64_t rows, slice;
};
ContractionBlocks chooseContractionBlocks(int64_t k, int64_t n, int64_t width,
                                          bool wholeRows, int64_t weightBytes,
                                          const Isa &isa);

/// All blocks that it chooses from, with the cost that it minimises.
struct BlocksCost {
  ContractionBlocks blocks;
  double cost;
};
std::vector<BlocksCost> contractionBlocks(int64_t k, int64_t n, int64_t width,
                                          bool wholeRows, int64_t weightBytes,
                                          const Isa &isa);

/// Queries and keys per block of an attention with heads of `depth` and
/// `width` columns.
ContractionBlocks chooseAttentionBlocks(int64_t depth, int64_t width);

} // namespace joinery::plan

#endif
