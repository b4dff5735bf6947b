//===- Planner.h - Physical design of one function --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_PLANNER_H
#define JOINERY_LIB_PLAN_PLANNER_H

#include "joinery/Plan/Plan.h"
#include "lib/Plan/Breakers.h"
#include "lib/Plan/CostModel.h"
#include "mlir/IR/Builders.h"

namespace joinery::plan {

/// Rows of columns `over`, of extents `sizes`, that `rank` keeps: `rows` are their
/// numbers.
struct Packing {
  mlir::Value rank, rows;
  std::vector<std::string> over;
  mlir::ArrayAttr sizes;
};

/// Decides what is stored, in which layout, and how each pipeline runs.
class Planner {
public:
  Planner(mlir::ModuleOp module, mlir::func::FuncOp function,
          const PlanOptions &options)
      : function(function), options(options), b(module.getContext()) {}
  mlir::LogicalResult run();

private:
  void borderResults();
  void planContraction(rel::MaterializeOp root, rel::AggregateOp op,
                       Breakers &breakers);
  void planProduct(rel::AggregateOp op, Breakers &breakers);
  void planAttention(Attention form);
  /// Gives an attention operations of its own for what it streams, if others
  /// compute it as well: they lay out operands in their way.
  void ownScores(rel::AggregateOp softmax, Breakers &breakers);
  void layOutOperand(mlir::Operation *user, mlir::Value operand,
                     llvm::ArrayRef<rel::Column> walked,
                     llvm::ArrayRef<rel::Column> inner,
                     const std::optional<Packing> &packing,
                     llvm::function_ref<bool(const SymExpr &)> fits);
  void copyPacked(mlir::Operation *user, mlir::Value operand,
                  const Packing &packing, llvm::ArrayRef<rel::Column> inner);
  void materializeConstants();
  /// Makes a constant a table of the store, named after the node of `loc`.
  mlir::Value storeTable(mlir::Location loc, mlir::Value value,
                         mlir::ArrayAttr layout);
  mlir::Value castElements(mlir::Value value, mlir::Type element);
  mlir::ArrayAttr plainLayout(llvm::ArrayRef<rel::Column> columns);
  /// Stores a value; all that reads it reads what is stored, but for uses that
  /// `keeps` holds for.
  rel::MaterializeOp materialize(
      mlir::Value value, mlir::ArrayAttr layout, llvm::StringRef algorithm,
      mlir::DictionaryAttr design,
      llvm::function_ref<bool(mlir::OpOperand &)> keeps =
          [](mlir::OpOperand &) { return false; });
  mlir::DictionaryAttr design(const Breaker &breaker, Breakers &breakers,
                              mlir::Value root);
  mlir::DictionaryAttr contractionDesign(int64_t k, int64_t n, bool waits);
  mlir::DictionaryAttr blocks(ContractionBlocks chosen);
  rel::RelType stored(rel::RelType type);

  mlir::func::FuncOp function;
  const PlanOptions &options;
  mlir::OpBuilder b;
};

} // namespace joinery::plan

#endif
