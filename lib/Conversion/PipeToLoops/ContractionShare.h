//===- ContractionShare.h - What a worker does of a product -----*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A contraction is a grid of cells: blocks of rows by panels of columns. Cells
// are numbered block by block, and a call does a run of them. So workers share
// the panels where there are few rows, and each panel is read by one of them
// only; where there are many rows, a run is whole blocks but at its ends.
//
// An epilogue of whole rows needs all cells of a block. If several calls do
// them, their results wait in memory that the workers share, and the call that
// comes last does the epilogue: no worker waits for another.
//
// Where a block is all that there is, that would leave the epilogue to one worker,
// and each would pack the same rows. Then the step has phases (runtime/abi.h):
// workers share the packing by rows, the cells, and the epilogue by rows.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_CONTRACTIONSHARE_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_CONTRACTIONSHARE_H

#include "lib/Conversion/PipeToLoops/Kernels.h"

namespace joinery::lowering {

/// The grid of one contraction.
struct ContractionGrid {
  SymExpr rows;
  int64_t columns, panels;
  /// The most rows of a block: a multiple of the level's row unit.
  int64_t rowBlock;
  /// The epilogue needs whole rows, of which up to `sharedRows` may wait: no
  /// more than a block for each counter.
  bool wholeRows = false;
  int64_t sharedRows = 0;
  /// Bytes that the results of one row take while they wait.
  int64_t rowBytes = 0;
  /// Calls round the rows of a block anew: they should have several panels.
  bool packs = false;
  /// In a phase before, workers put a block's rows together into memory that
  /// they share: so many bytes for each, or 0.
  int64_t preparedBytes = 0;

  bool hasPhases() const { return wholeRows || preparedBytes > 0; }
  /// The fewest tasks for each worker with which each has rows of its own.
  SymExpr alone(int64_t unit) const;
  /// What the program must know: a task is a row unit by a panel.
  void setTasks(KernelCost &cost, int64_t unit) const;
};

/// The cells of a call: those from `from` to `to`, where block number i has the
/// rows from firstRow + i * height, up to lastRow. In phases whose tasks are row
/// units they are the whole of one block.
struct ContractionShare {
  mlir::Value firstRow, lastRow, height, from, to;
};

/// Works out the share of the emitter's call. Calls of one step agree on the
/// grid. More rows than may wait are shared by rows: cells of whole blocks.
ContractionShare emitShare(KernelEmitter &e, const ContractionGrid &grid);

/// A block of a share: rows [row0, row0 + count), panels [panel0, panel1).
struct ContractionBlock {
  mlir::Value number, row0, count, panel0, panel1;
};
void forEachBlock(KernelEmitter &e, const ContractionGrid &grid,
                  const ContractionShare &share,
                  llvm::function_ref<void(const ContractionBlock &)> body);

/// Is the call one of the phase, or one that does all?
mlir::Value isPhase(KernelEmitter &e, int64_t phase);

/// True in one of the calls that do a block's cells: when all are done.
mlir::Value emitArrival(KernelEmitter &e, const ContractionGrid &grid,
                        const ContractionBlock &block, mlir::Value complete);

} // namespace joinery::lowering

#endif
