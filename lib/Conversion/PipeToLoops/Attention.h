//===- Attention.h - The parts of the attention kernel ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_ATTENTION_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_ATTENTION_H

#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Attention.h"

namespace joinery::lowering {

/// An operand of the two contractions: where its rows begin for a task, the
/// distance of two rows, and the order of its innermost columns.
struct AttentionOperand {
  mlir::Value pointer;
  SymExpr offset, stride;
  llvm::SmallVector<rel::Column> inner;
  /// The rows are stored in bf16, and perhaps in blocks of columns; offset and
  /// stride are those in blocks then.
  bool half = false;
  ColumnBlocks blocks;
  /// Set if the rows are packed; `over` are the columns that were.
  rel::UnpackOp unpack;
  std::vector<std::string> over;
};

/// The packed rows of a task: rows [first, first + count) are the keys with
/// numbers from `base` on.
struct Segment {
  mlir::Value first, count, base;
};

/// The pieces of the kernel's body and its scratch memory.
struct Attention {
  static constexpr int64_t keyPanel = 48;
  /// Elements of the tiles of 16 keys by 32 queries.
  static constexpr int64_t kScoreTiles = 2 * kTileRows * kTileRows;

  KernelEmitter &e;
  plan::Attention form;
  /// Selections that the packed keys do not imply: they make a list of keys.
  llvm::SmallVector<rel::SelectOp> listSelects;
  AttentionOperand q, k, v;
  rel::PackOp pack; // of the result, or null
  int64_t depthCount = 1, width = 1, paddedWidth = 16;
  int64_t queryBlock = 32, keyBlock = 480;
  /// Both products are of bf16 pairs, along the depth and along the keys.
  bool pairs = false;
  int64_t depthLanes = 1, rowLanes = 0, weightLanes = 0; // of a packed row
  /// Lanes along the depth that products read: whole steps of tiles, zeros at last.
  int64_t paddedDepth = 1;
  int64_t scoreLanes = 0, sumLanes = 16, valueLanes = 16;  // of a row in scratch
  // Scratch: byte offsets.
  SymExpr listAt, keysAt, valuesAt, scoresAt, sumsAt, maxAt, scaleAt, totalAt, lanesAt;
  SymExpr gatheredAt, keyRowsAt, queryRowsAt, weightRowsAt; // of pairs
  std::string currentLane; // the atom of the lane over keys

  explicit Attention(KernelEmitter &e) : e(e) {}
  llvm::LogicalResult match();
  KernelCost emit();

private:
  llvm::LogicalResult matchRows();
  void findListSelects();
  llvm::LogicalResult operand(mlir::Value relation,
                              llvm::ArrayRef<rel::Column> inner,
                              AttentionOperand &out);

  /// What a task works on.
  struct Task {
    Keys keys;
    Segment queries, keysSegment; // set where rows are packed
    mlir::Value queryCount, kept, list;
  };
  void emitTask(mlir::Value task);
  Segment segment(const AttentionOperand &operand, const Keys &keys);
  mlir::Value emitKeyList(const Task &task);
  void packKeys(const Task &task);
  mlir::Value rowsAt(const AttentionOperand &operand, const Keys &keys,
                     const Segment &segment);
  /// The distance of two rows in lanes of 32 bits.
  mlir::Value laneStride(const AttentionOperand &operand);
  /// Does `body` for each part of an operand's `count` lanes or columns that lie
  /// side by side, `inBlock` of them in a block: where its rows begin, its first
  /// one, and how many it has.
  void forEachPart(const AttentionOperand &operand, mlir::Value rows,
                   int64_t count, int64_t inBlock,
                   llvm::function_ref<void(mlir::Value, int64_t, int64_t)> body);
  void emitBlocks(const Task &task);
  void emitBlock(const Task &task, mlir::Value s0);
  /// Rows of a block of queries: the distance of two, and of two tiles of a row, in
  /// lanes of 32 bits.
  struct QueryRows {
    mlir::Value at, stride, step;
  };
  QueryRows queryRows(const Task &task, mlir::Value s0, mlir::Value count);
  void padQueries();
  // On tile registers (TileAttention.cpp).
  bool usesTiles() const;
  void emitTileScores(const QueryRows &queries, mlir::Value t0,
                      mlir::Value width);
  void emitTileValues(mlir::Value t0, mlir::Value width, mlir::Value later);
  void padTileValues(mlir::Value kept);
  void emitPeak(const Task &task, const Keys &keys, mlir::Value row,
                mlir::Value t0, mlir::Value width, mlir::Value r);
  void emitWeights(mlir::Value row, mlir::Value width, mlir::Value later,
                   mlir::Value r);
  mlir::Value scoreRow(mlir::Value r);
  SymExpr scoreLane(const SymExpr &lane) const;
  void beginScores(const Keys &keys, mlir::Value row);
  mlir::Value scoreOf(const Task &task, const Keys &keys, const SymExpr &first,
                      const SymExpr &lane);
  mlir::Value emitScores(const Task &task, const Keys &keys, mlir::Value row,
                         mlir::Value t0, mlir::Value width);
  /// Runs `body` over the lanes of [0, width): whole vectors first, for a masked
  /// store can't be forwarded to the load that follows it.
  llvm::SmallVector<mlir::Value>
  overKeys(mlir::Value width, mlir::ValueRange carried,
           llvm::function_ref<llvm::SmallVector<mlir::Value>(
               SymExpr lane, mlir::ValueRange carried)>
               body);
  mlir::Value greatest(mlir::Value a, mlir::Value b);
  void clearWeights(mlir::Value weights, mlir::Value width);
  /// e^x, as exact as what becomes of it: f32, or a bf16.
  mlir::Value weightOf(mlir::Value x);
  void emitResult(const Task &task, mlir::Value s0, mlir::Value count,
                  bool checked);
  // Without a maximum (AttentionDirect.cpp).
  bool goesDirect();
  void emitDirect(const Task &task);
  mlir::Value emitDirectBlock(const Task &task, mlir::Value s0);
  void emitDirectWeights(const Task &task, const Keys &keys, mlir::Value t0,
                         mlir::Value width, mlir::Value r);
  Keys rowKeys(const Task &task, mlir::Value row);
  SymExpr keyNumber(const Task &task, SymExpr index);
  /// Rounds rows of f32 to pairs.
  void packPairs(mlir::Value source, mlir::Value stride, mlir::Value rows,
                 mlir::Value columns, mlir::Value to, int64_t lanes);
  mlir::Value at(const SymExpr &bytes) {
    return e.offset(e.scratch, e.value(bytes), e.b.getI8Type());
  }
};

} // namespace joinery::lowering

#endif // JOINERY_LIB_CONVERSION_PIPETOLOOPS_ATTENTION_H
