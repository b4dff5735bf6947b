//===- PushSelections.cpp - Dropped keys are not computed -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Selection pushdown. Values of which only selected keys are demanded (see
// Demand.h) are computed over packed rows: one column r that counts the
// selected keys stands for the mask's columns (b, s). What works key by key
// works row by row:
//
//   pack(f(x, y)) = f(pack(x), pack(y))
//
// so packs move to the inputs and to the results of operators that relate the
// rows of a sequence with each other (attention), which read their operands
// unpacked: a view.
//
//===----------------------------------------------------------------------===//

#include "lib/Optimize/PackRows.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_PUSHSELECTIONS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
struct PushSelections : optimize::impl::PushSelectionsBase<PushSelections> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal())
        while (pushOne(function)) {
        }
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateRenameLeaves(patterns);
    tidy(getOperation(), std::move(patterns));
    mergeEqualPlans(getOperation());
  }

private:
  bool pushOne(func::FuncOp function);
};
} // namespace

/// A column of `where` that an aggregate of `value` folds. If there is none, the
/// condition is on whole batch rows, which saves nothing.
static std::optional<StringRef> foldedColumn(RelType where, Value value) {
  for (Operation *user : value.getUsers()) {
    if (isa<SelectOp>(user))
      if (auto column = foldedColumn(where, user->getResult(0)))
        return column;
    if (auto fold = dyn_cast<AggregateOp>(user))
      for (Column column : where.getColumns())
        if (fold.folds(column.getName()))
          return column.getName();
  }
  return std::nullopt;
}

/// The masks of a function: conditions over columns whose extents the inputs
/// decide.
static std::vector<std::unique_ptr<Mask>> masksOf(func::FuncOp function) {
  std::vector<std::unique_ptr<Mask>> masks;
  for (auto select : function.getOps<SelectOp>()) {
    Value where = select.getWhere();
    ArrayRef<Column> columns = typeOf(where).getColumns();
    if (columns.empty() || columns.size() > 2 || argumentsOf(where).empty() ||
        where.getDefiningOp<UnpackOp>() ||
        llvm::any_of(masks, [&](auto &m) { return m->matches(where); }))
      continue;
    // The keys that are folded together lie side by side.
    if (auto last = foldedColumn(typeOf(where), select))
      masks.push_back(std::make_unique<Mask>(where, *last));
  }
  return masks;
}

bool PushSelections::pushOne(func::FuncOp function) {
  std::vector<std::unique_ptr<Mask>> masks = masksOf(function);
  std::unique_ptr<Packer> best;
  unsigned most = 0;
  for (auto &mask : masks) {
    auto packer = std::make_unique<Packer>(function, *mask);
    unsigned contractions = packer->plan();
    if (contractions > most) {
      most = contractions;
      best = std::move(packer);
    }
  }
  if (!best)
    return false;
  numPacked += best->rewrite();
  return true;
}
