//===- Explain.h - The plan for people --------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_PIPELINES_EXPLAIN_H
#define JOINERY_PIPELINES_EXPLAIN_H

#include "joinery/Pipelines/Pipelines.h"
#include "llvm/Support/raw_ostream.h"
#include <map>

namespace joinery {

struct ExplainOptions {
  /// Values of the model's symbols for the estimates; a symbol that is missing
  /// is 1 if it is the first of an input's dimensions, 128 otherwise.
  std::map<std::string, int64_t> extents;
  /// Run the model on random inputs and print measured times.
  bool analyze = false;
  /// Print what each pipeline's plan was chosen from, with relative costs.
  bool alternatives = false;
  int threads = 1;
  /// Measures the peak rate of multiply-adds of a level, in FLOP/s.
  std::function<double(const std::string &level, int threads)> probe;
};

/// Prints the plan as a tree from each output down to tables and inputs: every
/// pipeline with its keys, algorithm, block shapes, FLOPs and bytes.
Outcome explainModel(mlir::MLIRContext *context, const CompileOptions &compile,
                     const ExplainOptions &options, llvm::raw_ostream &os);

} // namespace joinery

#endif // JOINERY_PIPELINES_EXPLAIN_H
