//===- Attention.cpp - The form of a streaming attention ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Attention.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

static RelType typeOf(Value value) { return cast<RelType>(value.getType()); }

/// Is some contraction of computed relations below `value`?
static bool hidesContraction(Value value,
                             function_ref<bool(Value)> isConstant) {
  SmallVector<Value> work{value};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!op || !seen.insert(next).second)
      continue;
    if (matchContraction(op) && !isConstant(next))
      return true;
    llvm::append_range(work, op->getOperands());
  }
  return false;
}

static bool hasAny(Value value, ArrayRef<Column> columns) {
  return llvm::any_of(columns, [&](Column column) {
    return typeOf(value).has(column.getName());
  });
}

/// The one contraction with columns `over` that `score` is computed from, key
/// by key: nothing may move its columns on the way.
static std::optional<Contraction>
findScores(Value score, ArrayRef<Column> over,
           function_ref<bool(Value)> isConstant) {
  std::optional<Contraction> scores;
  SmallVector<Value> work{score};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second)
      continue;
    if (auto match = matchContraction(op)) {
      if (!hasAny(value, over))
        continue;
      if (scores)
        return std::nullopt;
      scores = match;
      continue;
    }
    // A statistic over the scores needs all of them before the first weight.
    if (!isa<JoinOp, SelectOp>(op)) {
      if (hidesContraction(value, isConstant))
        return std::nullopt;
      continue;
    }
    llvm::append_range(work, op->getOperands());
  }
  return scores;
}

static void findKeySelects(Attention &form) {
  Value value = form.softmax.getInputs()[0];
  while (auto select = value.getDefiningOp<SelectOp>()) {
    auto otherwise = dyn_cast<FloatAttr>(select.getOtherwise());
    bool drops = otherwise && otherwise.getValue().isInfinity() &&
                 otherwise.getValue().isNegative();
    for (Column column : typeOf(select.getWhere()).getColumns())
      drops &= !llvm::is_contained(form.s, column);
    if (drops)
      form.keySelects.push_back(select);
    value = select.getInput();
  }
}

/// Does anything but the contraction and the selections of keys look at t?
static bool readsKeyNumbers(Attention &form) {
  SmallVector<Value> work{form.softmax.getInputs()[0]};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    if (!seen.insert(value).second || value == form.scores.aggregate.getResult())
      continue;
    Operation *op = value.getDefiningOp();
    auto select = dyn_cast_or_null<SelectOp>(op);
    if (select && llvm::is_contained(form.keySelects, select)) {
      work.push_back(select.getInput());
      continue;
    }
    if (op && isa<JoinOp, SelectOp>(op) && op->getNumOperands()) {
      llvm::append_range(work, op->getOperands());
      continue;
    }
    if (hasAny(value, form.t))
      return true;
  }
  return false;
}

bool Attention::needsKeyNumbers(Value rank) const {
  return readsKeyNumbers || llvm::any_of(keySelects, [&](SelectOp select) {
           auto where = SelectOp(select).getWhere().getDefiningOp<UnpackOp>();
           return !where || where.getRank() != rank;
         });
}

std::optional<Attention>
plan::matchAttention(Operation *op, function_ref<bool(Value)> isConstant) {
  auto softmax = dyn_cast_or_null<AggregateOp>(op);
  if (!softmax || softmax.getMonoid() != Monoid::SoftmaxSum ||
      softmax.getOver().empty() ||
      !softmax.getType().getElementType().isF32())
    return std::nullopt;
  Attention form;
  form.softmax = softmax;
  Value score = softmax.getInputs()[0];
  form.weighted = softmax.getInputs()[1];
  RelType scoreType = typeOf(score), valueType = typeOf(form.weighted);
  for (StringRef over : softmax.getOver().getAsValueRange<StringAttr>()) {
    if (!scoreType.has(over) || !valueType.has(over))
      return std::nullopt;
    form.t.push_back(scoreType.getColumns()[scoreType.find(over)]);
  }
  if (isConstant(form.weighted))
    return std::nullopt;
  auto scores = findScores(score, form.t, isConstant);
  if (!scores || isConstant(scores->left) || isConstant(scores->right))
    return std::nullopt;
  form.scores = *scores;
  bool leftHasT = hasAny(scores->left, form.t);
  form.query = leftHasT ? scores->right : scores->left;
  form.key = leftHasT ? scores->left : scores->right;
  auto &queryFree = leftHasT ? scores->rightFree : scores->leftFree;
  auto &keyFree = leftHasT ? scores->leftFree : scores->rightFree;
  if (keyFree.size() != form.t.size() ||
      !llvm::all_of(form.t, [&](Column column) {
        return llvm::is_contained(keyFree, column);
      }))
    return std::nullopt;
  for (Column column : softmax.getType().getColumns()) {
    if (!scoreType.has(column.getName()))
      form.d.push_back(column);
    else if (llvm::is_contained(queryFree, column) &&
             !valueType.has(column.getName()))
      form.s.push_back(column);
    else
      form.outer.push_back(column);
  }
  auto isStatic = [](Column column) { return column.getExtent().isConst(); };
  if (form.d.empty() || !llvm::all_of(form.d, isStatic) ||
      !llvm::all_of(scores->k, isStatic))
    return std::nullopt;
  findKeySelects(form);
  form.readsKeyNumbers = readsKeyNumbers(form);
  return form;
}
