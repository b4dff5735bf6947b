//===- LentPoolTest.cpp - Runs on threads of the caller's -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"
#include "test/unit/runtime/Tasks.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>
#include <xmmintrin.h>

using namespace joinery::test;

namespace {
/// All jobs on the thread that calls, the last first; counts them in `data`.
void backwards(void *data, jn_job_fn job, void *argument, uint32_t count) {
  for (uint32_t i = count; i-- > 0;)
    job(argument, i);
  if (data)
    *static_cast<int *>(data) += int(count);
}

void threadPerJob(void *, jn_job_fn job, void *argument, uint32_t count) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i)
    threads.emplace_back([=] { job(argument, i); });
  for (std::thread &thread : threads)
    thread.join();
}

/// A plain pool: a queue and threads. The one that calls only waits.
class QueuePool {
public:
  explicit QueuePool(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i)
      threads.emplace_back([this] { serve(); });
  }
  ~QueuePool() {
    {
      std::lock_guard lock(mutex);
      ends = true;
    }
    wake.notify_all();
    for (std::thread &thread : threads)
      thread.join();
  }
  jn_thread_pool lent() {
    return lend(parallel, uint32_t(threads.size()), this);
  }

private:
  struct Item {
    jn_job_fn job;
    void *argument;
    uint32_t index;
    uint32_t *left;
  };

  static void parallel(void *data, jn_job_fn job, void *argument,
                       uint32_t count) {
    auto &self = *static_cast<QueuePool *>(data);
    uint32_t left = count;
    std::unique_lock lock(self.mutex);
    for (uint32_t i = 0; i < count; ++i)
      self.items.push_back({job, argument, i, &left});
    self.wake.notify_all();
    self.done.wait(lock, [&] { return left == 0; });
  }

  void serve() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return ends || !items.empty(); });
      if (items.empty())
        return;
      Item item = items.front();
      items.pop_front();
      lock.unlock();
      item.job(item.argument, item.index);
      lock.lock();
      if (--*item.left == 0)
        done.notify_all();
    }
  }

  std::mutex mutex;
  std::condition_variable wake, done;
  std::deque<Item> items;
  bool ends = false;
  std::vector<std::thread> threads;
};

class LentPool : public testing::Test {
protected:
  jn_status create(const jn_context_options &options) {
    jn_context *made = nullptr;
    jn_status status =
        jn_context_create(model.model, &options, &made, &model.error);
    EXPECT_EQ(made == nullptr, status != JN_OK);
    jn_context_destroy(made);
    return status;
  }
  jn_status create(const jn_thread_pool &pool, uint32_t threads = 0) {
    jn_context_options options = {};
    options.size = sizeof(options);
    options.threads = threads;
    options.pool = &pool;
    return create(options);
  }
  void refuses(const jn_thread_pool &pool, const std::string &message,
               uint32_t threads = 0) {
    EXPECT_EQ(create(pool, threads), JN_INVALID_ARGUMENT);
    EXPECT_EQ(model.error.message, message);
  }

  OpenModel model;
};
} // namespace

// Tests that any pool of any size gives the bits of one own thread.
TEST_F(LentPool, GivesTheSameBits) {
  LookupData want(13, 37);
  jn_context *own = model.context(1);
  ASSERT_EQ(run(own, want, nullptr), JN_OK);
  jn_context_destroy(own);
  QueuePool queue(3);
  std::vector<jn_thread_pool> pools = {queue.lent()};
  for (uint32_t threads : {1, 2, 5, 13, 64})
    for (jn_parallel_fn parallel : {jn_parallel_fn(backwards), threadPerJob})
      pools.push_back(lend(parallel, threads));
  for (const jn_thread_pool &pool : pools) {
    jn_context *context = contextOn(model, pool);
    EXPECT_EQ(jn_context_threads(context), pool.threads);
    for (int i = 0; i < 3; ++i) {
      LookupData data(13, 37);
      ASSERT_EQ(run(context, data, &model.error), JN_OK) << model.error.message;
      EXPECT_EQ(std::memcmp(data.y.values.data(), want.y.values.data(),
                            want.y.values.size() * 4),
                0);
    }
    jn_context_destroy(context);
  }
}

// Tests that steps are split over what the context may use, no further, and
// that the pool's struct is needed no longer than jn_context_create.
TEST_F(LentPool, GetsTheJobs) {
  int jobs = 0;
  jn_thread_pool pool = lend(backwards, 8, &jobs);
  for (auto [threads, want] : {std::pair{0u, 3 + 8 + 8}, {2u, 6}, {1u, 0}}) {
    jn_context *context = contextOn(model, pool, threads);
    jn_thread_pool kept = pool;
    pool = {};
    LookupData data(3, 5);
    jobs = 0;
    EXPECT_EQ(run(context, data, &model.error), JN_OK) << model.error.message;
    data.expectRight();
    EXPECT_EQ(jobs, want);
    jn_context_destroy(context);
    pool = kept;
  }
}

namespace {
/// What a kernel saw; it is a function without data of its own.
struct Seen {
  std::atomic<std::thread::id> caller;
  std::atomic<int> elsewhere{0};
  /// Calls in another state than kernels need.
  std::atomic<int> wrongModes{0};
  std::atomic<int64_t> tasks{0};
};
Seen seen;

/// The lookup model's, of which the second also looks around.
std::vector<JnKernel> watchingKernels() {
  static const JnKernel multiply = lookupKernels()[1];
  seen.caller = std::this_thread::get_id();
  seen.elsewhere = seen.wrongModes = 0;
  seen.tasks = 0;
  std::vector<JnKernel> kernels = lookupKernels();
  kernels[1] = [](const JnKernelCall *call) {
    seen.tasks += call->end - call->begin;
    seen.elsewhere += std::this_thread::get_id() != seen.caller.load();
    // Flush to zero, denormals are zero, to nearest.
    seen.wrongModes += (_mm_getcsr() & 0xe040u) != 0x8040u;
    multiply(call);
  };
  return kernels;
}
} // namespace

// Tests that a lent pool's context makes no worker and runs on no other thread
// than the pool's.
TEST(LentPoolThreads, AreTheOnlyOnes) {
  OpenModel model(watchingKernels());
  size_t before = tasks().size();
  jn_context *context = contextOn(model, lend(backwards, 40));
  LookupData data(16, 64);
  for (int i = 0; i < 10; ++i)
    ASSERT_EQ(run(context, data, &model.error), JN_OK);
  data.expectRight();
  EXPECT_EQ(tasks().size(), before);
  EXPECT_EQ(seen.tasks, 10 * 16 * 64);
  EXPECT_EQ(seen.elsewhere, 0);
  jn_context_destroy(context);
}

// Tests that jobs run in the kernels' floating-point state, on whatever thread,
// and that the pool's function and its threads have their own all the time.
TEST(LentPoolThreads, KeepTheirFloatingPointState) {
  constexpr unsigned kMine = 0x1f80 | 0x4000; // rounds up, keeps denormals
  static std::atomic<int> lost;
  lost = 0;
  OpenModel model(watchingKernels());
  auto parallel = [](void *, jn_job_fn job, void *argument, uint32_t count) {
    auto call = [=](uint32_t begin, uint32_t end) {
      for (uint32_t i = begin; i < end; ++i) {
        job(argument, i);
        lost += (_mm_getcsr() & ~0x3fu) != kMine;
      }
    };
    lost += (_mm_getcsr() & ~0x3fu) != kMine;
    std::thread other([=] {
      _mm_setcsr(kMine);
      call(0, count / 2);
    });
    call(count / 2, count);
    other.join();
  };
  unsigned before = _mm_getcsr();
  _mm_setcsr(kMine);
  for (uint32_t threads : {1, 4}) {
    jn_context *context = contextOn(model, lend(parallel, threads));
    LookupData data(16, 64);
    EXPECT_EQ(run(context, data, &model.error), JN_OK);
    EXPECT_EQ(_mm_getcsr() & ~0x3fu, kMine);
    jn_context_destroy(context);
  }
  _mm_setcsr(before);
  EXPECT_EQ(seen.tasks, 2 * 16 * 64);
  EXPECT_EQ(seen.wrongModes, 0);
  EXPECT_EQ(lost, 0);
}

// Tests that contexts on several threads share a pool.
TEST_F(LentPool, IsShared) {
  QueuePool queue(2);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      jn_context *context = contextOn(model, queue.lent());
      for (int i = 0; i < 100; ++i) {
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

// Tests that what is wrong with a run is said as on own threads: of several bad
// indices the first, whichever job met it.
TEST_F(LentPool, ReportsErrorsAsTheOwn) {
  auto bad = [] {
    LookupData data(16, 8);
    for (size_t row : {3, 7, 12, 15})
      data.ids.values[row * 8 + 5] = 1000 + int64_t(row);
    return data;
  };
  LookupData first = bad();
  jn_context *own = model.context(2);
  ASSERT_EQ(run(own, first, &model.error), JN_INVALID_INPUT);
  std::string want = model.error.message;
  jn_context_destroy(own);
  QueuePool queue(3);
  for (const jn_thread_pool &pool :
       {queue.lent(), lend(backwards, 4), lend(threadPerJob, 16)}) {
    jn_context *context = contextOn(model, pool);
    for (int i = 0; i < 10; ++i) {
      LookupData data = bad();
      ASSERT_EQ(run(context, data, &model.error), JN_INVALID_INPUT);
      EXPECT_EQ(model.error.message, want);
    }
    LookupData good(16, 8);
    ASSERT_EQ(run(context, good, &model.error), JN_OK);
    good.expectRight();
    jn_context_destroy(context);
  }
}

// Tests that a pool which does not do what it should is found out, and does no
// harm beyond the run.
TEST_F(LentPool, MustCallEachJobOnce) {
  enum Fault { None, LeavesOut, CallsTwice, CallsNone, CallsBeyond };
  Fault fault = None;
  auto parallel = [](void *data, jn_job_fn job, void *argument,
                     uint32_t count) {
    Fault fault = *static_cast<Fault *>(data);
    for (uint32_t i = 0; i < count && fault != CallsNone; ++i) {
      if (i != 1 || fault != LeavesOut)
        job(argument, i);
      if (i == 2 && fault == CallsTwice)
        job(argument, i);
    }
    if (fault == CallsBeyond)
      job(argument, count);
  };
  jn_context *context = contextOn(model, lend(parallel, 4, &fault));
  for (auto [what, says] :
       {std::pair{LeavesOut, "job 1 of 4 of step 'gather' 0 times"},
        {CallsTwice, "job 2 of 4 of step 'gather' 2 times"},
        {CallsNone, "job 0 of 4 of step 'gather' 0 times"},
        {CallsBeyond, ""},
        {None, ""}}) {
    fault = what;
    LookupData data(16, 8);
    jn_status status = run(context, data, &model.error);
    if (*says) {
      EXPECT_EQ(status, JN_INVALID_ARGUMENT);
      EXPECT_EQ(model.error.message, "the lent thread pool called " +
                                         std::string(says) +
                                         " instead of once");
      continue;
    }
    ASSERT_EQ(status, JN_OK) << model.error.message;
    data.expectRight();
  }
  jn_context_destroy(context);
}

TEST_F(LentPool, IsRefusedIfMalformed) {
  jn_thread_pool good = lend(backwards, 4);
  EXPECT_EQ(create(good), JN_OK);
  EXPECT_EQ(create(good, 4), JN_OK);
  jn_thread_pool pool = good;
  pool.parallel = nullptr;
  refuses(pool, "jn_thread_pool.parallel is a null pointer");
  pool = good;
  pool.threads = 0;
  refuses(pool, "jn_thread_pool.threads is 0");
  pool.threads = 1025;
  refuses(pool, "jn_thread_pool.threads is 1025, at most 1024 are allowed");
  refuses(good, "jn_context_options.threads is 5, but the lent pool has 4", 5);
  pool = good;
  for (uint64_t size : {0, 4, 5000}) {
    pool.size = size;
    refuses(pool, "jn_thread_pool.size is not that of any version; set it to "
                  "sizeof(jn_thread_pool)");
  }
  for (uint64_t size : {8, 16, 24}) {
    pool.size = size;
    refuses(pool, "jn_thread_pool.size is too small; set it to "
                  "sizeof(jn_thread_pool)");
  }
}

// Tests that callers of before and after the pool came are understood.
TEST_F(LentPool, IsACompatibleAddition) {
  jn_thread_pool pool = lend(backwards, 4);
  jn_context_options options = {};
  // Compiled with options that end before the pool: what follows is not read.
  options.size = offsetof(jn_context_options, pool);
  options.threads = 1;
  options.pool = reinterpret_cast<const jn_thread_pool *>(1);
  EXPECT_EQ(create(options), JN_OK);
  // Compiled with a pool that has more fields.
  struct {
    jn_thread_pool pool;
    uint64_t more;
  } newer = {pool, 0};
  newer.pool.size = sizeof(newer);
  EXPECT_EQ(create(newer.pool), JN_OK);
  newer.more = 1;
  refuses(newer.pool, "jn_thread_pool asks for more than this runtime knows");
}
