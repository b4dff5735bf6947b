//===- Lookup.h - An open lookup model with its arrays ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_RUNTIME_LOOKUP_H
#define JOINERY_TEST_UNIT_RUNTIME_LOOKUP_H

#include "test/unit/runtime/TestModel.h"

#include <gtest/gtest.h>

namespace joinery::test {

/// Inputs of the lookup model, and what it should give.
struct LookupData {
  Tensor<int64_t> ids, mask;
  Tensor<float> x, y;

  LookupData(int64_t b, int64_t s)
      : ids({b, s}), mask({b, s}), x({b, s}), y({b, s}) {
    for (size_t i = 0; i < ids.values.size(); ++i) {
      ids.values[i] = int64_t(i * 7 % kTableRows);
      mask.values[i] = i % 3 != 0;
      x.values[i] = float(i) * 0.5f - 1.0f;
    }
  }
  std::vector<DLTensor> inputs() { return {ids.view(), mask.view(), x.view()}; }
  float want(size_t i) const {
    return mask.values[i] ? tableValue(ids.values[i]) * x.values[i] : 0;
  }
  void expectRight() const {
    for (size_t i = 0; i < y.values.size(); ++i)
      ASSERT_EQ(y.values[i], want(i)) << i;
  }
};

/// An open model that outlives its fixture's contexts.
struct OpenModel {
  TempDir dir;
  TestObject object;
  jn_model *model = nullptr;
  jn_error error;

  OpenModel() : OpenModel(lookupKernels()) {}
  explicit OpenModel(std::vector<JnKernel> kernels) {
    open(lookupProgram(dir / "a.store"), std::move(kernels));
  }
  OpenModel(const prog::ProgramT &program, std::vector<JnKernel> kernels) {
    open(program, std::move(kernels));
  }
  ~OpenModel() { jn_model_close(model); }

  jn_context *context(uint32_t threads, uint32_t flags = JN_CONTEXT_GROW) {
    jn_context_options options = {};
    options.size = sizeof(options);
    options.threads = threads;
    options.flags = flags;
    jn_context *made = nullptr;
    jn_error mine; // contexts may be made on several threads
    EXPECT_EQ(jn_context_create(model, &options, &made, &mine), JN_OK)
        << mine.message;
    return made;
  }

private:
  void open(const prog::ProgramT &program, std::vector<JnKernel> kernels) {
    makeObject(program, std::move(kernels), object);
    EXPECT_EQ(jn_model_open(&object.object, (dir / "a.store").c_str(), nullptr,
                            &model, &error),
              JN_OK)
        << error.message;
  }
};

/// A pool of the caller's, and a context on one.
inline jn_thread_pool lend(jn_parallel_fn parallel, uint32_t threads,
                           void *data = nullptr) {
  jn_thread_pool pool = {};
  pool.size = sizeof(pool);
  pool.data = data;
  pool.parallel = parallel;
  pool.threads = threads;
  return pool;
}

inline jn_context *contextOn(const OpenModel &model,
                             const jn_thread_pool &pool, uint32_t threads = 0,
                             uint32_t flags = JN_CONTEXT_GROW) {
  jn_context_options options = {};
  options.size = sizeof(options);
  options.flags = flags;
  options.threads = threads;
  options.pool = &pool;
  jn_context *made = nullptr;
  jn_error error;
  EXPECT_EQ(jn_context_create(model.model, &options, &made, &error), JN_OK)
      << error.message;
  return made;
}

inline jn_status run(jn_context *context, LookupData &data, jn_error *error) {
  std::vector<DLTensor> in = data.inputs();
  DLTensor out = data.y.view();
  return jn_run(context, in.data(), in.size(), &out, 1, error);
}

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_RUNTIME_LOOKUP_H
