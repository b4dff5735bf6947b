//===- ThreadTest.cpp - Threads, teams and determinism --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"
#include "runtime/Exec/ThreadPool.h"
#include "test/unit/runtime/Lookup.h"
#include "test/unit/runtime/Tasks.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <sched.h>
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

/// The processor time that each worker took.
static std::vector<int64_t> workerTimes(const std::vector<Task> &workers) {
  std::vector<int64_t> times;
  for (const Task &worker : workers)
    times.push_back(worker.cpuTime());
  return times;
}

/// The most that a worker took of it since, in nanoseconds.
static int64_t mostSince(const std::vector<int64_t> &before,
                         const std::vector<Task> &workers) {
  int64_t most = 0;
  for (size_t i = 0; i < workers.size(); ++i)
    most = std::max(most, workers[i].cpuTime() - before[i]);
  return most;
}

// Tests that workers stop spinning within 1 ms after a run, whether their
// context lives on or not. A worker spins without a pause, so the processor
// time that it takes after the run bounds how long it does; busy neighbours
// make it less, and what else a machine charges to a thread more, so of several
// rounds the median counts. Teams of more threads than cores never spin.
TEST(Threads, StopSpinningWithinAMillisecond) {
  using std::chrono::milliseconds;
  OpenModel model;
  jn_context *context =
      model.context(std::clamp(jn_available_threads(), 2u, 4u));
  LookupData data(16, 64);
  constexpr size_t kRounds = 7;
  std::vector<int64_t> spun, idle;
  for (size_t round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 20; ++i)
      ASSERT_EQ(run(context, data, nullptr), JN_OK);
    std::vector<Task> workers = workerTasks();
    ASSERT_GE(workers.size(), 1u);
    std::vector<int64_t> ran = workerTimes(workers);
    ASSERT_GE(*std::min_element(ran.begin(), ran.end()), 0);
    std::this_thread::sleep_for(milliseconds(5));
    std::vector<int64_t> asleep = workerTimes(workers);
    std::this_thread::sleep_for(milliseconds(50));
    spun.push_back(mostSince(ran, workers));
    idle.push_back(mostSince(asleep, workers));
  }
  auto median = [](std::vector<int64_t> &values) {
    std::sort(values.begin(), values.end());
    return values[kRounds / 2];
  };
  EXPECT_LT(median(spun), 1'000'000);
  EXPECT_LT(median(idle), 100'000);
  jn_context_destroy(context);
}

// Tests that any number of models and contexts has the workers of one.
TEST(Threads, AreOnePoolForAllModels) {
  constexpr uint32_t kThreads = 3, kModels = 12;
  // Other tests of this process may have made more; none is ever given back.
  size_t most = std::max<size_t>(
      {workerTasks().size(), kThreads - 1, jn_available_threads() - 1});
  size_t others = tasks().size() - workerTasks().size();
  std::vector<std::unique_ptr<OpenModel>> models;
  std::vector<jn_context *> contexts;
  for (uint32_t i = 0; i < kModels; ++i) {
    models.push_back(std::make_unique<OpenModel>());
    for (int j = 0; j < 2; ++j)
      contexts.push_back(models.back()->context(kThreads));
  }
  for (int round = 0; round < 3; ++round)
    for (jn_context *context : contexts) {
      LookupData data(7, 16);
      ASSERT_EQ(run(context, data, nullptr), JN_OK);
      data.expectRight();
    }
  EXPECT_LE(workerTasks().size(), most);
  EXPECT_EQ(tasks().size() - workerTasks().size(), others);
  for (jn_context *context : contexts)
    jn_context_destroy(context);
}

// Tests that a context takes the threads that its maker's mask allows, and that
// workers stay in the mask however many are asked for.
TEST(Threads, StayInTheAffinityMask) {
  OpenModel model;
  // In a child, whose workers are all made under the mask.
  pid_t child = fork();
  if (child == 0) {
    int last = joinery::runtime::affinityCpus().back();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    bool ok = sched_setaffinity(0, sizeof(one), &one) == 0;
    size_t before = tasks().size();
    jn_context *all = model.context(0);
    LookupData data(16, 64);
    ok &= jn_context_threads(all) == 1 && jn_available_threads() == 1;
    ok &= run(all, data, nullptr) == JN_OK && tasks().size() == before;
    jn_context *three = model.context(3);
    ok &= run(three, data, nullptr) == JN_OK;
    ok &= workerTasks().size() >= 2;
    for (const Task &worker : workerTasks()) {
      cpu_set_t set;
      ok &= sched_getaffinity(worker.id, sizeof(set), &set) == 0 &&
            CPU_EQUAL(&set, &one);
    }
    jn_context_destroy(all);
    jn_context_destroy(three);
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// Tests that a run on one thread makes none.
TEST(Threads, OneThreadMakesNone) {
  // In a child, so that other tests' workers do not count.
  OpenModel model;
  pid_t child = fork();
  if (child == 0) {
    size_t before = tasks().size();
    jn_context *context = model.context(1);
    LookupData data(3, 5);
    bool ok = run(context, data, nullptr) == JN_OK && tasks().size() == before;
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

// Tests that of several rows whose scores are too near their mask the first is
// reported, with the softmax of the step.
TEST(Threads, ReportTheFirstMaskedRow) {
  TempDir dir;
  std::string store = dir / "a.store";
  prog::ProgramT program = lookupProgram(store);
  prog::CheckT &check = *program.checks[0];
  check.kind = prog::CheckKind::Mask;
  check.message = "the mask adds -10000";
  check.rows.push_back(symbol(0));
  check.rows.push_back(symbol(1));
  for (bool named : {false, true}) {
    if (named) {
      check.steps = {0, 2};
      check.nodes = {"/layer.1/Softmax", "/layer.2/Softmax"};
    }
    TestObject object;
    makeObject(program, lookupKernels(), object);
    jn_model *model = nullptr;
    jn_error error;
    ASSERT_EQ(
        jn_model_open(&object.object, store.c_str(), nullptr, &model, &error),
        JN_OK)
        << error.message;
    for (uint32_t threads : {1, 2, 4}) {
      jn_context_options options = {};
      options.size = sizeof(options);
      options.threads = threads;
      options.flags = JN_CONTEXT_GROW;
      jn_context *context = nullptr;
      ASSERT_EQ(jn_context_create(model, &options, &context, &error), JN_OK);
      LookupData data(16, 8);
      for (size_t row : {3, 7, 12})
        data.ids.values[row * 8 + 5] = 0xC5BB8200; // the bits of -6000.25f
      ASSERT_EQ(run(context, data, &error), JN_INVALID_INPUT);
      EXPECT_EQ(std::string(error.message),
                std::string(named ? "'/layer.1/Softmax'" : "'gather'") +
                    ": the mask adds -10000 (the largest score of row [3, 5] "
                    "is -6000.25)");
      jn_context_destroy(context);
    }
    jn_model_close(model);
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
