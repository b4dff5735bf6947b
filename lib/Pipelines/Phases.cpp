//===- Phases.cpp - The phases and what each runs -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Pipe/Pipe.h"
#include "dialects/Rel/Rel.h"
#include "joinery/CodeGen/EmitObject.h"
#include "joinery/Conversion/Conversion.h"
#include "joinery/Import/ONNX.h"
#include "joinery/Optimize/Passes.h"
#include "joinery/Pipelines/Pipelines.h"
#include "joinery/Plan/Plan.h"
#include "lib/Pipelines/PhaseRunner.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace joinery;

static const PhaseInfo phaseList[] = {
    {Phase::Import, "import", "read the ONNX file into the relational algebra"},
    {Phase::Optimize, "optimize", "rewrite by the laws of the algebra"},
    {Phase::Plan, "plan", "choose pipelines, layouts and algorithms by cost"},
    {Phase::Fuse, "fuse", "make each pipeline one kernel"},
    {Phase::Lower, "lower", "turn kernels into loops over vectors"},
    {Phase::Emit, "emit", "write the object, the header and the store"},
};

ArrayRef<PhaseInfo> joinery::phases() { return phaseList; }

void joinery::registerDialects(DialectRegistry &registry) {
  registry.insert<rel::RelDialect, pipe::PipeDialect, arith::ArithDialect,
                  func::FuncDialect, math::MathDialect, scf::SCFDialect,
                  vector::VectorDialect, LLVM::LLVMDialect>();
  registerCodeGenDialects(registry);
}

std::string joinery::fastestPrecision() {
  // Whatever has tiles has these products as well.
  return __builtin_cpu_supports("avx512bf16") ? "bf16" : "f32";
}

Outcome joinery::checkInput(MLIRContext *context, const std::string &path) {
  std::error_code error = llvm::sys::fs::access(path, llvm::sys::fs::AccessMode::Exist);
  if (!error && llvm::sys::fs::is_directory(path))
    error = std::make_error_code(std::errc::is_a_directory);
  if (!error) {
    if (auto file = llvm::sys::fs::openNativeFileForRead(path))
      llvm::sys::fs::closeFile(*file);
    else
      error = llvm::errorToErrorCode(file.takeError());
  }
  if (!error)
    return Outcome::Done;
  emitError(UnknownLoc::get(context))
      << "cannot open '" << path << "': " << error.message()
      << "; check the path of the model";
  return Outcome::Fault;
}

LogicalResult PhaseRunner::dump(Phase phase) {
  if (options.dumpPhases.empty())
    return success();
  llvm::SmallString<128> path(options.dumpPhases);
  if (auto error = llvm::sys::fs::create_directories(path))
    return emitError(UnknownLoc::get(context))
           << "can't make '" << path << "': " << error.message();
  std::string number = std::to_string(int(phase) + 1);
  llvm::sys::path::append(path, number + "-" + phaseList[int(phase)].name +
                                    ".mlir");
  std::error_code error;
  llvm::raw_fd_ostream os(path, error);
  if (error)
    return emitError(UnknownLoc::get(context))
           << "can't write '" << path << "': " << error.message();
  if (phase == Phase::Lower)
    lowered.module->print(os);
  else
    module->print(os);
  return success();
}

LogicalResult PhaseRunner::runPhase(Phase phase) {
  switch (phase) {
  case Phase::Import: {
    ImportOptions import;
    import.outputs = options.outputs;
    module = importONNX(context, options.input, import);
    return success(bool(module));
  }
  case Phase::Optimize: {
    PassManager pm(context);
    pm.enableVerifier(false); // the phase's end is verified
    OptimizeOptions optimize;
    optimize.keepRounding = options.keepRounding;
    optimize.selectOutputs = !options.keepPadding;
    optimize.keepFiniteMasks = options.keepPadding;
    if (options.until == Phase::Optimize)
      optimize.layers = options.layers;
    optimize.pushSelections = !options.keepPadding;
    buildOptimizePipeline(pm, optimize);
    return pm.run(*module);
  }
  case Phase::Plan: {
    // Whether one contraction over a union is better than several is a choice
    // of the plan, so the normal form keeps them apart.
    PassManager pm(context);
    pm.enableVerifier(false);
    pm.addPass(optimize::createMergeJoins());
    if (failed(pm.run(*module)))
      return failure();
    PlanOptions plan;
    plan.precision =
        options.precision == "bf16" ? Precision::BF16 : Precision::F32;
    return planModule(*module, plan);
  }
  case Phase::Fuse:
    if (failed(fusePipelines(*module)))
      return failure();
    storeHalves(*module);
    blockHalves(*module);
    return success();
  case Phase::Lower: {
    SmallVector<const Isa *> isas;
    for (const Isa &isa :
         options.isas.empty() ? allIsas() : ArrayRef<Isa>(options.isas))
      if (options.levels.empty() ||
          llvm::is_contained(options.levels, isa.name))
        isas.push_back(&isa);
    auto result = lowerKernels(*module, isas, borderCheckCount(*module));
    if (failed(result))
      return failure();
    lowered = std::move(*result);
    return success();
  }
  case Phase::Emit:
    return success();
  }
  return failure();
}

LogicalResult PhaseRunner::run(Phase until) {
  for (const PhaseInfo &info : phaseList) {
    if (options.onPhase)
      options.onPhase(info.phase);
    // Each phase ends in a module that verifies: its contract's first half. The
    // importer sees to that itself.
    bool unverified =
        info.phase > Phase::Import && info.phase < Phase::Lower;
    if (failed(runPhase(info.phase)) ||
        (unverified && failed(verify(*module))) ||
        (info.phase != Phase::Emit && failed(dump(info.phase))))
      return failure();
    if (info.phase == until)
      break;
  }
  return success();
}

OwningOpRef<ModuleOp>
joinery::compileToPhase(MLIRContext *context, const CompileOptions &options) {
  PhaseRunner runner(context, options);
  Phase until = std::min(options.until, Phase::Lower);
  if (failed(runner.run(until)))
    return nullptr;
  return until == Phase::Lower ? std::move(runner.lowered.module)
                               : std::move(runner.module);
}
