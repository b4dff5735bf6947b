//===- EmitObject.h - From kernels in MLIR to machine code ------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_EMITOBJECT_H
#define JOINERY_CODEGEN_EMITOBJECT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBufferRef.h"

#include <string>
#include <vector>

namespace mlir {
class DialectRegistry;
class OpPassManager;
} // namespace mlir

namespace joinery {

/// Loads what lowerToLLVM and emit need: the dialects that kernels are made of
/// and their translations to LLVM IR. Call it before a context parses or
/// builds kernels.
void registerCodeGenDialects(mlir::DialectRegistry &registry);

/// Registers the passes of this library (--expand-math, --lower-to-llvm).
void registerCodeGenPasses();

/// Adds the passes that turn kernels of func, scf, cf, arith, math, 1-D vector
/// and LLVM pointer operations into the LLVM dialect.
void buildLowerToLLVM(mlir::OpPassManager &pm);

/// Runs buildLowerToLLVM's passes. Functions that MLIR calls private and that
/// have a body become internal to the object. Diagnostics go to the context.
mlir::LogicalResult lowerToLLVM(mlir::ModuleOp module);

/// Turns locations into ones that LLVM writes to line tables, with an ONNX
/// node in the place of a source file. Functions that have them are left alone.
void addLineTables(mlir::ModuleOp llvmModule, llvm::StringRef name);

enum class EmitKind { Object, Assembly, LLVMIR };

struct EmitOptions {
  EmitKind kind = EmitKind::Object;
  /// The module's name in the symbol table and in debug information.
  std::string name = "joinery";
  /// Symbols that a shared object made of this code exports; every other one
  /// is hidden.
  std::vector<std::string> exports;
  /// Undefined symbols that are no error (none for a model's object).
  std::vector<std::string> externals;
  /// Line tables that name ONNX nodes.
  bool lineTables = true;
  /// 0 = translate only, 2 = what models are compiled with.
  int optLevel = 2;
};

/// What emit produces: the bytes of an object, of assembly or of LLVM IR text.
using EmittedCode = llvm::SmallVector<char, 0>;

/// Generates position-independent x86-64 ELF code for a module in the LLVM
/// dialect. An object that would need a symbol from elsewhere is an error.
llvm::Expected<EmittedCode> emit(mlir::ModuleOp llvmModule,
                                 const EmitOptions &options);

struct LinkOptions {
  std::string soname;
  /// `alias=symbol` pairs: further names for exported symbols.
  std::vector<std::pair<std::string, std::string>> aliases;
};

/// Links one object into a shared object without undefined symbols, in this
/// process. `soPath` is created or replaced.
llvm::Error linkShared(llvm::MemoryBufferRef object, llvm::StringRef soPath,
                       const LinkOptions &options);

} // namespace joinery

#endif // JOINERY_CODEGEN_EMITOBJECT_H
