//===- Packing.h - How a model takes packed tokens --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_MODEL_PACKING_H
#define JOINERY_LIB_CODEGEN_MODEL_PACKING_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "program_generated.h"

#include <map>

namespace joinery {

/// Finds in the fused function the mask that selects rows, the inputs and
/// outputs with a row for each token, and the steps that only spread rows; or
/// why there are none. `symbols` numbers "?names", `buffers` stored values.
std::unique_ptr<program::PackingT>
describePacking(mlir::func::FuncOp function,
                const std::map<std::string, int64_t> &symbols,
                const llvm::DenseMap<mlir::Value, uint32_t> &buffers);

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_MODEL_PACKING_H
