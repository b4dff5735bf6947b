//===- Plan.h - Physical design ---------------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_PLAN_PLAN_H
#define JOINERY_PLAN_PLAN_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"

namespace joinery {

/// What weights are stored in. Sums, softmax, normalisations and everything
/// that a pipeline stores for the next are f32 always.
enum class Precision { F32, BF16 };

struct PlanOptions {
  Precision precision = Precision::F32;
  /// Columns of a weight panel at most; panels of every instruction-set level
  /// are the same, so this belongs to the store's format.
  int64_t panelWidth = 48;
};

/// Chooses what is stored, where pipelines end, how each is executed and how
/// every stored relation is laid out: after it, every value of `@main` that is
/// stored is the result of a rel.materialize. Errors are emitted.
mlir::LogicalResult planModule(mlir::ModuleOp module,
                               const PlanOptions &options);

} // namespace joinery

#endif // JOINERY_PLAN_PLAN_H
