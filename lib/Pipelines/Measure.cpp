//===- Measure.cpp - Times of a model's steps -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Pipelines/Measure.h"
#include "joinery/runtime/joinery.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <algorithm>
#include <chrono>
#include <limits>
#include <random>

using namespace mlir;
using namespace joinery;

namespace {
/// The tensors of a run, with their memory.
struct Arrays {
  std::vector<std::vector<char>> storage;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<DLTensor> tensors;

  void add(const jn_tensor_info &info, std::vector<int64_t> shape) {
    int64_t bytes = info.dtype.bits / 8;
    for (int64_t extent : shape)
      bytes *= extent;
    storage.emplace_back(std::max<int64_t>(bytes, 1));
    shapes.push_back(std::move(shape));
    DLTensor tensor{};
    tensor.data = storage.back().data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = info.rank;
    tensor.dtype = info.dtype;
    tensors.push_back(tensor);
  }
  void bind() {
    for (size_t i = 0; i < tensors.size(); ++i)
      tensors[i].shape = shapes[i].data();
  }
};
} // namespace

/// Random floats; ones elsewhere: a mask that keeps all, ids that every table
/// has.
static void fill(DLTensor &tensor, size_t bytes, std::mt19937 &random) {
  if (tensor.dtype.code == kDLFloat && tensor.dtype.bits == 32) {
    std::normal_distribution<float> normal;
    auto *values = static_cast<float *>(tensor.data);
    for (size_t i = 0; i < bytes / 4; ++i)
      values[i] = normal(random);
    return;
  }
  auto *data = static_cast<char *>(tensor.data);
  size_t element = std::max(1, tensor.dtype.bits / 8);
  for (size_t i = 0; i + element <= bytes; i += element)
    data[i] = 1;
}

Outcome joinery::measureModel(MLIRContext *context,
                              const CompileOptions &compile,
                              const std::map<std::string, int64_t> &extents,
                              int threads,
                              std::map<std::string, StepTime> &times,
                              std::string &level) {
  auto fail = [&](const llvm::Twine &text) {
    emitError(UnknownLoc::get(context)) << text;
    return Outcome::Fault;
  };
  llvm::SmallString<128> directory;
  if (auto error =
          llvm::sys::fs::createUniqueDirectory("joinery-explain", directory))
    return fail("can't make a temporary directory: " + error.message());
  llvm::scope_exit remove(
      [&] { (void)llvm::sys::fs::remove_directories(directory); });
  CompileOptions options = compile;
  options.prefix = (directory + "/model").str();
  options.artifacts = {Artifact::Shared};
  options.until = Phase::Emit;
  options.dumpPhases.clear();
  if (Outcome outcome = compileModel(context, options);
      outcome != Outcome::Done)
    return outcome;

  jn_error error;
  jn_model *model = nullptr;
  if (jn_model_open_shared(options.prefix.c_str(), nullptr, nullptr, &model,
                           &error) != JN_OK)
    return fail(error.message);
  llvm::scope_exit close([&] { jn_model_close(model); });
  Arrays inputs, outputs;
  std::mt19937 random(1);
  for (uint32_t i = 0; i < jn_model_input_count(model); ++i) {
    jn_tensor_info info{};
    info.size = sizeof(info);
    if (jn_model_input(model, i, &info, &error) != JN_OK)
      return fail(error.message);
    std::vector<int64_t> shape;
    for (int32_t d = 0; d < info.rank; ++d) {
      auto it = extents.find(info.dims[d].name);
      shape.push_back(info.dims[d].value >= 0 ? info.dims[d].value
                      : it != extents.end()   ? it->second
                                              : 1);
    }
    inputs.add(info, shape);
    fill(inputs.tensors.back(), inputs.storage.back().size(), random);
  }
  inputs.bind();
  for (uint32_t i = 0; i < jn_model_output_count(model); ++i) {
    jn_tensor_info info{};
    info.size = sizeof(info);
    if (jn_model_output(model, i, &info, &error) != JN_OK)
      return fail(error.message);
    outputs.add(info, std::vector<int64_t>(info.rank));
  }
  outputs.bind();
  if (jn_model_output_shapes(model, inputs.tensors.data(),
                             inputs.tensors.size(), outputs.tensors.data(),
                             outputs.tensors.size(), &error) != JN_OK)
    return fail(error.message);
  for (size_t i = 0; i < outputs.tensors.size(); ++i) {
    int64_t bytes = outputs.tensors[i].dtype.bits / 8;
    for (int64_t extent : outputs.shapes[i])
      bytes *= extent;
    outputs.storage[i].resize(std::max<int64_t>(bytes, 1));
    outputs.tensors[i].data = outputs.storage[i].data();
  }

  struct Sample {
    double least = std::numeric_limits<double>::infinity();
    jn_trace_step last;
  };
  using Samples = std::map<uint64_t, Sample>;
  Samples samples;
  jn_context_options contextOptions{};
  contextOptions.size = sizeof(contextOptions);
  contextOptions.flags = JN_CONTEXT_GROW;
  contextOptions.threads = threads;
  contextOptions.trace_data = &samples;
  contextOptions.trace = [](void *data, const jn_trace_step *step) {
    Sample &sample = (*static_cast<Samples *>(data))[step->index];
    sample.least = std::min(sample.least, double(step->ns) * 1e-9);
    sample.last = *step;
  };
  jn_context *run = nullptr;
  if (jn_context_create(model, &contextOptions, &run, &error) != JN_OK)
    return fail(error.message);
  llvm::scope_exit destroy([&] { jn_context_destroy(run); });
  // The least of many runs: what else the machine does only adds to a time.
  using Clock = std::chrono::steady_clock;
  constexpr int warmup = 2, fewest = 9, most = 2000;
  constexpr auto budget = std::chrono::milliseconds(400);
  Clock::time_point start = Clock::now();
  for (int i = 0; i < warmup + most; ++i) {
    if (i == warmup) {
      samples.clear();
      start = Clock::now();
    }
    if (i >= warmup + fewest && Clock::now() - start > budget)
      break;
    if (jn_run(run, inputs.tensors.data(), inputs.tensors.size(),
               outputs.tensors.data(), outputs.tensors.size(),
               &error) != JN_OK)
      return fail(error.message);
  }
  for (auto &[index, sample] : samples) {
    times[std::to_string(index)] = {sample.least,
                                    double(sample.last.flops),
                                    double(sample.last.read_bytes),
                                    double(sample.last.written_bytes),
                                    double(sample.last.store_bytes)};
  }
  level = jn_model_isa(model);
  return Outcome::Done;
}
