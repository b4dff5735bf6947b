//===- MaskTerms.cpp - The masks among the terms of a score ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MaskTerms.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

/// Added to a score, this or less removes its key.
static constexpr double maskThreshold = -1e4;
/// At most this is far below every score that is a number: nothing to check.
static constexpr double provedThreshold = -1e30;

std::optional<BinaryFunction> BinaryAnalysis::of(Value value) {
  auto [it, inserted] = known.try_emplace(value);
  if (!inserted)
    return it->second;
  std::optional<BinaryFunction> result = compute(value);
  known[value] = result;
  return result;
}

std::optional<BinaryFunction> BinaryAnalysis::compute(Value value) {
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

std::optional<BinaryFunction> BinaryAnalysis::fold(Operation *op) {
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

static std::optional<double> asDouble(Attribute attribute) {
  if (auto f = dyn_cast_or_null<FloatAttr>(attribute))
    return f.getValueAsDouble();
  return std::nullopt;
}

void optimize::flattenSum(Value value, SmallVectorImpl<Value> &terms) {
  if (auto add = value.getDefiningOp<arith::AddFOp>()) {
    flattenSum(add.getLhs(), terms);
    flattenSum(add.getRhs(), terms);
    return;
  }
  terms.push_back(value);
}

bool MaskTerms::removes(std::optional<double> constant) const {
  return constant && *constant <= maskThreshold &&
         !(keepFinite && std::isfinite(*constant));
}

void MaskTerms::noteConstant(double constant, bool takesPlace) {
  if (constant <= provedThreshold)
    return;
  mask = std::max(mask.value_or(constant), constant);
  fills |= takesPlace;
}

void MaskTerms::strip(Value value) {
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
    noteConstant(*asDouble(keepsYes ? no->no : yes->yes), true);
    addCondition(select.getCondition(), keepsNo);
    strip(keepsYes ? select.getTrueValue() : select.getFalseValue());
  }
}

std::optional<Keep> MaskTerms::additive(Value term) {
  auto function = analysis.of(term);
  if (!function || !function->binary)
    return std::nullopt;
  auto yes = asDouble(function->yes), no = asDouble(function->no);
  bool negated = no == 0.0 && removes(yes);
  if (!negated && !(yes == 0.0 && removes(no)))
    return std::nullopt;
  noteConstant(negated ? *yes : *no, false);
  return Keep{function->binary, function->assumed, negated};
}

void MaskTerms::addCondition(Value condition, bool negated) {
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

void optimize::splitConjunction(Keep keep, SmallVectorImpl<Keep> &out) {
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
