//===- Kernels.h - One loop nest per algorithm ------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_KERNELS_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_KERNELS_H

#include "lib/Conversion/PipeToLoops/Halves.h"
#include "lib/Conversion/PipeToLoops/KernelEmitter.h"

namespace joinery::lowering {

/// What the program must know of a lowered kernel, over the symbols.
struct KernelCost {
  SymExpr tasks, scratch;
  /// The fewest tasks of a call where there are as many, and the bytes that
  /// workers share beside their counters.
  SymExpr grain = 1, shared;
  /// Tasks of the phases before and after its own where several workers do the
  /// step in phases (runtime/abi.h).
  SymExpr prepare, finish;
  /// The fewest tasks for each worker with which it is not.
  static constexpr int64_t kNever = int64_t(1) << 48;
  SymExpr alone = kNever;
  /// What each task takes beside multiplying and moving data, in nanoseconds.
  int64_t taskNs = 0;
  /// How often all workers together read a table from end to end.
  SymExpr passes = 1;
  /// The kernel itself counts what depends on values: the operations that
  /// compute `countedWork`, and the bytes that it reads for `countedReads`.
  llvm::SmallVector<mlir::Value> countedWork, countedReads;
};

/// Each emits the body of the kernel that the emitter has begun. They fail with
/// an error at the kernel if it does not have the form of its algorithm.
mlir::FailureOr<KernelCost> emitRows(KernelEmitter &e);
mlir::FailureOr<KernelCost> emitContraction(KernelEmitter &e);
mlir::FailureOr<KernelCost> emitProduct(KernelEmitter &e);
mlir::FailureOr<KernelCost> emitAttention(KernelEmitter &e);
mlir::FailureOr<KernelCost> emitScan(KernelEmitter &e);

/// Is it a contraction with panels of bf16, or an attention whose products may
/// be of bf16, for which a level that multiplies pairs has code of its own?
bool multipliesPairs(pipe::KernelOp kernel);

/// Does the level have code of its own for the kernel, which its base lacks?
bool hasOwnCode(pipe::KernelOp kernel, const Isa &isa);

/// So many lanes or more, in an odd number of cache lines: rows of scratch do not
/// share level-1 sets then.
inline int64_t oddLines(int64_t lanes) {
  constexpr int64_t line = 16;
  return (llvm::divideCeil(lanes, line) | 1) * line;
}

/// Does the value read panels of a table?
bool hasPanels(mlir::Value value);

/// The relation that the kernel stores, and its type with the layout.
mlir::Value rootOf(KernelEmitter &e);
rel::RelType storedType(KernelEmitter &e);

/// Stores `root` at every value of its lane columns in [from, to) for one row.
/// `columns` are the lane's digits, the slowest first.
void emitLanes(KernelEmitter &e, mlir::Value root, const Keys &row,
               llvm::ArrayRef<rel::Column> columns, mlir::Value from,
               mlir::Value to, bool whole);

/// Values of a relation that wait in scratch, results of a contraction above all: a
/// row for each key of `rows`, `stride` elements apart, that begins with number
/// `firstLane` of the lanes.
struct ResultTile {
  mlir::Value relation, results;
  int64_t stride;
  mlir::Value firstLane;
  llvm::ArrayRef<rel::Column> rows, lanes;
  /// Where the results are tiles of 16 lanes by 32 rows: the distance of two tiles
  /// of a row. All lanes are there, and `stride` is that of blocks of 32 rows.
  int64_t tilePitch = 0;

  /// Where the lanes of row number `row` begin, and how far on those at keys are.
  SymExpr rowAt(KernelEmitter &e, mlir::Value row) const;
  SymExpr laneAt(const Keys &keys) const;
};

/// Lanes of a tile: [from, to), or vectors that begin with these, where that is known
/// to be all of them; so no loop is needed.
struct TileLanes {
  mlir::Value from, to;
  llvm::SmallVector<mlir::Value, 2> vectors = {};
};

/// The epilogue of `count` rows from number `row0` on, whose results the tile
/// begins with; `keys` are those that they share.
void emitTile(KernelEmitter &e, const ResultTile &tile, const Keys &keys,
              mlir::Value row0, mlir::Value count, const TileLanes &lanes);

/// The same rows and lanes of the relation that `into` holds, where they begin at
/// row number `intoRow`, instead of the kernel's result.
void emitTileInto(KernelEmitter &e, const ResultTile &tile,
                  const ResultTile &into, mlir::Value intoRow, mlir::Value row0,
                  mlir::Value count, const TileLanes &lanes);

} // namespace joinery::lowering

#endif
