//===- Nodes.h - Relations that are evaluated block by block ----*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A node gives the values of a relation at a block of keys, on demand. Stored
// relations read memory; the others ask their operands at computed keys. What
// is not stored costs no memory, so weights of any size can be laid out.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_INTERP_NODES_H
#define JOINERY_LIB_INTERP_NODES_H

#include "Bytecode.h"
#include "joinery/Interp/Interp.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MemoryBuffer.h"

namespace joinery::interp {

class Machine;

class Node {
public:
  virtual ~Node();
  /// Writes the values at `n` keys to `out`; `keys` has one entry per column.
  virtual void evaluate(const Key *keys, int64_t n, const Lanes &out) = 0;

  mlir::Operation *origin = nullptr;
  mlir::Type element;
  std::vector<std::string> columns;
  std::vector<int64_t> extents;

  bool isFloat() const { return mlir::isa<mlir::FloatType>(element); }
  int64_t size() const;
  int find(llvm::StringRef column) const;
};

/// Builds nodes for values and holds their shared state.
class Machine {
public:
  /// `shared`: the tables of other evaluations too.
  explicit Machine(const InterpOptions &options, TableReader *shared = nullptr)
      : tables(shared ? *shared : own), options(options) {}
  ~Machine();

  /// The node of `value`; failure after an error at the op that has none.
  mlir::FailureOr<Node *> node(mlir::Value value);
  /// Makes `relation` the value (arguments, and results computed eagerly).
  void bind(mlir::Value value, Relation relation);
  /// Evaluates `value` at all keys, in double.
  mlir::FailureOr<Relation> materialize(mlir::Value value);
  mlir::FailureOr<Relation> aggregate(rel::AggregateOp op);

  std::optional<int64_t> evaluate(const SymExpr &expr) const;
  /// Fills in name and extents of the columns; failure if they are unbound or
  /// too many elements.
  mlir::LogicalResult setType(Node &node, mlir::Operation *origin,
                              rel::RelType type);

  /// Records an error of the evaluation (the first one counts).
  void fail(mlir::Operation *op, const llvm::Twine &message);
  /// Emits the recorded error.
  mlir::LogicalResult check();

  KeyArena arena;
  TableReader &tables;
  InterpOptions options;

private:
  mlir::FailureOr<std::unique_ptr<Node>> build(mlir::Operation *op);
  TableReader own;
  llvm::DenseMap<mlir::Value, std::unique_ptr<Node>> nodes;
  mlir::Operation *failed = nullptr;
  std::string message;
};

/// Nodes of the operators on packed rows; they have their columns.
mlir::FailureOr<std::unique_ptr<Node>>
buildPacked(Machine &machine, mlir::Operation *op,
            llvm::ArrayRef<Node *> inputs);

/// Counts through the extents, the last one fastest.
class Odometer {
public:
  explicit Odometer(std::vector<int64_t> extents);
  bool done() const { return finished; }
  void next();
  const std::vector<int64_t> &at() const { return position; }

private:
  std::vector<int64_t> extents, position;
  bool finished;
};

} // namespace joinery::interp

#endif // JOINERY_LIB_INTERP_NODES_H
