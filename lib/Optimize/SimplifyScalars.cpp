//===- SimplifyScalars.cpp - One form for equal scalar expressions --------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Floats are reassociated, constants are computed in double and rounded once.
// Not so upstream of casts to integers, comparisons and roundings: they would
// turn a difference in the last bit into another answer.
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
#define GEN_PASS_DEF_SIMPLIFYSCALARS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

static std::optional<double> constantFloat(Value value) {
  FloatAttr attribute;
  if (value && matchPattern(value, m_Constant(&attribute)))
    return attribute.getValueAsDouble();
  return std::nullopt;
}

static Value makeFloat(OpBuilder &builder, Location loc, Type type, double x) {
  return arith::ConstantOp::create(builder, loc,
                                   builder.getFloatAttr(type, x));
}

static bool mayReassociate(Operation *op, bool anyDiscretized) {
  return isa<JoinOp>(op->getParentOp()) &&
         !(anyDiscretized && isDiscretized(op));
}

namespace {
template <class Op> struct FloatLaw : OpRewritePattern<Op> {
  FloatLaw(MLIRContext *context, bool anyDiscretized)
      : OpRewritePattern<Op>(context), anyDiscretized(anyDiscretized) {}
  bool anyDiscretized;
  virtual Value rewrite(Op op, PatternRewriter &rewriter) const = 0;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    if (!mayReassociate(op, anyDiscretized))
      return rewriter.notifyMatchFailure(
          op, "a comparison, rounding or cast to an integer reads it");
    Value value = rewrite(op, rewriter);
    if (!value)
      return rewriter.notifyMatchFailure(op, "it has the normal form");
    rewriter.replaceOp(op, value);
    return success();
  }
};

/// pow(x, c) for the exponents that are products and roots.
struct ExpandPow : FloatLaw<math::PowFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(math::PowFOp op, PatternRewriter &b) const override {
    auto c = constantFloat(op.getRhs());
    Value x = op.getLhs();
    Location loc = op.getLoc();
    if (!c)
      return {};
    if (*c == 1)
      return x;
    if (*c == 0.5)
      return math::SqrtOp::create(b, loc, x);
    if (*c == -0.5)
      return math::RsqrtOp::create(b, loc, x);
    if (*c == -1)
      return arith::DivFOp::create(b, loc,
                                   makeFloat(b, loc, op.getType(), 1), x);
    if (*c != 2 && *c != 3)
      return {};
    Value square = arith::MulFOp::create(b, loc, x, x);
    return *c == 2 ? square
                   : arith::MulFOp::create(b, loc, square, x).getResult();
  }
};

/// x / c = x * (1 / c), c / sqrt(x) = c * rsqrt(x), a / (b / c) = a * c / b.
struct DivideByConstant : FloatLaw<arith::DivFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::DivFOp op, PatternRewriter &b) const override {
    Location loc = op.getLoc();
    Type type = op.getType();
    if (auto c = constantFloat(op.getRhs())) {
      if (*c == 0 || !std::isfinite(*c) || !std::isfinite(1 / *c))
        return {};
      return arith::MulFOp::create(b, loc, op.getLhs(),
                                   makeFloat(b, loc, type, 1 / *c));
    }
    if (auto root = op.getRhs().getDefiningOp<math::SqrtOp>()) {
      Value r = math::RsqrtOp::create(b, loc, root.getOperand());
      if (constantFloat(op.getLhs()) == 1.0)
        return r;
      return arith::MulFOp::create(b, loc, op.getLhs(), r);
    }
    if (auto inner = op.getRhs().getDefiningOp<arith::DivFOp>();
        inner && constantFloat(inner.getLhs()) == 1.0)
      return arith::MulFOp::create(b, loc, op.getLhs(), inner.getRhs());
    // a * (1 / z) and a / z are one form.
    return {};
  }
};

/// Products with one constant, last: (x*c)*d = x*(c*d), (x*c)*y = (x*y)*c.
struct CollectFactors : FloatLaw<arith::MulFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::MulFOp op, PatternRewriter &b) const override {
    Location loc = op.getLoc();
    Type type = op.getType();
    if (auto d = constantFloat(op.getRhs())) {
      if (*d == 1)
        return op.getLhs();
      auto inner = op.getLhs().getDefiningOp<arith::MulFOp>();
      auto c = inner ? constantFloat(inner.getRhs()) : std::nullopt;
      if (!c)
        return {};
      return arith::MulFOp::create(b, loc, inner.getLhs(),
                                   makeFloat(b, loc, type, *c * *d));
    }
    for (bool left : {true, false}) {
      Value factor = left ? op.getLhs() : op.getRhs();
      Value other = left ? op.getRhs() : op.getLhs();
      auto inner = factor.getDefiningOp<arith::MulFOp>();
      if (inner && inner->hasOneUse() && constantFloat(inner.getRhs()))
        return arith::MulFOp::create(
            b, loc,
            arith::MulFOp::create(b, loc, inner.getLhs(), other).getResult(),
            inner.getRhs());
      auto reciprocal = factor.getDefiningOp<arith::DivFOp>();
      if (reciprocal && constantFloat(reciprocal.getLhs()) == 1.0)
        return arith::DivFOp::create(b, loc, other, reciprocal.getRhs());
    }
    return {};
  }
};

/// Sums with one constant, last: (x+c)+d = x+(c+d), (x+c)+y = (x+y)+c.
struct CollectTerms : FloatLaw<arith::AddFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::AddFOp op, PatternRewriter &b) const override {
    Location loc = op.getLoc();
    Type type = op.getType();
    if (auto d = constantFloat(op.getRhs())) {
      if (*d == 0)
        return op.getLhs();
      auto inner = op.getLhs().getDefiningOp<arith::AddFOp>();
      auto c = inner ? constantFloat(inner.getRhs()) : std::nullopt;
      if (!c)
        return {};
      return arith::AddFOp::create(b, loc, inner.getLhs(),
                                   makeFloat(b, loc, type, *c + *d));
    }
    for (bool left : {true, false}) {
      Value term = left ? op.getLhs() : op.getRhs();
      Value other = left ? op.getRhs() : op.getLhs();
      auto inner = term.getDefiningOp<arith::AddFOp>();
      if (inner && inner->hasOneUse() && constantFloat(inner.getRhs()))
        return arith::AddFOp::create(
            b, loc,
            arith::AddFOp::create(b, loc, inner.getLhs(), other).getResult(),
            inner.getRhs());
    }
    return {};
  }
};

/// x - c = x + (-c).
struct SubtractConstant : FloatLaw<arith::SubFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::SubFOp op, PatternRewriter &b) const override {
    auto c = constantFloat(op.getRhs());
    if (!c)
      return {};
    if (*c == 0)
      return op.getLhs();
    return arith::AddFOp::create(
        b, op.getLoc(), op.getLhs(),
        makeFloat(b, op.getLoc(), op.getType(), -*c));
  }
};

/// -(x * c) = x * (-c).
struct NegateProduct : FloatLaw<arith::NegFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::NegFOp op, PatternRewriter &b) const override {
    auto product = op.getOperand().getDefiningOp<arith::MulFOp>();
    auto c = product && product->hasOneUse() ? constantFloat(product.getRhs())
                                             : std::nullopt;
    if (!c)
      return {};
    return arith::MulFOp::create(
        b, op.getLoc(), product.getLhs(),
        makeFloat(b, op.getLoc(), op.getType(), -*c));
  }
};

/// x / y, where y has fewer columns and is computed by a join of its own, is
/// x * y with the reciprocal taken where y is computed.
struct InvertDivisor : OpRewritePattern<JoinOp> {
  InvertDivisor(MLIRContext *context, bool anyDiscretized)
      : OpRewritePattern(context), anyDiscretized(anyDiscretized) {}
  bool anyDiscretized;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    Block &block = join.getBody().front();
    for (auto [input, argument] :
         llvm::zip(join.getInputs(), block.getArguments())) {
      auto inner = input.getDefiningOp<JoinOp>();
      if (!inner || !input.hasOneUse() || !argument.hasOneUse() ||
          sameColumns(inner.getType(), join.getType()))
        continue;
      auto quotient = dyn_cast<arith::DivFOp>(*argument.user_begin());
      if (!quotient || quotient.getRhs() != argument ||
          quotient.getLhs() == argument || !mayReassociate(quotient, anyDiscretized))
        continue;
      Location loc = quotient.getLoc();
      Value y = yieldOf(inner);
      rewriter.setInsertionPoint(inner.getBody().front().getTerminator());
      Value one = makeFloat(rewriter, loc, y.getType(), 1);
      Value inverse = arith::DivFOp::create(rewriter, loc, one, y);
      rewriter.modifyOpInPlace(inner, [&] {
        inner.getBody().front().getTerminator()->setOperand(0, inverse);
      });
      rewriter.setInsertionPoint(quotient);
      rewriter.replaceOpWithNewOp<arith::MulFOp>(quotient, quotient.getLhs(),
                                                 argument);
      return success();
    }
    return rewriter.notifyMatchFailure(join,
                                       "no divisor with a join of its own");
  }
};

/// a * b != 0 is a != 0 and b != 0: masks of rows and of columns.
struct SplitProductTest : OpRewritePattern<arith::CmpIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::CmpIOp op,
                                PatternRewriter &rewriter) const override {
    using P = arith::CmpIPredicate;
    auto product = op.getLhs().getDefiningOp<arith::MulIOp>();
    bool tests = op.getPredicate() == P::ne || op.getPredicate() == P::eq;
    if (!product || !tests || !matchPattern(op.getRhs(), m_Zero()) ||
        !isa<JoinOp>(op->getParentOp()))
      return rewriter.notifyMatchFailure(op, "not a test of a product");
    Location loc = op.getLoc();
    Value a = arith::CmpIOp::create(rewriter, loc, op.getPredicate(),
                                    product.getLhs(), op.getRhs());
    Value b = arith::CmpIOp::create(rewriter, loc, op.getPredicate(),
                                    product.getRhs(), op.getRhs());
    if (op.getPredicate() == P::ne)
      rewriter.replaceOpWithNewOp<arith::AndIOp>(op, a, b);
    else
      rewriter.replaceOpWithNewOp<arith::OrIOp>(op, a, b);
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Functions of one binary value
//===----------------------------------------------------------------------===//

/// The condition and both constants of a value that depends on one i1.
struct Choice {
  Value condition;
  TypedAttr yes, no;
};
std::optional<Choice> choiceOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto select = dyn_cast_or_null<arith::SelectOp>(op)) {
    Choice choice{select.getCondition(), {}, {}};
    Attribute yes, no;
    if (!matchPattern(select.getTrueValue(), m_Constant(&yes)) ||
        !matchPattern(select.getFalseValue(), m_Constant(&no)))
      return std::nullopt;
    choice.yes = cast<TypedAttr>(yes);
    choice.no = cast<TypedAttr>(no);
    return choice;
  }
  if (!op || op->getNumOperands() != 1 || !op->getOperand(0).getType().isInteger(1) ||
      !isa<arith::UIToFPOp, arith::SIToFPOp, arith::ExtUIOp, arith::ExtSIOp>(op))
    return std::nullopt;
  Builder b(op->getContext());
  Choice choice{op->getOperand(0), {}, {}};
  for (bool bit : {true, false}) {
    Attribute result = foldScalar(op, {b.getBoolAttr(bit)});
    if (!result)
      return std::nullopt;
    (bit ? choice.yes : choice.no) = cast<TypedAttr>(result);
  }
  return choice;
}

/// A scalar function of one binary value is a select between two constants:
/// the operation is evaluated twice.
struct ChooseConstants : RewritePattern {
  ChooseConstants(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}
  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa_and_nonnull<JoinOp>(op->getParentOp()) ||
        op->getNumResults() != 1 || op->getNumOperands() == 0 ||
        isa<arith::SelectOp, arith::ConstantOp, arith::XOrIOp>(op))
      return rewriter.notifyMatchFailure(op, "not a scalar function");
    Value condition;
    SmallVector<Attribute> yes, no;
    for (Value operand : op->getOperands()) {
      Attribute constant;
      if (matchPattern(operand, m_Constant(&constant))) {
        yes.push_back(constant);
        no.push_back(constant);
        continue;
      }
      auto choice = choiceOf(operand);
      if (!choice || (condition && condition != choice->condition))
        return rewriter.notifyMatchFailure(
            op, "the operands depend on more than one binary value");
      condition = choice->condition;
      yes.push_back(choice->yes);
      no.push_back(choice->no);
    }
    Attribute results[] = {condition ? foldScalar(op, yes) : Attribute(),
                           condition ? foldScalar(op, no) : Attribute()};
    if (!results[0] || !results[1])
      return rewriter.notifyMatchFailure(op, "the operation does not fold");
    Value values[2];
    for (auto [value, result] : llvm::zip(values, results))
      value = arith::ConstantOp::create(rewriter, op->getLoc(),
                                        cast<TypedAttr>(result));
    rewriter.replaceOpWithNewOp<arith::SelectOp>(op, condition, values[0],
                                                 values[1]);
    return success();
  }
};

/// x * select(m, 1, 0) = select(m, x, 0): a mask never spreads NaN.
struct SelectFactor : FloatLaw<arith::MulFOp> {
  using FloatLaw::FloatLaw;
  Value rewrite(arith::MulFOp op, PatternRewriter &b) const override {
    for (bool left : {true, false}) {
      Value x = left ? op.getRhs() : op.getLhs();
      auto choice = choiceOf(left ? op.getLhs() : op.getRhs());
      if (!choice || !isa<FloatAttr>(choice->yes) || choiceOf(x))
        continue;
      double yes = cast<FloatAttr>(choice->yes).getValueAsDouble();
      double no = cast<FloatAttr>(choice->no).getValueAsDouble();
      if (!(yes == 1 && no == 0) && !(yes == 0 && no == 1))
        continue;
      Value zero = makeFloat(b, op.getLoc(), op.getType(), 0);
      return arith::SelectOp::create(b, op.getLoc(), choice->condition,
                                     yes == 1 ? x : zero, yes == 1 ? zero : x);
    }
    return {};
  }
};

struct SimplifyScalars
    : optimize::impl::SimplifyScalarsBase<SimplifyScalars> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSimplifyScalars(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateSimplifyScalars(RewritePatternSet &patterns,
                                       bool anyDiscretized) {
  MLIRContext *context = patterns.getContext();
  patterns.add<ExpandPow, DivideByConstant, CollectFactors, CollectTerms,
               SubtractConstant, NegateProduct, InvertDivisor>(context,
                                                               anyDiscretized);
  patterns.add<SelectFactor>(context, anyDiscretized);
  patterns.add<SplitProductTest, ChooseConstants>(context);
}
