//===- ThreadTest.cpp - Threads, teams and determinism --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/ThreadPool.h"
#include "test/unit/runtime/Lookup.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace joinery::test;
using joinery::runtime::Team;

/// ThreadSanitizer would end a forked child that makes threads.
extern "C" __attribute__((visibility("default"))) const char *
__tsan_default_options() {
  return "die_after_fork=0";
}

static size_t threadCount() {
  size_t count = 0;
  for ([[maybe_unused]] const auto &entry :
       std::filesystem::directory_iterator("/proc/self/task"))
    ++count;
  return count;
}

// Tests that every worker of every job is called once, with and without sleep
// in between.
TEST(Team, CallsEveryWorkerOnce) {
  joinery::runtime::reserveWorkers(3);
  for (int round = 0; round < 20; ++round) {
    Team team(4);
    ASSERT_GE(team.size(), 1u);
    ASSERT_LE(team.size(), 4u);
    std::atomic<int> calls[4] = {};
    auto job = [](void *data, uint32_t worker, uint32_t) {
      static_cast<std::atomic<int> *>(data)[worker].fetch_add(1);
    };
    for (int i = 0; i < 200; ++i)
      team.run(job, calls, i % team.size() + 1);
    int total = 0;
    for (std::atomic<int> &count : calls)
      total += count;
    int want = 0;
    for (int i = 0; i < 200; ++i)
      want += i % int(team.size()) + 1;
    EXPECT_EQ(total, want);
    if (round % 5 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  joinery::runtime::releaseWorkers(3);
}

// Tests that idle workers take no processor time.
TEST(Team, SleepsWhenIdle) {
  joinery::runtime::reserveWorkers(1);
  {
    Team team(2);
    team.run([](void *, uint32_t, uint32_t) {}, nullptr, team.size());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  auto used = [] {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
  };
  long before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(used() - before, 20000);
  joinery::runtime::releaseWorkers(1);
}

// Tests that a run on one thread makes none.
TEST(Threads, OneThreadMakesNone) {
  // In a child, so that other tests' workers do not count.
  OpenModel model;
  pid_t child = fork();
  if (child == 0) {
    size_t before = threadCount();
    jn_context *context = model.context(1);
    LookupData data(3, 5);
    bool ok = run(context, data, nullptr) == JN_OK && threadCount() == before;
    jn_context_destroy(context);
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// Tests that a forked child goes on with its parent's contexts.
TEST(Threads, SurviveFork) {
  OpenModel model;
  jn_context *context = model.context(4);
  LookupData data(16, 64);
  ASSERT_EQ(run(context, data, nullptr), JN_OK);
  for (int i = 0; i < 3; ++i) {
    pid_t child = fork();
    if (child == 0) {
      std::fill(data.y.values.begin(), data.y.values.end(), -1.0f);
      bool ok = run(context, data, nullptr) == JN_OK;
      for (size_t j = 0; j < data.y.values.size(); ++j)
        ok &= data.y.values[j] == data.want(j);
      _exit(ok ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(run(context, data, nullptr), JN_OK);
  }
  jn_context_destroy(context);
}

// Tests that contexts on several threads run one model at once.
TEST(Threads, ShareAModel) {
  OpenModel model;
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      jn_context *context = model.context(uint32_t(caller % 3 + 1));
      for (int i = 0; i < 200; ++i) {
        LookupData data(1 + (i + caller) % 9, 1 + i % 64);
        wrong += run(context, data, nullptr) != JN_OK;
        for (size_t j = 0; j < data.y.values.size(); ++j)
          wrong += data.y.values[j] != data.want(j);
      }
      jn_context_destroy(context);
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(wrong, 0);
}

// Tests that any number of threads gives the same bits.
TEST(Threads, GiveTheSameBits) {
  OpenModel model;
  LookupData want(13, 37);
  jn_context *one = model.context(1);
  ASSERT_EQ(run(one, want, nullptr), JN_OK);
  jn_context_destroy(one);
  for (uint32_t threads : {2, 3, 4, 8, 33}) {
    jn_context *context = model.context(threads);
    EXPECT_EQ(jn_context_threads(context), threads);
    LookupData data(13, 37);
    ASSERT_EQ(run(context, data, nullptr), JN_OK);
    EXPECT_EQ(std::memcmp(data.y.values.data(), want.y.values.data(),
                          data.y.values.size() * 4),
              0);
    jn_context_destroy(context);
  }
}

// Tests that of several faults the first position is reported, on any number
// of threads, and the next run is right.
TEST(Threads, ReportTheFirstFault) {
  OpenModel model;
  for (uint32_t threads : {1, 2, 4}) {
    jn_context *context = model.context(threads);
    LookupData data(16, 8);
    for (size_t row : {3, 7, 12, 15})
      data.ids.values[row * 8 + 5] = 1000 + int64_t(row);
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(run(context, data, &model.error), JN_INVALID_INPUT);
      EXPECT_STREQ(model.error.message,
                   "token ids must be in the table (input 'ids': value 1003 at "
                   "[3, 5] is outside [0, 100))");
    }
    LookupData good(16, 8);
    ASSERT_EQ(run(context, good, &model.error), JN_OK);
    good.expectRight();
    jn_context_destroy(context);
  }
}

// Tests that a context which is in use refuses a second caller.
TEST(Threads, RefuseASecondCaller) {
  OpenModel model;
  jn_context *context = model.context(1);
  struct Hook {
    jn_context *context;
    jn_status status;
  } hook = {context, JN_OK};
  auto again = [](void *data, const jn_trace_step *) {
    auto *hook = static_cast<Hook *>(data);
    LookupData data2(1, 1);
    hook->status = run(hook->context, data2, nullptr);
  };
  ASSERT_EQ(jn_context_set_trace(context, again, &hook, nullptr), JN_OK);
  LookupData data(2, 3);
  ASSERT_EQ(run(context, data, nullptr), JN_OK);
  EXPECT_EQ(hook.status, JN_INVALID_ARGUMENT);
  jn_context_destroy(context);
}

TEST(Threads, RefusesTooMany) {
  OpenModel model;
  jn_context_options options = {};
  options.size = sizeof(options);
  options.threads = uint32_t(-1);
  jn_context *context = nullptr;
  EXPECT_EQ(jn_context_create(model.model, &options, &context, &model.error),
            JN_INVALID_ARGUMENT);
  EXPECT_GE(jn_available_threads(), 1u);
}
