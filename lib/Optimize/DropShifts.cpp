//===- DropShifts.cpp - What shifts all scores alike cancels --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// exp(s + c) / Σ_t exp(s + c) = exp(s) / Σ_t exp(s) where c lacks t.
//
// Scores that are dropped since a mask adds its constant would shift as well;
// a constant that takes their place (`fills`) would not.
//
//===----------------------------------------------------------------------===//

#include "Laws.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_DROPSHIFTS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

static bool uses(Value value, BlockArgument argument) {
  if (value == argument)
    return true;
  Operation *op = value.getDefiningOp();
  return op && llvm::any_of(op->getOperands(), [&](Value operand) {
           return uses(operand, argument);
         });
}

/// Is `value` a sum in which `argument` stands with a constant factor, and
/// nowhere else?
static bool isShift(Value value, BlockArgument argument) {
  if (value == argument || !uses(value, argument))
    return true;
  Operation *op = value.getDefiningOp();
  if (isa<arith::AddFOp, arith::SubFOp, arith::NegFOp>(op))
    return llvm::all_of(op->getOperands(), [&](Value operand) {
      return isShift(operand, argument);
    });
  auto constant = [](Value x) { return matchPattern(x, m_Constant()); };
  if (isa<arith::MulFOp>(op))
    return (constant(op->getOperand(0)) || constant(op->getOperand(1))) &&
           isShift(op->getOperand(0), argument) &&
           isShift(op->getOperand(1), argument);
  return isa<arith::DivFOp>(op) && constant(op->getOperand(1)) &&
         isShift(op->getOperand(0), argument);
}

namespace {
struct DropShift : OpRewritePattern<AggregateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AggregateOp fold,
                                PatternRewriter &rewriter) const override {
    if (fold.getMonoid() != Monoid::SoftmaxSum)
      return rewriter.notifyMatchFailure(fold, "not a softmax_sum");
    if (fold.getFills())
      return rewriter.notifyMatchFailure(fold, "a constant among the scores");
    Value scores = fold.getInputs()[0];
    while (auto select = scores.getDefiningOp<SelectOp>()) {
      // A finite default is a score like the others: it would have to move too.
      auto otherwise = dyn_cast<FloatAttr>(select.getOtherwise());
      if (!otherwise || !otherwise.getValue().isInfinity() ||
          !scores.hasOneUse())
        return rewriter.notifyMatchFailure(fold, "a finite default");
      scores = select.getInput();
    }
    auto join = scores.getDefiningOp<JoinOp>();
    if (!join || !scores.hasOneUse())
      return rewriter.notifyMatchFailure(fold, "the scores are read elsewhere");
    Block &body = join.getBody().front();
    for (auto [input, argument] :
         llvm::zip(join.getInputs(), body.getArguments())) {
      bool folded = llvm::any_of(typeOf(input).getColumns(), [&](Column c) {
        return fold.folds(c.getName());
      });
      if (folded || argument.use_empty() || !isShift(yieldOf(join), argument))
        continue;
      // The columns stay: another operand has them, or a softmax over fewer
      // keys would be another result.
      SmallVector<Value> others;
      for (Value other : join.getInputs())
        if (other != input)
          others.push_back(other);
      if (JoinOp::joinColumns(others).size() !=
          join.getType().getColumns().size())
        continue;
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToStart(&body);
      auto zero = cast<TypedAttr>(rewriter.getZeroAttr(argument.getType()));
      Value constant =
          arith::ConstantOp::create(rewriter, join.getLoc(), zero);
      rewriter.replaceAllUsesWith(argument, constant);
      return success();
    }
    return rewriter.notifyMatchFailure(fold, "no operand shifts all scores");
  }
};

struct DropShifts : optimize::impl::DropShiftsBase<DropShifts> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateDropShifts(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateDropShifts(RewritePatternSet &patterns) {
  patterns.add<DropShift>(patterns.getContext());
}
