//===- StepCall.cpp - How workers share one step --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/StepCall.h"

#include "runtime/Exec/Spin.h"

#include <algorithm>

namespace joinery::runtime {

/// No worker takes less than a share's so manieth part at a time.
static constexpr int64_t kCalls = 8;

static uint64_t share(uint32_t first, uint32_t last) {
  return uint64_t(last) << 32 | first;
}

StepCall::StepCall(JnKernel kernel, const RunPlan::StepSizes &sizes,
                   const StepMemory &memory, WorkerReport *reports,
                   uint32_t workers, uint64_t round, bool patient)
    : kernel(kernel), memory(memory), reports(reports), workers(workers),
      round(round), patient(patient) {
  if (workers == 1) {
    addPhase(JN_PHASE_ALL, sizes.tasks, sizes.tasks); // all in one call
    return;
  }
  bool phased = sizes.prepare > 0 || sizes.finish > 0;
  if (!phased || sizes.tasks / workers >= sizes.alone) {
    addPhase(JN_PHASE_ALL, sizes.tasks, sizes.grain);
    return;
  }
  addPhase(JN_PHASE_PREPARE, sizes.prepare, 1);
  addPhase(JN_PHASE_MAIN, sizes.tasks, sizes.grain);
  addPhase(JN_PHASE_FINISH, sizes.finish, 1);
}

void StepCall::addPhase(int64_t number, int64_t tasks, int64_t grain) {
  if (tasks <= 0)
    return;
  Phase &phase = phases[phaseCount];
  phase.number = number;
  phase.tasks = tasks;
  phase.piece = tasks / INT32_MAX + 1;
  auto pieces = uint64_t((tasks - 1) / phase.piece + 1);
  grain = std::max(grain, tasks / (kCalls * workers));
  phase.least =
      uint32_t(std::clamp<int64_t>(grain / phase.piece, 1, INT32_MAX));
  phase.left.store(int32_t(pieces), std::memory_order_relaxed);
  for (uint32_t i = 0; i < workers; ++i)
    reports[i].shares[phaseCount].store(
        share(uint32_t(pieces * i / workers),
              uint32_t(pieces * (uint64_t(i) + 1) / workers)),
        std::memory_order_relaxed);
  ++phaseCount;
}

/// Takes tasks of the share of `owner`; false if none are left.
bool StepCall::take(uint32_t number, uint32_t owner, bool own,
                    JnKernelCall &call, int32_t &pieces) {
  const Phase &phase = phases[number];
  std::atomic<uint64_t> &from = reports[owner].shares[number];
  uint64_t before = from.load(std::memory_order_relaxed), after;
  uint32_t begin, end;
  do {
    auto first = uint32_t(before), last = uint32_t(before >> 32);
    uint32_t left = last - first;
    if (!left)
      return false;
    uint32_t count = std::min(left, std::max(phase.least, left - left / 2));
    begin = own ? first : last - count;
    end = begin + count;
    after = own ? share(end, last) : share(first, begin);
  } while (!from.compare_exchange_weak(before, after,
                                       std::memory_order_relaxed));
  call.begin = begin * phase.piece;
  call.end = std::min(end * phase.piece, phase.tasks);
  pieces += int32_t(end - begin);
  return true;
}

void StepCall::runPhase(uint32_t number, uint32_t worker, JnKernelCall &call) {
  Phase &phase = phases[number];
  call.phase = phase.number;
  int32_t done = 0;
  for (uint32_t i = 0; i < workers; ++i)
    while (take(number, (worker + i) % workers, i == 0, call, done))
      kernel(&call);
  if (number + 1 == phaseCount)
    return; // the team waits for its end
  if (done && phase.left.fetch_sub(done, std::memory_order_acq_rel) == done)
    phase.left.notify_all();
  wait(phase);
}

/// Others are doing what is left: it has been taken.
void StepCall::wait(const Phase &phase) const {
  auto done = [&] { return phase.left.load(std::memory_order_acquire) == 0; };
  if (spin(done, patient))
    return;
  while (int32_t left = phase.left.load(std::memory_order_acquire))
    phase.left.wait(left, std::memory_order_acquire);
}

void StepCall::run(void *data, uint32_t worker, uint32_t workers) {
  auto &self = *static_cast<StepCall *>(data);
  WorkerReport &report = self.reports[worker];
  if (report.round != self.round) {
    report.round = self.round;
    report.calls = 0;
  }
  // A second job of a worker's number would share its scratch with the first.
  if (report.calls++)
    return;
  report.fault = {-1, 0, 0};
  report.counters = {0, 0};
  JnKernelCall call = {};
  call.buffers = self.memory.buffers;
  call.symbols = self.memory.symbols;
  call.scratch = self.memory.scratch + worker * self.memory.scratchStride;
  call.fault = &report.fault;
  call.counters = &report.counters;
  call.shared = self.memory.shared;
  call.workers = workers;
  for (uint32_t phase = 0; phase < self.phaseCount; ++phase)
    self.runPhase(phase, worker, call);
}

} // namespace joinery::runtime
