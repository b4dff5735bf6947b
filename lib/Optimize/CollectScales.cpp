//===- CollectScales.cpp - Constant factors leave contractions ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_COLLECTSCALES
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

static std::optional<double> constantFloat(Value value) {
  FloatAttr attribute;
  if (matchPattern(value, m_Constant(&attribute)))
    return attribute.getValueAsDouble();
  return std::nullopt;
}

/// Takes the constants out of a product; false if it is no product.
static bool flattenProduct(Value value, SmallVectorImpl<Value> &factors,
                           double &constant) {
  if (auto c = constantFloat(value)) {
    constant *= *c;
    return true;
  }
  if (auto product = value.getDefiningOp<arith::MulFOp>())
    return flattenProduct(product.getLhs(), factors, constant) &&
           flattenProduct(product.getRhs(), factors, constant);
  factors.push_back(value);
  return isa<BlockArgument>(value);
}

namespace {
/// Σ_k (c1·x)·(c2·y) = (c1·c2)·Σ_k x·y: scales on q, on k and on the scores
/// are one factor on the scores.
struct CollectScale : OpRewritePattern<AggregateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AggregateOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getMonoid() != Monoid::Sum ||
        !isa<FloatType>(op.getType().getElementType()))
      return rewriter.notifyMatchFailure(op, "not a sum of floats");
    auto product = op.getInputs()[0].getDefiningOp<JoinOp>();
    if (!product || !product->hasOneUse())
      return rewriter.notifyMatchFailure(op, "not a sum of a join of its own");
    SmallVector<Value> factors;
    double constant = 1;
    if (!flattenProduct(yieldOf(product), factors, constant) ||
        factors.empty())
      return rewriter.notifyMatchFailure(op, "not a sum of products");
    SmallVector<Value> inputs(product.getInputs());
    bool inside = constant != 1;
    bool outside = false;
    // A factor that is itself a scaled relation, used only here and once.
    for (auto [i, input] : llvm::enumerate(product.getInputs())) {
      if (llvm::count(factors, product.getBody().front().getArgument(i)) != 1)
        continue;
      Value bare = unscaled(rewriter, input, constant);
      if (!bare)
        continue;
      inputs[i] = bare;
      outside = true;
    }
    if (!inside && !outside)
      return rewriter.notifyMatchFailure(op, "no factor is a constant");
    Location loc = op.getLoc();
    Type element = op.getType().getElementType();
    auto bare = createJoin(
        rewriter, product.getLoc(), product.getType(), inputs,
        [&](OpBuilder &b, ValueRange x) -> Value {
          Value value;
          for (Value factor : factors) {
            Value next = x[cast<BlockArgument>(factor).getArgNumber()];
            value = value ? arith::MulFOp::create(b, loc, value, next).getResult()
                          : next;
          }
          return value;
        });
    auto sum = AggregateOp::create(rewriter, loc, op.getType(), Monoid::Sum,
                                   ValueRange{bare.getResult()},
                                   op.getOverAttr());
    auto scaled = createJoin(
        rewriter, loc, op.getType(), ValueRange{sum.getResult()},
        [&](OpBuilder &b, ValueRange x) -> Value {
          return arith::MulFOp::create(
              b, loc, x[0],
              arith::ConstantOp::create(b, loc,
                                        b.getFloatAttr(element, constant)));
        });
    rewriter.replaceOp(op, scaled.getResult());
    return success();
  }

private:
  /// `value` without the constant factor of its join (times which it is
  /// `value`), or null. Looks through selections and rekeys, which commute
  /// with a factor where their default is 0 or there is none.
  static Value unscaled(PatternRewriter &rewriter, Value value,
                        double &constant) {
    if (!value.hasOneUse() || dependsOnTablesOnly(value))
      return {};
    if (auto rekey = value.getDefiningOp<RekeyOp>()) {
      if (rekey.getOtherwise())
        return {};
      Value inner = unscaled(rewriter, rekey.getInput(), constant);
      if (!inner)
        return {};
      auto clone = cast<RekeyOp>(rewriter.clone(*rekey));
      clone->setOperand(0, inner);
      return clone.getResult();
    }
    auto join = value.getDefiningOp<JoinOp>();
    auto product =
        join ? yieldOf(join).getDefiningOp<arith::MulFOp>() : arith::MulFOp();
    auto factor = product ? constantFloat(product.getRhs()) : std::nullopt;
    if (!factor)
      return {};
    constant *= *factor;
    return createJoin(rewriter, join.getLoc(), join.getType(),
                      join.getInputs(), [&](OpBuilder &b, ValueRange x) {
                        IRMapping mapping;
                        Block &block = join.getBody().front();
                        mapping.map(block.getArguments(), x);
                        for (Operation &op : block.without_terminator())
                          b.clone(op, mapping);
                        return mapping.lookupOrDefault(product.getLhs());
                      });
  }
};

struct CollectScales : optimize::impl::CollectScalesBase<CollectScales> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateCollectScales(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateCollectScales(RewritePatternSet &patterns) {
  patterns.add<CollectScale>(patterns.getContext());
}
