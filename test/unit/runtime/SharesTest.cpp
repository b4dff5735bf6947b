//===- SharesTest.cpp - Tasks that workers share --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"

#include <atomic>
#include <mutex>
#include <set>

using namespace joinery::test;

namespace {
constexpr int64_t kShared = 8;

/// What the kernel saw since the last reset.
struct Seen {
  std::mutex mutex;
  std::set<void *> scratch;
  int calls = 0, small = 0, last = 0, wrong = 0;
  int64_t workers = 0;

  void reset() {
    scratch.clear();
    calls = small = last = wrong = 0;
    workers = 0;
  }
};
Seen seen;

/// y[i] = 2 * x[i]; the call that comes last counts itself.
void twice(const JnKernelCall *call) {
  auto *x = static_cast<const int64_t *>(call->buffers[0]);
  auto *y = static_cast<int64_t *>(call->buffers[1]);
  for (int64_t i = call->begin; i < call->end; ++i)
    y[i] = 2 * x[i];
  auto *counter = static_cast<std::atomic<int64_t> *>(call->shared);
  int64_t tasks = call->end - call->begin;
  int64_t done = counter->fetch_add(tasks) + tasks;
  // Behind the counters: kShared bytes that nobody else writes.
  auto *mine = static_cast<int64_t *>(call->shared) + JN_SHARED_COUNTERS;
  std::lock_guard lock(seen.mutex);
  mine[0] = done;
  seen.wrong += reinterpret_cast<uintptr_t>(call->shared) % 64 != 0;
  seen.scratch.insert(call->scratch);
  seen.workers = call->workers;
  ++seen.calls;
  seen.small += tasks < 20;
  seen.last += done == call->symbols[0];
}

/// x[n] to y[n] in one step whose calls have 20 tasks at least.
prog::ProgramT twiceProgram() {
  return stepProgram("twice", [] {
    KernelFacts facts;
    facts.scratch = constant(64);
    facts.grain = constant(20);
    facts.shared = constant(kShared);
    return facts;
  });
}

class Shares : public testing::Test {
protected:
  void run(jn_context *context, int64_t n) {
    Tensor<int64_t> x({n}), y({n});
    for (int64_t i = 0; i < n; ++i)
      x.values[size_t(i)] = i - 5;
    DLTensor in = x.view(), out = y.view();
    seen.reset();
    ASSERT_EQ(jn_run(context, &in, 1, &out, 1, &model.error), JN_OK)
        << model.error.message;
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(y.values[size_t(i)], 2 * (i - 5)) << i;
  }

  OpenModel model{twiceProgram(), {twice}};
};
} // namespace

// Tests that each task is done once, and that the memory which workers share
// begins with counters of zero in every run.
TEST_F(Shares, AreDoneOnce) {
  for (uint32_t threads : {1u, 2u, 4u}) {
    jn_context *context = model.context(threads);
    for (int64_t n : {1, 19, 64, 65, 1000, 4099})
      for (int i = 0; i < 20; ++i) {
        run(context, n);
        EXPECT_EQ(seen.last, 1);
        EXPECT_EQ(seen.wrong, 0);
        EXPECT_LE(seen.workers, int64_t(threads));
      }
    jn_context_destroy(context);
  }
}

// Tests that a worker which finds others late does their shares.
TEST_F(Shares, AreStolen) {
  auto inTurn = [](void *, jn_job_fn job, void *argument, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i)
      job(argument, i);
  };
  jn_context *context = contextOn(model, lend(inTurn, 4));
  run(context, 1000);
  EXPECT_EQ(seen.workers, 4);
  EXPECT_EQ(seen.scratch.size(), 1u);
  EXPECT_GT(seen.calls, 4);
  jn_context_destroy(context);
}

// Tests that no call is smaller than the grain but the last of a share, and
// that one worker takes all at once.
TEST_F(Shares, HaveAGrain) {
  jn_context *four = model.context(4), *one = model.context(1);
  run(four, 400);
  EXPECT_LE(seen.small, 4);
  run(one, 400);
  EXPECT_EQ(seen.calls, 1);
  jn_context_destroy(four);
  jn_context_destroy(one);
}

// Tests that the memory which workers share counts as workspace.
TEST_F(Shares, AreInTheWorkspace) {
  jn_context *context = model.context(4);
  run(context, 100);
  EXPECT_EQ(jn_context_workspace_bytes(context),
            4 * 64 + JN_SHARED_COUNTERS * 8 + 64);
  jn_context_destroy(context);
}
