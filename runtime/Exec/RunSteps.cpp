//===- RunSteps.cpp - The steps of a run ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Context.h"
#include "runtime/Exec/Spin.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace joinery::runtime {

Status Context::execute() {
  if (options.pool.parallel) {
    Team team(options.threads, options.pool);
    return runSteps(team);
  }
  Team team(options.threads);
  return runSteps(team);
}

Status Context::runSteps(Team &team) {
  bool packed = runPlan.packedBatch();
  for (size_t i = 0; i < program.steps.size(); ++i)
    if (!packed || !program.packing.skipped[i])
      JN_TRY(runStep(team, i));
  return {};
}

/// Maps the tables that the step reads most of. Of the others, such as
/// embeddings, it needs a few pages.
void Context::mapWeights(const Step &step) const {
  const Kernel &kernel = level.kernels[step.kernel];
  for (size_t i = 0; i + 1 < step.operands.size(); ++i) {
    const Buffer &buffer = program.buffers[step.operands[i]];
    if (buffer.kind != Buffer::Kind::Weight)
      continue;
    auto table = uint32_t(buffer.index);
    int64_t read;
    if (!model->isResident(table) &&
        kernel.bytes[i].evaluate(symbols.data(), read) &&
        uint64_t(read) >= model->weightBytes(table) / 2)
      model->makeResident(table);
  }
}

Status Context::runStep(Team &team, size_t number) {
  const Step &step = program.steps[number];
  const Kernel &kernel = level.kernels[step.kernel];
  RunPlan::StepSizes sizes = runPlan.stepSizes(number);
  if (kernel.dynamic && !runPlan.resize(number, symbols.data(), sizes))
    return {JN_INTERNAL, "step '" + step.name +
                             "' needs more than its upper bound allows"};
  int64_t tasks = sizes.tasks, start = options.trace ? monotonicNs() : 0;
  uint32_t threads = 0;
  if (tasks > 0) {
    threads = uint32_t(std::clamp<int64_t>(std::min(tasks, sizes.workers), 1,
                                           team.size()));
    char *shared = nullptr;
    if (runPlan.sharedBytes(number)) {
      shared = workspace() + runPlan.sharedOffset(number);
      std::memset(shared, 0, JN_SHARED_COUNTERS * sizeof(int64_t));
    }
    mapWeights(step);
    StepMemory memory = {operands.data() + firstOperand[number], symbols.data(),
                         workspace() + runPlan.scratchOffset(number),
                         runPlan.scratchStride(number), shared};
    StepCall call(model->kernel(step.kernel), sizes, memory, reports.data(),
                  threads, ++round, team.isPatient());
    team.run(StepCall::run, &call, threads);
    JN_TRY(checkJobs(step, threads));
    // As kernels choose among theirs: the same for any number of threads.
    const JnFault *first = nullptr;
    for (uint32_t i = 0; i < threads; ++i) {
      const JnFault &fault = reports[i].fault;
      if (fault.check != -1 &&
          (!first || std::pair(fault.position, fault.check) <
                         std::pair(first->position, first->check)))
        first = &fault;
    }
    if (first)
      return faultStatus(*first, number);
  }
  if (options.trace)
    traceStep(number, uint64_t(monotonicNs() - start), tasks, threads);
  return define(step, tasks > 0);
}

/// A lent pool is the caller's code: one that leaves out jobs must not look
/// like a run that went well.
Status Context::checkJobs(const Step &step, uint32_t jobs) const {
  for (uint32_t i = 0; i < jobs; ++i) {
    uint32_t calls = reports[i].round == round ? reports[i].calls : 0;
    if (calls != 1)
      return {JN_INVALID_ARGUMENT,
              "the lent thread pool called job " + std::to_string(i) + " of " +
                  std::to_string(jobs) + " of step '" + step.name + "' " +
                  std::to_string(calls) + " times instead of once"};
  }
  return {};
}

/// Says what the step did: extents are those of this run, symbols that steps
/// define included, and kernels have counted what only they know.
void Context::traceStep(size_t number, uint64_t ns, int64_t tasks,
                        uint32_t threads) const {
  const Step &step = program.steps[number];
  const Kernel &kernel = level.kernels[step.kernel];
  jn_trace_step trace = {};
  trace.size = sizeof(trace);
  trace.index = number;
  trace.name = step.name.c_str();
  trace.ns = ns;
  trace.tasks = tasks;
  trace.threads = threads;
  auto add = [&](const Expr &expr, int64_t &to) {
    int64_t value;
    if (tasks > 0 && expr.evaluate(symbols.data(), value))
      to += value;
  };
  add(kernel.flops, trace.flops);
  for (size_t i = 0; i + 1 < step.operands.size(); ++i)
    add(kernel.bytes[i],
        program.buffers[step.operands[i]].kind == Buffer::Kind::Weight
            ? trace.store_bytes
            : trace.read_bytes);
  if (!step.operands.empty())
    add(kernel.bytes.back(), trace.written_bytes);
  for (uint32_t i = 0; i < threads; ++i) {
    trace.flops += reports[i].counters.flops;
    trace.read_bytes += reports[i].counters.bytes;
  }
  options.trace(options.traceData, &trace);
}

/// A step without tasks has counted nothing: it defines zeros.
Status Context::define(const Step &step, bool ran) {
  for (const SymbolDef &def : step.defines) {
    int64_t value = 0, index;
    if (ran) {
      if (!def.index.evaluate(symbols.data(), index) || index < 0 ||
          index >= runPlan.bufferBytes(def.buffer) / 8)
        return {JN_INVALID_MODEL, "step '" + step.name +
                                      "' defines a symbol past the end of a "
                                      "buffer; compile the model again"};
      std::memcpy(
          &value,
          static_cast<char *>(bufferData[def.buffer]) + size_t(index) * 8, 8);
    }
    if (value < 0 || value > runPlan.symbols()[def.symbol])
      return {JN_INTERNAL, "step '" + step.name + "' set '" +
                               program.symbols[def.symbol].name + "' to " +
                               std::to_string(value) + ", its upper bound is " +
                               std::to_string(runPlan.symbols()[def.symbol])};
    symbols[def.symbol] = value;
  }
  return {};
}

} // namespace joinery::runtime
