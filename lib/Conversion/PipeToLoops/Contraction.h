//===- Contraction.h - Join + aggregate as one loop nest --------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_CONTRACTION_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_CONTRACTION_H

#include "joinery/CodeGen/MicroKernel.h"
#include "lib/Conversion/PipeToLoops/ContractionShare.h"
#include "lib/Plan/Contraction.h"

namespace joinery {
class TileOps;
} // namespace joinery

namespace joinery::lowering {

/// The kernel of rows that are stored in f32 times panels of a table.
class ContractionKernel {
public:
  /// With `split`, for levels with tiles, rows and panels of f32 are multiplied
  /// as terms of bf16.
  explicit ContractionKernel(KernelEmitter &e, bool split = false)
      : e(e), split(split) {}

  /// Finds the contraction and its blocks. Fails with an error at the kernel.
  mlir::LogicalResult match();
  KernelCost emit();
  /// Is it a contraction of f32, of whole tiles, at a level that has them?
  bool canSplit() const;
  const SymExpr &rowCount() const { return grid.rows; }

private:
  /// What the micro-kernel folds at a time: so much from k0 on, in the run that
  /// the keys give. Tiles fold rows that are packed run after run: no matter where
  /// runs end.
  struct Slice {
    int64_t k0, depth;
    Keys run;
  };

  mlir::LogicalResult matchRows();
  mlir::LogicalResult matchPanels();
  mlir::LogicalResult chooseBlocks();
  void chooseSlices(int64_t most);
  /// The keys of the run that begins at k0.
  Keys runAt(int64_t k0) const;

  void allocate();
  void allocateRows();
  void emitBlock(const ContractionBlock &block);
  void emitProducts(const ContractionBlock &block, mlir::Value results);
  /// Packs the rows of a block, or splits them for all slices.
  void prepareBlock(const ContractionBlock &block);
  /// Does `body` in calls of the phase, and in those that do all.
  void during(int64_t phase, llvm::function_ref<void()> body);
  /// Puts the rows of a block into `packed`, as pairs.
  void packBlock(const ContractionBlock &block);
  /// Copies columns of rows that are in bf16 already.
  void copyRows(mlir::Value rowsAt, mlir::Value count, int64_t columns,
                mlir::Value to);
  /// Zeros after k in each row, as far as tiles read.
  void padRows(const ContractionBlock &block);
  /// Does `body` for each part of a block that lies in one run: where a slice of
  /// its first row is, how many rows it has, and how many are before it.
  void forEachRun(const ContractionBlock &block, const Slice &slice,
                  llvm::function_ref<void(mlir::Value, mlir::Value,
                                          mlir::Value)> body);
  void multiply(mlir::Value rowsAt, mlir::Value stride, mlir::Value panel,
                mlir::Value c, mlir::Value count, int64_t depth,
                mlir::Value accumulate, mlir::Value next);
  /// The results of a block that wait in memory that workers share.
  mlir::Value sharedResults(const ContractionBlock &block);
  void epilogue(const ContractionBlock &block, mlir::Value results,
                mlir::Value shift, mlir::Value from, mlir::Value to);
  /// What waits at `results`, beginning with lane `shift`.
  ResultTile waitingTile(mlir::Value results, mlir::Value shift);

  // On tile registers (TileContraction.cpp, TileOperands.cpp).
  class TileSweep;
  bool usesTiles() const;
  void emitTileBlock(const ContractionBlock &block, const Slice &slice,
                     mlir::Value results);
  mlir::Value tileAt(mlir::Value number, int64_t k0);
  /// Does k end within a step of tiles?
  bool hasRest() const { return k % (kPairDepth * kTileRows) != 0; }
  void allocateRest();
  void copyRest(const mlir::Value (&columns)[2], const Slice &slice);
  /// Rows of pairs: where a block's are for a slice, the distance of two, and
  /// that of two steps of k, both in bytes.
  struct TileRows {
    mlir::Value at, stride, step;
  };
  TileRows rowsInPlace(const ContractionBlock &block, const Slice &slice);
  ContractionBlock partialRows(const ContractionBlock &block);

  /// Where the slice begins that follows, in the same block or in the next.
  int64_t nextK0(const Slice &slice) const {
    return slice.k0 + slice.depth < k ? slice.k0 + slice.depth : 0;
  }

  // f32 on tile registers (SplitContraction.cpp).
  struct PanelParts;
  struct PanelPart;
  void allocateTerms();
  void splitBlock(const ContractionBlock &block, const Slice &slice);
  /// Where a slice's terms are: a worker has one at a time, in phases all are
  /// there.
  mlir::Value termsOf(const Slice &slice);
  PanelPart partAt(const PanelParts &parts, mlir::Value position);
  void emitTerms(mlir::Value from, mlir::Value to, mlir::ValueRange source,
                 mlir::ValueRange later, mlir::Value terms);
  llvm::SmallVector<mlir::Value>
  emitTermProducts(TileOps &ops, mlir::Value rows, mlir::Value panel,
                   mlir::ValueRange sums, llvm::function_ref<void()> between);
  void emitSplitBlock(const ContractionBlock &block, const Slice &slice,
                      mlir::Value results);

  /// Lanes of 32 bits that a panel has along so much of k.
  int64_t lanesOf(int64_t depth) const;
  /// Panel `number` from k0 on.
  mlir::Value panelAt(mlir::Value number, int64_t k0);
  mlir::Value firstLane(mlir::Value panel);
  /// The first lane of the panel, or the end of the last one before it.
  mlir::Value lastLane(mlir::Value panel);
  bool packs() const { return operands == Operands::Pairs; }

  KernelEmitter &e;
  bool split;
  plan::Contraction form; // right is the side with panels
  mlir::BlockArgument rowsBuffer, panelsBuffer;
  llvm::SmallVector<rel::Column> rows, ns;
  /// Where the rows lie, and the distance of two that follow each other in a run.
  SymExpr rowsOffset;
  plan::RowRuns runs;
  plan::FoldRuns folds;
  std::vector<Slice> slices;
  int64_t n = 0, k = 0, width = 0;
  Operands operands = Operands::F32;
  mlir::Value root;
  ContractionGrid grid;
  /// Results of all panels wait for the last slice, or for the epilogue.
  bool waits = false;
  int64_t ldc = 0;
  /// What waits for whole rows instead of the sums, or null: the sums after all
  /// that follows them column by column.
  mlir::Value ready;
  /// What is joined to the sums of a row and comes from memory, such as a residual.
  struct Beside {
    mlir::BlockArgument buffer;
    SymExpr offset;
  };
  llvm::SmallVector<Beside> beside;
  void findBeside(mlir::Value value);
  /// Results that wait for tiles, or for terms of k, are tiles: elements from one
  /// to the next, and from one block of 32 rows to the next.
  int64_t tilePitch = 0, tileRowPitch = 0;

  mlir::ModuleOp module;
  mlir::func::FuncOp gemm;
  mlir::Value tile, sharedTile, a, lda, w;
  /// The rows are stored in bf16, and perhaps in blocks of columns; offsets and
  /// strides are those in blocks then.
  bool half = false;
  ColumnBlocks blocks;
  /// Tiles read such rows where they are, if they follow each other: but for rows
  /// that do not fill a block of tiles, for there may be no memory after them.
  bool readsInPlace() const {
    return usesTiles() && half && !hasRest() && runs.outer.empty() &&
           folds.outer.empty();
  }
  /// A panel that is decoded once for all rows of a block, and rows that are
  /// rounded once for all panels: the worker's, those that workers share in
  /// phases, and where the block's are.
  mlir::Value decoded, ownRows, sharedRows, packed;
  /// Sums of a block of tiles, whose epilogue comes later.
  mlir::Value pending;
  /// The last pairs of k of two tiles of columns, if they fill no step, and zeros.
  mlir::Value rest;
  int64_t packedLda = 0;
  /// Is it a call that does all, if there are phases?
  mlir::Value isAll;
  /// Of rows in terms: from one term to the next.
  mlir::Value termPitch;
  /// Terms of a part of the panel, of this one and the next.
  mlir::Value panelTerms[2];
};

} // namespace joinery::lowering

#endif
