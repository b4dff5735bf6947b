//===- Demand.h - Which keys of a value are read ----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A backward analysis: a key of a value is demanded if some result of the
// function depends on it. For one mask it finds the values of which only the
// keys that the mask keeps are demanded, and a few single keys beside them (the
// first token of a sequence). Everything that it does not understand demands
// all keys.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_DEMAND_H
#define JOINERY_LIB_OPTIMIZE_DEMAND_H

#include "lib/Optimize/Laws.h"

namespace joinery::optimize {

/// Columns of a value, in the order of the mask's columns that they stand for.
using Binding = std::vector<std::string>;

/// One key of the last column of a binding, for every key of the others.
struct Point {
  /// Over symbols; or, if `index` is set, the value of that relation. `names`
  /// gives the mask's columns for those of the index.
  SymExpr key;
  mlir::Value index;
  std::map<std::string, std::string> names;
  /// Equal texts are equal points.
  std::string text;
  bool operator<(const Point &other) const { return text < other.text; }
};

/// The keys of a binding that are read: those that the mask keeps, if `masked`,
/// and the points.
struct KeySet {
  bool masked = false;
  std::set<Point> points;
};

/// A 0/1 relation that selects: its columns in a fixed order, and a text that
/// equal masks share whatever their columns are called.
struct Mask {
  mlir::Value where;
  Binding columns;
  std::string text;

  /// The column `last` of `where` becomes the last in the order.
  Mask(mlir::Value where, llvm::StringRef last);
  /// The binding under which `other` is this mask, if it is.
  std::optional<Binding> matches(mlir::Value other) const;

private:
  std::optional<Binding> match(mlir::Value other) const;
  mutable llvm::DenseMap<mlir::Value, std::optional<Binding>> matched;
};

/// `value` as a text over the keys that `names` gives for its columns: equal
/// for values that are equal up to renaming.
std::string planText(mlir::Value value,
                     const std::map<std::string, std::string> &names);

class Demand {
public:
  Demand(mlir::func::FuncOp function, const Mask &mask);

  /// The keys of `binding` that are read of `value`; nothing for all of them.
  std::optional<KeySet> of(mlir::Value value, const Binding &binding) const;
  /// The bindings of `value` of which not all keys are read.
  std::vector<Binding> restricted(mlir::Value value) const;
  /// The columns of the input that a rekey gives the names `binding`, if it
  /// passes their keys on unchanged.
  static std::optional<Binding> through(rel::RekeyOp rekey,
                                        const Binding &binding);

private:
  std::vector<Binding> candidates(rel::RelType type) const;
  std::optional<KeySet> ofUse(mlir::OpOperand &use,
                              const Binding &binding) const;
  std::optional<KeySet> ofRekey(rel::RekeyOp rekey,
                                const Binding &binding) const;
  std::optional<KeySet> ofLookup(rel::LookupOp lookup, mlir::OpOperand &use,
                                 const Binding &binding) const;
  std::optional<KeySet> ofAggregate(rel::AggregateOp fold, mlir::OpOperand &use,
                                    const Binding &binding) const;

  const Mask &mask;
  llvm::DenseMap<mlir::Value, std::map<Binding, KeySet>> known;
};

} // namespace joinery::optimize

#endif // JOINERY_LIB_OPTIMIZE_DEMAND_H
