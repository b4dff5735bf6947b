//===- ExpandBFloat16.h - bf16 on processors without it ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_EXPANDBFLOAT16_H
#define JOINERY_LIB_CODEGEN_EXPANDBFLOAT16_H

#include "mlir/Pass/Pass.h"

namespace joinery {

/// The pass `--expand-bf16`: after it nothing is left of bf16 but casts to and from
/// its bits, and what instructions for products of bf16 take.
std::unique_ptr<mlir::Pass> createExpandBFloat16Pass();

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_EXPANDBFLOAT16_H
