//===- Context.cpp - The C interface of contexts and runs -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/CAPI/Support.h"
#include "runtime/Exec/Cpu.h"

using namespace joinery::runtime;

/// More threads than any machine has are a mistake, such as a negative number.
static constexpr uint32_t kMaxThreads = 1024;

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
    if (read.threads > kMaxThreads)
      return {JN_INVALID_ARGUMENT,
              "jn_context_options.threads is " + std::to_string(read.threads) +
                  ", at most " + std::to_string(kMaxThreads) + " are allowed"};
    if (reinterpret_cast<uintptr_t>(read.workspace) % kAlignment)
      return {JN_INVALID_ARGUMENT, "the workspace is not 64-byte aligned"};
    if (!read.workspace && read.workspace_bytes)
      return {JN_INVALID_ARGUMENT,
              "jn_context_options.workspace_bytes needs a workspace"};
    Context::Options made;
    made.threads =
        read.threads ? read.threads : std::min(availableCores(), kMaxThreads);
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
