//===- ComposeJoins.cpp - A join of a join is one join --------------------===//
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
#define GEN_PASS_DEF_COMPOSEJOINS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// The products of a contraction, whose two sides have columns of their own: what
/// is not cheap for each pair of their rows is for each row of a side.
static bool isContraction(JoinOp join) {
  if (!join->hasOneUse() || join.getInputs().size() != 2 ||
      !yieldOf(join).getDefiningOp<arith::MulFOp>())
    return false;
  auto sum = dyn_cast<AggregateOp>(*join->user_begin());
  if (!sum || sum.getMonoid() != Monoid::Sum)
    return false;
  auto hasOwn = [&](unsigned side) {
    RelType other = typeOf(join.getInputs()[1 - side]);
    return llvm::any_of(typeOf(join.getInputs()[side]).getColumns(),
                        [&](Column column) {
                          return !sum.folds(column.getName()) &&
                                 !other.has(column.getName());
                        });
  };
  return hasOwn(0) && hasOwn(1);
}

namespace {
/// join(join(x){f}, y){g} is join(x, y){g(f(x), y)}, if f is evaluated no more
/// often than before or is cheap.
struct AbsorbOperand : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp outer,
                                PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(outer.getInputs())) {
      auto inner = input.getDefiningOp<JoinOp>();
      if (!inner || inner == outer)
        continue;
      // Fewer columns: f would be repeated along the others.
      bool once = input.hasOneUse() &&
                  sameColumns(inner.getType(), outer.getType());
      if (!once && (!isCheap(inner) ||
                    (isContraction(outer) && !inner.getInputs().empty())))
        continue;
      SmallVector<Value> inputs(outer.getInputs());
      inputs.erase(inputs.begin() + i);
      inputs.insert(inputs.begin() + i, inner.getInputs().begin(),
                    inner.getInputs().end());
      size_t count = inner.getInputs().size();
      auto merged = createJoin(
          rewriter, outer.getLoc(), outer.getType(), inputs,
          [&](OpBuilder &builder, ValueRange arguments) {
            Value value = inlineRegion(builder, inner,
                                       arguments.slice(i, count));
            SmallVector<Value> rest(arguments);
            rest.erase(rest.begin() + i, rest.begin() + i + count);
            rest.insert(rest.begin() + i, value);
            return inlineRegion(builder, outer, rest);
          });
      rewriter.replaceOp(outer, merged.getResult());
      return success();
    }
    return rewriter.notifyMatchFailure(
        outer, "no operand is a join that may be evaluated here");
  }
};

/// A join that yields one of its operands unchanged is that operand.
struct DropIdentity : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    auto argument = dyn_cast<BlockArgument>(yieldOf(join));
    if (!argument)
      return rewriter.notifyMatchFailure(join, "the region computes");
    Value input = join.getInputs()[argument.getArgNumber()];
    if (!sameColumns(typeOf(input), join.getType()))
      return rewriter.notifyMatchFailure(join, "the join adds columns");
    replaceReordered(rewriter, join, input);
    return success();
  }
};

/// An operand whose value is not used only gives columns: keys do that, too,
/// and what computes the operand is not needed.
struct ReplaceUnusedByKeys : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(join.getInputs())) {
      if (!join.getBody().front().getArgument(i).use_empty() ||
          input.getDefiningOp<RangeOp>())
        continue;
      SmallVector<Value> inputs(join.getInputs());
      inputs.erase(inputs.begin() + i);
      SmallVector<Column> kept = JoinOp::joinColumns(inputs);
      for (Column column : typeOf(input).getColumns())
        if (!llvm::is_contained(kept, column))
          inputs.push_back(RangeOp::create(
              rewriter, join.getLoc(),
              RelType::get({column}, rewriter.getI64Type())));
      auto merged = createJoin(
          rewriter, join.getLoc(), join.getType(), inputs,
          [&](OpBuilder &builder, ValueRange arguments) {
            SmallVector<Value> old(
                arguments.take_front(join.getInputs().size() - 1));
            // The argument has no uses: any value stands for it.
            old.insert(old.begin() + i, Value());
            return inlineRegion(builder, join, old);
          });
      rewriter.replaceOp(join, merged.getResult());
      return success();
    }
    return rewriter.notifyMatchFailure(join, "every operand is used");
  }
};

struct ComposeJoins : optimize::impl::ComposeJoinsBase<ComposeJoins> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateComposeJoins(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateComposeJoins(RewritePatternSet &patterns) {
  patterns.add<AbsorbOperand, DropIdentity, ReplaceUnusedByKeys>(
      patterns.getContext());
}
