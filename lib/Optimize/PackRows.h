//===- PackRows.h - Values over packed rows ---------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_PACKROWS_H
#define JOINERY_LIB_OPTIMIZE_PACKROWS_H

#include "lib/Optimize/Demand.h"

namespace joinery::optimize {

/// What is packed for one mask: the operations, each with the columns of its
/// result that become rows, and the keys beside the mask's that they need.
struct PackedRegion {
  llvm::MapVector<mlir::Operation *, Binding> ops;
  std::set<Point> points;
  unsigned contractions = 0;
};

/// Packs what a mask selects (see PushSelections.cpp).
class Packer {
public:
  Packer(mlir::func::FuncOp function, const Mask &mask)
      : function(function), mask(mask), demand(function, mask),
        b(function.getContext()) {}

  /// Finds what can be packed; returns the number of contractions in it.
  unsigned plan();
  /// Rewrites; returns the number of operations that work on packed rows.
  unsigned rewrite();

private:
  std::optional<Binding> bindingOf(mlir::Operation &op) const;
  bool worksByRow(mlir::Operation &op, const Binding &binding) const;
  void findPaired(mlir::Operation &op, const Binding &binding);
  bool pairsRows(mlir::Value value, const Binding &binding) const;
  void keepIslandsWithContractions();
  bool movesToFront(mlir::Value value,
                    llvm::SetVector<mlir::Operation *> &slice) const;
  mlir::Value selection();
  mlir::Value equalsPoint(const Point &point, mlir::Value where);
  void makeRows();
  mlir::Value packed(mlir::Value value, const Binding &binding);
  mlir::Operation *packedOp(mlir::Operation *op, const Binding &binding);
  mlir::Value packedRekey(rel::RekeyOp rekey, const Binding &binding);
  rel::RelType packedType(rel::RelType type, const Binding &binding) const;
  void unpackFor(mlir::Operation *op);
  void narrowSelect(rel::SelectOp select);
  mlir::Value unpacked(mlir::Location loc, mlir::Value rows,
                       const Binding &binding, mlir::TypedAttr otherwise);
  mlir::Value keptRows();

  mlir::func::FuncOp function;
  const Mask &mask;
  Demand demand;
  mlir::OpBuilder b;
  PackedRegion region;
  /// Columns of a value that number other rows than those of its binding.
  llvm::DenseMap<mlir::Value, std::set<std::string>> paired;
  llvm::SetVector<mlir::Operation *> front; // what decides the selection
  mlir::Value rank, rows, kept;
  std::string row; // the packed column
  mlir::ArrayAttr sizes;
  llvm::DenseMap<mlir::Value, mlir::Value> results; // of packed operations
  /// Packs of other values.
  std::map<std::pair<void *, Binding>, mlir::Value> leaves;
};

} // namespace joinery::optimize

#endif
