//===- SelectMasks.cpp - Additive masks are selections --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A score that gets -1e4 or less added where a mask is zero has no weight in a
// softmax whose kept scores are far from that: the key is not there. The run
// checks that they are (see docs/optimizer.md), unless the constant is far
// below all scores. -100 is a bias that a model may learn to overcome, and
// stays.
//
//===----------------------------------------------------------------------===//

#include "MaskTerms.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_SELECTMASKS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// The part of `join` that computes `scalar`, as a join of the operands that
/// it needs.
Value sliceJoin(PatternRewriter &rewriter, JoinOp join, Value scalar,
                Type element,
                function_ref<Value(OpBuilder &, Value)> finish) {
  llvm::SmallDenseSet<Value> needed{scalar};
  SmallVector<Operation *> slice;
  Block &block = join.getBody().front();
  for (Operation &op : llvm::reverse(block.without_terminator()))
    if (llvm::any_of(op.getResults(),
                     [&](Value v) { return needed.contains(v); })) {
      slice.push_back(&op);
      needed.insert(op.operand_begin(), op.operand_end());
    }
  SmallVector<Value> inputs;
  SmallVector<BlockArgument> arguments;
  for (auto [argument, input] :
       llvm::zip(block.getArguments(), join.getInputs()))
    if (needed.contains(argument)) {
      inputs.push_back(input);
      arguments.push_back(argument);
    }
  return createJoin(rewriter, join.getLoc(), element, inputs,
                    [&](OpBuilder &b, ValueRange x) {
                      IRMapping mapping;
                      for (auto [argument, value] : llvm::zip(arguments, x))
                        mapping.map(argument, value);
                      for (Operation *op : llvm::reverse(slice))
                        b.clone(*op, mapping);
                      return finish(b, mapping.lookupOrDefault(scalar));
                    });
}

/// softmax_sum(x + select(m, 0, -1e9), v) = softmax_sum(select x where m, v).
struct SelectMask : OpRewritePattern<AggregateOp> {
  bool keepFinite;
  SelectMask(MLIRContext *context, bool keepFinite)
      : OpRewritePattern(context), keepFinite(keepFinite) {}
  LogicalResult matchAndRewrite(AggregateOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getMonoid() != Monoid::SoftmaxSum)
      return rewriter.notifyMatchFailure(op, "not a softmax");
    SmallVector<SelectOp> outer;
    Value scores = op.getInputs()[0];
    while (auto select = scores.getDefiningOp<SelectOp>()) {
      outer.push_back(select);
      scores = select.getInput();
    }
    auto join = scores.getDefiningOp<JoinOp>();
    if (!join)
      return rewriter.notifyMatchFailure(op, "the scores are no join");
    MaskTerms masks(keepFinite);
    masks.strip(yieldOf(join));
    if (masks.keeps.empty())
      return rewriter.notifyMatchFailure(op, "no term of the scores is a mask");
    Location loc = join.getLoc();
    // What is assumed must be checked at the border.
    for (Keep keep : masks.keeps)
      if (keep.assumed) {
        Value mask = join.getInputs()[cast<BlockArgument>(keep.binary)
                                          .getArgNumber()];
        if (!isArgument(mask))
          return rewriter.notifyMatchFailure(
              op, "a mask that is assumed binary is no input of the model");
        markArgument(rewriter, mask, "rel.binary");
      }
    SmallVector<Keep> keeps;
    for (Keep keep : masks.keeps)
      splitConjunction(keep, keeps);

    rewriter.setInsertionPoint(op);
    Type element = join.getType().getElementType();
    Value value = createJoin(
        rewriter, loc, join.getType(), join.getInputs(),
        [&](OpBuilder &b, ValueRange x) -> Value {
          IRMapping mapping;
          Block &block = join.getBody().front();
          mapping.map(block.getArguments(), x);
          for (Operation &inner : block.without_terminator())
            b.clone(inner, mapping);
          Value sum;
          for (Value term : masks.terms) {
            Value mapped = mapping.lookupOrDefault(term);
            sum = sum ? arith::AddFOp::create(b, loc, sum, mapped).getResult()
                      : mapped;
          }
          if (!sum)
            sum = arith::ConstantOp::create(b, loc, b.getFloatAttr(element, 0));
          return sum;
        });
    auto lowest = rewriter.getFloatAttr(
        element, APFloat::getInf(
                     cast<FloatType>(element).getFloatSemantics(), true));
    for (Keep keep : keeps) {
      Value where = sliceJoin(
          rewriter, join, keep.binary, rewriter.getI1Type(),
          [&](OpBuilder &b, Value scalar) -> Value {
            Type type = scalar.getType();
            if (!type.isInteger(1)) {
              Value zero = arith::ConstantOp::create(
                  b, loc, b.getIntegerAttr(type, 0));
              return arith::CmpIOp::create(b, loc,
                                           keep.negated
                                               ? arith::CmpIPredicate::eq
                                               : arith::CmpIPredicate::ne,
                                           scalar, zero);
            }
            if (!keep.negated)
              return scalar;
            Value one =
                arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
            return arith::XOrIOp::create(b, loc, scalar, one);
          });
      value = createSelect(rewriter, loc, value, where, lowest);
    }
    for (SelectOp select : llvm::reverse(outer))
      value = createSelect(rewriter, loc, value, select.getWhere(),
                           select.getOtherwise());
    rewriter.modifyOpInPlace(op, [&] {
      op->setOperand(0, value);
      if (!masks.mask)
        return;
      // Of several constants the one nearest to the scores.
      double mask = *masks.mask;
      if (auto before = op.getMaskAttr())
        mask = std::max(mask, before.getValueAsDouble());
      op.setMaskAttr(rewriter.getF64FloatAttr(mask));
      op.setFills(op.getFills() || masks.fills);
    });
    return success();
  }

private:
  static bool isArgument(Value value) {
    while (auto rekey = value.getDefiningOp<RekeyOp>()) {
      if (rekey.getOtherwise())
        return false;
      value = rekey.getInput();
    }
    return isa<BlockArgument>(value);
  }
  static Value createSelect(PatternRewriter &rewriter, Location loc,
                            Value input, Value where, TypedAttr otherwise) {
    RelType type = typeOf(input).withColumns(
        JoinOp::joinColumns(ValueRange{input, where}));
    return SelectOp::create(rewriter, loc, type, input, where, otherwise);
  }
};

/// A term of the scores that is itself a masked relation, shared by layers,
/// joins the scores if nothing but its mask was computed in it.
struct AbsorbMaskedTerm : OpRewritePattern<AggregateOp> {
  bool keepFinite;
  AbsorbMaskedTerm(MLIRContext *context, bool keepFinite)
      : OpRewritePattern(context), keepFinite(keepFinite) {}
  LogicalResult matchAndRewrite(AggregateOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getMonoid() != Monoid::SoftmaxSum)
      return rewriter.notifyMatchFailure(op, "not a softmax");
    Value scores = op.getInputs()[0];
    while (auto select = scores.getDefiningOp<SelectOp>())
      scores = select.getInput();
    auto join = scores.getDefiningOp<JoinOp>();
    if (!join)
      return rewriter.notifyMatchFailure(op, "the scores are no join");
    SmallVector<Value> terms;
    flattenSum(yieldOf(join), terms);
    for (Value term : terms) {
      auto argument = dyn_cast<BlockArgument>(term);
      if (!argument)
        continue;
      unsigned i = argument.getArgNumber();
      Renaming renaming = peelRenames(join.getInputs()[i]);
      auto inner = renaming.base.getDefiningOp<JoinOp>();
      if (!inner)
        continue;
      MaskTerms masks(keepFinite);
      masks.strip(yieldOf(inner));
      if (masks.keeps.empty() ||
          !llvm::all_of(masks.terms,
                        [](Value value) { return isa<BlockArgument>(value); }))
        continue;
      rewriter.setInsertionPoint(join);
      SmallVector<Value> inputs(join.getInputs());
      size_t others = inputs.size();
      for (Value input : inner.getInputs())
        inputs.push_back(
            renamed(rewriter, join.getLoc(), input, renaming.names));
      auto merged = createJoin(
          rewriter, join.getLoc(), join.getType(), inputs,
          [&](OpBuilder &b, ValueRange x) {
            SmallVector<Value> own(x.take_front(others));
            own[i] = inlineRegion(b, inner, x.drop_front(others));
            return inlineRegion(b, join, own);
          });
      rewriter.replaceOp(join, merged.getResult());
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no term is a masked relation");
  }
};

/// select x where p and q = select (select x where p) where q, if p or q has
/// fewer columns than both.
struct SplitSelection : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    auto join = op.getWhere().getDefiningOp<JoinOp>();
    if (!join)
      return rewriter.notifyMatchFailure(op, "the condition is no join");
    SmallVector<Keep> keeps;
    splitConjunction({yieldOf(join), false, false}, keeps);
    if (keeps.size() < 2)
      return rewriter.notifyMatchFailure(op, "the condition is no conjunction");
    SmallVector<Value> parts;
    for (Keep keep : keeps)
      parts.push_back(sliceJoin(
          rewriter, join, keep.binary, rewriter.getI1Type(),
          [&](OpBuilder &b, Value scalar) -> Value {
            if (!keep.negated)
              return scalar;
            Value one = arith::ConstantOp::create(b, op.getLoc(),
                                                  b.getBoolAttr(true));
            return arith::XOrIOp::create(b, op.getLoc(), scalar, one);
          }));
    size_t columns = typeOf(join).getColumns().size();
    if (llvm::all_of(parts, [&](Value part) {
          return typeOf(part).getColumns().size() == columns;
        })) {
      for (Value part : parts)
        rewriter.eraseOp(part.getDefiningOp());
      return rewriter.notifyMatchFailure(op, "all parts have all columns");
    }
    Value value = op.getInput();
    for (Value part : parts)
      value = SelectOp::create(
          rewriter, op.getLoc(),
          typeOf(value).withColumns(
              JoinOp::joinColumns(ValueRange{value, part})),
          value, part, op.getOtherwise());
    replaceReordered(rewriter, op, value);
    return success();
  }
};

struct SelectMasks : optimize::impl::SelectMasksBase<SelectMasks> {
  using SelectMasksBase::SelectMasksBase;
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSelectMasks(patterns, keepFinite);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateSelectMasks(RewritePatternSet &patterns,
                                   bool keepFinite) {
  patterns.add<SelectMask, AbsorbMaskedTerm>(patterns.getContext(), keepFinite);
  patterns.add<SplitSelection>(patterns.getContext());
}
