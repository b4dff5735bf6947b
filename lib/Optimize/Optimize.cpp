//===- Optimize.cpp - All laws to a fixpoint ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The laws are applied in any order until none applies. docs/optimizer.md gives
// the measure that every one of them lowers.
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_OPTIMIZE
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// Tables that nothing reads are no part of the model.
static void eraseUnusedTables(ModuleOp module) {
  llvm::DenseSet<Attribute> used;
  module.walk([&](ScanOp scan) { used.insert(scan.getTableAttr().getAttr()); });
  for (TableOp table :
       llvm::make_early_inc_range(module.getOps<TableOp>()))
    if (!used.contains(table.getSymNameAttr()))
      table.erase();
}

namespace {
struct Optimize : optimize::impl::OptimizeBase<Optimize> {
  using OptimizeBase::OptimizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    // No law makes a comparison or a rounding where there was none.
    bool anyDiscretized = discretizesAnything(module);
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSimplifyScalars(patterns, anyDiscretized);
    populateComposeJoins(patterns);
    populatePushRekeys(patterns);
    populateSplitFolds(patterns);
    populateSimplifyLookups(patterns);
    populateTabulateDifferences(patterns);
    populateCollectScales(patterns);
    populateFoldScales(patterns, anyDiscretized);
    populateStreamSoftmax(patterns);
    populateDropShifts(patterns);
    populateDropRoundTrips(patterns);
    populateSelectMasks(patterns, keepFinite);
    populateFoldConstants(patterns, module, byteLimit);
    FrozenRewritePatternSet laws(std::move(patterns));
    // Equal plans meet between the rounds: rewrites look at how often a value
    // is used. Every round but the last lowers the measure, and the last has
    // seen that no law applies anywhere.
    for (bool changed = true; changed;) {
      if (++numRounds > maxRounds) {
        module.emitError("the laws did not reach a fixpoint in ")
            << maxRounds << " rounds";
        return signalPassFailure();
      }
      uint64_t count = 0;
      if (failed(applyLaws(module, laws, count, &changed))) {
        module.emitError("the laws did not reach a fixpoint");
        return signalPassFailure();
      }
      numRewrites += count;
      // What no law has touched since the last merge has no equals.
      changed = (changed || numRounds == 1) && mergeEqualPlans(module) != 0;
    }
    eraseUnusedTables(module);
  }
  static constexpr unsigned maxRounds = 64;
};
} // namespace

void joinery::buildOptimizePipeline(OpPassManager &manager,
                                    const OptimizeOptions &options) {
  manager.addPass(optimize::createWidenHalves({options.keepRounding}));
  // Equal subplans first: how often a value is used decides what may move.
  manager.addPass(optimize::createMergeEqualPlans());
  manager.addPass(optimize::createOptimize(
      {options.foldByteLimit, options.keepFiniteMasks}));
  // Last, for it needs the masks that the laws have found.
  if (options.selectOutputs)
    manager.addPass(optimize::createSelectOutputs());
  if (options.layers != LayerForm::Inline)
    manager.addPass(optimize::createOutlineLayers(
        {options.layers == LayerForm::Parts}));
  else if (options.pushSelections)
    manager.addPass(optimize::createPushSelections());
}
