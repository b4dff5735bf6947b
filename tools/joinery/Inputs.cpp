//===- Inputs.cpp - Reading a model's inputs from files -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Session.h"

namespace joinery::tool {

static Status unknownInput(const Model &model, const std::string &name,
                           const std::string &where) {
  return {JN_INVALID_INPUT, "'" + name + "'" + where +
                                " is no input of the model; its inputs are " +
                                inputNames(model)};
}

Status readInputs(const Model &model, const SessionOptions &options,
                  std::vector<Array> &inputs, bool packed) {
  uint32_t count = jn_model_input_count(model.get());
  inputs.clear();
  inputs.resize(count);
  std::vector<bool> given(count);
  if (!options.inputsFile.empty()) {
    runtime::NpzReader reader;
    JN_TRY(reader.open(options.inputsFile));
    for (size_t i = 0; i < reader.names().size(); ++i) {
      const std::string &name = reader.names()[i];
      int32_t number = jn_model_find_input(model.get(), name.c_str());
      if (number < 0)
        return unknownInput(model, name, " in '" + options.inputsFile + "'");
      JN_TRY(reader.read(i, inputs[size_t(number)]));
      given[size_t(number)] = true;
    }
  }
  for (const std::string &text : options.inputFiles) {
    std::string name, file;
    splitAssignment(text, name, file); // checked with the command line
    int32_t number = jn_model_find_input(model.get(), name.c_str());
    if (number < 0)
      return unknownInput(model, name, "");
    JN_TRY(runtime::readNpy(file, inputs[size_t(number)]));
    given[size_t(number)] = true;
  }
  for (uint32_t i = count; packed && i-- > 0;) {
    if (jn_model_packed_input(model.get(), i) != JN_PACKED_LEFT_OUT)
      continue;
    if (given[i])
      return {JN_INVALID_INPUT, "input '" + std::string(inputInfo(model, i).name) +
                                    "' is the mask, which --offsets stands "
                                    "for; leave it out"};
    given[i] = true;
  }
  for (uint32_t i = 0; i < count; ++i)
    if (!given[i]) {
      jn_tensor_info info = inputInfo(model, i);
      return {JN_INVALID_INPUT,
              "input '" + std::string(info.name) + "' (" + typeText(info) +
                  ") is missing; give it in the archive of --inputs or with "
                  "--input " +
                  info.name + "=FILE.npy"};
    }
  for (uint32_t i = count; packed && i-- > 0;)
    if (jn_model_packed_input(model.get(), i) == JN_PACKED_LEFT_OUT)
      inputs.erase(inputs.begin() + i);
  return {};
}

Status readOffsets(const std::string &file, Array &offsets) {
  JN_TRY(runtime::readNpy(file, offsets));
  if (offsets.dtype != runtime::DType::I64 || offsets.shape.size() != 1 ||
      offsets.shape[0] < 1)
    return {JN_INVALID_INPUT, "'" + file +
                                  "' has no offsets: they are one dimension of "
                                  "int64, one more than there are sequences"};
  return {};
}

} // namespace joinery::tool
