//===- Session.cpp - What the commands share ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Session.h"

#include <algorithm>
#include <cstdio>

namespace joinery::tool {

int fail(const Status &status) {
  std::fflush(stdout);
  std::fprintf(stderr, "joinery: error: %s\n", status.message().c_str());
  switch (status.code()) {
  case JN_INVALID_ARGUMENT:
    return Usage;
  case JN_IO:
  case JN_OUT_OF_MEMORY:
  case JN_INTERNAL:
    return Machine;
  default:
    return Unservable;
  }
}

int failUsage(const std::string &message, const std::string &command) {
  std::fflush(stdout);
  std::fprintf(stderr, "joinery: error: %s; see 'joinery%s%s --help'\n",
               message.c_str(), command.empty() ? "" : " ", command.c_str());
  return Usage;
}

static Status toStatus(jn_status status, const jn_error &error) {
  return status == JN_OK ? Status() : Status(status, error.message);
}

static void warn(void *, jn_log_level level, const char *message) {
  if (level >= JN_LOG_WARNING)
    std::fprintf(stderr, "joinery: warning: %s\n", message);
}

Status openModel(const SessionOptions &options, Model &model) {
  jn_open_options open = {};
  open.size = sizeof(open);
  open.flags =
      (options.verify ? JN_OPEN_VERIFY : 0) | (options.read ? JN_OPEN_READ : 0);
  open.isa = options.isa.empty() ? nullptr : options.isa.c_str();
  open.log = warn;
  jn_error error;
  jn_model *opened = nullptr;
  jn_status status = jn_model_open_shared(options.prefix.c_str(), nullptr,
                                          &open, &opened, &error);
  model.reset(opened);
  return toStatus(status, error);
}

Status makeContext(const Model &model, uint32_t threads, Context &context) {
  jn_context_options options = {};
  options.size = sizeof(options);
  options.threads = threads;
  jn_error error;
  jn_context *made = nullptr;
  jn_status status = jn_context_create(model.get(), &options, &made, &error);
  context.reset(made);
  return toStatus(status, error);
}

jn_tensor_info inputInfo(const Model &model, uint32_t number) {
  jn_tensor_info info = {};
  info.size = sizeof(info);
  jn_model_input(model.get(), number, &info, nullptr);
  return info;
}

jn_tensor_info outputInfo(const Model &model, uint32_t number) {
  jn_tensor_info info = {};
  info.size = sizeof(info);
  jn_model_output(model.get(), number, &info, nullptr);
  return info;
}

runtime::DType dtypeOf(const jn_tensor_info &info) {
  for (size_t i = 0; i < runtime::kDTypes; ++i)
    if (std::string(runtime::dtypeName(runtime::DType(i))) == info.dtype_name)
      return runtime::DType(i);
  return runtime::DType::F32;
}

std::string typeText(const jn_tensor_info &info) {
  std::string text = std::string(info.dtype_name) + "[";
  for (int32_t i = 0; i < info.rank; ++i) {
    const jn_dim &dim = info.dims[i];
    text += i ? ", " : "";
    text += dim.value >= 0 ? std::to_string(dim.value)
            : *dim.name    ? dim.name
                           : "?";
  }
  return text + "]";
}

std::string inputNames(const Model &model) {
  std::string text;
  for (uint32_t i = 0; i < jn_model_input_count(model.get()); ++i)
    text += (i ? ", '" : "'") + std::string(inputInfo(model, i).name) + "'";
  return text;
}

bool splitAssignment(const std::string &text, std::string &name,
                     std::string &file) {
  // Names of tensors may contain '=': the file begins after the last one.
  size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return false;
  name = text.substr(0, equals);
  file = text.substr(equals + 1);
  return true;
}

std::vector<DLTensor> views(std::vector<Array> &arrays) {
  std::vector<DLTensor> tensors;
  for (Array &array : arrays)
    tensors.push_back(array.view());
  return tensors;
}

Status makeOutputs(const Model &model, const std::vector<DLTensor> &inputs,
                   std::vector<Array> &outputs, const jn_packed_batch *batch) {
  outputs.clear();
  uint32_t count = jn_model_output_count(model.get());
  outputs.resize(count);
  std::vector<DLTensor> shapes;
  for (uint32_t i = 0; i < count; ++i) {
    jn_tensor_info info = outputInfo(model, i);
    outputs[i].dtype = dtypeOf(info);
    bool tokens =
        batch && jn_model_packed_output(model.get(), i) == JN_PACKED_TOKENS;
    outputs[i].shape.resize(size_t(info.rank - tokens));
    shapes.push_back(outputs[i].view());
  }
  jn_error error;
  jn_status status =
      batch ? jn_model_output_shapes_packed(model.get(), batch, inputs.data(),
                                            inputs.size(), shapes.data(), count,
                                            &error)
            : jn_model_output_shapes(model.get(), inputs.data(), inputs.size(),
                                     shapes.data(), count, &error);
  JN_TRY(toStatus(status, error));
  for (Array &output : outputs)
    JN_TRY(output.allocate());
  return {};
}

Status reserve(const Context &context, const std::vector<DLTensor> &inputs,
               const jn_packed_batch *batch) {
  jn_error error;
  jn_status status =
      batch ? jn_context_reserve_packed(context.get(), batch, inputs.data(),
                                        inputs.size(), &error)
            : jn_context_reserve(context.get(), inputs.data(), inputs.size(),
                                 &error);
  return toStatus(status, error);
}

Status runOnce(const Context &context, const std::vector<DLTensor> &inputs,
               std::vector<DLTensor> &outputs, const jn_packed_batch *batch) {
  jn_error error;
  jn_status status =
      batch ? jn_run_packed(context.get(), batch, inputs.data(), inputs.size(),
                            outputs.data(), outputs.size(), &error)
            : jn_run(context.get(), inputs.data(), inputs.size(),
                     outputs.data(), outputs.size(), &error);
  return toStatus(status, error);
}

template <typename T> static int64_t countOnes(const Array &array) {
  const T *values = reinterpret_cast<const T *>(array.data());
  return std::count(values, values + array.elements(), T(1));
}

int64_t countTokens(const Model &model, const std::vector<Array> &inputs) {
  int32_t mask = jn_model_mask_input(model.get());
  if (mask >= 0) {
    const Array &array = inputs[size_t(mask)];
    switch (array.dtype) {
    case runtime::DType::I64:
      return countOnes<int64_t>(array);
    case runtime::DType::I32:
      return countOnes<int32_t>(array);
    case runtime::DType::F32:
      return countOnes<float>(array);
    case runtime::DType::F64:
      return countOnes<double>(array);
    case runtime::DType::Bool:
    case runtime::DType::U8:
    case runtime::DType::I8:
      return countOnes<int8_t>(array);
    default:
      return array.elements();
    }
  }
  int64_t tokens = 1;
  for (size_t i = 0; !inputs.empty() && i < 2 && i < inputs[0].shape.size();
       ++i)
    tokens *= inputs[0].shape[i];
  return tokens;
}

} // namespace joinery::tool
