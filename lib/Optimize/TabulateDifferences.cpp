//===- TabulateDifferences.cpp - What depends on t - s is a table ---------===//
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

namespace joinery::optimize {
#define GEN_PASS_DEF_TABULATEDIFFERENCES
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// The extent's last key as a relation without columns: a range read there.
static Value lastKey(PatternRewriter &rewriter, Location loc,
                     const SymExpr &extent) {
  Type i64 = rewriter.getI64Type();
  if (auto constant = extent.asConst())
    return createJoin(rewriter, loc, i64, ValueRange(),
                      [&](OpBuilder &b, ValueRange) -> Value {
                        return arith::ConstantOp::create(
                            b, loc, b.getI64IntegerAttr(*constant - 1));
                      });
  RelType type =
      RelType::get({Column(rewriter.getContext(), "i", extent)}, i64);
  Value range = RangeOp::create(rewriter, loc, type);
  return RekeyOp::create(
      rewriter, loc, RelType::get(ArrayRef<Column>(), i64), range,
      rewriter.getStrArrayAttr({"i"}),
      rewriter.getStrArrayAttr({(extent - SymExpr(1)).str()}), TypedAttr());
}

namespace {
/// join(range t, range s, x){f(t - s, x)} is f over one key δ = t - s + S - 1,
/// read at that key. Only where f is worth a table.
struct TabulateDifference : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    if (!isWorthwhile(join))
      return rewriter.notifyMatchFailure(join, "cheaper than a table");
    Block &block = join.getBody().front();
    // Two ranges whose arguments are only read as one difference.
    SmallVector<unsigned> ranges;
    for (auto [i, input] : llvm::enumerate(join.getInputs()))
      if (input.getDefiningOp<RangeOp>())
        ranges.push_back(i);
    for (unsigned t : ranges)
      for (unsigned s : ranges)
        if (t < s && onlyDifferences(block.getArgument(t),
                                     block.getArgument(s)) &&
            othersLack(join, t, s))
          return rewrite(join, t, s, rewriter);
    return rewriter.notifyMatchFailure(
        join, "no two keys are read as their difference only");
  }

private:
  static bool isWorthwhile(JoinOp join) {
    for (Operation *user : join->getUsers())
      if (isa<LookupOp>(user))
        return true;
    for (Operation &op : join.getBody().front())
      if (isa_and_nonnull<math::MathDialect>(op.getDialect()))
        return true;
    return false;
  }
  static bool onlyDifferences(BlockArgument a, BlockArgument b) {
    if (a.use_empty() || b.use_empty())
      return false;
    for (BlockArgument x : {a, b})
      for (Operation *user : x.getUsers()) {
        auto difference = dyn_cast<arith::SubIOp>(user);
        if (!difference || !((difference.getLhs() == a &&
                              difference.getRhs() == b) ||
                             (difference.getLhs() == b &&
                              difference.getRhs() == a)))
          return false;
      }
    return true;
  }
  static bool othersLack(JoinOp join, unsigned t, unsigned s) {
    for (auto [i, input] : llvm::enumerate(join.getInputs()))
      for (unsigned key : {t, s})
        if (i != key &&
            typeOf(input).has(
                typeOf(join.getInputs()[key]).getColumns()[0].getName()))
          return false;
    return true;
  }

  static LogicalResult rewrite(JoinOp join, unsigned t, unsigned s,
                               PatternRewriter &rewriter) {
    Location loc = join.getLoc();
    Column tc = typeOf(join.getInputs()[t]).getColumns()[0];
    Column sc = typeOf(join.getInputs()[s]).getColumns()[0];
    SymExpr extent = tc.getExtent() + sc.getExtent() - SymExpr(1);
    std::string name = freshColumn("delta", {join.getType()});
    Column delta(rewriter.getContext(), name, extent);
    SmallVector<Value> inputs;
    for (auto [i, input] : llvm::enumerate(join.getInputs()))
      if (i != t && i != s)
        inputs.push_back(input);
    size_t others = inputs.size();
    inputs.push_back(RangeOp::create(
        rewriter, loc, RelType::get({delta}, rewriter.getI64Type())));
    inputs.push_back(lastKey(rewriter, loc, sc.getExtent()));
    auto table = createJoin(
        rewriter, loc, join.getType().getElementType(), inputs,
        [&](OpBuilder &b, ValueRange x) -> Value {
          // f sees t := δ - (S - 1) and s := 0; t - s is the same.
          Value zero =
              arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
          Value difference =
              arith::SubIOp::create(b, loc, x[others], x[others + 1]);
          SmallVector<Value> arguments;
          unsigned next = 0;
          for (unsigned i = 0; i < join.getInputs().size(); ++i)
            arguments.push_back(i == t   ? difference
                                : i == s ? zero
                                         : x[next++]);
          return inlineRegion(b, join, arguments);
        });
    KeyMap map{{name, SymExpr::key(tc.getName()) -
                          SymExpr::key(sc.getName()) + sc.getExtent() -
                          SymExpr(1)}};
    Value value = rekeyed(rewriter, loc, table, map, [&](StringRef column) {
      return column == name ? extent : join.getType().extentOf(column);
    });
    replaceReordered(rewriter, join, value);
    return success();
  }
};

/// The columns that a rekey reads its source at, apart from those it keeps.
SmallVector<Column> newColumns(RekeyOp rekey) {
  SmallVector<Column> columns;
  for (Column column : rekey.getType().getColumns())
    if (!rekey.getInput().getType().has(column.getName()) ||
        rekey.sourceKey(column.getName()) != SymExpr::key(column.getName()))
      columns.push_back(column);
  return columns;
}

/// f ∘ rekey = rekey ∘ f for a rekey that enlarges: f runs over the smaller
/// relation. All operands that have a new column are behind the same map.
struct RaiseRekey : RewritePattern {
  RaiseRekey(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa<JoinOp, LookupOp>(op))
      return rewriter.notifyMatchFailure(op, "not key by key");
    for (Value operand : op->getOperands())
      if (auto rekey = operand.getDefiningOp<RekeyOp>();
          rekey && !rekey.getOtherwise() && enlarges(rekey) &&
          raises(op, rekey))
        return raise(op, rekey, rewriter);
    return rewriter.notifyMatchFailure(op, "no operand is enlarged by a rekey");
  }

private:
  static bool raises(Operation *op, RekeyOp rekey) {
    SmallVector<Column> columns = newColumns(rekey);
    if (columns.empty())
      return false; // one key of a range that may be empty, say
    RelType source = rekey.getInput().getType();
    for (Value operand : op->getOperands()) {
      auto other = operand.getDefiningOp<RekeyOp>();
      if (other && other.getInput() == rekey.getInput() &&
          keyMapOf(other) == keyMapOf(rekey))
        continue;
      if (other == rekey)
        continue;
      for (Column column : columns)
        if (typeOf(operand).has(column.getName()))
          return false;
      // A source column that is mapped must not meet another of its name.
      for (Column column : source.getColumns())
        if (typeOf(operand).has(column.getName()) &&
            rekey.sourceKey(column.getName()) !=
                SymExpr::key(column.getName()))
          return false;
    }
    if (auto lookup = dyn_cast<LookupOp>(op)) {
      if (lookup.getSource().getDefiningOp() == rekey)
        return false; // the looked-up column may be a new one
      for (StringRef key : lookup.getKeys().getAsValueRange<StringAttr>())
        if (source.has(key))
          return false;
    }
    return true;
  }

  static LogicalResult raise(Operation *op, RekeyOp rekey,
                             PatternRewriter &rewriter) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      auto other = operand.getDefiningOp<RekeyOp>();
      bool same = other && other.getInput() == rekey.getInput() &&
                  keyMapOf(other) == keyMapOf(rekey);
      operands.push_back(same ? other.getInput() : operand);
    }
    KeyMap map = keyMapOf(rekey);
    RelType result = typeOf(op->getResult(0));
    SmallVector<Column> columns;
    std::set<std::string> mapped;
    for (Column column : newColumns(rekey))
      mapped.insert(column.getName().str());
    for (Column column : result.getColumns())
      if (!mapped.count(column.getName().str()))
        columns.push_back(column);
    for (Column column : rekey.getInput().getType().getColumns())
      if (!llvm::is_contained(columns, column))
        columns.push_back(column);
    Operation *clone = rewriter.clone(*op);
    clone->setOperands(operands);
    clone->getResult(0).setType(result.withColumns(columns));
    Value value = rekeyed(rewriter, op->getLoc(), clone->getResult(0), map,
                          [&](StringRef name) {
                            return result.has(name)
                                       ? result.extentOf(name)
                                       : rekey.getInput().getType().extentOf(
                                             name);
                          });
    replaceReordered(rewriter, op, value);
    return success();
  }
};

struct TabulateDifferences
    : optimize::impl::TabulateDifferencesBase<TabulateDifferences> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateTabulateDifferences(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateTabulateDifferences(RewritePatternSet &patterns) {
  patterns.add<TabulateDifference, RaiseRekey>(patterns.getContext());
}
