//===- Model.h - The artifacts of a compiled model --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_MODEL_MODEL_H
#define JOINERY_LIB_CODEGEN_MODEL_MODEL_H

#include "joinery/Conversion/Conversion.h"
#include "llvm/Support/Error.h"

namespace joinery {

struct ModelOptions {
  /// A C identifier: the prefix of every exported symbol.
  std::string name;
  std::string precision = "f32";
  /// Other names in the header for inputs and outputs, by ONNX name.
  std::map<std::string, std::string> rename;
  /// What the catalog and the program say made them.
  std::string compiler;
};

/// Packs every table of the fused module into a new store at `path` and gives
/// its content hash. Tables are numbered in the order of the function.
llvm::Expected<std::string> writeStore(mlir::ModuleOp fused,
                                       const std::string &path,
                                       const ModelOptions &options);

/// The executable plan (runtime/Schema/program.fbs) of the fused module.
llvm::Expected<std::string> buildProgram(mlir::ModuleOp fused,
                                         const LoweredModule &lowered,
                                         const std::string &storeHash,
                                         const ModelOptions &options);

/// Adds the object descriptor (runtime/abi.h) with the program and the tables
/// of kernels to the lowered module, and the function that returns it.
void addDescriptor(const LoweredModule &lowered, const std::string &program,
                   const ModelOptions &options);

/// The exported symbols of a model's object: its descriptor and the function
/// that returns it (which a shared object also exports as joinery_object).
std::string descriptorSymbol(llvm::StringRef name);
std::string descriptorFunction(llvm::StringRef name);

/// The typed C header of a model, made from its program.
llvm::Expected<std::string> buildHeader(const std::string &program,
                                        const ModelOptions &options);

/// The checks of the border in the order in which the program lists them first.
int64_t borderCheckCount(mlir::ModuleOp module);

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_MODEL_MODEL_H
