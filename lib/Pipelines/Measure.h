//===- Measure.h - Times of a model's steps ---------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PIPELINES_MEASURE_H
#define JOINERY_LIB_PIPELINES_MEASURE_H

#include "joinery/Pipelines/Pipelines.h"
#include <map>

namespace joinery {

struct StepTime {
  double seconds = 0; // the least over the runs
  /// As the runtime counted them in the last run.
  double flops = 0, readBytes = 0, writtenBytes = 0, storeBytes = 0;
};

/// Compiles the model into a temporary directory, runs it on random inputs of
/// these extents and gives the time of each step, by its number, and the level
/// that ran.
Outcome measureModel(mlir::MLIRContext *context, const CompileOptions &compile,
                     const std::map<std::string, int64_t> &extents, int threads,
                     std::map<std::string, StepTime> &times,
                     std::string &level);

} // namespace joinery

#endif
