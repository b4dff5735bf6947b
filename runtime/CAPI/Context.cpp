//===- Context.cpp - The C interface of contexts and runs -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/CAPI/Support.h"
#include "runtime/Exec/Cpu.h"

#include <cstddef>

using namespace joinery::runtime;

/// More threads than any machine has are a mistake, such as a negative number.
static constexpr uint32_t kMaxThreads = 1024;

static Status tooManyThreads(const char *what, uint32_t threads) {
  return {JN_INVALID_ARGUMENT,
          std::string(what) + " is " + std::to_string(threads) + ", at most " +
              std::to_string(kMaxThreads) + " are allowed"};
}

/// Unlike options, a pool means nothing with a field left out.
static Status readPool(const jn_thread_pool &from, jn_thread_pool &pool) {
  constexpr uint64_t kFirstVersion =
      offsetof(jn_thread_pool, threads) + sizeof(pool.threads);
  JN_TRY(readStruct(&from, "jn_thread_pool", pool));
  if (from.size < kFirstVersion)
    return {JN_INVALID_ARGUMENT, "jn_thread_pool.size is too small; set it to "
                                 "sizeof(jn_thread_pool)"};
  if (!pool.parallel)
    return nullPointer("jn_thread_pool.parallel");
  if (pool.threads == 0)
    return {JN_INVALID_ARGUMENT, "jn_thread_pool.threads is 0"};
  if (pool.threads > kMaxThreads)
    return tooManyThreads("jn_thread_pool.threads", pool.threads);
  return {};
}

/// The threads of a context: asked for, or all that there are.
static Status chooseThreads(uint32_t asked, const jn_thread_pool &pool,
                            uint32_t &threads) {
  if (asked > kMaxThreads)
    return tooManyThreads("jn_context_options.threads", asked);
  if (pool.parallel && asked > pool.threads)
    return {JN_INVALID_ARGUMENT,
            "jn_context_options.threads is " + std::to_string(asked) +
                ", but the lent pool has " + std::to_string(pool.threads)};
  threads = asked           ? asked
            : pool.parallel ? pool.threads
                            : std::min(availableCores(), kMaxThreads);
  return {};
}

jn_status jn_context_create(const jn_model *model,
                            const jn_context_options *options,
                            jn_context **context, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    *context = nullptr;
    if (!model)
      return nullPointer("model");
    jn_context_options read;
    JN_TRY(readStruct(options, "jn_context_options", read));
    if (read.flags & ~JN_CONTEXT_GROW)
      return {JN_INVALID_ARGUMENT, "jn_context_options.flags has unknown bits"};
    if (reinterpret_cast<uintptr_t>(read.workspace) % kAlignment)
      return {JN_INVALID_ARGUMENT, "the workspace is not 64-byte aligned"};
    if (!read.workspace && read.workspace_bytes)
      return {JN_INVALID_ARGUMENT,
              "jn_context_options.workspace_bytes needs a workspace"};
    Context::Options made;
    if (read.pool)
      JN_TRY(readPool(*read.pool, made.pool));
    JN_TRY(chooseThreads(read.threads, made.pool, made.threads));
    made.grow = read.flags & JN_CONTEXT_GROW;
    made.workspace = read.workspace;
    made.workspaceBytes = read.workspace_bytes;
    made.trace = read.trace;
    made.traceData = read.trace_data;
    *context = new jn_context(model->model, made);
    return {};
  });
}

void jn_context_destroy(jn_context *context) { delete context; }

jn_status jn_context_reserve(jn_context *context, const DLTensor *inputs,
                             size_t n_inputs, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    return context->context.reserve(inputs, n_inputs);
  });
}

jn_status jn_context_set_trace(jn_context *context, jn_trace_fn trace,
                               void *data, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    return context->context.setTrace(trace, data);
  });
}

uint64_t jn_context_workspace_bytes(const jn_context *context) {
  return context ? context->context.workspaceBytes() : 0;
}

uint32_t jn_context_threads(const jn_context *context) {
  return context ? context->context.threads() : 0;
}

jn_status jn_run(jn_context *context, const DLTensor *inputs, size_t n_inputs,
                 DLTensor *outputs, size_t n_outputs, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    return context->context.run(inputs, n_inputs, outputs, n_outputs);
  });
}
