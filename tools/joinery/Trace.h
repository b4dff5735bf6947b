//===- Trace.h - Where the time of a run goes -------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_TRACE_H
#define JOINERY_TOOL_TRACE_H

#include "tools/joinery/Session.h"

#include <cstdio>
#include <string>
#include <vector>

namespace joinery::tool {

/// Adds up what the runtime reports per step, over any number of runs.
class Trace {
public:
  struct Step {
    std::string name;
    double ns = 0;
    double flops = 0;
    double readBytes = 0;
    double writtenBytes = 0;
    double storeBytes = 0;
    int64_t tasks = 0;
    uint32_t threads = 0;
  };

  /// Begins to record the context's runs. The trace must outlive them.
  Status attach(const Context &context);
  void detach(const Context &context);
  /// Totals become means over `runs` runs.
  void average(int64_t runs);

  const std::vector<Step> &steps() const { return recorded; }
  /// The sum of one figure over all steps.
  double total(double Step::*figure) const;
  /// A table: time, share, GFLOP/s and GB/s per step.
  void print(FILE *to) const;

private:
  static void record(void *data, const jn_trace_step *step);
  std::vector<Step> recorded;
};

} // namespace joinery::tool

#endif // JOINERY_TOOL_TRACE_H
