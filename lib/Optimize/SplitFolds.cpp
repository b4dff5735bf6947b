//===- SplitFolds.cpp - A fold over merged digits folds the digits --------===//
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
#define GEN_PASS_DEF_SPLITFOLDS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// Adds the divisors E of `#column floordiv E` and of `#column mod E`.
static void collectDivisors(const SymExpr &expr, const SymExpr &key,
                            std::set<std::string> &quotients,
                            std::set<std::string> &remainders) {
  for (const auto &[monomial, coefficient] : expr.terms())
    for (const SymExpr::Atom &atom : monomial) {
      if (atom.kind == SymExpr::Atom::Symbol)
        continue;
      if (*atom.lhs == key && !atom.rhs->hasKeys()) {
        if (atom.kind == SymExpr::Atom::FloorDiv)
          quotients.insert(atom.rhs->str());
        if (atom.kind == SymExpr::Atom::Mod)
          remainders.insert(atom.rhs->str());
      }
      collectDivisors(*atom.lhs, key, quotients, remainders);
    }
}

/// E, if some operand of the fold reads (c floordiv E, c mod E) behind
/// operators that a rekey moves below.
static std::optional<SymExpr> digitOf(Value value, StringRef column) {
  if (!typeOf(value).has(column))
    return std::nullopt;
  Operation *op = value.getDefiningOp();
  if (auto rekey = dyn_cast_or_null<RekeyOp>(op)) {
    std::set<std::string> quotients, remainders;
    for (StringRef expr : rekey.getExprs().getAsValueRange<StringAttr>())
      collectDivisors(*SymExpr::parse(expr), SymExpr::key(column), quotients,
                      remainders);
    for (const std::string &e : quotients)
      if (remainders.count(e))
        return SymExpr::parse(e);
    return std::nullopt;
  }
  if (!isa_and_nonnull<JoinOp, SelectOp>(op) || !value.hasOneUse())
    return std::nullopt;
  for (Value operand : op->getOperands())
    if (auto e = digitOf(operand, column))
      return e;
  return std::nullopt;
}

namespace {
/// Σ_c x[c div E, c mod E]·w[c] = Σ_{i,j} x[i, j]·w[E·i + j]: heads that were
/// merged for a contraction stay apart.
struct SplitFold : OpRewritePattern<AggregateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AggregateOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getMonoid() == Monoid::ArgMax || op.getMonoid() == Monoid::ArgMin)
      return rewriter.notifyMatchFailure(op, "the result is the folded key");
    for (StringRef column : op.getOver().getAsValueRange<StringAttr>()) {
      std::optional<SymExpr> low;
      SymExpr extent;
      SmallVector<RelType> types;
      for (Value input : op.getInputs()) {
        types.push_back(typeOf(input));
        if (!typeOf(input).has(column))
          continue;
        extent = typeOf(input).extentOf(column);
        if (!low)
          low = digitOf(input, column);
      }
      auto high = low ? extent.exactDiv(*low) : std::nullopt;
      if (!high)
        continue;
      std::string hi = freshColumn((column + "_hi").str(), types);
      std::string lo = freshColumn((column + "_lo").str(), types);
      KeyMap map{{column.str(),
                  *low * SymExpr::key(hi) + SymExpr::key(lo)}};
      SmallVector<Value> inputs;
      for (Value input : op.getInputs())
        inputs.push_back(rekeyed(rewriter, op.getLoc(), input, map,
                                 [&](StringRef name) {
                                   return name == hi   ? *high
                                          : name == lo ? *low
                                          : typeOf(input).extentOf(name);
                                 }));
      SmallVector<StringRef> over;
      for (StringRef c : op.getOver().getAsValueRange<StringAttr>()) {
        if (c != column) {
          over.push_back(c);
          continue;
        }
        over.push_back(hi);
        over.push_back(lo);
      }
      rewriter.replaceOpWithNewOp<AggregateOp>(
          op, op.getType(), op.getMonoid(), inputs,
          rewriter.getStrArrayAttr(over));
      return success();
    }
    return rewriter.notifyMatchFailure(op,
                                       "no folded column is merged digits");
  }
};

struct SplitFolds : optimize::impl::SplitFoldsBase<SplitFolds> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSplitFolds(patterns);
    populatePushRekeys(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateSplitFolds(RewritePatternSet &patterns) {
  patterns.add<SplitFold>(patterns.getContext());
}
