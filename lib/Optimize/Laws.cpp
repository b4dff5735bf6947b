//===- Laws.cpp - What the laws share -------------------------------------===//
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

//===----------------------------------------------------------------------===//
// Applying patterns
//===----------------------------------------------------------------------===//

namespace {
struct CountRewrites : RewriterBase::Listener {
  uint64_t &count;
  explicit CountRewrites(uint64_t &count) : count(count) {}
  void notifyPatternEnd(const Pattern &, LogicalResult status) override {
    count += succeeded(status);
  }
};
} // namespace

/// One walk over the module and what it makes worth another look, at most
/// \p limit rewrites. Fails where another walk may find more.
static LogicalResult walkOnce(ModuleOp module,
                              const FrozenRewritePatternSet &patterns,
                              int64_t limit, uint64_t &count, bool &changed) {
  CountRewrites listener(count);
  GreedyRewriteConfig config;
  config.setListener(&listener);
  config.setMaxIterations(1);
  config.setMaxNumRewrites(limit);
  // Regions are single blocks, and dead operations are erased by the driver.
  config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
  return applyPatternsGreedily(module, patterns, config, &changed);
}

LogicalResult optimize::applyLaws(ModuleOp module,
                                  const FrozenRewritePatternSet &patterns,
                                  uint64_t &count, bool *changed) {
  // Real models take up to 0.6 rewrites for each operation; fifty times that is
  // a cycle of laws.
  int64_t limit = 4096;
  module.walk([&](Operation *) { limit += 32; });
  uint64_t done = 0;
  bool any = false;
  LogicalResult result = failure();
  while (failed(result) && static_cast<int64_t>(done) < limit) {
    bool changedNow = false;
    result = walkOnce(module, patterns, limit - done, done, changedNow);
    any |= changedNow;
  }
  count += done;
  if (changed)
    *changed = any;
  return result;
}

void optimize::tidy(ModuleOp module, RewritePatternSet &&patterns) {
  uint64_t count = 0;
  bool changed = false;
  // It fails where a second walk would be due to see that nothing is left.
  (void)walkOnce(module, std::move(patterns), GreedyRewriteConfig::kNoLimit,
                 count, changed);
}

void optimize::populateCanonical(RewritePatternSet &patterns) {
  MLIRContext *context = patterns.getContext();
  for (RegisteredOperationName op : context->getRegisteredOperations()) {
    StringRef dialect = op.getDialectNamespace();
    if (dialect == "arith" || dialect == "math" || dialect == "rel")
      op.getCanonicalizationPatterns(patterns, context);
  }
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

bool optimize::sameColumns(RelType a, RelType b) {
  return a.getColumns().size() == b.getColumns().size() &&
         llvm::all_of(a.getColumns(), [&](Column column) {
           return llvm::is_contained(b.getColumns(), column);
         });
}

bool optimize::atMost(const SymExpr &a, const SymExpr &b) {
  if (a == b)
    return true;
  // Extents are at least 1 where a relation has keys at all; without keys
  // nothing is computed twice.
  if (auto ratio = b.exactDiv(a); ratio && *ratio != SymExpr(0) &&
                                  ratio->provablyNonNegative([](StringRef) {
                                    return std::nullopt;
                                  }))
    return true;
  return (b - a).provablyNonNegative(
      [](StringRef) { return std::optional<SymExpr>(); });
}

bool optimize::isPart(RekeyOp rekey) {
  std::set<std::string> seen;
  for (Column column : rekey.getInput().getType().getColumns()) {
    SymExpr source = rekey.sourceKey(column.getName()), size(1);
    std::set<std::string> used;
    source.collect(used);
    bool slides = false;
    for (StringRef key : used) {
      if (!key.starts_with("#"))
        continue;
      if (!seen.insert(key.str()).second)
        return false;
      size = size * rekey.getType().extentOf(key.drop_front());
      slides |= !(source - SymExpr::key(key.drop_front())).hasKeys();
    }
    // All keys are in range, so those of a slice are no more than the input's.
    if (!slides && !atMost(size, column.getExtent()))
      return false;
  }
  return llvm::all_of(rekey.getType().getColumns(), [&](Column column) {
    return seen.count(("#" + column.name.getValue()).str());
  });
}

bool optimize::enlarges(RekeyOp rekey) {
  return !isPart(rekey) &&
         !atMost(rekey.getType().size(), rekey.getInput().getType().size());
}

std::function<std::optional<SymExpr>(StringRef)>
optimize::boundsOf(RelType type) {
  return [type](StringRef symbol) -> std::optional<SymExpr> {
    if (symbol.consume_front("#") && type.has(symbol))
      return type.extentOf(symbol);
    return std::nullopt;
  };
}

bool optimize::isCheap(JoinOp join) {
  if (join.getInputs().empty())
    return true;
  for (Value input : join.getInputs()) {
    RelType type = typeOf(input);
    if (isa<FloatType>(type.getElementType()) && !type.getColumns().empty())
      return false;
  }
  unsigned operations = 0;
  for (Operation &op : join.getBody().front().without_terminator()) {
    if (isa<arith::ConstantOp>(op))
      continue;
    if (isa_and_nonnull<math::MathDialect>(op.getDialect()) &&
        !isa<math::AbsFOp, math::AbsIOp>(op))
      return false;
    if (++operations > 12)
      return false;
  }
  return true;
}

Value optimize::yieldOf(JoinOp join) {
  return cast<YieldOp>(join.getBody().front().getTerminator()).getValue();
}

Attribute optimize::foldScalar(Operation *op, ArrayRef<Attribute> operands) {
  if (isa<arith::SelectOp>(op)) {
    auto bit = dyn_cast_or_null<IntegerAttr>(operands[0]);
    return bit ? operands[bit.getValue().isZero() ? 2 : 1] : Attribute();
  }
  SmallVector<OpFoldResult> folded;
  if (failed(op->fold(operands, folded)) || folded.size() != 1)
    return {};
  if (auto attribute = dyn_cast<Attribute>(folded[0]))
    return attribute;
  // An identity gives the operand, which is a constant here.
  Value value = cast<Value>(folded[0]);
  for (auto [operand, constant] : llvm::zip(op->getOperands(), operands))
    if (operand == value)
      return constant;
  return {};
}

TypedAttr optimize::constantOf(Value value) {
  auto join = value.getDefiningOp<JoinOp>();
  if (!join || !join.getInputs().empty())
    return {};
  auto constant = yieldOf(join).getDefiningOp<arith::ConstantOp>();
  return constant ? constant.getValue() : TypedAttr();
}

JoinOp optimize::createJoin(
    OpBuilder &builder, Location loc, RelType type, ValueRange inputs,
    function_ref<Value(OpBuilder &, ValueRange)> body) {
  auto join = JoinOp::create(builder, loc, type, inputs);
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> types;
  for (Value input : inputs)
    types.push_back(typeOf(input).getElementType());
  SmallVector<Location> locs(types.size(), loc);
  Block *block = builder.createBlock(&join.getBody(), {}, types, locs);
  Value value = body(builder, block->getArguments());
  YieldOp::create(builder, loc, value);
  return join;
}

JoinOp optimize::createJoin(
    OpBuilder &builder, Location loc, Type element, ValueRange inputs,
    function_ref<Value(OpBuilder &, ValueRange)> body) {
  return createJoin(builder, loc,
                    RelType::get(JoinOp::joinColumns(inputs), element), inputs,
                    body);
}

Value optimize::inlineRegion(OpBuilder &builder, JoinOp join,
                             ValueRange arguments) {
  IRMapping mapping;
  Block &block = join.getBody().front();
  mapping.map(block.getArguments(), arguments);
  for (Operation &op : block.without_terminator())
    builder.clone(op, mapping);
  return mapping.lookupOrDefault(yieldOf(join));
}

void optimize::replaceReordered(PatternRewriter &rewriter, Operation *op,
                                Value value) {
  Value old = op->getResult(0);
  if (old.getType() != value.getType()) {
    // Only the border knows an order of columns.
    bool border = llvm::any_of(old.getUsers(), [](Operation *user) {
      return !isa<RelDialect>(user->getDialect());
    });
    if (border) {
      rewriter.setInsertionPoint(op);
      value = RekeyOp::create(rewriter, op->getLoc(), old.getType(), value,
                              rewriter.getArrayAttr({}),
                              rewriter.getArrayAttr({}), TypedAttr());
    }
  }
  rewriter.replaceAllUsesWith(old, value);
  rewriter.eraseOp(op);
}

//===----------------------------------------------------------------------===//
// Key maps
//===----------------------------------------------------------------------===//

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
