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

static bool hasAny(Value value, ArrayRef<Column> columns) {
  return llvm::any_of(columns, [&](Column column) {
    return typeOf(value).has(column.getName());
  });
}

/// The operations that compute `values`, those before `first` left out: what is
/// stored already is not computed again.
static llvm::SmallDenseSet<Operation *> computed(SmallVector<Value> values,
                                                 Operation *first) {
  llvm::SmallDenseSet<Operation *> seen;
  while (!values.empty()) {
    Operation *op = values.pop_back_val().getDefiningOp();
    if (op && !isa<MaterializeOp>(op) && !op->isBeforeInBlock(first) &&
        seen.insert(op).second)
      llvm::append_range(values, op->getOperands());
  }
  return seen;
}

/// The contractions with columns `over` that `score` is computed from, key by
/// key: joins and selections alone are between.
static std::vector<Contraction> findScores(Value score, ArrayRef<Column> over) {
  std::vector<Contraction> found;
  SmallVector<Value> work{score}, others;
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second)
      continue;
    auto match = matchContraction(op);
    if (match && hasAny(value, over))
      found.push_back(*match);
    else if (isa<JoinOp, SelectOp>(op))
      llvm::append_range(work, op->getOperands());
    else
      others.push_back(value);
  }
  if (found.empty())
    return found;
  // What reads them otherwise (a statistic over the scores) needs all of them
  // before the first weight.
  Operation *first = found.front().aggregate;
  for (Contraction &scores : found)
    if (scores.aggregate->isBeforeInBlock(first))
      first = scores.aggregate;
  auto before = computed(others, first);
  llvm::erase_if(found, [&](const Contraction &scores) {
    return before.contains(scores.aggregate);
  });
  return found;
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

/// Gives the form its contraction of queries and keys, if it is one: its columns
/// are t on the side of the keys, and on both sides those that they share.
static bool takeScores(Attention &form, const Contraction &scores) {
  bool leftHasT = hasAny(scores.left, form.t);
  form.scores = scores;
  form.query = leftHasT ? scores.right : scores.left;
  form.key = leftHasT ? scores.left : scores.right;
  const auto &queryFree = leftHasT ? scores.rightFree : scores.leftFree;
  const auto &keyFree = leftHasT ? scores.leftFree : scores.rightFree;
  auto isStatic = [](Column column) { return column.getExtent().isConst(); };
  if (keyFree.size() != form.t.size() ||
      !llvm::all_of(form.t,
                    [&](Column column) {
                      return llvm::is_contained(keyFree, column);
                    }) ||
      !llvm::all_of(scores.k, isStatic))
    return false;
  RelType scoreType = typeOf(form.softmax.getInputs()[0]),
          valueType = typeOf(form.weighted);
  for (Column column : form.softmax.getType().getColumns()) {
    if (!scoreType.has(column.getName()))
      form.d.push_back(column);
    else if (llvm::is_contained(queryFree, column) &&
             !valueType.has(column.getName()))
      form.s.push_back(column);
    else
      form.outer.push_back(column);
  }
  return !form.d.empty() && llvm::all_of(form.d, isStatic);
}

/// Of the contractions in the scores, the one that is streamed has the most
/// queries, and of these the deepest: the rest (scores of positions, say) are
/// stored, and read key by key.
static std::optional<Attention>
chooseScores(const Attention &form, function_ref<bool(Value)> isConstant) {
  std::optional<Attention> best;
  std::pair<size_t, int64_t> most;
  AggregateOp softmax = form.softmax;
  for (const Contraction &scores :
       findScores(softmax.getInputs()[0], form.t)) {
    Attention candidate = form;
    if (isConstant(scores.left) || isConstant(scores.right) ||
        !takeScores(candidate, scores))
      continue;
    std::pair<size_t, int64_t> size(candidate.s.size(),
                                    *product(scores.k).asConst());
    if (best && size <= most)
      continue;
    best = std::move(candidate);
    most = size;
  }
  return best;
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
  auto chosen = chooseScores(form, isConstant);
  if (!chosen)
    return std::nullopt;
  findKeySelects(*chosen);
  chosen->readsKeyNumbers = readsKeyNumbers(*chosen);
  return chosen;
}
