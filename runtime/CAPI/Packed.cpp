//===- Packed.cpp - The C interface of packed tokens ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/CAPI/Support.h"
#include "runtime/Exec/Cpu.h"

using namespace joinery::runtime;

static Status readBatch(const jn_packed_batch *from, PackedBatch &batch) {
  if (!from)
    return nullPointer("batch");
  jn_packed_batch read;
  JN_TRY(readStruct(from, "jn_packed_batch", read));
  return PackedBatch::read(read.offsets, read.sequences, batch);
}

jn_status jn_model_packed(const jn_model *model, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    return model->model->program().packing.supported();
  });
}

jn_packed_kind jn_model_packed_input(const jn_model *model, uint32_t index) {
  if (!model || !model->model->program().packing.refusal.empty())
    return JN_PACKED_SAME;
  const Packing &packing = model->model->program().packing;
  return index == packing.mask ? JN_PACKED_LEFT_OUT
         : index < packing.isToken.size() && packing.isToken[index]
             ? JN_PACKED_TOKENS
             : JN_PACKED_SAME;
}

jn_packed_kind jn_model_packed_output(const jn_model *model, uint32_t index) {
  if (!model)
    return JN_PACKED_SAME;
  const Packing &packing = model->model->program().packing;
  return index < packing.packedOutput.size() && packing.packedOutput[index]
             ? JN_PACKED_TOKENS
             : JN_PACKED_SAME;
}

jn_status jn_model_output_shapes_packed(const jn_model *model,
                                        const jn_packed_batch *batch,
                                        const DLTensor *inputs, size_t n_inputs,
                                        DLTensor *outputs, size_t n_outputs,
                                        jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    PackedBatch read;
    JN_TRY(readBatch(batch, read));
    RunPlan plan(*model->model, 1);
    JN_TRY(plan.bindPacked(read, inputs, n_inputs));
    return outputShapes(plan, *model->model, outputs, n_outputs);
  });
}

jn_status jn_workspace_bytes_packed(const jn_model *model,
                                    const jn_packed_batch *batch,
                                    const DLTensor *inputs, size_t n_inputs,
                                    uint32_t threads, uint64_t *bytes,
                                    jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return nullPointer("model");
    if (!bytes)
      return nullPointer("bytes");
    PackedBatch read;
    JN_TRY(readBatch(batch, read));
    RunPlan plan(*model->model, threads ? threads : availableCores());
    JN_TRY(plan.bindPacked(read, inputs, n_inputs));
    JN_TRY(plan.layout());
    *bytes = plan.workspaceBytes();
    return {};
  });
}

jn_status jn_context_reserve_packed(jn_context *context,
                                    const jn_packed_batch *batch,
                                    const DLTensor *inputs, size_t n_inputs,
                                    jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    PackedBatch read;
    JN_TRY(readBatch(batch, read));
    return context->context.reservePacked(read, inputs, n_inputs);
  });
}

jn_status jn_run_packed(jn_context *context, const jn_packed_batch *batch,
                        const DLTensor *inputs, size_t n_inputs,
                        DLTensor *outputs, size_t n_outputs, jn_error *error) {
  return guarded(error, [&]() -> Status {
    if (!context)
      return nullPointer("context");
    PackedBatch read;
    JN_TRY(readBatch(batch, read));
    return context->context.runPacked(read, inputs, n_inputs, outputs,
                                      n_outputs);
  });
}
