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
