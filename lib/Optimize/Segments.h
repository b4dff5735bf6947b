//===- Segments.h - Parts of a plan between single values -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_SEGMENTS_H
#define JOINERY_LIB_OPTIMIZE_SEGMENTS_H

#include "Laws.h"
#include "llvm/ADT/BitVector.h"

namespace joinery::optimize {

/// The activations of a plan cut at values that all that is computed before
/// them passes through: what lies between two such values is a segment.
class Segments {
public:
  explicit Segments(mlir::func::FuncOp function);

  /// The values between which chains of segments lie, each chain from the
  /// first to the last: segment i of a chain leads from value i to i + 1.
  llvm::ArrayRef<llvm::SmallVector<mlir::Value>> chains() const {
    return chainList;
  }
  /// True for what segments are called with beside the activation that they
  /// start from: conditions, functions of keys, and views of tables.
  bool isBoundary(mlir::Value value) const;
  bool isTable(mlir::Value value) const {
    return kindOf(value) == Kind::Table;
  }
  /// True if nothing but `root` of `operations` is read by other operations.
  static bool isClosed(llvm::ArrayRef<mlir::Operation *> operations,
                       mlir::Value root);

private:
  /// What a value depends on: extents only, tables, ids and masks, or data.
  enum class Kind { Extents, Table, Key, Active };
  Kind kindOf(mlir::Value value) const;
  void classify(mlir::func::FuncOp function);
  void findChains(mlir::Value output);

  llvm::DenseMap<mlir::Value, Kind> kinds;
  llvm::DenseSet<mlir::Value> covered;
  llvm::SmallVector<llvm::SmallVector<mlir::Value>> chainList;
};

} // namespace joinery::optimize

#endif // JOINERY_LIB_OPTIMIZE_SEGMENTS_H
