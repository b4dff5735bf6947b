//===- Trace.cpp - Where the time of a run goes ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Trace.h"

#include <algorithm>

namespace joinery::tool {

void Trace::record(void *data, const jn_trace_step *step) {
  auto &steps = static_cast<Trace *>(data)->recorded;
  if (steps.size() <= step->index)
    steps.resize(step->index + 1);
  Step &entry = steps[step->index];
  entry.name = step->name;
  entry.ns += double(step->ns);
  entry.flops += double(step->flops);
  entry.readBytes += double(step->read_bytes);
  entry.writtenBytes += double(step->written_bytes);
  entry.storeBytes += double(step->store_bytes);
  entry.tasks = step->tasks;
  entry.threads = step->threads;
}

Status Trace::attach(const Context &context) {
  jn_error error;
  jn_status status = jn_context_set_trace(context.get(), record, this, &error);
  return status == JN_OK ? Status() : Status(status, error.message);
}

void Trace::detach(const Context &context) {
  jn_context_set_trace(context.get(), nullptr, nullptr, nullptr);
}

void Trace::average(int64_t runs) {
  for (Step &step : recorded)
    for (double Step::*figure : {&Step::ns, &Step::flops, &Step::readBytes,
                                 &Step::writtenBytes, &Step::storeBytes})
      step.*figure /= double(runs);
}

double Trace::total(double Step::*figure) const {
  double sum = 0;
  for (const Step &step : recorded)
    sum += step.*figure;
  return sum;
}

void Trace::print(FILE *to) const {
  double total = 0;
  size_t width = 4;
  for (const Step &step : recorded) {
    total += step.ns;
    width = std::max(width, step.name.size());
  }
  std::fprintf(to, "%-*s %10s %6s %9s %8s %8s %7s\n", int(width), "step", "us",
               "%", "GFLOP/s", "GB/s", "tasks", "threads");
  for (const Step &step : recorded) {
    double ns = std::max(step.ns, 1.0);
    std::fprintf(to, "%-*s %10.1f %6.2f %9.2f %8.2f %8lld %7u\n", int(width),
                 step.name.c_str(), step.ns / 1e3,
                 total > 0 ? 100 * step.ns / total : 0.0, step.flops / ns,
                 (step.readBytes + step.writtenBytes + step.storeBytes) / ns,
                 (long long)step.tasks, step.threads);
  }
  std::fprintf(to, "%-*s %10.1f\n", int(width), "total", total / 1e3);
}

} // namespace joinery::tool
