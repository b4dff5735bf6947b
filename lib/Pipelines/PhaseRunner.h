//===- PhaseRunner.h - One compilation, phase by phase ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PIPELINES_PHASERUNNER_H
#define JOINERY_LIB_PIPELINES_PHASERUNNER_H

#include "joinery/Conversion/Conversion.h"
#include "joinery/Pipelines/Pipelines.h"
#include "lib/CodeGen/Model/Model.h"

namespace joinery {

class PhaseRunner {
public:
  PhaseRunner(mlir::MLIRContext *context, const CompileOptions &options)
      : context(context), options(options) {}

  /// Runs the phases up to and with `until`; `Emit` itself does nothing here.
  mlir::LogicalResult run(Phase until);

  mlir::OwningOpRef<mlir::ModuleOp> module; // rel, then pipe
  LoweredModule lowered;                    // after Lower

private:
  mlir::LogicalResult runPhase(Phase phase);
  mlir::LogicalResult dump(Phase phase);

  mlir::MLIRContext *context;
  const CompileOptions &options;
};

} // namespace joinery

#endif
