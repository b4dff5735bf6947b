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

namespace {
/// What reads digits of a column: per divisor E the source column whose key is
/// `#column floordiv E`, or `#column mod E`.
using Digits = std::map<std::string, std::string>;

struct Split {
  SymExpr low; // E
  std::string highName, lowName;
};
} // namespace

static void collectDivisors(const SymExpr &expr, const SymExpr &key,
                            StringRef source, Digits &quotients,
                            Digits &remainders) {
  for (const auto &[monomial, coefficient] : expr.terms())
    for (const SymExpr::Atom &atom : monomial) {
      if (atom.kind == SymExpr::Atom::Symbol)
        continue;
      if (*atom.lhs == key && !atom.rhs->hasKeys()) {
        if (atom.kind == SymExpr::Atom::FloorDiv)
          quotients.try_emplace(atom.rhs->str(), source.str());
        if (atom.kind == SymExpr::Atom::Mod)
          remainders.try_emplace(atom.rhs->str(), source.str());
      }
      collectDivisors(*atom.lhs, key, source, quotients, remainders);
    }
}

/// E, if some operand of the fold reads (c floordiv E, c mod E) behind
/// operators that a rekey moves below.
static std::optional<Split> digitOf(Value value, StringRef column) {
  if (!typeOf(value).has(column))
    return std::nullopt;
  Operation *op = value.getDefiningOp();
  if (auto rekey = dyn_cast_or_null<RekeyOp>(op)) {
    Digits quotients, remainders;
    for (StringRef source : rekey.getSources().getAsValueRange<StringAttr>())
      collectDivisors(rekey.sourceKey(source), SymExpr::key(column), source,
                      quotients, remainders);
    for (const auto &[e, source] : quotients)
      if (auto it = remainders.find(e); it != remainders.end())
        return Split{*SymExpr::parse(e), source, it->second};
    return std::nullopt;
  }
  if (!isa_and_nonnull<JoinOp, SelectOp>(op) || !value.hasOneUse())
    return std::nullopt;
  for (Value operand : op->getOperands())
    if (auto split = digitOf(operand, column))
      return split;
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
      std::optional<Split> split;
      SymExpr extent;
      SmallVector<RelType> types;
      for (Value input : op.getInputs()) {
        types.push_back(typeOf(input));
        if (!typeOf(input).has(column))
          continue;
        extent = typeOf(input).extentOf(column);
        if (!split)
          split = digitOf(input, column);
      }
      auto high = split ? extent.exactDiv(split->low) : std::nullopt;
      if (!high)
        continue;
      // The digits get the names that they had before the merge.
      std::string hi = freshColumn(split->highName, types);
      types.push_back(RelType::get(
          {Column(rewriter.getContext(), hi, SymExpr(1))}, types[0].getElementType()));
      std::string lo = freshColumn(split->lowName, types);
      KeyMap map{{column.str(),
                  split->low * SymExpr::key(hi) + SymExpr::key(lo)}};
      SmallVector<Value> inputs;
      for (Value input : op.getInputs())
        inputs.push_back(rekeyed(rewriter, op.getLoc(), input, map,
                                 [&](StringRef name) {
                                   return name == hi   ? *high
                                          : name == lo ? split->low
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
      auto fold = AggregateOp::create(rewriter, op.getLoc(), op.getType(),
                                      op.getMonoid(), inputs,
                                      rewriter.getStrArrayAttr(over));
      fold.copyMask(op);
      rewriter.replaceOp(op, fold);
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
