//===- StepCall.h - How workers share one step ------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each worker has an equal share of the tasks and takes them from the front,
// half of what is left at a time. One that has finished steals from the back of
// the others' shares, so that a worker whose core is taken away does not hold up
// the step.
//
// A step in phases has shares of each. A worker waits until all tasks of a phase
// are done before it takes one of the next. Tasks that nobody has taken are never
// waited for: a worker that finds the others late, or not there, does all.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_STEPCALL_H
#define JOINERY_EXEC_STEPCALL_H

#include "joinery/runtime/abi.h"
#include "runtime/Exec/RunPlan.h"

#include <atomic>
#include <cstdint>

namespace joinery::runtime {

constexpr uint32_t kMaxPhases = 3;

/// What a worker says of the last step that it took part in. Workers write
/// theirs: none shares a cache line with another.
struct alignas(64) WorkerReport {
  JnFault fault;
  JnCounters counters;
  /// The number of that step, and how often the worker was called for it.
  uint64_t round = 0;
  uint32_t calls = 0;
  /// Its tasks of each phase that nobody has taken.
  std::atomic<uint64_t> shares[kMaxPhases] = {};
};

/// The memory of a step, and what its workers need to know beside its tasks.
struct StepMemory {
  void *const *buffers;
  const int64_t *symbols;
  char *scratch;
  uint64_t scratchStride;
  char *shared;
};

/// One step while its workers do it.
class StepCall {
public:
  /// `reports` has one for each of the workers; `round` numbers the step.
  /// `patient`: may workers spin while they wait for each other?
  StepCall(JnKernel kernel, const RunPlan::StepSizes &sizes,
           const StepMemory &memory, WorkerReport *reports, uint32_t workers,
           uint64_t round, bool patient);

  /// What each of the workers does: a Team::Job of a StepCall.
  static void run(void *data, uint32_t worker, uint32_t workers);

private:
  struct Phase {
    int64_t number = JN_PHASE_ALL;
    int64_t tasks = 0;
    /// Shares are counted in pieces of `piece` tasks, to fit into 32 bits;
    /// `least` is the fewest that are taken at a time.
    int64_t piece = 1;
    uint32_t least = 1;
    /// Pieces that are not done.
    std::atomic<int32_t> left{0};
  };

  void addPhase(int64_t number, int64_t tasks, int64_t grain);
  bool take(uint32_t phase, uint32_t owner, bool own, JnKernelCall &call,
            int32_t &pieces);
  void runPhase(uint32_t number, uint32_t worker, JnKernelCall &call);
  void wait(const Phase &phase) const;

  JnKernel kernel;
  StepMemory memory;
  WorkerReport *reports;
  uint32_t workers;
  uint64_t round;
  bool patient;
  uint32_t phaseCount = 0;
  Phase phases[kMaxPhases];
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_STEPCALL_H
