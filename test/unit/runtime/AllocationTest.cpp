//===- AllocationTest.cpp - Memory that is and is not taken ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// This program's malloc counts calls and can be told to fail one. Sanitizers
// bring a malloc of their own, so under them these tests are left out.
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JOINERY_TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JOINERY_TEST_SANITIZED 1
#endif

#ifdef JOINERY_TEST_SANITIZED

/// No memory is a null pointer, as without sanitizers.
extern "C" __attribute__((visibility("default"))) const char *
__asan_default_options() {
  return "allocator_may_return_null=1";
}

#else

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {
std::atomic<bool> armed{false};
std::atomic<long> calls{0};
/// The call that fails, counted from 1; 0 for none.
std::atomic<long> failing{0};

bool mayAllocate() {
  if (!armed.load(std::memory_order_relaxed))
    return true;
  return calls.fetch_add(1) + 1 != failing.load();
}

class Armed {
public:
  explicit Armed(long fail) {
    calls = 0;
    failing = fail;
    armed = true;
  }
  ~Armed() { armed = false; }
};
} // namespace

// The standard library's calls must find these, too.
#define EXPORTED __attribute__((visibility("default")))

extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

EXPORTED void *malloc(size_t size) noexcept {
  return mayAllocate() ? __libc_malloc(size) : nullptr;
}
EXPORTED void *calloc(size_t count, size_t size) noexcept {
  return mayAllocate() ? __libc_calloc(count, size) : nullptr;
}
EXPORTED void *realloc(void *old, size_t size) noexcept {
  return mayAllocate() ? __libc_realloc(old, size) : nullptr;
}
EXPORTED void *aligned_alloc(size_t alignment, size_t size) noexcept {
  return mayAllocate() ? __libc_memalign(alignment, size) : nullptr;
}
EXPORTED int posix_memalign(void **to, size_t alignment, size_t size) noexcept {
  if (!mayAllocate())
    return ENOMEM;
  *to = __libc_memalign(alignment, size);
  return *to ? 0 : ENOMEM;
}
}

using namespace joinery::test;

// Tests that this program's malloc is the one that is called.
TEST(Allocation, IsCounted) {
  Armed counting(0);
  delete new LookupData(1, 1);
  EXPECT_GT(calls, 0);
}

// Tests that a run allocates nothing once its workspace was reserved, even if
// shapes change within it, with inputs that must be copied, and on lent
// threads.
TEST(Allocation, RunsTakeNone) {
  OpenModel model;
  jn_thread_pool pool = {};
  pool.size = sizeof(pool);
  pool.threads = 3;
  pool.parallel = [](void *, jn_job_fn job, void *argument, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i)
      job(argument, i);
  };
  jn_context_options lent = {};
  lent.size = sizeof(lent);
  lent.pool = &pool;
  jn_context *onPool = nullptr;
  ASSERT_EQ(jn_context_create(model.model, &lent, &onPool, &model.error),
            JN_OK);
  for (jn_context *context :
       {model.context(1, 0), model.context(3, 0), onPool}) {
    LookupData large(9, 64), small(4, 20);
    std::vector<DLTensor> in = large.inputs();
    int64_t strides[] = {1, 9};
    for (DLTensor &tensor : in)
      tensor.strides = strides; // the most that may have to be copied
    ASSERT_EQ(jn_context_reserve(context, in.data(), 3, &model.error), JN_OK);
    std::vector<DLTensor> largeIn = large.inputs(), smallIn = small.inputs();
    smallIn[2].strides = strides;
    small.x.values.resize(200);
    smallIn[2].data = small.x.values.data();
    DLTensor largeOut = large.y.view(), smallOut = small.y.view();
    long taken = 0;
    bool ok = true;
    {
      Armed counting(0);
      for (int i = 0; i < 100; ++i) {
        ok &= jn_run(context, largeIn.data(), 3, &largeOut, 1, &model.error) ==
              JN_OK;
        ok &= jn_run(context, smallIn.data(), 3, &smallOut, 1, &model.error) ==
              JN_OK;
      }
      taken = calls;
    }
    EXPECT_TRUE(ok) << model.error.message;
    EXPECT_EQ(taken, 0);
    large.expectRight();
    jn_context_destroy(context);
  }
}

// Tests that each allocation on the way from an object to a result may fail:
// an error, no leak that a sanitizer would see, and the next try works.
TEST(Allocation, EachMayFail) {
  TempDir dir;
  TestObject object;
  makeObject(lookupProgram(dir / "a.store"), lookupKernels(), object);
  std::string store = dir / "a.store";
  LookupData data(3, 5);
  std::vector<DLTensor> in = data.inputs();
  DLTensor out = data.y.view();
  bool done = false;
  long k = 1;
  for (; !done && k < 10000; ++k) {
    jn_model *model = nullptr;
    jn_context *context = nullptr;
    jn_context_options options = {};
    options.size = sizeof(options);
    options.flags = JN_CONTEXT_GROW;
    options.threads = 2;
    jn_error error;
    jn_status status;
    {
      Armed failAt(k);
      status =
          jn_model_open(&object.object, store.c_str(), nullptr, &model, &error);
      if (status == JN_OK)
        status = jn_context_create(model, &options, &context, &error);
      if (status == JN_OK)
        status = jn_run(context, in.data(), 3, &out, 1, &error);
      done = calls < k;
    }
    // The loss of a worker thread is no error.
    ASSERT_TRUE(status == JN_OK || status == JN_OUT_OF_MEMORY)
        << k << ": " << error.message;
    if (status == JN_OK)
      data.expectRight();
    jn_context_destroy(context);
    jn_model_close(model);
  }
  EXPECT_TRUE(done);
  EXPECT_GT(k, 50);
}

#endif // JOINERY_TEST_SANITIZED
