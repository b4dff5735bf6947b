//===- EmitObject.cpp - From the LLVM dialect to machine code -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/CodeGen/CommandFlags.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace joinery {
namespace {

Error makeError(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

Expected<std::unique_ptr<TargetMachine>> createTarget(int optLevel) {
  // Thread-safe, and done when code is generated, not at load.
  static const bool initialised = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    return true;
  }();
  (void)initialised;
  Triple triple("x86_64-unknown-linux-gnu");
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return makeError("this LLVM generates no x86-64 code: " + message);
  TargetOptions options;
  // Only operations that the lowering marked `contract` are fused.
  options.AllowFPOpFusion = FPOpFusion::Standard;
  options.MCOptions.AsmVerbose = true;
  // Data relocations in sections of their own let -z relro protect them.
  std::unique_ptr<TargetMachine> machine(target->createTargetMachine(
      triple, "x86-64", "", options, Reloc::PIC_, CodeModel::Small,
      optLevel == 0 ? CodeGenOptLevel::Less : CodeGenOptLevel::Default));
  if (!machine)
    return makeError("LLVM can't generate x86-64 code");
  return machine;
}

/// Hides every definition that is not exported, and describes functions as
/// what they are: without exceptions, but with unwind tables for debuggers and
/// profilers.
void setAttributes(Module &module, const EmitOptions &options) {
  for (GlobalValue &value : module.global_values())
    if (!value.hasLocalLinkage() && !value.isDeclaration()) {
      bool exported = is_contained(options.exports, value.getName());
      value.setVisibility(exported ? GlobalValue::DefaultVisibility
                                   : GlobalValue::HiddenVisibility);
      value.setDSOLocal(!exported);
    }
  for (Function &function : module)
    if (!function.isDeclaration()) {
      function.setDoesNotThrow();
      function.setUWTableKind(UWTableKind::Async);
      function.addFnAttr("no-builtins");
    }
  module.setUwtable(UWTableKind::Async);
}

/// The kernels come vectorised, unrolled and blocked: what is left to do is to
/// clean up after the lowering. LLVM's O2 takes three times as long and ends
/// with the same inner loops.
constexpr const char *kPipeline =
    "cgscc(inline),"
    "function<eager-inv>(sroa<modify-cfg>,early-cse<memssa>,simplifycfg,"
    "instcombine<no-verify-fixpoint>,"
    "loop-mssa(loop-rotate,licm<allowspeculation>),"
    "gvn,dse,simplifycfg,instcombine<no-verify-fixpoint>),"
    "globaldce,constmerge";

Error optimize(Module &module, TargetMachine &machine) {
  PassBuilder builder(&machine);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager sccs;
  ModuleAnalysisManager modules;
  // No calls to memset, memcpy or a mathematical library may appear.
  TargetLibraryInfoImpl library(module.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  ModulePassManager passes;
  if (Error error = builder.parsePassPipeline(passes, kPipeline))
    return error;
  passes.run(module, modules);
  return Error::success();
}

/// An object that needs anything from elsewhere would fail to link in the
/// user's program, long after the mistake.
Error checkSelfContained(StringRef object, const EmitOptions &options) {
  auto file = object::ObjectFile::createELFObjectFile(
      MemoryBufferRef(object, "object"));
  if (!file)
    return file.takeError();
  std::string missing;
  for (const object::SymbolRef &symbol : (*file)->symbols()) {
    Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    if (!(*flags & object::SymbolRef::SF_Undefined))
      continue;
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    if (name->empty() || *name == "_GLOBAL_OFFSET_TABLE_" ||
        is_contained(options.externals, *name))
      continue;
    missing += (missing.empty() ? "'" : ", '") + name->str() + "'";
  }
  if (!missing.empty())
    return makeError("the generated code needs " + missing +
                     ", which it doesn't define");
  return Error::success();
}

/// LLVM's errors (as opposed to its remarks) of one code generation.
struct ErrorCollector : DiagnosticHandler {
  explicit ErrorCollector(std::string &text) : text(text) {}
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    if (info.getSeverity() != DS_Error)
      return true;
    raw_string_ostream os(text);
    if (!text.empty())
      os << "; ";
    DiagnosticPrinterRawOStream printer(os);
    info.print(printer);
    return true;
  }
  std::string &text;
};

} // namespace

Expected<EmittedCode> emit(mlir::ModuleOp llvmModule,
                           const EmitOptions &options) {
  std::string errors;
  LLVMContext context;
  context.setDiagnosticHandler(std::make_unique<ErrorCollector>(errors));
  std::unique_ptr<Module> module;
  if (options.lineTables)
    addLineTables(llvmModule, options.name);
  {
    // The caller gets one error with MLIR's words in it.
    mlir::ScopedDiagnosticHandler collect(
        llvmModule.getContext(), [&](mlir::Diagnostic &diagnostic) {
          errors += (errors.empty() ? "" : "; ") + diagnostic.str();
        });
    module = mlir::translateModuleToLLVMIR(llvmModule, context, options.name);
  }
  if (!module)
    return makeError("the kernels can't be translated to LLVM IR: " + errors);
  auto machine = createTarget(options.optLevel);
  if (!machine)
    return machine.takeError();
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  module->setPICLevel(PICLevel::BigPIC);
  setAttributes(*module, options);
  if (options.optLevel > 0)
    if (Error error = optimize(*module, **machine))
      return std::move(error);

  EmittedCode code;
  raw_svector_ostream os(code);
  if (options.kind == EmitKind::LLVMIR) {
    module->print(os, nullptr);
    return code;
  }
  legacy::PassManager passes;
  TargetLibraryInfoImpl library(module->getTargetTriple());
  library.disableAllFunctions();
  passes.add(new TargetLibraryInfoWrapperPass(library));
  auto type = options.kind == EmitKind::Assembly ? CodeGenFileType::AssemblyFile
                                                 : CodeGenFileType::ObjectFile;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr, type))
    return makeError("LLVM can't write this kind of file");
  passes.run(*module);
  if (!errors.empty())
    return makeError("LLVM can't generate code for the kernels: " + errors);
  if (options.kind == EmitKind::Object)
    if (Error error =
            checkSelfContained(StringRef(code.data(), code.size()), options))
      return std::move(error);
  return code;
}

} // namespace joinery
