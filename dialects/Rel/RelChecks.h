//===- RelChecks.h - What the operators' verifiers share --------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_DIALECTS_REL_RELCHECKS_H
#define JOINERY_DIALECTS_REL_RELCHECKS_H

#include "dialects/Rel/Rel.h"

namespace joinery::rel {

/// Adds `type`'s columns to `columns`; equal names must have equal extents.
llvm::LogicalResult addColumns(mlir::Operation *op,
                               llvm::SmallVectorImpl<Column> &columns,
                               RelType type);
/// The result must have just these columns, in any order.
llvm::LogicalResult checkColumns(mlir::Operation *op, RelType result,
                                 llvm::ArrayRef<Column> expected);
/// The result must hold elements of `type`.
llvm::LogicalResult checkElement(mlir::Operation *op, RelType result,
                                 mlir::Type type);

} // namespace joinery::rel

#endif // JOINERY_DIALECTS_REL_RELCHECKS_H
