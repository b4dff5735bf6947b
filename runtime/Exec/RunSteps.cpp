//===- RunSteps.cpp - The steps of a run ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Context.h"

#include <algorithm>
#include <cstring>
#include <ctime>
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

/// What the workers of one step share. Each has an equal share of the tasks and
/// takes them from the front, half of what is left at a time. One that has
/// finished steals from the back of the others' shares, so that a worker whose
/// core is taken away does not hold up the step.
struct Context::StepCall {
  JnKernel kernel;
  void *const *buffers;
  const int64_t *symbols;
  int64_t tasks;
  char *scratch;
  uint64_t scratchStride;
  char *shared;
  Report *reports;
  uint64_t round;
  /// Shares are counted in pieces of `piece` tasks, to fit into 32 bits; `least`
  /// is the fewest that are taken at a time.
  int64_t piece = 1;
  uint32_t least = 1;

  /// No worker takes less than a share's so manieth part at a time.
  static constexpr int64_t kCalls = 8;

  void divide(int64_t grain, uint32_t threads) {
    piece = tasks / INT32_MAX + 1;
    auto pieces = uint64_t((tasks - 1) / piece + 1);
    // Alone it takes all at once.
    grain = std::max(grain, threads == 1 ? tasks : tasks / (kCalls * threads));
    least = uint32_t(std::clamp<int64_t>(grain / piece, 1, INT32_MAX));
    for (uint32_t i = 0; i < threads; ++i)
      reports[i].share.store(
          share(uint32_t(pieces * i / threads),
                uint32_t(pieces * (uint64_t(i) + 1) / threads)),
          std::memory_order_relaxed);
  }

  static uint64_t share(uint32_t first, uint32_t last) {
    return uint64_t(last) << 32 | first;
  }

  /// Takes tasks of the share of `owner`; false if none are left.
  bool take(uint32_t owner, bool own, JnKernelCall &call) {
    std::atomic<uint64_t> &from = reports[owner].share;
    uint64_t before = from.load(std::memory_order_relaxed), after;
    uint32_t begin, end;
    do {
      auto first = uint32_t(before), last = uint32_t(before >> 32);
      uint32_t left = last - first;
      if (!left)
        return false;
      uint32_t count = std::min(left, std::max(least, left - left / 2));
      begin = own ? first : last - count;
      end = begin + count;
      after = own ? share(end, last) : share(first, begin);
    } while (!from.compare_exchange_weak(before, after,
                                         std::memory_order_relaxed));
    call.begin = begin * piece;
    call.end = std::min(end * piece, tasks);
    return true;
  }

  static void run(void *data, uint32_t worker, uint32_t threads) {
    auto &self = *static_cast<StepCall *>(data);
    Report &report = self.reports[worker];
    if (report.round != self.round) {
      report.round = self.round;
      report.calls = 0;
    }
    // A second job of a worker's number would share its scratch with the first.
    if (report.calls++)
      return;
    report.fault = {-1, 0, 0};
    report.counters = {0, 0};
    JnKernelCall call = {self.buffers,
                         self.symbols,
                         0,
                         0,
                         self.scratch + worker * self.scratchStride,
                         &report.fault,
                         &report.counters,
                         self.shared,
                         threads};
    for (uint32_t i = 0; i < threads; ++i)
      while (self.take((worker + i) % threads, i == 0, call))
        self.kernel(&call);
  }
};

static uint64_t nanoseconds() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return uint64_t(time.tv_sec) * 1'000'000'000 + uint64_t(time.tv_nsec);
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
  int64_t tasks = runPlan.tasks(number), grain = runPlan.grain(number);
  if (kernel.dynamic &&
      !runPlan.resize(number, symbols.data(), tasks, grain))
    return {JN_INTERNAL, "step '" + step.name +
                             "' needs more than its upper bound allows"};
  uint64_t start = options.trace ? nanoseconds() : 0;
  uint32_t threads = 0;
  if (tasks > 0) {
    threads = uint32_t(std::min<int64_t>(team.size(), tasks));
    char *shared = nullptr;
    if (runPlan.sharedBytes(number)) {
      shared = workspace() + runPlan.sharedOffset(number);
      std::memset(shared, 0, JN_SHARED_COUNTERS * sizeof(int64_t));
    }
    mapWeights(step);
    StepCall call = {model->kernel(step.kernel),
                     operands.data() + firstOperand[number],
                     symbols.data(),
                     tasks,
                     workspace() + runPlan.scratchOffset(number),
                     runPlan.scratchStride(number),
                     shared,
                     reports.data(),
                     ++round};
    call.divide(grain, threads);
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
    traceStep(number, nanoseconds() - start, tasks, threads);
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
