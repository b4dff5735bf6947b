//===- MergeEqualPlans.cpp - Equal subplans are one -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_MERGEEQUALPLANS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// Tables with equal contents have one name.
static unsigned mergeTables(ModuleOp module) {
  // Attributes and types are unique: equal contents are one pointer.
  using Contents = std::tuple<Type, Attribute, int64_t, int64_t>;
  llvm::DenseMap<Contents, TableOp> first;
  llvm::DenseMap<Attribute, Attribute> names;
  SmallVector<TableOp> duplicates;
  for (TableOp table : module.getOps<TableOp>()) {
    Contents contents(table.getType(), table.getValueAttr(), 0, 0);
    if (table.getFile())
      contents = {table.getType(), table.getFileAttr(), *table.getOffset(),
                  *table.getLength()};
    auto [it, inserted] = first.try_emplace(contents, table);
    if (inserted)
      continue;
    names[table.getSymNameAttr()] = it->second.getSymNameAttr();
    duplicates.push_back(table);
  }
  module.walk([&](ScanOp scan) {
    auto it = names.find(scan.getTableAttr().getAttr());
    if (it != names.end())
      scan.setTableAttr(FlatSymbolRefAttr::get(cast<StringAttr>(it->second)));
  });
  for (TableOp table : duplicates)
    table.erase();
  return duplicates.size();
}

unsigned optimize::mergeEqualPlans(ModuleOp module) {
  unsigned merged = mergeTables(module);
  auto countOps = [&] {
    unsigned count = 0;
    module.walk([&](Operation *) { ++count; });
    return count;
  };
  unsigned before = countOps();
  IRRewriter rewriter(module.getContext());
  DominanceInfo dominance;
  eliminateCommonSubExpressions(rewriter, dominance, module);
  return merged + before - countOps();
}

namespace {
struct MergeEqualPlans
    : optimize::impl::MergeEqualPlansBase<MergeEqualPlans> {
  void runOnOperation() override { numMerged += mergeEqualPlans(getOperation()); }
};
} // namespace
