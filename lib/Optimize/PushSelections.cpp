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

/// Does an aggregate of `value` fold a column of `where`? A condition on whole
/// batch rows saves nothing.
static bool foldsColumnsOf(RelType where, Value value) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    if (isa<SelectOp>(user))
      return foldsColumnsOf(where, user->getResult(0));
    auto fold = dyn_cast<AggregateOp>(user);
    return fold && llvm::any_of(where.getColumns(), [&](Column column) {
             return fold.folds(column.getName());
           });
  });
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
        !foldsColumnsOf(typeOf(where), select) ||
        llvm::any_of(masks, [&](auto &m) { return m->matches(where); }))
      continue;
    masks.push_back(std::make_unique<Mask>(where));
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
