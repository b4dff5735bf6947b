//===- LowerToLLVM.cpp - From kernels to the LLVM dialect -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExpandBFloat16.h"
#include "joinery/CodeGen/EmitObject.h"
#include "joinery/CodeGen/ExpandMath.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/Passes.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

using namespace mlir;

namespace joinery {
namespace {

/// Turns scf into cf, and what vector offers beyond single instructions into
/// arith and vector operations that have one.
struct LowerKernelBodyPass
    : PassWrapper<LowerKernelBodyPass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerKernelBodyPass)
  StringRef getArgument() const final { return "lower-kernel-body"; }
  StringRef getDescription() const final {
    return "Lower structured control flow and compound vector operations";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<cf::ControlFlowDialect, vector::VectorDialect>();
  }
  LogicalResult initialize(MLIRContext *ctx) final {
    RewritePatternSet vectors(ctx);
    vector::populateVectorMaskMaterializationPatterns(vectors, true);
    vector::populateVectorStepLoweringPatterns(vectors);
    vector::populateVectorInterleaveToShufflePatterns(vectors);
    vectorPatterns = std::move(vectors);
    RewritePatternSet loops(ctx);
    populateSCFToControlFlowConversionPatterns(loops);
    loopPatterns = std::move(loops);
    return success();
  }
  void runOnOperation() final {
    walkAndApplyPatterns(getOperation(), vectorPatterns);
    ConversionTarget target(getContext());
    target
        .addIllegalOp<scf::ForallOp, scf::ForOp, scf::IfOp, scf::IndexSwitchOp,
                      scf::ParallelOp, scf::WhileOp, scf::ExecuteRegionOp>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    if (failed(applyPartialConversion(getOperation(), target, loopPatterns)))
      signalPassFailure();
  }
  FrozenRewritePatternSet vectorPatterns, loopPatterns;
};

/// One full conversion of functions and bodies: anything that is left over is
/// reported at its own location.
struct ConvertKernelsToLLVMPass
    : PassWrapper<ConvertKernelsToLLVMPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertKernelsToLLVMPass)
  StringRef getArgument() const final { return "convert-kernels-to-llvm"; }
  StringRef getDescription() const final {
    return "Convert kernels of func, cf, arith, math and vector to LLVM";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect>();
  }
  void runOnOperation() final {
    MLIRContext *ctx = &getContext();
    LowerToLLVMOptions options(ctx);
    LLVMTypeConverter converter(ctx, options);
    RewritePatternSet patterns(ctx);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns,
                                           /*reassociateFPReductions=*/false,
                                           /*force32BitVectorIndices=*/true);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*ctx);
    target.addLegalOp<ModuleOp>();
    if (failed(
            applyFullConversion(getOperation(), target, std::move(patterns))))
      return signalPassFailure();
    // MLIR's visibility says nothing about linkage.
    for (auto func : getOperation().getOps<LLVM::LLVMFuncOp>())
      if (func.isPrivate() && !func.isExternal())
        func.setLinkage(LLVM::Linkage::Internal);
  }
};

} // namespace

void registerCodeGenDialects(DialectRegistry &registry) {
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect,
                  func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

void buildLowerToLLVM(OpPassManager &pm) {
  OpPassManager &func = pm.nest<func::FuncOp>();
  func.addPass(createExpandMathPass());
  func.addPass(createExpandBFloat16Pass());
  func.addPass(createCSEPass());
  func.addPass(std::make_unique<LowerKernelBodyPass>());
  pm.addPass(std::make_unique<ConvertKernelsToLLVMPass>());
}

void registerCodeGenPasses() {
  registerPass([] { return createExpandMathPass(); });
  registerPass([] { return createExpandBFloat16Pass(); });
  registerPass([] { return std::make_unique<LowerKernelBodyPass>(); });
  registerPass([] { return std::make_unique<ConvertKernelsToLLVMPass>(); });
  PassPipelineRegistration<>("lower-to-llvm",
                             "Lower kernels to the LLVM dialect",
                             [](OpPassManager &pm) { buildLowerToLLVM(pm); });
}

LogicalResult lowerToLLVM(ModuleOp module) {
  PassManager pm(module.getContext());
#ifdef NDEBUG
  pm.enableVerifier(false);
#endif
  buildLowerToLLVM(pm);
  return pm.run(module);
}

} // namespace joinery
