//===- TileKernel.h - Contractions on tile registers ------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_TILEKERNEL_H
#define JOINERY_LIB_CODEGEN_TILEKERNEL_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace joinery {

/// getOrCreateGemm for operands that are pairs, at a level that has tiles.
/// Products are summed 16 pairs at a time: cutting k elsewhere changes the bits
/// of a result.
mlir::func::FuncOp createTileGemm(mlir::ModuleOp module, const Isa &isa,
                                  int64_t width, llvm::StringRef name);

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_TILEKERNEL_H
