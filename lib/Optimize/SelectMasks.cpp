//===- SelectMasks.cpp - Additive masks are selections --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A score that gets -1e4 or less added where a mask is zero has no weight in a
// softmax whose kept scores are far from that: the key is not there. -100 is a
// bias that a model may learn to overcome, and stays.
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_SELECTMASKS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// Added to a score, this or less removes its key.
static constexpr double maskThreshold = -1e4;

namespace {
/// A scalar as a function of one binary value; constants have no binary value.
struct BinaryFunction {
  Value binary;
  Attribute yes, no;
  /// The binary value is a region argument that is 0 or 1 by assumption.
  bool assumed = false;
};

/// Evaluates scalars of a region at both values of one binary value.
class BinaryAnalysis {
public:
  std::optional<BinaryFunction> of(Value value) {
    auto [it, inserted] = known.try_emplace(value);
    if (!inserted)
      return it->second;
    std::optional<BinaryFunction> result = compute(value);
    known[value] = result;
    return result;
  }

private:
  std::optional<BinaryFunction> compute(Value value) {
    Builder b(value.getContext());
    Attribute constant;
    if (matchPattern(value, m_Constant(&constant)))
      return BinaryFunction{{}, constant, constant, false};
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      // An integer that enters arithmetic as it is can only be a mask.
      if (value.getType().isInteger(1))
        return BinaryFunction{value, b.getBoolAttr(true), b.getBoolAttr(false),
                              false};
      if (isa<IntegerType>(value.getType()))
        return BinaryFunction{value, b.getIntegerAttr(value.getType(), 1),
                              b.getIntegerAttr(value.getType(), 0), true};
      return std::nullopt;
    }
    Operation *op = value.getDefiningOp();
    // A comparison is binary whatever it compares.
    bool compares = isa<arith::CmpIOp, arith::CmpFOp>(op);
    if (!compares)
      if (auto folded = fold(op))
        return folded;
    if (value.getType().isInteger(1))
      return BinaryFunction{value, b.getBoolAttr(true), b.getBoolAttr(false),
                            false};
    return std::nullopt;
  }

  std::optional<BinaryFunction> fold(Operation *op) {
    BinaryFunction result;
    SmallVector<Attribute> yes, no;
    for (Value operand : op->getOperands()) {
      auto function = of(operand);
      if (!function)
        return std::nullopt;
      if (function->binary) {
        if (result.binary && result.binary != function->binary)
          return std::nullopt;
        result.binary = function->binary;
        result.assumed = function->assumed;
      }
      yes.push_back(function->yes);
      no.push_back(function->no);
    }
    if (!result.binary)
      return std::nullopt;
    result.yes = foldScalar(op, yes);
    result.no = foldScalar(op, no);
    if (!result.yes || !result.no)
      return std::nullopt;
    return result;
  }

  DenseMap<Value, std::optional<BinaryFunction>> known;
};

/// A condition under which a key stays, as a scalar of the region.
struct Keep {
  Value binary;
  bool assumed, negated;
};

std::optional<double> asDouble(Attribute attribute) {
  if (auto f = dyn_cast_or_null<FloatAttr>(attribute))
    return f.getValueAsDouble();
  return std::nullopt;
}

bool removes(std::optional<double> x) { return x && *x <= maskThreshold; }

/// The terms of a sum.
void flattenSum(Value value, SmallVectorImpl<Value> &terms) {
  if (auto add = value.getDefiningOp<arith::AddFOp>()) {
    flattenSum(add.getLhs(), terms);
    flattenSum(add.getRhs(), terms);
    return;
  }
  terms.push_back(value);
}

/// Takes masks out of the terms of a score.
class MaskTerms {
public:
  SmallVector<Value> terms;
  SmallVector<Keep> keeps;

  void strip(Value value) {
    SmallVector<Value> flat;
    flattenSum(value, flat);
    for (Value term : flat) {
      if (auto keep = additive(term)) {
        keeps.push_back(*keep);
        continue;
      }
      auto select = term.getDefiningOp<arith::SelectOp>();
      if (!select) {
        terms.push_back(term);
        continue;
      }
      // select(m, x, c): c alone is far below every score.
      auto yes = analysis.of(select.getTrueValue());
      auto no = analysis.of(select.getFalseValue());
      bool keepsYes = no && !no->binary && removes(asDouble(no->no));
      bool keepsNo = yes && !yes->binary && removes(asDouble(yes->yes));
      if (keepsYes == keepsNo) {
        terms.push_back(term);
        continue;
      }
      addCondition(select.getCondition(), keepsNo);
      strip(keepsYes ? select.getTrueValue() : select.getFalseValue());
    }
  }

private:
  std::optional<Keep> additive(Value term) {
    auto function = analysis.of(term);
    if (!function || !function->binary)
      return std::nullopt;
    auto yes = asDouble(function->yes), no = asDouble(function->no);
    if (yes == 0.0 && removes(no))
      return Keep{function->binary, function->assumed, false};
    if (no == 0.0 && removes(yes))
      return Keep{function->binary, function->assumed, true};
    return std::nullopt;
  }
  void addCondition(Value condition, bool negated) {
    auto function = analysis.of(condition);
    if (function && function->binary && function->binary != condition &&
        isa<IntegerAttr>(function->yes) && isa<IntegerAttr>(function->no)) {
      bool yes = !cast<IntegerAttr>(function->yes).getValue().isZero();
      bool no = !cast<IntegerAttr>(function->no).getValue().isZero();
      if (yes != no) {
        keeps.push_back({function->binary, function->assumed, negated == yes});
        return;
      }
    }
    keeps.push_back({condition, false, negated});
  }
  BinaryAnalysis analysis;
};

/// A conjunction of conditions is several conditions (De Morgan for negated
/// disjunctions): each keeps only the columns that it depends on.
void splitConjunction(Keep keep, SmallVectorImpl<Keep> &out) {
  Operation *op = keep.binary.getDefiningOp();
  bool splits = keep.negated ? isa_and_nonnull<arith::OrIOp>(op)
                             : isa_and_nonnull<arith::AndIOp>(op);
  if (splits && keep.binary.getType().isInteger(1)) {
    for (Value operand : op->getOperands())
      splitConjunction({operand, false, keep.negated}, out);
    return;
  }
  if (auto invert = dyn_cast_or_null<arith::XOrIOp>(op);
      invert && matchPattern(invert.getRhs(), m_One()) &&
      keep.binary.getType().isInteger(1)) {
    splitConjunction({invert.getLhs(), false, !keep.negated}, out);
    return;
  }
  if (!llvm::any_of(out, [&](Keep other) {
        return other.binary == keep.binary && other.negated == keep.negated;
      }))
    out.push_back(keep);
}

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
  using OpRewritePattern::OpRewritePattern;
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
    MaskTerms masks;
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
    rewriter.modifyOpInPlace(op, [&] { op->setOperand(0, value); });
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
  using OpRewritePattern::OpRewritePattern;
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
      MaskTerms masks;
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
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSelectMasks(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateSelectMasks(RewritePatternSet &patterns) {
  patterns.add<SelectMask, AbsorbMaskedTerm, SplitSelection>(patterns.getContext());
}
