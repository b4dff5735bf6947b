//===- CanonicalKey.h - Equality of kernels up to names ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_RELTOPIPE_CANONICALKEY_H
#define JOINERY_LIB_CONVERSION_RELTOPIPE_CANONICALKEY_H

#include "dialects/Pipe/Pipe.h"

namespace joinery {

/// Text that is equal for two kernels just if they are the same up to the names
/// of columns, which are numbered in the order of their first appearance, and to
/// the constants that `uses` are, in order: an argument could take their place.
std::string canonicalKey(pipe::KernelOp kernel,
                         llvm::SmallVectorImpl<mlir::OpOperand *> &uses);

} // namespace joinery

#endif
