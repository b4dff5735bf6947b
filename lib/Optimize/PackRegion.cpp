//===- PackRegion.cpp - What to pack for a mask ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Interp/Interp.h"
#include "lib/Optimize/PackRows.h"
#include "llvm/ADT/EquivalenceClasses.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

static bool isContraction(Operation *op) {
  auto fold = dyn_cast<AggregateOp>(op);
  if (!fold || fold.getMonoid() != Monoid::Sum)
    return false;
  auto join = fold.getInputs()[0].getDefiningOp<JoinOp>();
  return join && join.getInputs().size() > 1 &&
         isa<FloatType>(fold.getType().getElementType());
}

/// The one binding of the result that is not read in full.
std::optional<Binding> Packer::bindingOf(Operation &op) const {
  if (op.getNumResults() != 1 || !isa<RelType>(op.getResult(0).getType()))
    return std::nullopt;
  std::vector<Binding> bindings = demand.restricted(op.getResult(0));
  if (bindings.size() != 1)
    return std::nullopt;
  return bindings[0];
}

static bool isBound(StringRef name, const Binding &binding) {
  return llvm::is_contained(binding, name);
}

static bool hasAll(Value value, const Binding &binding) {
  return llvm::all_of(binding,
                      [&](StringRef name) { return typeOf(value).has(name); });
}

/// In a model of fixed sizes other rows are columns that come from an operand
/// without the binding's, as long as one of those.
static void addOtherRows(JoinOp join, const Binding &binding,
                         std::set<std::string> &found) {
  std::set<StringRef> own;
  auto isLength = [&](const SymExpr &extent) {
    return llvm::any_of(binding, [&](StringRef name) {
      return join.getType().extentOf(name) == extent;
    });
  };
  for (Value operand : join.getInputs())
    if (hasAll(operand, binding))
      for (Column column : typeOf(operand).getColumns())
        own.insert(column.getName());
  for (Value operand : join.getInputs()) {
    if (hasAll(operand, binding) || dependsOnTablesOnly(operand))
      continue;
    for (Column column : typeOf(operand).getColumns())
      if (!isBound(column.getName(), binding) &&
          !own.count(column.getName()) && isLength(column.getExtent()))
        found.insert(column.getName().str());
  }
}

/// What becomes of a column of the operand in the operation's result.
static std::set<std::string> keysAfter(Operation &op, StringRef column) {
  std::set<std::string> keys;
  if (auto rekey = dyn_cast<RekeyOp>(op))
    rekey.sourceKey(column).collect(keys);
  else
    keys.insert(("#" + column).str());
  return keys;
}

void Packer::findPaired(Operation &op, const Binding &binding) {
  Value result = op.getResult(0);
  std::set<std::string> found;
  for (Value operand : op.getOperands()) {
    auto it = paired.find(operand);
    if (it == paired.end())
      continue;
    for (const std::string &column : it->second)
      for (const std::string &name : keysAfter(op, column)) {
        StringRef key = name;
        if (key.consume_front("#") && typeOf(result).has(key) &&
            !isBound(key, binding))
          found.insert(key.str());
      }
  }
  if (auto join = dyn_cast<JoinOp>(op); join && hasAll(result, binding))
    addOtherRows(join, binding, found);
  if (!found.empty())
    paired[result] = std::move(found);
}

/// Does a value have columns of the binding, and others that number rows, such as
/// those whose extent the inputs decide? It pairs each row with many (queries with
/// the keys of a sequence): packed, it would no longer be what attention streams
/// through.
bool Packer::pairsRows(Value value, const Binding &binding) const {
  RelType type = typeOf(value);
  if (paired.count(value))
    return true;
  auto bound = [&](Column column) {
    return isBound(column.getName(), binding);
  };
  return llvm::any_of(type.getColumns(), bound) &&
         llvm::any_of(type.getColumns(), [&](Column column) {
           return !bound(column) && !column.getExtent().isConst();
         });
}

/// Does pack commute with the operation?
bool Packer::worksByRow(Operation &op, const Binding &binding) const {
  if (pairsRows(op.getResult(0), binding))
    return false;
  if (isa<JoinOp, SelectOp, LookupOp>(op))
    return true;
  if (auto unite = dyn_cast<UnionOp>(op))
    return !llvm::is_contained(binding, unite.getColumn());
  if (auto rekey = dyn_cast<RekeyOp>(op))
    return Demand::through(rekey, binding).has_value();
  if (auto fold = dyn_cast<AggregateOp>(op)) {
    if (fold.getMonoid() == Monoid::SoftmaxSum)
      return false;
    // An operand that relates rows with each other is not computed by row.
    Value input = fold.getInputs()[0];
    return isa<BlockArgument>(input) || demand.restricted(input).size() <= 1;
  }
  return false;
}

unsigned Packer::plan() {
  // The selection is computed before all else, from the inputs alone.
  if (!movesToFront(mask.where, front))
    return 0;
  for (Operation &op : function.getBody().front()) {
    auto binding = bindingOf(op);
    if (binding)
      findPaired(op, *binding);
    if (binding && worksByRow(op, *binding) && !front.contains(&op) &&
        !isa<ScanOp, RangeOp>(op))
      region.ops[&op] = *binding;
  }
  keepIslandsWithContractions();
  for (auto &[op, binding] : region.ops) {
    KeySet keys = *demand.of(op->getResult(0), binding);
    region.points.insert(keys.points.begin(), keys.points.end());
  }
  for (const Point &point : region.points)
    if (point.index && !movesToFront(point.index, front))
      return 0;
  for (Operation *op : front)
    region.ops.erase(op);
  return region.contractions;
}

/// Packing what has no contraction in it would cost more than it saves.
void Packer::keepIslandsWithContractions() {
  llvm::EquivalenceClasses<Operation *> islands;
  for (auto &[op, binding] : region.ops) {
    islands.insert(op);
    for (Value operand : op->getOperands())
      if (Operation *from = operand.getDefiningOp();
          from && region.ops.count(from))
        islands.unionSets(op, from);
  }
  llvm::DenseMap<Operation *, unsigned> contractions;
  for (auto &[op, binding] : region.ops)
    contractions[islands.getLeaderValue(op)] += isContraction(op);
  region.ops.remove_if([&](auto &entry) {
    return contractions[islands.getLeaderValue(entry.first)] == 0;
  });
  for (auto &[op, binding] : region.ops)
    region.contractions += isContraction(op);
}

/// Collects what `value` is computed from, in program order; false if that is
/// more than a few operations on the inputs.
bool Packer::movesToFront(Value value,
                          llvm::SetVector<Operation *> &slice) const {
  constexpr unsigned most = 64;
  SmallVector<Value> work{value};
  llvm::SmallSetVector<Operation *, 16> found;
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op || !found.insert(op))
      continue;
    if (found.size() > most || isContraction(op) ||
        isa<PackOp, UnpackOp, RankOp, EnumerateOp>(op))
      return false;
    if (auto fold = dyn_cast<AggregateOp>(op);
        fold && fold.getMonoid() == Monoid::SoftmaxSum)
      return false;
    llvm::append_range(work, op->getOperands());
  }
  SmallVector<Operation *> ordered(found.begin(), found.end());
  llvm::sort(ordered, [](Operation *x, Operation *y) {
    return x->isBeforeInBlock(y);
  });
  slice.insert(ordered.begin(), ordered.end());
  return true;
}
