//===- CompiledModule.h - Compiles and loads a module of kernels -*- C++
//-*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_CODEGEN_COMPILEDMODULE_H
#define JOINERY_TEST_UNIT_CODEGEN_COMPILEDMODULE_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>
#include <vector>

namespace joinery::test {

/// Whether this machine runs code of the level, where tiles are emulated if it
/// has none.
bool canRun(const Isa &isa);

/// A context with everything that kernels need.
std::unique_ptr<mlir::MLIRContext> makeContext();

/// A module that went all the way to a shared object and back into memory.
class CompiledModule {
public:
  /// On failure the object is empty and `error()` says why.
  explicit CompiledModule(mlir::ModuleOp module,
                          std::vector<std::string> exports);
  ~CompiledModule();
  CompiledModule(const CompiledModule &) = delete;
  CompiledModule &operator=(const CompiledModule &) = delete;

  template <typename Function> Function *get(const std::string &name) const {
    return reinterpret_cast<Function *>(address(name));
  }
  const std::string &error() const { return message; }
  double seconds() const { return compileSeconds; }

private:
  void *address(const std::string &name) const;
  void *handle = nullptr;
  std::string message;
  double compileSeconds = 0;
};

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_CODEGEN_COMPILEDMODULE_H
