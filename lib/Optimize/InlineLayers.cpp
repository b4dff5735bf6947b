//===- InlineLayers.cpp - A plan without functions ------------------------===//
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
#define GEN_PASS_DEF_INLINELAYERS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
struct InlineLayers : optimize::impl::InlineLayersBase<InlineLayers> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (!function.isExternal() && !function.isPrivate())
        for (auto call : llvm::to_vector(function.getOps<func::CallOp>()))
          if (auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
              callee && callee.isPrivate() && !callee.isExternal())
            inlineCall(call, callee);
    for (func::FuncOp function : functions)
      if (function.isPrivate() &&
          SymbolTable::symbolKnownUseEmpty(function, module))
        function.erase();
    // Only the calls needed columns by their names and in an order.
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateRenameLeaves(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(module, std::move(patterns), count)))
      signalPassFailure();
  }

  void inlineCall(func::CallOp call, func::FuncOp callee) {
    OpBuilder builder(call);
    IRMapping mapping;
    Block &body = callee.getBody().front();
    mapping.map(body.getArguments(), call.getOperands());
    auto masks = call->getAttrOfType<ArrayAttr>(layerMasks);
    size_t softmaxes = 0;
    for (Operation &op : body.without_terminator()) {
      auto fold = dyn_cast<AggregateOp>(builder.clone(op, mapping));
      if (!masks || !fold || fold.getMonoid() != Monoid::SoftmaxSum ||
          softmaxes >= masks.size())
        continue;
      auto mask = dyn_cast<DictionaryAttr>(masks[softmaxes++]);
      if (mask && mask.getAs<FloatAttr>("mask"))
        fold.setMaskAttr(mask.getAs<FloatAttr>("mask"));
      fold.setFills(mask && mask.contains("fills"));
    }
    for (auto [result, value] :
         llvm::zip(call.getResults(), body.getTerminator()->getOperands()))
      result.replaceAllUsesWith(mapping.lookupOrDefault(value));
    call.erase();
    ++numInlined;
  }
};
} // namespace
