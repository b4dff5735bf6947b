//===- KeyMaps.cpp - Keys as expressions, and relations read at them ------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

KeyMap optimize::keyMapOf(RekeyOp rekey) {
  KeyMap map;
  for (Column column : rekey.getInput().getType().getColumns())
    map[column.getName().str()] = rekey.sourceKey(column.getName());
  return map;
}

/// The keys of an expression, those with the greatest stride first: digits of
/// one column keep their order in storage.
static std::vector<std::string> digitOrder(const SymExpr &key) {
  std::vector<std::pair<int64_t, std::string>> linear;
  for (const auto &[monomial, coefficient] : key.terms())
    if (monomial.size() == 1 && StringRef(monomial[0].text).starts_with("#"))
      linear.push_back({-coefficient, monomial[0].text.substr(1)});
  llvm::sort(linear);
  std::vector<std::string> order;
  for (auto &[stride, name] : linear)
    order.push_back(name);
  std::set<std::string> symbols;
  key.collect(symbols);
  for (StringRef symbol : symbols)
    if (symbol.consume_front("#") && !llvm::is_contained(order, symbol))
      order.push_back(symbol.str());
  return order;
}

Value optimize::rekeyed(OpBuilder &builder, Location loc, Value value,
                        const KeyMap &map,
                        function_ref<SymExpr(StringRef)> extentOf) {
  RelType type = typeOf(value);
  SmallVector<Column> columns;
  SmallVector<StringRef> sources;
  SmallVector<std::string> texts;
  bool identity = true;
  for (Column column : type.getColumns()) {
    auto it = map.find(column.getName().str());
    SymExpr key = it == map.end() ? SymExpr::key(column.getName()) : it->second;
    auto bounds = [&](StringRef symbol) -> std::optional<SymExpr> {
      if (symbol.consume_front("#"))
        return extentOf(symbol);
      return std::nullopt;
    };
    key = key.simplify(bounds);
    bool same = key == SymExpr::key(column.getName()) &&
                extentOf(column.getName()) == column.getExtent();
    identity &= same;
    if (!same) {
      sources.push_back(column.getName());
      texts.push_back(key.str());
    }
    for (const std::string &symbol : digitOrder(key))
      if (llvm::none_of(columns,
                        [&](Column c) { return c.getName() == symbol; }))
        columns.push_back(
            Column(builder.getContext(), symbol, extentOf(symbol)));
  }
  if (identity)
    return value;
  SmallVector<StringRef> exprs(texts.begin(), texts.end());
  return RekeyOp::create(builder, loc, type.withColumns(columns), value,
                         builder.getStrArrayAttr(sources),
                         builder.getStrArrayAttr(exprs), TypedAttr());
}

Value optimize::renamed(OpBuilder &builder, Location loc, Value value,
                        const std::map<std::string, std::string> &names) {
  RelType type = typeOf(value);
  KeyMap map;
  std::map<std::string, SymExpr> extents;
  for (Column column : type.getColumns()) {
    auto it = names.find(column.getName().str());
    std::string name = it == names.end() ? column.getName().str() : it->second;
    map[column.getName().str()] = SymExpr::key(name);
    extents[name] = column.getExtent();
  }
  return rekeyed(builder, loc, value, map,
                 [&](StringRef name) { return extents.at(name.str()); });
}

std::string optimize::freshColumn(StringRef hint, ArrayRef<RelType> types) {
  auto taken = [&](StringRef name) {
    return llvm::any_of(types, [&](RelType type) { return type.has(name); });
  };
  if (!taken(hint))
    return hint.str();
  StringRef stem = hint.rtrim("0123456789");
  if (!stem.ends_with("_"))
    stem = hint;
  for (int64_t i = 1;; ++i) {
    std::string name =
        (stem + (stem.ends_with("_") ? "" : "_") + Twine(i)).str();
    if (!taken(name))
      return name;
  }
}

/// The value of an integer operation on expressions.
static std::optional<SymExpr>
evaluateScalar(Value value, const DenseMap<Value, SymExpr> &known,
               function_ref<std::optional<SymExpr>(StringRef)> bounds) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto integer = dyn_cast<IntegerAttr>(constant.getValue());
    if (!integer || integer.getType().isInteger(1))
      return std::nullopt;
    return SymExpr(integer.getValue().getSExtValue());
  }
  auto operand = [&](unsigned i) {
    return evaluateScalar(op->getOperand(i), known, bounds);
  };
  if (isa<arith::ExtSIOp, arith::TruncIOp, arith::ExtUIOp>(op) &&
      !op->getOperand(0).getType().isInteger(1) &&
      !op->getResult(0).getType().isInteger(1))
    return operand(0); // keys fit every index type
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    auto compare = select.getCondition().getDefiningOp<arith::CmpIOp>();
    if (!compare)
      return std::nullopt;
    auto a = evaluateScalar(compare.getLhs(), known, bounds);
    auto b = evaluateScalar(compare.getRhs(), known, bounds);
    if (!a || !b)
      return std::nullopt;
    using P = arith::CmpIPredicate;
    P predicate = compare.getPredicate();
    auto less = [&](const SymExpr &x, const SymExpr &y) { // x < y, or unknown
      if (x.provablyLess(y, bounds))
        return std::optional(true);
      if ((x - y).provablyNonNegative(bounds))
        return std::optional(false);
      return std::optional<bool>();
    };
    std::optional<bool> truth;
    if (predicate == P::slt)
      truth = less(*a, *b);
    else if (predicate == P::sgt)
      truth = less(*b, *a);
    else if (predicate == P::sge && less(*a, *b))
      truth = !*less(*a, *b);
    else if (predicate == P::sle && less(*b, *a))
      truth = !*less(*b, *a);
    if (!truth)
      return std::nullopt;
    return evaluateScalar(*truth ? select.getTrueValue()
                                 : select.getFalseValue(),
                          known, bounds);
  }
  if (op->getNumOperands() != 2)
    return std::nullopt;
  auto a = operand(0), b = operand(1);
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return *a + *b;
  if (isa<arith::SubIOp>(op))
    return *a - *b;
  if (isa<arith::MulIOp>(op))
    return *a * *b;
  if (isa<arith::MinSIOp>(op))
    return SymExpr::min(*a, *b);
  if (isa<arith::MaxSIOp>(op))
    return SymExpr::max(*a, *b);
  bool positive = b->asConst().value_or(0) > 0;
  if (isa<arith::FloorDivSIOp>(op) && positive)
    return SymExpr::floorDiv(*a, *b);
  if (!positive || !a->provablyNonNegative(bounds))
    return std::nullopt;
  if (isa<arith::DivSIOp, arith::DivUIOp>(op))
    return SymExpr::floorDiv(*a, *b);
  if (isa<arith::RemSIOp, arith::RemUIOp>(op))
    return SymExpr::mod(*a, *b);
  return std::nullopt;
}

std::optional<SymExpr> optimize::keyExpression(Value value) {
  auto type = dyn_cast<RelType>(value.getType());
  if (!type || !type.getElementType().isSignlessInteger() ||
      type.getElementType().isInteger(1))
    return std::nullopt;
  auto bounds = boundsOf(type);
  if (value.getDefiningOp<RangeOp>())
    return SymExpr::key(type.getColumns()[0].getName());
  if (auto rekey = value.getDefiningOp<RekeyOp>()) {
    if (rekey.getOtherwise())
      return std::nullopt;
    auto source = keyExpression(rekey.getInput());
    return source ? std::optional(rekey.overResult(*source)) : std::nullopt;
  }
  auto join = value.getDefiningOp<JoinOp>();
  if (!join)
    return std::nullopt;
  DenseMap<Value, SymExpr> known;
  for (auto [input, argument] :
       llvm::zip(join.getInputs(), join.getBody().front().getArguments())) {
    if (argument.use_empty())
      continue;
    auto expr = keyExpression(input);
    if (!expr)
      return std::nullopt;
    known[argument] = *expr;
  }
  auto result = evaluateScalar(yieldOf(join), known, bounds);
  return result ? std::optional(result->simplify(bounds)) : std::nullopt;
}

llvm::SmallDenseSet<BlockArgument> optimize::argumentsOf(Value value) {
  llvm::SmallDenseSet<BlockArgument> arguments;
  llvm::SmallDenseSet<Value> seen;
  SmallVector<Value> work{value};
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    if (auto argument = dyn_cast<BlockArgument>(next))
      arguments.insert(argument);
    else
      llvm::append_range(work, next.getDefiningOp()->getOperands());
  }
  return arguments;
}

Renaming optimize::peelRenames(Value value) {
  Renaming result{value, {}};
  for (Column column : typeOf(value).getColumns())
    result.names[column.getName().str()] = column.getName().str();
  while (auto rekey = result.base.getDefiningOp<RekeyOp>()) {
    if (!rekey.isRename())
      break;
    std::map<std::string, std::string> names;
    for (Column column : rekey.getInput().getType().getColumns())
      names[column.getName().str()] =
          result.names.at(rekey.sourceKey(column.getName())
                              .asSymbol()
                              ->substr(1));
    result.names = std::move(names);
    result.base = rekey.getInput();
  }
  return result;
}

bool optimize::markArgument(RewriterBase &rewriter, Value value,
                            StringRef flag) {
  while (auto rekey = value.getDefiningOp<RekeyOp>()) {
    if (rekey.getOtherwise())
      return false;
    value = rekey.getInput();
  }
  auto argument = dyn_cast<BlockArgument>(value);
  auto function = argument ? dyn_cast<func::FuncOp>(
                                 argument.getOwner()->getParentOp())
                           : func::FuncOp();
  if (!function)
    return false;
  if (!function.getArgAttr(argument.getArgNumber(), flag))
    rewriter.modifyOpInPlace(function, [&] {
      function.setArgAttr(argument.getArgNumber(), flag,
                          rewriter.getUnitAttr());
    });
  return true;
}
