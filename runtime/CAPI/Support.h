//===- Support.h - The edge between C and C++ -------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CAPI_SUPPORT_H
#define JOINERY_CAPI_SUPPORT_H

#include "runtime/Exec/Context.h"
#include "runtime/Exec/Model.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

struct jn_model {
  std::shared_ptr<const joinery::runtime::Model> model;
};

struct jn_context {
  jn_context(std::shared_ptr<const joinery::runtime::Model> model,
             const joinery::runtime::Context::Options &options)
      : context(std::move(model), options) {}
  joinery::runtime::Context context;
};

namespace joinery::runtime {

inline jn_status report(jn_status status, const char *message, size_t length,
                        jn_error *error) {
  if (error) {
    length = std::min(length, size_t(JN_MESSAGE_BYTES - 1));
    error->status = status;
    std::memcpy(error->message, message, length);
    error->message[length] = 0;
  }
  return status;
}

/// Calls `body`, which returns a Status, and lets nothing through but a
/// jn_status.
template <typename Body> jn_status guarded(jn_error *error, Body body) {
  try {
    Status status = body();
    return report(status.code(), status.message().data(),
                  status.message().size(), error);
  } catch (const std::bad_alloc &) {
    constexpr char kText[] = "out of memory";
    return report(JN_OUT_OF_MEMORY, kText, sizeof(kText) - 1, error);
  } catch (const std::exception &exception) {
    return report(JN_INTERNAL, exception.what(), std::strlen(exception.what()),
                  error);
  } catch (...) {
    constexpr char kText[] = "unknown exception";
    return report(JN_INTERNAL, kText, sizeof(kText) - 1, error);
  }
}

/// Copies a caller's struct of an older or newer library: what it lacks is
/// zero, what it has more must be zero. Null stands for all zeros.
template <typename T>
Status readStruct(const T *from, const char *what, T &to) {
  to = {};
  to.size = sizeof(T);
  if (!from)
    return {};
  Status bad = {JN_INVALID_ARGUMENT,
                std::string(what) +
                    ".size is not that of any version; set it "
                    "to sizeof(" +
                    what + ")"};
  if (from->size < sizeof(uint64_t) || from->size > 4096)
    return bad;
  const char *bytes = reinterpret_cast<const char *>(from);
  if (from->size > sizeof(T) &&
      std::any_of(bytes + sizeof(T), bytes + from->size,
                  [](char c) { return c != 0; }))
    return {JN_INVALID_ARGUMENT,
            std::string(what) + " asks for more than this runtime knows"};
  std::memcpy(&to, from, std::min<uint64_t>(from->size, sizeof(T)));
  return {};
}

/// Fills a caller's struct as far as the caller knows it.
template <typename T> Status writeStruct(T from, const char *what, T *to) {
  if (!to)
    return {JN_INVALID_ARGUMENT, std::string(what) + " is a null pointer"};
  if (to->size < sizeof(uint64_t) || to->size > 4096)
    return {JN_INVALID_ARGUMENT,
            std::string("set ") + what + ".size to sizeof(" + what + ")"};
  uint64_t size = to->size;
  std::memcpy(to, &from, std::min<uint64_t>(size, sizeof(T)));
  to->size = size;
  return {};
}

/// The shapes of all outputs once the inputs are bound.
inline Status outputShapes(const RunPlan &plan, const Model &model,
                           DLTensor *outputs, size_t count) {
  size_t want = model.program().outputs.size();
  if (count != want || (count && !outputs))
    return {JN_INVALID_ARGUMENT, "the model has " + std::to_string(want) +
                                     " outputs, " + std::to_string(count) +
                                     " are given"};
  for (size_t i = 0; i < count; ++i) {
    const Border &border = plan.outputBorder(i);
    outputs[i].ndim = int32_t(border.dims.size());
    outputs[i].dtype = dtypeToDLPack(border.dtype);
    for (size_t dim = 0; outputs[i].shape && dim < border.dims.size(); ++dim)
      JN_TRY(plan.outputExtent(i, dim, plan.symbols().data(),
                               outputs[i].shape[dim]));
  }
  return {};
}

inline Status nullPointer(const char *what) {
  return {JN_INVALID_ARGUMENT, std::string(what) + " is a null pointer"};
}

} // namespace joinery::runtime

#endif // JOINERY_CAPI_SUPPORT_H
