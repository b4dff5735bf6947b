//===- Model.cpp - The C interface of models ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/CAPI/Support.h"
#include "runtime/Exec/Cpu.h"

using namespace joinery::runtime;

const char *jn_version(void) { return JOINERY_VERSION; }

uint32_t jn_abi_version(void) { return JN_ABI_VERSION; }

uint32_t jn_available_threads(void) {
  uint32_t threads = 1;
  guarded(nullptr, [&]() -> Status {
    threads = availableCores();
    return {};
  });
  return threads;
}

const char *jn_status_name(jn_status status) {
  switch (status) {
  case JN_OK:
    return "ok";
  case JN_INVALID_ARGUMENT:
    return "invalid argument";
  case JN_INVALID_INPUT:
    return "invalid input";
  case JN_INVALID_MODEL:
    return "invalid model";
  case JN_INVALID_STORE:
    return "invalid store";
  case JN_MISMATCH:
    return "mismatch";
  case JN_UNSUPPORTED:
    return "unsupported";
  case JN_CAPACITY:
    return "capacity";
  case JN_IO:
    return "input/output";
  case JN_OUT_OF_MEMORY:
    return "out of memory";
  case JN_INTERNAL:
    return "internal";
  }
  return "unknown";
}

static Status readOpenOptions(const jn_open_options *from,
                              Model::Options &options) {
  jn_open_options read;
  JN_TRY(readStruct(from, "jn_open_options", read));
  if (read.flags & ~(JN_OPEN_VERIFY | JN_OPEN_READ | JN_OPEN_NO_PREFETCH))
    return {JN_INVALID_ARGUMENT, "jn_open_options.flags has unknown bits"};
  options.flags = read.flags;
  options.isa = read.isa ? read.isa : "";
  options.log = read.log;
  options.logData = read.log_data;
  return {};
}

jn_status jn_model_open(const JnObject *object, const char *store_path,
                        const jn_open_options *options, jn_model **model,
                        jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    *model = nullptr;
    Model::Options read;
    JN_TRY(readOpenOptions(options, read));
    auto handle = std::make_unique<jn_model>();
    std::shared_ptr<Model> opened;
    JN_TRY(Model::open(object, store_path, read, opened));
    handle->model = std::move(opened);
    *model = handle.release();
    return {};
  });
}

jn_status jn_model_open_shared(const char *path, const char *store_path,
                               const jn_open_options *options, jn_model **model,
                               jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    *model = nullptr;
    if (!path)
      return nullPointer("path");
    Model::Options read;
    JN_TRY(readOpenOptions(options, read));
    auto handle = std::make_unique<jn_model>();
    std::shared_ptr<Model> opened;
    JN_TRY(Model::openShared(path, store_path, read, opened));
    handle->model = std::move(opened);
    *model = handle.release();
    return {};
  });
}

void jn_model_close(jn_model *model) { delete model; }

const char *jn_model_name(const jn_model *model) {
  return model ? model->model->program().name.c_str() : "";
}
const char *jn_model_isa(const jn_model *model) {
  return model ? model->model->level().name.c_str() : "";
}
const char *jn_model_precision(const jn_model *model) {
  return model ? model->model->program().precision.c_str() : "";
}
const char *jn_model_compiler(const jn_model *model) {
  return model ? model->model->program().compiler.c_str() : "";
}
uint64_t jn_model_store_bytes(const jn_model *model) {
  return model ? model->model->storeBytes() : 0;
}
int32_t jn_model_mask_input(const jn_model *model) {
  return model ? model->model->program().maskInput : -1;
}
uint32_t jn_model_input_count(const jn_model *model) {
  return model ? uint32_t(model->model->program().inputs.size()) : 0;
}
uint32_t jn_model_output_count(const jn_model *model) {
  return model ? uint32_t(model->model->program().outputs.size()) : 0;
}
uint32_t jn_model_check_count(const jn_model *model) {
  return model ? uint32_t(model->model->program().checks.size()) : 0;
}

static Status tensorInfo(const char *what, const std::vector<Border> &borders,
                         const std::vector<std::vector<jn_dim>> &dims,
                         uint32_t index, jn_tensor_info *info) {
  if (index >= borders.size())
    return {JN_INVALID_ARGUMENT, "the model has no " + std::string(what) +
                                     " number " + std::to_string(index)};
  jn_tensor_info result = {};
  result.name = borders[index].name.c_str();
  result.dtype_name = dtypeName(borders[index].dtype);
  result.dtype = dtypeToDLPack(borders[index].dtype);
  result.rank = int32_t(dims[index].size());
  result.dims = dims[index].data();
  return writeStruct(result, "jn_tensor_info", info);
}

jn_status jn_model_input(const jn_model *model, uint32_t index,
                         jn_tensor_info *info, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    return tensorInfo("input", model->model->program().inputs,
                      model->model->inputDims(), index, info);
  });
}

jn_status jn_model_output(const jn_model *model, uint32_t index,
                          jn_tensor_info *info, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    return tensorInfo("output", model->model->program().outputs,
                      model->model->outputDims(), index, info);
  });
}

static int32_t findBorder(const std::vector<Border> &borders,
                          const char *name) {
  for (size_t i = 0; name && i < borders.size(); ++i)
    if (borders[i].name == name)
      return int32_t(i);
  return -1;
}

int32_t jn_model_find_input(const jn_model *model, const char *name) {
  return model ? findBorder(model->model->program().inputs, name) : -1;
}

int32_t jn_model_find_output(const jn_model *model, const char *name) {
  return model ? findBorder(model->model->program().outputs, name) : -1;
}

jn_status jn_model_check(const jn_model *model, uint32_t index,
                         jn_check_info *info, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    const auto &checks = model->model->program().checks;
    if (index >= checks.size())
      return {JN_INVALID_ARGUMENT,
              "the model has no check number " + std::to_string(index)};
    const Check &check = checks[index];
    jn_check_info result = {};
    result.kind = int32_t(check.kind);
    result.input = check.input;
    result.message = check.message.c_str();
    if (check.kind == Check::Kind::InRange && check.lhs.isConstant() &&
        check.rhs.isConstant()) {
      result.has_range = 1;
      result.low = check.lhs.constantValue();
      result.high = check.rhs.constantValue();
    }
    return writeStruct(result, "jn_check_info", info);
  });
}

jn_status jn_model_output_shapes(const jn_model *model, const DLTensor *inputs,
                                 size_t n_inputs, DLTensor *outputs,
                                 size_t n_outputs, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    RunPlan plan(*model->model, 1);
    JN_TRY(plan.bind(inputs, n_inputs));
    return outputShapes(plan, *model->model, outputs, n_outputs);
  });
}

jn_status jn_workspace_bytes(const jn_model *model, const DLTensor *inputs,
                             size_t n_inputs, uint32_t threads, uint64_t *bytes,
                             jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    if (!bytes)
      return nullPointer("bytes");
    RunPlan plan(*model->model, threads ? threads : availableCores());
    JN_TRY(plan.bind(inputs, n_inputs));
    JN_TRY(plan.layout());
    *bytes = plan.workspaceBytes();
    return {};
  });
}
