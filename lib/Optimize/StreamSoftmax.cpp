//===- StreamSoftmax.cpp - Softmax and weighted sum in one aggregate ------===//
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
#define GEN_PASS_DEF_STREAMSOFTMAX
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// A softmax over one column: where its scores are, and under which names its
/// result has their columns.
struct Softmax {
  Value scores;
  std::map<std::string, std::string> names;
};

using Columns = std::set<std::string>;

/// The operand of `join` that a scalar is.
Value operandOf(JoinOp join, Value scalar) {
  auto argument = dyn_cast_or_null<BlockArgument>(scalar);
  return argument ? join.getInputs()[argument.getArgNumber()] : Value();
}

bool isZero(Value value) { return matchPattern(value, m_AnyZeroFloat()); }

/// x behind the guards that make a softmax of nothing zero:
/// select(isnan(x), 0, x).
Value peelNaNGuard(Value value) {
  auto select = value.getDefiningOp<arith::SelectOp>();
  if (!select)
    return value;
  auto testsNaN = [](Value condition, Value x) {
    if (auto isNaN = condition.getDefiningOp<math::IsNaNOp>())
      return isNaN.getOperand() == x;
    auto compare = condition.getDefiningOp<arith::CmpFOp>();
    return compare && compare.getPredicate() == arith::CmpFPredicate::UNO &&
           (compare.getLhs() == x || compare.getRhs() == x);
  };
  if (isZero(select.getTrueValue()) &&
      testsNaN(select.getCondition(), select.getFalseValue()))
    return select.getFalseValue();
  return value;
}


/// exp(s - max_c s) of a value e: gives s, with its columns named as in e.
std::optional<Softmax> matchExponential(Value e, const Columns &columns) {
  auto join = e.getDefiningOp<JoinOp>();
  auto exp = join ? yieldOf(join).getDefiningOp<math::ExpOp>() : math::ExpOp();
  if (!exp)
    return std::nullopt;
  auto difference = exp.getOperand().getDefiningOp<arith::SubFOp>();
  if (!difference)
    return std::nullopt;
  Value scores = operandOf(join, difference.getLhs());
  Value greatest = operandOf(join, difference.getRhs());
  if (!scores || !greatest)
    return std::nullopt;
  Renaming s = peelRenames(scores), m = peelRenames(greatest);
  auto aggregate = m.base.getDefiningOp<AggregateOp>();
  if (!aggregate || aggregate.getMonoid() != Monoid::Max ||
      aggregate.getOver().size() != columns.size())
    return std::nullopt;
  Renaming inner = peelRenames(aggregate.getInputs()[0]);
  if (inner.base != s.base)
    return std::nullopt;
  // The maximum's columns are those of the scores, and it folds just c.
  for (const auto &[from, name] : inner.names) {
    bool folded = aggregate.folds(name);
    std::string outer = s.names.at(from);
    if (folded ? !columns.count(outer) : m.names.at(name) != outer)
      return std::nullopt;
  }
  return Softmax{scores, {}};
}

/// e / Σ_c e, in one join and with any order of the division and guards.
std::optional<Softmax> matchSoftmax(JoinOp join, const Columns &columns) {
  Value yielded = peelNaNGuard(yieldOf(join));
  Value e, z;
  if (auto quotient = yielded.getDefiningOp<arith::DivFOp>()) {
    e = operandOf(join, quotient.getLhs());
    z = operandOf(join, quotient.getRhs());
  } else if (auto product = yielded.getDefiningOp<arith::MulFOp>()) {
    // e * r, where r = join(z){1 / z}.
    for (bool left : {true, false}) {
      Value r = operandOf(join, left ? product.getLhs() : product.getRhs());
      auto inner = r ? r.getDefiningOp<JoinOp>() : JoinOp();
      auto reciprocal =
          inner ? yieldOf(inner).getDefiningOp<arith::DivFOp>() : arith::DivFOp();
      if (!reciprocal || !matchPattern(reciprocal.getLhs(), m_OneFloat()))
        continue;
      z = operandOf(inner, reciprocal.getRhs());
      e = operandOf(join, left ? product.getRhs() : product.getLhs());
    }
  }
  if (!e || !z)
    return std::nullopt;
  Renaming er = peelRenames(e), zr = peelRenames(z);
  auto total = zr.base.getDefiningOp<AggregateOp>();
  if (!total || total.getMonoid() != Monoid::Sum ||
      total.getOver().size() != columns.size())
    return std::nullopt;
  Renaming inner = peelRenames(total.getInputs()[0]);
  if (inner.base != er.base)
    return std::nullopt;
  Columns folded;
  for (const auto &[from, name] : inner.names) {
    if (!total.folds(name)) {
      if (zr.names.at(name) != er.names.at(from))
        return std::nullopt;
      continue;
    }
    folded.insert(from);
    if (!columns.count(er.names.at(from)))
      return std::nullopt;
  }
  auto softmax = matchExponential(er.base, folded);
  if (!softmax)
    return std::nullopt;
  softmax->names = er.names;
  return softmax;
}

/// Σ_t softmax_t(s)·v = softmax_sum(s, v) over t, if the weights have no other
/// use.
struct StreamWeightedSum : OpRewritePattern<AggregateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AggregateOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getMonoid() != Monoid::Sum)
      return rewriter.notifyMatchFailure(op, "not a sum");
    auto product = op.getInputs()[0].getDefiningOp<JoinOp>();
    if (!product || product.getInputs().size() != 2)
      return rewriter.notifyMatchFailure(op, "not a sum of products");
    auto multiply = yieldOf(product).getDefiningOp<arith::MulFOp>();
    if (!multiply || product.getBody().front().getOperations().size() != 2)
      return rewriter.notifyMatchFailure(op, "not a sum of plain products");
    for (bool left : {true, false}) {
      Value p = operandOf(product, left ? multiply.getLhs() : multiply.getRhs());
      Value v = operandOf(product, left ? multiply.getRhs() : multiply.getLhs());
      if (!p || !v || p == v)
        continue;
      Renaming weights = peelRenames(p);
      auto join = weights.base.getDefiningOp<JoinOp>();
      if (!join || !weights.base.hasOneUse() || !p.hasOneUse())
        continue;
      Columns inner;
      for (const auto &[from, name] : weights.names)
        if (op.folds(name))
          inner.insert(from);
      if (inner.size() != op.getOver().size())
        continue;
      auto softmax = matchSoftmax(join, inner);
      if (!softmax)
        continue;
      // Names of the scores' columns: through e to p to the product.
      std::map<std::string, std::string> names;
      for (Column c : typeOf(softmax->scores).getColumns()) {
        std::string name = c.getName().str();
        if (auto it = softmax->names.find(name); it != softmax->names.end())
          name = it->second;
        if (auto it = weights.names.find(name); it != weights.names.end())
          name = it->second;
        names[c.getName().str()] = name;
      }
      Value scores =
          renamed(rewriter, op.getLoc(), softmax->scores, names);
      // The sum names the step; messages about scores name the softmax.
      Location loc = op.getLoc();
      if (auto name = dyn_cast<NameLoc>(loc))
        loc = NameLoc::get(name.getName(), join.getLoc());
      auto streamed =
          AggregateOp::create(rewriter, loc, op.getType(), Monoid::SoftmaxSum,
                              ValueRange{scores, v}, op.getOverAttr());
      rewriter.replaceOp(op, streamed);
      return success();
    }
    return rewriter.notifyMatchFailure(
        op, "neither factor is a softmax over the folded column");
  }
};

struct StreamSoftmax : optimize::impl::StreamSoftmaxBase<StreamSoftmax> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateStreamSoftmax(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateStreamSoftmax(RewritePatternSet &patterns) {
  patterns.add<StreamWeightedSum>(patterns.getContext());
}
