//===- Constants.cpp - What a run does not compute ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Breakers.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

static int64_t sizeOf(Value constant) {
  return typeOf(constant).size().asConst().value_or(0);
}

/// The elements of the tables that a constant is computed from.
static int64_t tableSize(Value constant) {
  int64_t size = 0;
  SmallVector<Value> work{constant};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    Operation *op = value.getDefiningOp();
    if (isa<ScanOp>(op))
      size += sizeOf(value);
    llvm::append_range(work, op->getOperands());
  }
  return size;
}

bool plan::isReader(Operation *user, const llvm::DenseSet<Value> &constants) {
  return !isa<MaterializeOp>(user) &&
         (user->getNumResults() != 1 ||
          !constants.contains(user->getResult(0)));
}

bool plan::isReadByRun(Value constant,
                       const llvm::DenseSet<Value> &constants) {
  return llvm::any_of(constant.getUsers(), [&](Operation *user) {
    return isReader(user, constants);
  });
}

llvm::DenseSet<Value> plan::constantValues(func::FuncOp function) {
  llvm::DenseSet<Value> constants;
  for (Operation &op : function.getBody().front()) {
    if (op.getNumResults() != 1)
      continue;
    bool constant = !isa<RangeOp, MaterializeOp>(op) &&
                    typeOf(op.getResult(0)).isStatic();
    for (Value operand : op.getOperands())
      constant &= constants.contains(operand);
    if (isa<RangeOp>(op))
      constant = typeOf(op.getResult(0)).isStatic();
    // A result is written in every run, also if it is always the same.
    if (constant && !op.hasAttr("border"))
      constants.insert(op.getResult(0));
  }
  // What a run reads of a constant is stored. A large one that its tables are
  // a fraction of (a product before its sum) is computed instead.
  constexpr int64_t large = 1 << 24, fraction = 4;
  for (Operation &op : llvm::reverse(function.getBody().front())) {
    if (op.getNumResults() != 1 || !constants.contains(op.getResult(0)))
      continue;
    Value constant = op.getResult(0);
    int64_t size = sizeOf(constant);
    if (size >= large && isReadByRun(constant, constants) &&
        size / fraction >= tableSize(constant))
      constants.erase(constant);
  }
  return constants;
}

std::optional<Column> plan::laneOf(Value constant) {
  /// Values computed from the constant, and what they call its columns.
  using Names = std::map<std::string, Column>;
  SmallVector<std::pair<Value, Names>> work;
  Names own;
  for (Column column : typeOf(constant).getColumns())
    own.emplace(column.getName().str(), column);
  work.push_back({constant, own});
  llvm::SmallDenseSet<Operation *> seen;
  while (!work.empty()) {
    auto [value, names] = work.pop_back_val();
    for (Operation *user : value.getUsers()) {
      if (user->getNumResults() != 1 || !seen.insert(user).second)
        continue;
      if (auto stored = dyn_cast<MaterializeOp>(user)) {
        auto layout = stored.getType().getLayout();
        if (stored.getAlgorithm() == "attention" || layout.empty())
          continue;
        auto last = cast<StringAttr>(layout[layout.size() - 1]).getValue();
        if (auto it = names.find(last.str()); it != names.end())
          return it->second;
        continue;
      }
      Names next;
      for (auto &[name, column] : names) {
        if (auto rekey = dyn_cast<RekeyOp>(user)) {
          auto symbol = rekey.sourceKey(name).asSymbol();
          if (symbol && StringRef(*symbol).starts_with("#"))
            next.emplace(symbol->substr(1), column);
        } else if (typeOf(user->getResult(0)).has(name)) {
          next.emplace(name, column);
        }
      }
      work.push_back({user->getResult(0), std::move(next)});
    }
  }
  return std::nullopt;
}
