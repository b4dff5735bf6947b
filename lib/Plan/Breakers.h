//===- Breakers.h - Where pipelines end -------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_BREAKERS_H
#define JOINERY_LIB_PLAN_BREAKERS_H

#include "lib/Plan/Attention.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

namespace joinery::plan {

/// The values that depend on tables only, but for large ones that are cheaper
/// to compute than to store.
llvm::DenseSet<mlir::Value> constantValues(mlir::func::FuncOp function);
/// Is `user` part of a run, no constant itself and no table?
bool isReader(mlir::Operation *user,
              const llvm::DenseSet<mlir::Value> &constants);
bool isReadByRun(mlir::Value constant,
                 const llvm::DenseSet<mlir::Value> &constants);

/// The column of a constant that a pipeline which reads it runs along innermost,
/// if it has that.
std::optional<rel::Column> laneOf(mlir::Value constant);

/// Reads the windows of contractions that reach beyond a relation from a copy with
/// its borders: rekeys with a default become a bordered relation and a view of it.
void splitBorders(mlir::func::FuncOp function);

/// How the pipeline that ends at a stored value is executed.
struct Breaker {
  /// A contraction has a side of panels in the store, a product has none.
  enum Algorithm { Rows, Contract, Multiply, Attend, Scan } algorithm = Rows;
  /// The contraction or softmax_sum that the pipeline is built around.
  mlir::Operation *core = nullptr;
};

/// The pipelines of a function, in no particular order.
class Breakers {
public:
  explicit Breakers(mlir::func::FuncOp function);

  llvm::MapVector<mlir::Value, Breaker> stored;
  /// True for values that depend on tables only.
  bool isConstant(mlir::Value value) const { return constants.contains(value); }
  /// The contraction that `op` is the core of, its constant side on the right.
  std::optional<Contraction> contractionOf(mlir::Operation *op) const;
  /// The attention that `op` is the core of.
  std::optional<Attention> attentionOf(mlir::Operation *op) const;

  /// Is `value` on the way from an attention's products of queries and keys to
  /// its softmax, and `user` as well? These it computes as it streams, also
  /// where another pipeline has stored them.
  bool streams(mlir::Value value, mlir::Operation *user) const;
  /// The operations on that way for one softmax, in program order and without
  /// it; none if nothing else reads what they compute.
  llvm::SmallVector<mlir::Operation *> sharedWay(mlir::Operation *softmax) const;
  /// The columns of a stored value in the order in which it lies, the slowest
  /// first.
  llvm::SmallVector<rel::Column> layoutOf(mlir::Value value);

private:
  void findInnermost();
  /// What the kernel of `root` reads element by element should lie along its lane.
  void preferLane(mlir::Value root);
  bool foldsRows(mlir::Value root) const;
  void findCores();
  void findStreamed(Attention form);
  /// Is this product needed by attentions only, all of which stream it?
  bool isStreamedOnly(mlir::Operation *product) const;
  void numberOps();
  mlir::Operation *grow(mlir::Operation *core);
  bool meetsOther(mlir::Operation *op, mlir::Operation *core) const;
  /// The operation whose result has the columns that the pipeline of `core`
  /// stores: the core, or the pack that is all that reads it.
  mlir::Operation *topOf(mlir::Operation *core);
  bool allowed(mlir::Operation *op, rel::RelType tile, rel::RelType row,
               bool wholeRows);
  void store(mlir::Value value);
  void storeShared();
  bool variesByLane(mlir::Value root, rel::RelType type) const;
  int64_t work(mlir::Value value, int depth = 0);

  mlir::func::FuncOp function;
  llvm::DenseSet<mlir::Value> constants;
  llvm::DenseMap<mlir::Operation *, unsigned> order;
  llvm::DenseMap<mlir::Operation *, mlir::Operation *> postDominator;
  llvm::MapVector<mlir::Operation *, Breaker::Algorithm> cores;
  /// The columns of a stored value that its reader runs through innermost.
  llvm::DenseMap<mlir::Value, std::set<std::string>> innermost;
  /// Operands of attentions, which have an order of their own.
  llvm::DenseSet<mlir::Value> attended;
  llvm::DenseSet<mlir::Operation *> products; // joins that feed a core
  /// From products to a softmax_sum, for each.
  llvm::MapVector<mlir::Operation *, llvm::DenseSet<mlir::Operation *>>
      streamed;
};

} // namespace joinery::plan

#endif
