//===- DropRoundTrips.cpp - Whole numbers need not become integers --------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_DROPROUNDTRIPS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// Whether all values of floats are whole numbers, infinite or no numbers: what is
/// rounded, and sums and products of such, which stay whole where they are rounded
/// to a float.
class WholeNumbers {
public:
  bool are(Value value) {
    // Within one layer: a plan is never walked to its inputs.
    constexpr unsigned most = 64;
    if (++visited > most)
      return false;
    if (isa<RelType>(value.getType()))
      return areOf(value);
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      auto join = dyn_cast<JoinOp>(argument.getOwner()->getParentOp());
      return join && are(join.getInputs()[argument.getArgNumber()]);
    }
    FloatAttr constant;
    if (matchPattern(value, m_Constant(&constant)))
      return constant.getValue().isInteger();
    Operation *op = value.getDefiningOp();
    if (!op)
      return false;
    if (isa<math::RoundEvenOp, math::RoundOp, math::FloorOp, math::CeilOp,
            math::TruncOp, arith::SIToFPOp, arith::UIToFPOp>(op))
      return true;
    if (auto choice = dyn_cast<arith::SelectOp>(op))
      return are(choice.getTrueValue()) && are(choice.getFalseValue());
    return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::NegFOp,
               arith::MaximumFOp, arith::MinimumFOp, math::AbsFOp>(op) &&
           llvm::all_of(op->getOperands(), [&](Value v) { return are(v); });
  }

private:
  bool areOf(Value relation) {
    Operation *op = relation.getDefiningOp();
    if (!op || !isa<FloatType>(typeOf(relation).getElementType()))
      return false;
    if (auto join = dyn_cast<JoinOp>(op))
      return are(yieldOf(join));
    if (auto fold = dyn_cast<AggregateOp>(op))
      return llvm::is_contained({Monoid::Sum, Monoid::Max, Monoid::Min},
                                fold.getMonoid()) &&
             are(fold.getInputs()[0]);
    if (auto rekey = dyn_cast<RekeyOp>(op))
      return !rekey.getOtherwise() && are(rekey.getInput());
    return false;
  }

  unsigned visited = 0;
};

/// float(int(x)) is x where x is a whole number. Beyond the integers the cast means
/// nothing; what saturates it chooses before.
template <class ToFloat, class ToInt>
struct DropRoundTrip : OpRewritePattern<ToFloat> {
  using OpRewritePattern<ToFloat>::OpRewritePattern;
  LogicalResult matchAndRewrite(ToFloat op,
                                PatternRewriter &rewriter) const override {
    auto cast = op.getIn().template getDefiningOp<ToInt>();
    if (!cast || cast.getIn().getType() != op.getType())
      return rewriter.notifyMatchFailure(op, "not of an integer that was a float");
    if (!WholeNumbers().are(cast.getIn()))
      return rewriter.notifyMatchFailure(op, "the float may not be whole");
    rewriter.replaceOp(op, cast.getIn());
    return success();
  }
};

/// float(select(c, a, b)) is select(c, float(a), float(b)) where one is a constant.
template <class ToFloat> struct ChooseFloats : OpRewritePattern<ToFloat> {
  using OpRewritePattern<ToFloat>::OpRewritePattern;
  LogicalResult matchAndRewrite(ToFloat op,
                                PatternRewriter &rewriter) const override {
    auto choice = op.getIn().template getDefiningOp<arith::SelectOp>();
    if (!choice || !choice->hasOneUse())
      return rewriter.notifyMatchFailure(op, "not of a choice of its own");
    if (!matchPattern(choice.getTrueValue(), m_Constant()) &&
        !matchPattern(choice.getFalseValue(), m_Constant()))
      return rewriter.notifyMatchFailure(op, "no choice is a constant");
    auto converted = [&](Value value) -> Value {
      return ToFloat::create(rewriter, op.getLoc(), op.getType(), value);
    };
    Value yes = converted(choice.getTrueValue());
    Value no = converted(choice.getFalseValue());
    rewriter.replaceOpWithNewOp<arith::SelectOp>(op, choice.getCondition(), yes,
                                                 no);
    return success();
  }
};

struct DropRoundTrips : optimize::impl::DropRoundTripsBase<DropRoundTrips> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateDropRoundTrips(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateDropRoundTrips(RewritePatternSet &patterns) {
  patterns.add<DropRoundTrip<arith::SIToFPOp, arith::FPToSIOp>,
               DropRoundTrip<arith::UIToFPOp, arith::FPToUIOp>,
               ChooseFloats<arith::SIToFPOp>, ChooseFloats<arith::UIToFPOp>>(
      patterns.getContext());
}
