//===- FoldScales.cpp - Constant factors go into tables -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_FOLDSCALES
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// The constant that every reader of a region's argument multiplies it by, if
/// there is one. Half precision keeps its rounding points.
static std::optional<double> commonFactor(BlockArgument argument,
                                          bool anyDiscretized) {
  std::optional<double> factor;
  if (!isa<Float32Type, Float64Type>(argument.getType()))
    return std::nullopt;
  for (Operation *user : argument.getUsers()) {
    FloatAttr constant;
    auto product = dyn_cast<arith::MulFOp>(user);
    if (!product || product.getLhs() != argument ||
        !matchPattern(product.getRhs(), m_Constant(&constant)) ||
        (anyDiscretized && isDiscretized(product)))
      return std::nullopt;
    double c = constant.getValueAsDouble();
    if (c == 0 || !std::isfinite(c) || (factor && *factor != c))
      return std::nullopt;
    factor = c;
  }
  return factor;
}

/// True if `value` is `argument`, or a product that has it as a factor once.
static unsigned countFactor(Value value, BlockArgument argument) {
  if (auto product = value.getDefiningOp<arith::MulFOp>())
    return countFactor(product.getLhs(), argument) +
           countFactor(product.getRhs(), argument);
  return value == argument;
}

namespace {
/// c·Σ x·W = Σ x·(c·W) for a table W.
struct FoldScale : OpRewritePattern<JoinOp> {
  FoldScale(MLIRContext *context, bool anyDiscretized)
      : OpRewritePattern(context), anyDiscretized(anyDiscretized) {}
  bool anyDiscretized;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    Block &block = join.getBody().front();
    for (auto [input, argument] :
         llvm::zip(join.getInputs(), block.getArguments())) {
      auto factor = commonFactor(argument, anyDiscretized);
      if (!factor)
        continue;
      // The sum may be read through views, but only here.
      Value sum = input;
      bool alone = sum.hasOneUse();
      while (auto rekey = sum.getDefiningOp<RekeyOp>()) {
        if (rekey.getOtherwise())
          break;
        sum = rekey.getInput();
        alone &= sum.hasOneUse();
      }
      auto aggregate = sum.getDefiningOp<AggregateOp>();
      if (!alone || !aggregate || aggregate.getMonoid() != Monoid::Sum)
        continue;
      auto product = aggregate.getInputs()[0].getDefiningOp<JoinOp>();
      OpOperand *table = product && product->hasOneUse()
                             ? tableFactor(product)
                             : nullptr;
      if (!table)
        continue;
      scale(*table, *factor, rewriter);
      for (Operation *user : llvm::make_early_inc_range(argument.getUsers()))
        rewriter.replaceOp(user, argument);
      return success();
    }
    return rewriter.notifyMatchFailure(
        join, "no operand is a scaled contraction with a table");
  }

private:
  /// The operand of a product that depends on tables only, if it is one factor.
  static OpOperand *tableFactor(JoinOp product) {
    for (OpOperand &operand : product->getOpOperands())
      if (!typeOf(operand.get()).getColumns().empty() &&
          countFactor(yieldOf(product),
                      product.getBody().front().getArgument(
                          operand.getOperandNumber())) == 1 &&
          dependsOnTablesOnly(operand.get()))
        return &operand;
    return nullptr;
  }

  static void scale(OpOperand &table, double factor,
                    PatternRewriter &rewriter) {
    Operation *product = table.getOwner();
    Location loc = product->getLoc();
    rewriter.setInsertionPoint(product);
    auto scaled = createJoin(
        rewriter, loc, typeOf(table.get()), table.get(),
        [&](OpBuilder &b, ValueRange x) -> Value {
          return arith::MulFOp::create(
              b, loc, x[0],
              arith::ConstantOp::create(
                  b, loc, b.getFloatAttr(x[0].getType(), factor)));
        });
    rewriter.modifyOpInPlace(product, [&] { table.set(scaled.getResult()); });
  }
};

struct FoldScales : optimize::impl::FoldScalesBase<FoldScales> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateFoldScales(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateFoldScales(RewritePatternSet &patterns,
                                  bool anyDiscretized) {
  patterns.add<FoldScale>(patterns.getContext(), anyDiscretized);
}
