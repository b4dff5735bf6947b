//===- RoundedOperands.h - What products of bf16 read -----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_RELTOPIPE_ROUNDEDOPERANDS_H
#define JOINERY_LIB_CONVERSION_RELTOPIPE_ROUNDEDOPERANDS_H

#include "dialects/Pipe/Pipe.h"

namespace joinery {

/// What a product reads, the columns along which pairs are formed, those that
/// number its rows, and the operation that takes it.
struct RoundedOperand {
  mlir::Value value;
  llvm::SmallVector<rel::Column> columns, rows;
  mlir::Operation *product;
};

/// The operands of the kernel's products that a level which multiplies pairs
/// rounds to bf16.
llvm::SmallVector<RoundedOperand> roundedOperands(pipe::KernelOp kernel);

} // namespace joinery

#endif
