//===- Contraction.h - Joins and aggregates that contract -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_CONTRACTION_H
#define JOINERY_LIB_PLAN_CONTRACTION_H

#include "dialects/Rel/Rel.h"

namespace joinery::plan {

inline rel::RelType typeOf(mlir::Value value) {
  return mlir::cast<rel::RelType>(value.getType());
}

/// sum over `k` of left * right. The columns that only one side has are its
/// free columns; `batch` columns both have and neither is folded.
struct Contraction {
  rel::AggregateOp aggregate;
  rel::JoinOp join;
  mlir::Value left, right;
  llvm::SmallVector<rel::Column> k, leftFree, rightFree, batch;

  void swapSides() {
    std::swap(left, right);
    std::swap(leftFree, rightFree);
  }
};

/// Recognises `aggregate sum (join {mulf})` of two relations; both must have
/// every folded column.
std::optional<Contraction> matchContraction(mlir::Operation *op);

/// A contraction whose sides both have rows of their own, enough for tiles of
/// the result: the right side is the one with the result's last column.
std::optional<Contraction> matchProduct(mlir::Operation *op);

/// A stored relation seen through rekeys: for each column of the base relation
/// its key over the columns of the view.
struct View {
  mlir::Value base;
  std::map<std::string, SymExpr> keys;
};
/// Peels rekeys without a default off `value`.
View viewOf(mlir::Value value);

/// Is it a join that widens bf16 to f32 and does nothing else: how a plan reads
/// a table that it stores in bf16?
bool isWidening(mlir::Operation *op);
/// viewOf, through a widening as well.
View tableViewOf(mlir::Value value);

/// A stored relation of packed rows seen unpacked: the view's keys are over the
/// reader's columns and the key of the packed row, `#row`. The columns that
/// were packed are plain columns of the reader.
struct PackedView {
  rel::UnpackOp unpack;
  View view;
  /// The reader's names of the packed columns, in their order.
  std::vector<std::string> over;
};
std::optional<PackedView> packedViewOf(mlir::Value value);

/// The view through which a value reads a stored relation, packed or not, and
/// that relation.
View storedViewOf(mlir::Value value);
mlir::Value storedBase(mlir::Value value);

/// The offset of a view in a base stored in the order of `layout` (plain
/// columns only), over the keys of the view.
std::optional<SymExpr> viewOffset(const View &view, rel::RelType stored);

/// The coefficient of key `#column` in a linear offset: free of keys. Nothing
/// if the offset is not linear in it.
std::optional<SymExpr> strideOf(const SymExpr &offset, llvm::StringRef column);

/// The extents of `columns`, multiplied.
SymExpr product(llvm::ArrayRef<rel::Column> columns);

/// Orders `columns` from the slowest to the fastest so that together they walk
/// memory with one stride, which is returned; nothing if they do not.
std::optional<SymExpr> chain(const SymExpr &offset,
                             llvm::SmallVectorImpl<rel::Column> &columns);

/// Rows as runs of one stride: `inner` walks a run, `outer` numbers the runs.
struct RowRuns {
  llvm::SmallVector<rel::Column> outer, inner;
  SymExpr stride;
};
/// The longest runs that `columns` can be walked in; nothing if the offset is not
/// linear in them.
std::optional<RowRuns> rowRuns(const SymExpr &offset,
                               llvm::ArrayRef<rel::Column> columns);

/// Folded columns as runs of elements that lie side by side: `inner` walks one
/// run, `outer` numbers them (taps of a convolution).
struct FoldRuns {
  llvm::SmallVector<rel::Column> outer, inner;
};
/// Shorter runs are not worth a call of the micro-kernel for each.
inline constexpr int64_t kLeastFoldRun = 32;

/// The way in which a contraction walks rows, and what it folds of each, where
/// they are stored; nothing if it would do better with a copy.
struct Walk {
  RowRuns rows;
  FoldRuns folds;
};
std::optional<Walk> walkContraction(const SymExpr &offset,
                                    llvm::ArrayRef<rel::Column> rows,
                                    llvm::ArrayRef<rel::Column> folded);

/// Can a run of rows be walked in register blocks that are mostly full?
bool hasLongRuns(const RowRuns &rows);

/// Those of `columns` that walk memory element by element, from the slowest to
/// the fastest.
llvm::SmallVector<rel::Column> unitColumns(const SymExpr &offset,
                                           llvm::ArrayRef<rel::Column> columns);

} // namespace joinery::plan

#endif // JOINERY_LIB_PLAN_CONTRACTION_H
