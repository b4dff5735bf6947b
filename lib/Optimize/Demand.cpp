//===- Demand.cpp - Which keys of a value are read ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Optimize/Demand.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

//===----------------------------------------------------------------------===//
// Plans as texts
//===----------------------------------------------------------------------===//

namespace {
/// Prints a value at given keys: renames leave no trace.
class PlanPrinter {
public:
  using Keys = std::map<std::string, SymExpr>;

  std::string print(Value value, const Keys &keys) {
    std::string where = text(value, keys) + std::to_string(folds);
    auto it = seen.find({value.getAsOpaquePointer(), where});
    if (it != seen.end())
      return it->second;
    std::string result = printFresh(value, keys);
    seen[{value.getAsOpaquePointer(), where}] = result;
    return result;
  }

private:
  std::map<std::pair<void *, std::string>, std::string> seen;
  int folds = 0; // around what is printed

  static std::string text(Value value, const Keys &keys) {
    std::string result;
    for (Column column : typeOf(value).getColumns())
      result += keys.at(column.getName().str()).str() + ",";
    return result;
  }

  std::string printFresh(Value value, const Keys &keys) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return "arg" + std::to_string(argument.getArgNumber()) + "(" +
             text(value, keys) + ")";
    Operation *op = value.getDefiningOp();
    if (auto rekey = dyn_cast<RekeyOp>(op)) {
      Keys source;
      for (Column column : rekey.getInput().getType().getColumns())
        source[column.getName().str()] =
            rekey.sourceKey(column.getName())
                .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
                  if (!symbol.consume_front("#"))
                    return std::nullopt;
                  return keys.at(symbol.str());
                });
      std::string inner = print(rekey.getInput(), source);
      return rekey.getOtherwise() ? "else" + attribute(*rekey.getOtherwise()) +
                                        "(" + inner + ")"
                                  : inner;
    }
    std::string head = op->getName().getStringRef().str();
    Keys inner = keys;
    int outside = folds;
    if (auto range = dyn_cast<RangeOp>(op))
      return keys.at(range.getType().getColumns()[0].getName().str()).str();
    if (auto scan = dyn_cast<ScanOp>(op))
      return "@" + scan.getTable().str() + "(" + text(value, keys) + ")";
    if (auto fold = dyn_cast<AggregateOp>(op)) {
      head += stringifyMonoid(fold.getMonoid()).str();
      for (StringRef column : fold.getOver().getAsValueRange<StringAttr>())
        inner[column.str()] =
            SymExpr::symbol("#fold" + std::to_string(folds++));
    } else if (auto join = dyn_cast<JoinOp>(op)) {
      head += region(join.getBody().front());
    } else if (auto select = dyn_cast<SelectOp>(op)) {
      head += attribute(select.getOtherwise());
    } else {
      // Anything else is equal to itself only.
      head += std::to_string(uintptr_t(op));
    }
    std::string result = head + "{";
    for (Value operand : op->getOperands()) {
      bool complete = llvm::all_of(
          typeOf(operand).getColumns(),
          [&](Column column) { return inner.count(column.getName().str()); });
      result += complete ? print(operand, inner) : std::string("?");
      result += ";";
    }
    folds = outside;
    return result + "}";
  }

  static std::string attribute(Attribute attribute) {
    std::string text;
    llvm::raw_string_ostream(text) << attribute;
    return text;
  }

  static std::string region(Block &block) {
    llvm::DenseMap<Value, unsigned> numbers;
    for (BlockArgument argument : block.getArguments())
      numbers.insert({argument, numbers.size()});
    std::string text;
    llvm::raw_string_ostream os(text);
    for (Operation &op : block) {
      os << op.getName() << op.getAttrDictionary() << "(";
      for (Value operand : op.getOperands())
        os << numbers.lookup(operand) << ",";
      os << ")";
      for (Value result : op.getResults())
        numbers.insert({result, numbers.size()});
    }
    return text;
  }
};
} // namespace

std::string optimize::planText(Value value,
                               const std::map<std::string, std::string> &names) {
  PlanPrinter::Keys keys;
  for (const auto &[column, name] : names)
    keys[column] = SymExpr::key(name);
  return PlanPrinter().print(value, keys);
}

static std::string maskText(Value where, const Binding &columns) {
  std::map<std::string, std::string> names;
  for (auto [i, column] : llvm::enumerate(columns))
    names[column] = "c" + std::to_string(i);
  return planText(where, names);
}

Mask::Mask(Value where, StringRef last) : where(where) {
  for (Column column : typeOf(where).getColumns())
    if (column.getName() != last)
      columns.push_back(column.getName().str());
  columns.push_back(last.str());
  text = maskText(where, columns);
}

std::optional<Binding> Mask::matches(Value other) const {
  auto [it, fresh] = matched.try_emplace(other);
  if (fresh)
    it->second = match(other);
  return it->second;
}

std::optional<Binding> Mask::match(Value other) const {
  RelType type = typeOf(other), own = typeOf(where);
  if (type.getColumns().size() != columns.size() ||
      type.getElementType() != own.getElementType())
    return std::nullopt;
  Binding order;
  for (Column column : type.getColumns())
    order.push_back(column.getName().str());
  llvm::sort(order);
  do {
    bool fits = true;
    for (auto [name, mine] : llvm::zip(order, columns))
      fits &= type.extentOf(name) == own.extentOf(mine);
    if (fits && maskText(other, order) == text)
      return order;
  } while (std::next_permutation(order.begin(), order.end()));
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Demand
//===----------------------------------------------------------------------===//

Demand::Demand(func::FuncOp function, const Mask &mask) : mask(mask) {
  Block &body = function.getBody().front();
  auto visit = [&](Value value) {
    auto type = dyn_cast<RelType>(value.getType());
    if (!type || value.use_empty())
      return;
    for (const Binding &binding : candidates(type)) {
      std::optional<KeySet> all = KeySet();
      for (OpOperand &use : value.getUses()) {
        std::optional<KeySet> keys = ofUse(use, binding);
        if (!keys) {
          all.reset();
          break;
        }
        all->masked |= keys->masked;
        all->points.insert(keys->points.begin(), keys->points.end());
      }
      if (all)
        known[value][binding] = std::move(*all);
    }
  };
  // Users come after what they use.
  for (Operation &op : llvm::reverse(body))
    for (Value result : op.getResults())
      visit(result);
  for (Value argument : body.getArguments())
    visit(argument);
}

std::vector<Binding> Demand::candidates(RelType type) const {
  std::vector<Binding> partial{{}};
  for (const std::string &column : mask.columns) {
    SymExpr extent = typeOf(mask.where).extentOf(column);
    std::vector<Binding> longer;
    for (const Binding &binding : partial)
      for (Column own : type.getColumns())
        if (own.getExtent() == extent &&
            !llvm::is_contained(binding, own.getName())) {
          longer.push_back(binding);
          longer.back().push_back(own.getName().str());
        }
    partial = std::move(longer);
  }
  return partial;
}

std::optional<KeySet> Demand::of(Value value, const Binding &binding) const {
  auto it = known.find(value);
  if (it == known.end())
    return std::nullopt;
  auto keys = it->second.find(binding);
  return keys == it->second.end() ? std::nullopt
                                  : std::optional<KeySet>(keys->second);
}

std::vector<Binding> Demand::restricted(Value value) const {
  std::vector<Binding> bindings;
  if (auto it = known.find(value); it != known.end())
    for (const auto &[binding, keys] : it->second)
      bindings.push_back(binding);
  return bindings;
}

static bool hasAll(RelType type, const Binding &binding) {
  return llvm::all_of(binding,
                      [&](const std::string &c) { return type.has(c); });
}

std::optional<KeySet> Demand::ofUse(OpOperand &use,
                                    const Binding &binding) const {
  Operation *op = use.getOwner();
  if (auto select = dyn_cast<SelectOp>(op)) {
    // Where the mask drops a key, the default is read and not the input.
    if (use.getOperandNumber() == 0 && mask.matches(select.getWhere()) == binding)
      return KeySet{true, {}};
    return of(select.getResult(), binding);
  }
  if (isa<JoinOp>(op))
    return of(op->getResult(0), binding);
  if (auto unite = dyn_cast<UnionOp>(op)) {
    if (llvm::is_contained(binding, unite.getColumn()))
      return std::nullopt;
    return of(unite.getResult(), binding);
  }
  if (auto rekey = dyn_cast<RekeyOp>(op))
    return ofRekey(rekey, binding);
  if (auto lookup = dyn_cast<LookupOp>(op))
    return ofLookup(lookup, use, binding);
  if (auto fold = dyn_cast<AggregateOp>(op))
    return ofAggregate(fold, use, binding);
  return std::nullopt;
}

std::optional<Binding> Demand::through(RekeyOp rekey, const Binding &binding) {
  Binding renamed(binding.size());
  for (Column source : rekey.getInput().getType().getColumns()) {
    SymExpr key = rekey.sourceKey(source.getName());
    for (auto [i, column] : llvm::enumerate(binding)) {
      if (!key.uses("#" + column))
        continue;
      // No other key may depend on it, and nothing may be cut off.
      if (key != SymExpr::key(column) || !renamed[i].empty() ||
          source.getExtent() != rekey.getType().extentOf(column))
        return std::nullopt;
      renamed[i] = source.getName().str();
    }
  }
  if (llvm::is_contained(renamed, ""))
    return std::nullopt;
  return renamed;
}

std::optional<KeySet> Demand::ofRekey(RekeyOp rekey,
                                      const Binding &binding) const {
  RelType type = rekey.getType();
  Binding outer;
  for (const std::string &column : binding) {
    SymExpr key = rekey.sourceKey(column);
    auto symbol = key.asSymbol();
    bool last = outer.size() + 1 == binding.size();
    if (symbol && StringRef(*symbol).starts_with("#")) {
      std::string name = symbol->substr(1);
      if (type.extentOf(name) !=
          rekey.getInput().getType().extentOf(column))
        return std::nullopt;
      outer.push_back(name);
    } else if (last && !key.hasKeys()) {
      return KeySet{false, {Point{key, {}, {}, "= " + key.str()}}};
    } else {
      return std::nullopt;
    }
  }
  return of(rekey.getResult(), outer);
}

std::optional<KeySet> Demand::ofLookup(LookupOp lookup, OpOperand &use,
                                       const Binding &binding) const {
  if (use.getOperandNumber() > 0)
    return of(lookup.getResult(), binding);
  auto keys = lookup.getKeys().getAsValueRange<StringAttr>();
  if (llvm::none_of(binding, [&](const std::string &column) {
        return llvm::is_contained(keys, column);
      }))
    return of(lookup.getResult(), binding);
  // One key of the last column for each key of the others.
  for (size_t i = 0; i + 1 < binding.size(); ++i)
    if (llvm::is_contained(keys, binding[i]))
      return std::nullopt;
  Value index;
  for (auto [key, operand] : llvm::zip(keys, lookup.getIndices()))
    if (key == binding.back())
      index = operand;
  std::map<std::string, std::string> names;
  for (size_t i = 0; i + 1 < binding.size(); ++i)
    names[binding[i]] = mask.columns[i];
  for (Column column : typeOf(index).getColumns())
    if (!names.count(column.getName().str()))
      return std::nullopt;
  return KeySet{
      false, {Point{SymExpr(0), index, names, "at " + planText(index, names)}}};
}

std::optional<KeySet> Demand::ofAggregate(AggregateOp fold, OpOperand &use,
                                          const Binding &binding) const {
  if (hasAll(fold.getType(), binding))
    return of(fold.getResult(), binding);
  // A weight of 0 needs no value: the scores' selections hold for the weighted.
  if (fold.getMonoid() != Monoid::SoftmaxSum || use.getOperandNumber() != 1)
    return std::nullopt;
  Value scores = fold.getInputs()[0];
  while (auto select = scores.getDefiningOp<SelectOp>()) {
    auto otherwise = dyn_cast<FloatAttr>(select.getOtherwise());
    if (!otherwise || !otherwise.getValue().isInfinity() ||
        !otherwise.getValue().isNegative())
      return std::nullopt;
    if (mask.matches(select.getWhere()) == binding)
      return KeySet{true, {}};
    scores = select.getInput();
  }
  return std::nullopt;
}
