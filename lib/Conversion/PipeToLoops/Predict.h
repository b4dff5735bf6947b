//===- Predict.h - The time that a kernel will take -------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_PREDICT_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_PREDICT_H

#include "joinery/Conversion/Conversion.h"
#include "lib/Plan/Target.h"

namespace joinery::lowering {

/// What a prediction is made for.
struct Scenario {
  /// The value of an extent; nothing if it is not known.
  llvm::function_ref<std::optional<int64_t>(llvm::StringRef symbol)> extents;
  int threads = 1;
  /// Bytes of the store that a whole run reads: more than a cache holds come
  /// from memory each time.
  double footprint = 0;
};

/// Cycles of one step.
struct Prediction {
  double compute = 0; // of the worker that has the most to do
  double stream = 0;  // to bring in what it reads and take out what it writes
  double overhead = 0;
  double total = 0;
};

/// Makes the kernels' loops what a compiler makes of them: without what is
/// computed for nothing, twice, or again in each iteration.
mlir::LogicalResult prepareToPredict(mlir::ModuleOp lowered);

/// Walks the loops of kernel number `number` of a level with the extents of
/// the scenario and adds up what their operations take. `tables` says for each
/// operand whether it is part of the store.
Prediction predict(pipe::KernelOp kernel, const LoweredModule &lowered,
                   const LoweredLevel &level, size_t number,
                   llvm::ArrayRef<bool> tables, const Scenario &scenario);

} // namespace joinery::lowering

#endif
