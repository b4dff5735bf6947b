//===- Run.cpp - joinery run ----------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Commands.h"
#include "tools/joinery/Trace.h"

#include <algorithm>
#include <cstdio>

namespace joinery::tool {

static void printSignature(const Model &model) {
  uint32_t inputs = jn_model_input_count(model.get());
  uint32_t outputs = jn_model_output_count(model.get());
  size_t width = 1;
  for (uint32_t i = 0; i < inputs; ++i)
    width = std::max(width, std::string(inputInfo(model, i).name).size());
  for (uint32_t i = 0; i < outputs; ++i)
    width = std::max(width, std::string(outputInfo(model, i).name).size());
  std::printf("%s: %s for %s, by %s\n", jn_model_name(model.get()),
              jn_model_precision(model.get()), jn_model_isa(model.get()),
              jn_model_compiler(model.get()));
  std::printf("inputs:\n");
  for (uint32_t i = 0; i < inputs; ++i) {
    jn_tensor_info info = inputInfo(model, i);
    std::printf("  %-*s  %s%s\n", int(width), info.name, typeText(info).c_str(),
                jn_model_mask_input(model.get()) == int32_t(i)
                    ? "  (its ones count as tokens)"
                    : "");
  }
  std::printf("outputs:\n");
  for (uint32_t i = 0; i < outputs; ++i) {
    jn_tensor_info info = outputInfo(model, i);
    std::printf("  %-*s  %s\n", int(width), info.name, typeText(info).c_str());
  }
  if (jn_model_packed(model.get(), nullptr) == JN_OK)
    std::printf("packed tokens (--offsets): [tokens, ...] instead of [batch, "
                "sequence, ...], without the mask\n");
  uint32_t checks = jn_model_check_count(model.get());
  if (checks)
    std::printf("checked in every run:\n");
  for (uint32_t i = 0; i < checks; ++i) {
    jn_check_info check = {};
    check.size = sizeof(check);
    jn_model_check(model.get(), i, &check, nullptr);
    std::printf("  %s\n", check.message);
  }
}

static Status writeOutputs(const Model &model, const RunOptions &options,
                           std::vector<Array> &outputs) {
  for (Array &output : outputs)
    JN_TRY(runtime::widenBFloat16(output));
  if (!options.outputsFile.empty()) {
    std::vector<runtime::NamedArray> named;
    for (uint32_t i = 0; i < outputs.size(); ++i)
      named.emplace_back(outputInfo(model, i).name, &outputs[i]);
    JN_TRY(runtime::writeNpz(options.outputsFile, named, options.deflate));
  }
  for (const std::string &text : options.outputFiles) {
    std::string name, file;
    splitAssignment(text, name, file);
    int32_t number = jn_model_find_output(model.get(), name.c_str());
    JN_TRY(runtime::writeNpy(file, outputs[size_t(number)]));
  }
  return {};
}

int runCommand(const RunOptions &options) {
  const SessionOptions &session = options.session;
  Model model = noModel();
  if (Status status = openModel(session, model); !status.ok())
    return fail(status);
  bool writes = !options.outputsFile.empty() || !options.outputFiles.empty();
  if (session.inputsFile.empty() && session.inputFiles.empty() &&
      (jn_model_input_count(model.get()) != 0 || !writes)) {
    if (writes)
      return failUsage("outputs need inputs: give --inputs or --input", "run");
    if (!options.offsetsFile.empty())
      return failUsage("--offsets needs inputs: give --inputs or --input",
                       "run");
    printSignature(model);
    return Done;
  }
  // Before the run: a misspelt name should not cost its time.
  for (const std::string &text : options.outputFiles) {
    std::string name, file;
    splitAssignment(text, name, file);
    if (jn_model_find_output(model.get(), name.c_str()) < 0)
      return failUsage("'" + name + "' is no output of the model", "run");
  }

  std::vector<Array> inputs, outputs;
  Array offsets;
  jn_packed_batch packed = {};
  const jn_packed_batch *batch = nullptr;
  Trace trace;
  auto run = [&]() -> Status {
    if (!options.offsetsFile.empty()) {
      jn_error error;
      if (jn_status status = jn_model_packed(model.get(), &error))
        return {status, error.message};
      JN_TRY(readOffsets(options.offsetsFile, offsets));
      packed.size = sizeof(packed);
      packed.sequences = uint64_t(offsets.shape[0]) - 1;
      packed.offsets = reinterpret_cast<const int64_t *>(offsets.data());
      batch = &packed;
    }
    JN_TRY(readInputs(model, session, inputs, batch));
    Context context = noContext();
    JN_TRY(makeContext(model, session.threads, context));
    std::vector<DLTensor> in = views(inputs);
    JN_TRY(makeOutputs(model, in, outputs, batch));
    JN_TRY(reserve(context, in, batch));
    if (session.trace)
      JN_TRY(trace.attach(context));
    std::vector<DLTensor> out = views(outputs);
    JN_TRY(runOnce(context, in, out, batch));
    return writeOutputs(model, options, outputs);
  };
  if (Status status = run(); !status.ok())
    return fail(status);
  if (session.trace)
    trace.print(stdout);
  if (!writes)
    for (uint32_t i = 0; i < outputs.size(); ++i) {
      std::string shape;
      for (int64_t extent : outputs[i].shape)
        shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
      std::printf("%s  %s[%s]\n", outputInfo(model, i).name,
                  runtime::dtypeName(outputs[i].dtype), shape.c_str());
    }
  return Done;
}

} // namespace joinery::tool
