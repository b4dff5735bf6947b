//===- ExpandMath.cpp - Elementary functions without a library ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/ExpandMath.h"
#include "VectorMath.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include <cmath>

using namespace mlir;

namespace joinery {
namespace {

/// Rewrites a function of floats with one of VectorMath's. Half precision is
/// computed in f32.
template <typename Op, auto function> struct ExpandOp : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Type type = op.getType(), element = getElementTypeOrSelf(type);
    SmallVector<Value, 2> operands(op->getOperands());
    Type computed = type;
    if (element.isF16() || element.isBF16()) {
      computed = rewriter.getF32Type();
      if (auto vector = dyn_cast<VectorType>(type))
        computed = vector.clone(computed);
      for (Value &operand : operands)
        operand = arith::ExtFOp::create(rewriter, loc, computed, operand);
    } else if (!element.isF32() && !element.isF64()) {
      return rewriter.notifyMatchFailure(
          op, "expected a float of 16, 32 or 64 bits");
    }
    VectorMath math(rewriter, loc, computed);
    Value result;
    if constexpr (requires { (math.*function)(operands[0], operands[1]); })
      result = (math.*function)(operands[0], operands[1]);
    else
      result = (math.*function)(operands[0]);
    if (computed != type)
      result = arith::TruncFOp::create(rewriter, loc, type, result);
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// The number that `value` is in all lanes.
std::optional<double> splatOf(Value value) {
  if (auto broadcast = value.getDefiningOp<vector::BroadcastOp>())
    value = broadcast.getSource();
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  if (auto dense = dyn_cast<DenseElementsAttr>(attr))
    attr = dense.isSplat() ? dense.getSplatValue<Attribute>() : Attribute();
  auto number = dyn_cast_or_null<FloatAttr>(attr);
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

/// If `value` is `Op` of something and a number near `number`: the something.
template <typename Op> Value operandBeside(Value value, double number) {
  auto op = value.getDefiningOp<Op>();
  if (!op)
    return {};
  for (auto [x, c] : {std::pair(op.getLhs(), op.getRhs()),
                      std::pair(op.getRhs(), op.getLhs())})
    if (auto splat = splatOf(c); splat && std::abs(*splat - number) < 1e-6)
      return x;
  return {};
}

/// Is `value`, or a multiple of it, rounded to bf16 wherever it is used?
bool isRounded(Value value) {
  return llvm::all_of(value.getUsers(), [&](Operation *user) {
    if (auto narrow = dyn_cast<arith::TruncFOp>(user))
      return getElementTypeOrSelf(narrow.getType()).isBF16();
    auto multiple = dyn_cast<arith::MulFOp>(user);
    return multiple &&
           (splatOf(multiple.getLhs()) || splatOf(multiple.getRhs())) &&
           isRounded(multiple);
  });
}

/// x (1 + erf(x / sqrt 2)): a GELU whose half went elsewhere, or did not.
struct ExpandErfGate : OpRewritePattern<arith::MulFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::MulFOp op,
                                PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return rewriter.notifyMatchFailure(op, "not in f32");
    for (auto [x, gate] : {std::pair(op.getLhs(), op.getRhs()),
                           std::pair(op.getRhs(), op.getLhs())}) {
      Value sum = operandBeside<arith::AddFOp>(gate, 1);
      auto erf = sum ? sum.getDefiningOp<math::ErfOp>() : math::ErfOp();
      if (!erf || !erf->hasOneUse() || !gate.hasOneUse() ||
          operandBeside<arith::MulFOp>(erf.getOperand(), M_SQRT1_2) != x)
        continue;
      VectorMath math(rewriter, op.getLoc(), op.getType());
      rewriter.replaceOp(op, isRounded(op) ? math.erfGateForBFloat16(x)
                                           : math.erfGate(x));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "not x (1 + erf(x / sqrt 2))");
  }
};

/// x^c for the exponents that models are made of, exactly rounded at each step.
struct ExpandPowerOfConstant : OpRewritePattern<math::PowFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::PowFOp op,
                                PatternRewriter &rewriter) const override {
    auto exponent = splatOf(op.getRhs());
    if (!exponent)
      return rewriter.notifyMatchFailure(op, "the exponent isn't one number");
    Location loc = op.getLoc();
    Value x = op.getLhs();
    auto times = [&](Value a, Value b) -> Value {
      return arith::MulFOp::create(rewriter, loc, a, b);
    };
    double value = *exponent;
    if (value == 1)
      rewriter.replaceOp(op, x);
    else if (value == 2)
      rewriter.replaceOp(op, times(x, x));
    else if (value == 3)
      rewriter.replaceOp(op, times(times(x, x), x));
    else if (value == 0.5)
      rewriter.replaceOpWithNewOp<math::SqrtOp>(op, x);
    else if (value == -0.5)
      rewriter.replaceOpWithNewOp<math::RsqrtOp>(op, x);
    else
      return rewriter.notifyMatchFailure(op, "no shorter form of this power");
    return success();
  }
};

/// A power with an integer exponent goes the way of any other.
struct ExpandIntegerPower : OpRewritePattern<math::FPowIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::FPowIOp op,
                                PatternRewriter &rewriter) const override {
    Value exponent = arith::SIToFPOp::create(rewriter, op.getLoc(),
                                             op.getType(), op.getRhs());
    rewriter.replaceOpWithNewOp<math::PowFOp>(op, op.getLhs(), exponent);
    return success();
  }
};

/// f64 to 16 bits with one rounding, which no processor of a level has an
/// instruction for: to f32 rounded to odd (an inexact result gets an odd last
/// bit), which has two bits to spare, so that rounding again is right.
struct NarrowOnce : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;
  static bool applies(arith::TruncFOp op) {
    return getElementTypeOrSelf(op.getIn().getType()).isF64() &&
           getElementTypeOrSelf(op.getType()).getIntOrFloatBitWidth() == 16;
  }
  LogicalResult matchAndRewrite(arith::TruncFOp op,
                                PatternRewriter &rewriter) const override {
    if (!applies(op))
      return rewriter.notifyMatchFailure(op, "rounding once is what it does");
    Location loc = op.getLoc();
    Value x = op.getIn();
    auto shaped = [&](Type element) -> Type {
      auto vector = dyn_cast<VectorType>(x.getType());
      return vector ? Type(vector.clone(element)) : element;
    };
    Type f32 = shaped(rewriter.getF32Type()), i32 = shaped(rewriter.getI32Type());
    auto constant = [&](Type type, Attribute value) -> Value {
      auto typed = cast<TypedAttr>(value);
      if (auto vector = dyn_cast<VectorType>(type))
        typed = DenseElementsAttr::get(vector, value);
      return arith::ConstantOp::create(rewriter, loc, typed);
    };
    auto compare = [&](arith::CmpFPredicate predicate, Value a, Value b) {
      return arith::CmpFOp::create(rewriter, loc, predicate, a, b).getResult();
    };
    auto select = [&](Value condition, Value a, Value b) -> Value {
      return arith::SelectOp::create(rewriter, loc, condition, a, b);
    };
    Value one = constant(i32, rewriter.getI32IntegerAttr(1));
    Value zero = constant(x.getType(), rewriter.getF64FloatAttr(0));
    Value near = arith::TruncFOp::create(rewriter, loc, f32, x);
    Value back = arith::ExtFOp::create(rewriter, loc, x.getType(), near);
    Value bits = arith::BitcastOp::create(rewriter, loc, i32, near);
    Value odd = arith::CmpIOp::create(
        rewriter, loc, arith::CmpIPredicate::eq,
        arith::AndIOp::create(rewriter, loc, bits, one), one);
    // The other neighbour of x is one step of the bits towards or from zero.
    Value large = select(compare(arith::CmpFPredicate::OLT, x, zero),
                         compare(arith::CmpFPredicate::OLT, back, x),
                         compare(arith::CmpFPredicate::OGT, back, x));
    Value other =
        select(large, arith::SubIOp::create(rewriter, loc, bits, one),
               arith::AddIOp::create(rewriter, loc, bits, one));
    Value inexact = compare(arith::CmpFPredicate::ONE, back, x);
    bits = select(inexact, select(odd, bits, other), bits);
    near = arith::BitcastOp::create(rewriter, loc, f32, bits);
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getType(), near);
    return success();
  }
};

/// An integer to bf16, which no processor converts to, by way of f64.
template <class Convert> struct NarrowInteger : OpRewritePattern<Convert> {
  using OpRewritePattern<Convert>::OpRewritePattern;
  LogicalResult matchAndRewrite(Convert op,
                                PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isBF16())
      return rewriter.notifyMatchFailure(op, "not to bf16");
    Type wide = rewriter.getF64Type();
    if (auto vector = dyn_cast<VectorType>(op.getType()))
      wide = vector.clone(wide);
    Value number = Convert::create(rewriter, op.getLoc(), wide, op.getIn());
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getType(), number);
    return success();
  }
};

/// Conversions that no processor has.
static bool isMissing(Operation *op) {
  if (auto narrow = dyn_cast<arith::TruncFOp>(op))
    return NarrowOnce::applies(narrow);
  return isa<arith::SIToFPOp, arith::UIToFPOp>(op) &&
         getElementTypeOrSelf(op->getResult(0).getType()).isBF16();
}

struct ExpandMathPass
    : PassWrapper<ExpandMathPass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMathPass)
  StringRef getArgument() const final { return "expand-math"; }
  StringRef getDescription() const final {
    return "Rewrite elementary functions into polynomials";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<arith::ArithDialect, math::MathDialect,
                    vector::VectorDialect>();
  }
  LogicalResult initialize(MLIRContext *context) final {
    RewritePatternSet set(context);
    populateExpandMathPatterns(set);
    patterns = std::move(set);
    return success();
  }
  void runOnOperation() final {
    // Most kernels only add and multiply.
    bool needed =
        getOperation()
            .walk([](Operation *op) {
              return isa_and_nonnull<math::MathDialect>(op->getDialect()) ||
                             isa<arith::RemFOp>(op) || isMissing(op)
                         ? WalkResult::interrupt()
                         : WalkResult::advance();
            })
            .wasInterrupted();
    if (needed && failed(applyPatternsGreedily(getOperation(), patterns)))
      signalPassFailure();
  }
  FrozenRewritePatternSet patterns;
};

} // namespace

void populateExpandMathPatterns(RewritePatternSet &patterns) {
  MLIRContext *context = patterns.getContext();
  using V = VectorMath;
  patterns
      .add<ExpandOp<math::ExpOp, &V::exp>, ExpandOp<math::Exp2Op, &V::exp2>,
           ExpandOp<math::ExpM1Op, &V::expm1>, ExpandOp<math::LogOp, &V::log>,
           ExpandOp<math::Log2Op, &V::log2>, ExpandOp<math::Log10Op, &V::log10>,
           ExpandOp<math::Log1pOp, &V::log1p>, ExpandOp<math::PowFOp, &V::pow>,
           ExpandOp<math::TanhOp, &V::tanh>, ExpandOp<math::ErfOp, &V::erf>,
           ExpandOp<math::ErfcOp, &V::erfc>, ExpandOp<math::SinOp, &V::sin>,
           ExpandOp<math::CosOp, &V::cos>, ExpandOp<arith::RemFOp, &V::fmod>,
           ExpandOp<math::RoundOp, &V::round>,
           ExpandOp<math::RsqrtOp, &V::rsqrt>, ExpandIntegerPower>(context);
  patterns.add<NarrowOnce, NarrowInteger<arith::SIToFPOp>,
               NarrowInteger<arith::UIToFPOp>>(context);
  patterns.add<ExpandPowerOfConstant, ExpandErfGate>(context, /*benefit=*/2);
  // What encoders hardly ever use comes from MLIR, in terms of the above.
  math::populateExpansionPatterns(
      patterns,
      {"sinh", "cosh", "tan", "asinh", "acosh", "atanh", "clampf", "sincos"});
  auto isInverse = [](StringRef name) {
    return llvm::is_contained({"math.atan", "math.atan2", "math.asin",
                               "math.acos", "math.cbrt", "atan", "atan2",
                               "asin", "acos", "cbrt"},
                              name);
  };
  populateMathF32ExpansionPatterns(patterns, isInverse);
  populateMathPolynomialApproximationPatterns(patterns, isInverse);
}

std::unique_ptr<Pass> createExpandMathPass() {
  return std::make_unique<ExpandMathPass>();
}

} // namespace joinery
