//===- Work.h - What a run of a kernel computes and moves -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_WORK_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_WORK_H

#include "dialects/Pipe/Pipe.h"
#include "joinery/CodeGen/Isa.h"

namespace joinery::lowering {

struct KernelWork {
  /// The multiplications and additions of the contractions that are demanded.
  SymExpr flops;
  /// Bytes of each operand that is read, each element once; then the bytes of
  /// the result.
  std::vector<SymExpr> bytes;
};

/// The work of `kernel` at a level over the symbols, from what its result demands
/// of each relation. What is read to compute the relations in `without` is left
/// out.
KernelWork workOf(pipe::KernelOp kernel, const Isa &isa,
                  llvm::ArrayRef<mlir::Value> without = {});

} // namespace joinery::lowering

#endif
