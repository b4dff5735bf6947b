//===- CanonicalForm.h - Plans up to names and orders -----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Names of columns, the order of columns, of operations, of a join's operands
// and of the terms of sums and products say nothing about a plan. A canonical
// form drops them: operators hold their columns by number, renames are part of
// the edges between operators, and what has no order gets one from the
// structure alone.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_CANONICALFORM_H
#define JOINERY_LIB_OPTIMIZE_CANONICALFORM_H

#include "Laws.h"

namespace joinery::optimize {

/// The scalar of a region with its terms in canonical order.
class CanonicalScalar {
public:
  using Color = uint64_t;
  explicit CanonicalScalar(rel::JoinOp join) : join(join) {}
  /// The color of the value that the region yields, from those of the operands.
  Color color(llvm::ArrayRef<Color> operands);
  /// What each operand is used for; call after `color`.
  llvm::SmallVector<Color> roles();
  /// Builds the scalar; call after `color`.
  mlir::Value build(mlir::OpBuilder &builder, mlir::ValueRange arguments);
  /// Prints it, operand i as `$`i of `numbers`.
  void print(llvm::raw_ostream &os, llvm::ArrayRef<unsigned> numbers);

private:
  bool isNary(mlir::Operation *op);
  Color colorOf(mlir::Value value);
  /// The operands in canonical order; those of a whole sum or product.
  llvm::SmallVector<mlir::Value> orderedOperands(mlir::Operation *op);
  void terms(mlir::Value value, mlir::Operation *of,
             llvm::SmallVectorImpl<mlir::Value> &out);

  rel::JoinOp join;
  llvm::DenseMap<mlir::Value, Color> colors, received;
  llvm::DenseMap<mlir::Operation *, bool> nary;
};

/// The plan of one value from leaves on.
class CanonicalForm {
public:
  /// What the plan starts from: an argument of it.
  struct Leaf {
    mlir::Value value; // of the plan, without renames
    /// The value's columns in the order and with the names that the canonical
    /// plan gives them: (own name, canonical name).
    llvm::SmallVector<std::pair<std::string, std::string>> columns;
  };

  /// The plan of `root`. Values for which `isLeaf` holds, function arguments
  /// and scans are its leaves.
  CanonicalForm(mlir::Value root,
                llvm::function_ref<bool(mlir::Value)> isLeaf);

  /// Equal texts are equal plans of equal leaves.
  const std::string &text() const { return form; }
  /// In the order in which the canonical plan reads them.
  llvm::ArrayRef<Leaf> leaves() const { return leafList; }
  /// The columns of the root: (own name, canonical name).
  llvm::ArrayRef<std::pair<std::string, std::string>> resultColumns() const {
    return rootColumns;
  }
  /// The operations of the plan; renames are not among them.
  llvm::ArrayRef<mlir::Operation *> operations() const { return operators; }
  /// The type that a leaf has in the canonical plan.
  static rel::RelType typeOfLeaf(const Leaf &leaf);
  /// Builds the canonical plan from values for the leaves.
  mlir::Value build(mlir::OpBuilder &builder, mlir::ValueRange arguments);

private:
  using Color = uint64_t;
  /// One reader's view of an operand: its columns by the reader's numbers.
  struct Edge {
    unsigned node;
    llvm::SmallVector<unsigned, 6> columns;
    /// Rekeys only: the source key of each column, keys named by number.
    llvm::SmallVector<SymExpr, 0> keys;
    bool operator==(const Edge &other) const {
      return node == other.node && columns == other.columns;
    }
  };
  struct Node {
    mlir::Value value;
    mlir::Operation *op = nullptr; // null for leaves
    llvm::SmallVector<Edge, 2> edges;
    /// Those of the result, then those that are folded or looked up.
    llvm::SmallVector<rel::Column, 6> columns;
    llvm::SmallVector<Color, 6> columnColors;
    Color color = 0;
    std::optional<CanonicalScalar> scalar; // of joins
    llvm::SmallVector<unsigned, 2> edgeOf; // of operands
    llvm::SmallVector<Color, 2> roles; // of the edges
    llvm::SmallVector<unsigned, 2> order; // of the edges
    llvm::SmallVector<std::string, 6> names; // canonical names of the columns
    bool numbered = false;
    unsigned number = 0;
  };

  unsigned visit(mlir::Value base);
  Edge edgeTo(mlir::Value operand, llvm::ArrayRef<rel::Column> columns);
  void initialise(Node &node);
  void refineUp();
  void refineDown();
  Color edgeColor(const Node &node, unsigned edge) const;
  void number(unsigned node);
  void nameColumns(Node &node, bool mayWait);
  std::string freshName();
  void print(llvm::raw_ostream &os, unsigned index);
  rel::RelType typeOfNode(const Node &node) const;
  mlir::Value buildOperand(mlir::OpBuilder &builder, const Node &node,
                           const Edge &edge);
  mlir::Value buildNode(mlir::OpBuilder &builder, Node &node);
  Color keyColor(const Node &node, const SymExpr &key) const;
  SymExpr strideOf(const SymExpr &key, unsigned column) const;
  SymExpr namedKey(const Node &node, const SymExpr &key) const;
  llvm::SmallVector<unsigned> columnOrder(const Node &node) const;

  llvm::function_ref<bool(mlir::Value)> isLeaf;
  std::vector<Node> nodes;
  llvm::DenseMap<mlir::Value, unsigned> nodeOf;
  llvm::DenseMap<mlir::Attribute, unsigned> nodeOfTable;
  llvm::SmallVector<unsigned> sequence; // canonical order
  llvm::SmallVector<Leaf> leafList;
  llvm::SmallVector<unsigned> leafNodes;
  llvm::SmallVector<std::pair<std::string, std::string>> rootColumns;
  llvm::SmallVector<mlir::Operation *> operators;
  unsigned rootNode = 0, fresh = 0;
  std::string form;
  // Of the plan that is being built.
  std::vector<mlir::Value> built;
  std::map<std::pair<unsigned, std::map<std::string, std::string>>, mlir::Value>
      views;
  std::map<std::pair<std::string, std::string>, mlir::Value>
      ranges;
};

/// Mixes numbers; the same in every run and on every machine.
inline uint64_t mixColors(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15ull + b + 0x632BE59BD9B4E019ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}
uint64_t colorOfText(llvm::StringRef text);

} // namespace joinery::optimize

#endif // JOINERY_LIB_OPTIMIZE_CANONICALFORM_H
