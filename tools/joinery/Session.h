//===- Session.h - What the commands share ----------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_SESSION_H
#define JOINERY_TOOL_SESSION_H

#include "joinery/runtime/Status.h"
#include "joinery/runtime/joinery.h"
#include "runtime/IO/Npy.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace joinery::tool {

using runtime::Array;
using runtime::Status;

/// The exit codes that scripts rely on.
enum ExitCode { Done = 0, Unservable = 1, Usage = 2, Machine = 3 };

/// Prints "joinery: error: ..." and gives the exit code that fits.
int fail(const Status &status);
/// Prints it as wrong usage, with where to find help.
int failUsage(const std::string &message, const std::string &command);

/// What `run` and `bench` both take.
struct SessionOptions {
  std::string prefix;
  std::string inputsFile;
  std::vector<std::string> inputFiles; // NAME=FILE
  uint32_t threads = 0;
  std::string isa;
  bool verify = false;
  bool read = false;
  bool trace = false;
};

using Model = std::unique_ptr<jn_model, void (*)(jn_model *)>;
using Context = std::unique_ptr<jn_context, void (*)(jn_context *)>;

inline Model noModel() { return {nullptr, jn_model_close}; }
inline Context noContext() { return {nullptr, jn_context_destroy}; }

Status openModel(const SessionOptions &options, Model &model);
Status makeContext(const Model &model, uint32_t threads, Context &context);

jn_tensor_info inputInfo(const Model &model, uint32_t number);
jn_tensor_info outputInfo(const Model &model, uint32_t number);
/// The type with that name of jn_tensor_info.
runtime::DType dtypeOf(const jn_tensor_info &info);
/// "int64[batch, sequence]"
std::string typeText(const jn_tensor_info &info);
/// "'a', 'b', 'c'"
std::string inputNames(const Model &model);

/// Splits NAME=FILE; false if there is no name or no file.
bool splitAssignment(const std::string &text, std::string &name,
                     std::string &file);

/// Reads the files that the options name. One array per input, in the model's
/// order; without the mask if tokens are `packed`.
Status readInputs(const Model &model, const SessionOptions &options,
                  std::vector<Array> &inputs, bool packed = false);

/// Reads the offsets of packed tokens.
Status readOffsets(const std::string &file, Array &offsets);

/// Arrays as the runtime takes them.
std::vector<DLTensor> views(std::vector<Array> &arrays);

/// Allocates outputs for inputs of these shapes. Tokens are packed if there is
/// a batch, here and below.
Status makeOutputs(const Model &model, const std::vector<DLTensor> &inputs,
                   std::vector<Array> &outputs,
                   const jn_packed_batch *batch = nullptr);

/// Reserves the workspace for the inputs.
Status reserve(const Context &context, const std::vector<DLTensor> &inputs,
               const jn_packed_batch *batch = nullptr);
Status runOnce(const Context &context, const std::vector<DLTensor> &inputs,
               std::vector<DLTensor> &outputs,
               const jn_packed_batch *batch = nullptr);

/// Ones of the mask input; without one, the product of the first two extents
/// of the first input.
int64_t countTokens(const Model &model, const std::vector<Array> &inputs);

/// How arrays are made for `bench --batch --seq`.
struct GenerateOptions {
  int64_t batch = 0;
  int64_t seq = 0;
  bool ragged = false;
  uint64_t seed = 1;
  std::vector<std::string> dims; // NAME=VALUE
};
Status generateInputs(const Model &model, const GenerateOptions &options,
                      std::vector<Array> &inputs);

} // namespace joinery::tool

#endif // JOINERY_TOOL_SESSION_H
