//===- PhasePasses.cpp - Phases as passes ---------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Pipe/Pipe.h"
#include "joinery/Conversion/Conversion.h"
#include "joinery/Pipelines/Pipelines.h"
#include "joinery/Plan/Plan.h"
#include "lib/CodeGen/Model/Model.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;
using namespace joinery;

namespace {
/// rel -> blocked rel (see planModule).
struct PlanPass : PassWrapper<PlanPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PlanPass)
  PlanPass() = default;
  PlanPass(const PlanPass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "plan"; }
  StringRef getDescription() const final {
    return "Choose pipelines, layouts and algorithms by cost";
  }
  void runOnOperation() final {
    PlanOptions options;
    options.precision = bf16 ? Precision::BF16 : Precision::F32;
    if (failed(planModule(getOperation(), options)))
      signalPassFailure();
  }
  Option<bool> bf16{*this, "bf16", llvm::cl::desc("store weights in bf16"),
                    llvm::cl::init(false)};
};

/// blocked rel -> pipe (see fusePipelines).
struct FusePass : PassWrapper<FusePass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FusePass)
  StringRef getArgument() const final { return "fuse"; }
  StringRef getDescription() const final {
    return "Make each pipeline one kernel";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<pipe::PipeDialect>();
  }
  void runOnOperation() final {
    if (failed(fusePipelines(getOperation())))
      signalPassFailure();
  }
};

/// pipe -> pipe (see storeHalves).
struct StoreHalvesPass : PassWrapper<StoreHalvesPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(StoreHalvesPass)
  StringRef getArgument() const final { return "store-halves"; }
  StringRef getDescription() const final {
    return "Store in bf16 what only products of bf16 read";
  }
  void runOnOperation() final { storeHalves(getOperation()); }
};

/// pipe -> pipe (see blockHalves).
struct BlockHalvesPass : PassWrapper<BlockHalvesPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BlockHalvesPass)
  StringRef getArgument() const final { return "block-halves"; }
  StringRef getDescription() const final {
    return "Store in blocks of columns what tiles alone read";
  }
  void runOnOperation() final { blockHalves(getOperation()); }
};

/// pipe -> loops: the module becomes the kernels' functions (see lowerKernels).
struct LowerPass : PassWrapper<LowerPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerPass)
  LowerPass() = default;
  LowerPass(const LowerPass &other) : PassWrapper(other) {}
  StringRef getArgument() const final { return "lower"; }
  StringRef getDescription() const final {
    return "Turn kernels into loops over vectors";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registerDialects(registry);
  }
  void runOnOperation() final {
    SmallVector<const Isa *> isas;
    for (const Isa &isa : allIsas())
      if (level.empty() || level == isa.name)
        isas.push_back(&isa);
    if (isas.empty()) {
      getOperation().emitError("there is no level '") << level << "'";
      return signalPassFailure();
    }
    auto lowered =
        lowerKernels(getOperation(), isas, borderCheckCount(getOperation()));
    if (failed(lowered))
      return signalPassFailure();
    Block *body = getOperation().getBody();
    body->clear();
    body->getOperations().splice(body->end(),
                                 lowered->module->getBody()->getOperations());
  }
  Option<std::string> level{*this, "level",
                            llvm::cl::desc("the level to generate (all)"),
                            llvm::cl::init("")};
};
} // namespace

void joinery::registerPhasePasses() {
  PassRegistration<PlanPass>();
  PassRegistration<FusePass>();
  PassRegistration<StoreHalvesPass>();
  PassRegistration<BlockHalvesPass>();
  PassRegistration<LowerPass>();
}
