//===- CompiledModule.cpp - Compiles and loads a module of kernels --------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModule.h"
#include "joinery/CodeGen/EmitObject.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"

#include <chrono>
#include <dlfcn.h>

using namespace mlir;

namespace joinery::test {

bool canRun(const Isa &isa) {
  if (isa.dotBF16 && isa.base == "avx512" &&
      !__builtin_cpu_supports("avx512bf16"))
    return false;
  if (isa.name == "avx512" || isa.base == "avx512")
    return __builtin_cpu_supports("x86-64-v4");
  return __builtin_cpu_supports("x86-64-v3");
}

std::unique_ptr<MLIRContext> makeContext() {
  DialectRegistry registry;
  registerCodeGenDialects(registry);
  auto context = std::make_unique<MLIRContext>(registry);
  context->loadAllAvailableDialects();
  return context;
}

CompiledModule::CompiledModule(ModuleOp module,
                               std::vector<std::string> exports) {
  auto start = std::chrono::steady_clock::now();
  if (failed(lowerToLLVM(module))) {
    message = "lowering failed";
    return;
  }
  EmitOptions options;
  options.exports = std::move(exports);
  auto code = emit(module, options);
  if (!code) {
    message = llvm::toString(code.takeError());
    return;
  }
  llvm::SmallString<128> path;
  if (llvm::sys::fs::createTemporaryFile("joinery-test", "so", path)) {
    message = "no temporary file";
    return;
  }
  llvm::MemoryBufferRef object({code->data(), code->size()}, "object");
  if (llvm::Error error = linkShared(object, path, {})) {
    message = llvm::toString(std::move(error));
    return;
  }
  handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    message = dlerror();
  llvm::sys::fs::remove(path);
  compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
}

CompiledModule::~CompiledModule() {
  if (handle)
    dlclose(handle);
}

void *CompiledModule::address(const std::string &name) const {
  return handle ? dlsym(handle, name.c_str()) : nullptr;
}

} // namespace joinery::test
