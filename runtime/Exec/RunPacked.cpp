//===- RunPacked.cpp - Runs on packed tokens ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Context.h"
#include "runtime/Exec/Tensor.h"

#include <algorithm>
#include <cstring>

namespace joinery::runtime {

Status Context::reservePacked(const PackedBatch &batch, const DLTensor *inputs,
                              size_t count) {
  InUse use(inUse);
  JN_TRY(use.status());
  JN_TRY(runPlan.bindPacked(batch, inputs, count));
  JN_TRY(runPlan.layout());
  return ensureWorkspace(/*grow=*/true);
}

Status Context::runPacked(const PackedBatch &batch, const DLTensor *inputs,
                          size_t inputCount, DLTensor *outputs,
                          size_t outputCount) {
  InUse use(inUse);
  JN_TRY(use.status());
  JN_TRY(runPlan.bindPacked(batch, inputs, inputCount));
  return runBound(inputs, outputs, outputCount);
}

Status Context::preparePackedInputs(const DLTensor *inputs) {
  const Packing &packing = program.packing;
  for (size_t i = 0; i < inputData.size(); ++i) {
    if (i != packing.mask && !packing.isToken[i]) {
      JN_TRY(prepareInput(i, runPlan.paddedInput(i)));
      continue;
    }
    char *to = workspace() + runPlan.copyOffset(i);
    inputData[i] = to;
    if (runPlan.input(i).elements == 0)
      continue;
    if (i == packing.mask) {
      fillMask(to);
      continue;
    }
    JN_TRY(spreadTokens(i, inputs[i - (i > packing.mask)], to));
    JN_TRY(scanInput(i));
  }
  return {};
}

/// Packs the caller's tokens at `to` and moves each sequence to its place, the
/// last first: none moves over one that is still to be moved.
Status Context::spreadTokens(size_t input, const DLTensor &tensor, char *to) {
  const PackedBatch &batch = *runPlan.packedBatch();
  const Border &border = program.inputs[input];
  const InputAccess &access = runPlan.packedInput(input);
  JN_TRY(requireData("input", border, tensor, access.elements));
  if (access.elements)
    JN_TRY(copyInput(border, tensor, access, to));
  int64_t row = runPlan.input(input).bytes / (batch.sequences * batch.length);
  for (int64_t b = batch.sequences; b-- > 0;) {
    int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    char *sequence = to + b * batch.length * row;
    std::memmove(sequence, to + batch.offsets[b] * row, size_t(length * row));
    std::memset(sequence + length * row, 0,
                size_t((batch.length - length) * row));
  }
  return {};
}

/// The bytes of 1, little-endian.
static uint64_t bitsOfOne(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return 0x3f800000;
  case DType::F64:
    return 0x3ff0000000000000;
  case DType::F16:
    return 0x3c00;
  case DType::BF16:
    return 0x3f80;
  default:
    return 1;
  }
}

void Context::fillMask(char *to) const {
  const PackedBatch &batch = *runPlan.packedBatch();
  DType dtype = program.inputs[program.packing.mask].dtype;
  size_t bytes = dtypeBytes(dtype);
  uint64_t one = bitsOfOne(dtype);
  uint64_t kept = program.packing.kept ? one : 0;
  uint64_t dropped = program.packing.kept ? 0 : one;
  for (int64_t b = 0; b < batch.sequences; ++b) {
    int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    for (int64_t s = 0; s < batch.length; ++s, to += bytes)
      std::memcpy(to, s < length ? &kept : &dropped, bytes);
  }
}

void Context::locatePackedOutputs(DLTensor *outputs) {
  for (const PackedOutput &output : program.packing.outputs) {
    const DLTensor &tensor = outputs[output.output];
    if (output.step < 0) {
      bufferData[output.padded] =
          workspace() + runPlan.bufferOffset(output.padded);
      continue;
    }
    bufferData[size_t(output.rows)] =
        static_cast<char *>(tensor.data) + tensor.byte_offset;
    bufferData[output.padded] = nullptr;
  }
}

void Context::copyPackedOutputs(DLTensor *outputs) const {
  const PackedBatch &batch = *runPlan.packedBatch();
  for (const PackedOutput &output : program.packing.outputs) {
    const DLTensor &tensor = outputs[output.output];
    if (output.step >= 0 || batch.tokens == 0)
      continue;
    int64_t row = int64_t(dtypeBytes(program.outputs[output.output].dtype));
    for (int dim = 1; dim < tensor.ndim; ++dim)
      row *= tensor.shape[dim];
    const char *from = static_cast<const char *>(bufferData[output.padded]);
    char *to = static_cast<char *>(tensor.data) + tensor.byte_offset;
    for (int64_t b = 0; b < batch.sequences; ++b) {
      int64_t length = batch.offsets[b + 1] - batch.offsets[b];
      std::memcpy(to + batch.offsets[b] * row, from + b * batch.length * row,
                  size_t(length * row));
    }
  }
}

} // namespace joinery::runtime
