//===- PhasesTest.cpp - Steps that are done in phases ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

using namespace joinery::test;

namespace {
/// So many tasks for each worker need no phases.
constexpr int64_t kAlone = 600;

/// Calls of each phase, and whether a worker should be late.
struct Seen {
  std::atomic<int> calls[4];
  std::atomic<int64_t> workers{0};
  std::atomic<bool> dawdles{false};

  void reset() {
    for (std::atomic<int> &count : calls)
      count = 0;
    workers = 0;
  }
};
Seen seen;

/// y[i] = x[0] + .. + x[n - 1] + x[i], by way of shared memory: one more than x,
/// which is prepared, the sum, which is the main part, and the results.
void sumAll(const JnKernelCall *call) {
  auto *x = static_cast<const int64_t *>(call->buffers[0]);
  auto *y = static_cast<int64_t *>(call->buffers[1]);
  auto *sum = static_cast<std::atomic<int64_t> *>(call->shared);
  auto *more = static_cast<int64_t *>(call->shared) + JN_SHARED_COUNTERS;
  int64_t n = call->symbols[0];
  ++seen.calls[call->phase];
  seen.workers = call->workers;
  if (seen.dawdles && call->begin == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  auto prepare = [&](int64_t i) { more[i] = x[i] + 1; };
  // All of a phase before must be there: this one's last element is another's.
  auto add = [&](int64_t i) { *sum += more[n - 1 - i] - 1; };
  auto finish = [&](int64_t i) { y[i] = *sum + x[i]; };
  switch (call->phase) {
  case JN_PHASE_ALL:
    // Alone, or each task for itself.
    for (int64_t i = call->begin; i < call->end; ++i) {
      y[i] = x[i];
      for (int64_t j = 0; j < n; ++j)
        y[i] += x[j];
    }
    return;
  case JN_PHASE_PREPARE:
    for (int64_t i = call->begin; i < call->end; ++i)
      prepare(i);
    return;
  case JN_PHASE_MAIN:
    for (int64_t i = call->begin; i < call->end; ++i)
      add(i);
    return;
  case JN_PHASE_FINISH:
    for (int64_t i = call->begin; i < call->end; ++i)
      finish(i);
    return;
  }
}

/// The step has phases before and after its tasks only if it `prepares`.
prog::ProgramT sumProgram(bool prepares = true, int64_t workers = 100) {
  return stepProgram("sum", [&] {
    KernelFacts facts;
    facts.grain = constant(3);
    facts.shared = times(symbol(0), constant(8));
    facts.sharing.push_back(constant(workers));
    for (int phase = 0; phase < 2; ++phase)
      facts.sharing.push_back(prepares ? symbol(0) : constant(0));
    facts.sharing.push_back(constant(kAlone));
    return facts;
  });
}

void run(OpenModel &model, jn_context *context, int64_t n) {
  Tensor<int64_t> x({n}), y({n});
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += x.values[size_t(i)] = i * i % 1009 - 5;
  DLTensor in = x.view(), out = y.view();
  seen.reset();
  ASSERT_EQ(jn_run(context, &in, 1, &out, 1, &model.error), JN_OK)
      << model.error.message;
  for (int64_t i = 0; i < n; ++i)
    ASSERT_EQ(y.values[size_t(i)], sum + x.values[size_t(i)]) << i;
}
} // namespace

// Tests that no call of a phase begins before all of the one before have
// returned, also where a worker is late and more threads run than there are cores.
TEST(Phases, FollowEachOther) {
  OpenModel model(sumProgram(), {sumAll});
  for (bool dawdles : {false, true}) {
    seen.dawdles = dawdles;
    for (uint32_t threads : {2u, 3u, 8u}) {
      jn_context *context = model.context(threads);
      for (int64_t n : {2, 7, 64, 1000})
        for (int i = 0; i < (dawdles ? 2 : 50); ++i) {
          run(model, context, n);
          EXPECT_EQ(seen.calls[JN_PHASE_ALL], 0);
          for (int phase : {JN_PHASE_PREPARE, JN_PHASE_MAIN, JN_PHASE_FINISH})
            EXPECT_GT(seen.calls[phase], 0);
        }
      jn_context_destroy(context);
    }
  }
  seen.dawdles = false;
}

// Tests that one worker does all at once, and so do several with enough to do
// each, or if the kernel has no phases.
TEST(Phases, AreLeftOut) {
  OpenModel phased(sumProgram(), {sumAll});
  OpenModel plain(sumProgram(/*prepares=*/false), {sumAll});
  for (auto [model, threads, n] : {std::tuple{&phased, 1u, int64_t(100)},
                                   {&phased, 4u, 4 * kAlone},
                                   {&plain, 4u, int64_t(100)}}) {
    jn_context *context = model->context(threads);
    run(*model, context, n);
    EXPECT_GT(seen.calls[JN_PHASE_ALL], 0);
    EXPECT_EQ(seen.calls[JN_PHASE_MAIN], 0);
    jn_context_destroy(context);
  }
  jn_context *context = phased.context(4);
  run(phased, context, 4 * kAlone - 1);
  EXPECT_GT(seen.calls[JN_PHASE_MAIN], 0);
  jn_context_destroy(context);
}

// Tests that a lent pool which calls one job after the other is not waited for.
TEST(Phases, WorkOneAfterTheOther) {
  OpenModel model(sumProgram(), {sumAll});
  auto backwards = [](void *, jn_job_fn job, void *argument, uint32_t count) {
    for (uint32_t i = count; i-- > 0;)
      job(argument, i);
  };
  jn_context *context = contextOn(model, lend(backwards, 4));
  run(model, context, 100);
  EXPECT_GT(seen.calls[JN_PHASE_FINISH], 1);
  jn_context_destroy(context);
}

// Tests that no more workers take part than find enough to do.
TEST(Phases, HaveWorkersForTheWork) {
  for (int64_t most : {0, 1, 3, 100}) {
    OpenModel model(sumProgram(true, most), {sumAll});
    jn_context *context = model.context(4);
    run(model, context, 100);
    EXPECT_EQ(seen.workers, std::clamp<int64_t>(most, 1, 4));
    jn_context_destroy(context);
  }
}
