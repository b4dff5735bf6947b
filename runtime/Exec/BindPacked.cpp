//===- BindPacked.cpp - What a run on packed tokens decides ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A run on packed tokens is the padded run on a batch as long as its longest
// sequence, whose few padded inputs (ids and the mask) are made here. What is
// wide is packed in both.
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/RunPlan.h"

#include <algorithm>

namespace joinery::runtime {

Status PackedBatch::read(const int64_t *offsets, uint64_t sequences,
                         PackedBatch &batch) {
  auto bad = [](const std::string &what) -> Status {
    return {JN_INVALID_INPUT, "the offsets " + what};
  };
  if (!offsets)
    return {JN_INVALID_ARGUMENT, "jn_packed_batch.offsets is a null pointer"};
  if (sequences > uint64_t(INT32_MAX))
    return bad("are of " + std::to_string(sequences) +
               " sequences, more than " + std::to_string(INT32_MAX));
  if (offsets[0] != 0)
    return bad("begin with " + std::to_string(offsets[0]) + ", not with 0");
  // A padded run has at least one column.
  batch = {offsets, int64_t(sequences), 1, 0};
  for (uint64_t i = 0; i < sequences; ++i) {
    if (offsets[i + 1] < offsets[i])
      return bad("decrease from " + std::to_string(offsets[i]) + " to " +
                 std::to_string(offsets[i + 1]) + " at sequence " +
                 std::to_string(i));
    batch.length = std::max(batch.length, offsets[i + 1] - offsets[i]);
  }
  batch.tokens = offsets[sequences];
  return {};
}

Status RunPlan::bindPacked(const PackedBatch &given, const DLTensor *inputs,
                           size_t count) {
  const Packing &packing = program.packing;
  JN_TRY(packing.supported());
  if (count != packing.inputBorders.size())
    return {JN_INVALID_ARGUMENT,
            "the model has " + std::to_string(packing.inputBorders.size()) +
                " inputs beside its mask, " + std::to_string(count) +
                " are given"};
  if (count && !inputs)
    return {JN_INVALID_ARGUMENT, "the inputs are a null pointer"};
  for (size_t i = 0, next = 0; i < program.inputs.size(); ++i) {
    if (i != packing.mask && !packing.isToken[i]) {
      paddedInputs[i] = inputs[next++];
      continue;
    }
    int64_t *shape = paddedShapes[i].data();
    if (i != packing.mask) {
      const Border &border = packing.inputBorders[next];
      const DLTensor &tensor = inputs[next++];
      JN_TRY(inspectInput(border, tensor, packedAccess[i]));
      if (tensor.shape[0] != given.tokens)
        return {JN_INVALID_INPUT, "input '" + border.name + "' has " +
                                      std::to_string(tensor.shape[0]) +
                                      " tokens, the offsets end with " +
                                      std::to_string(given.tokens)};
      std::copy(tensor.shape + 1, tensor.shape + tensor.ndim, shape + 2);
    }
    shape[0] = given.sequences;
    shape[1] = given.length;
    DLTensor padded = {};
    padded.device = {kDLCPU, 0};
    padded.dtype = dtypeToDLPack(program.inputs[i].dtype);
    padded.ndim = int32_t(paddedShapes[i].size());
    padded.shape = shape;
    paddedInputs[i] = padded;
  }
  JN_TRY(bind(paddedInputs.data(), paddedInputs.size()));
  packed = true;
  batch = given;
  for (size_t i = 0; i < program.inputs.size(); ++i)
    if (i == packing.mask || packing.isToken[i])
      access[i].copy = access[i].elements != 0;
  // Known before the step that counts them: buffers need not be as large as a
  // padded run's.
  if (packing.rows >= 0)
    values[size_t(packing.rows)] = given.tokens;
  return {};
}

/// Padded outputs live in the workspace until their rows are copied; packed
/// rows that are an output live in the caller's memory.
Status RunPlan::placePackedOutputs() {
  for (const PackedOutput &output : program.packing.outputs) {
    if (output.step >= 0) {
      placements[size_t(output.rows)] = {};
      continue;
    }
    uint64_t aligned = 0;
    int64_t needed = int64_t(dtypeBytes(program.outputs[output.output].dtype));
    bool fits = true;
    for (const Expr &dim : program.outputs[output.output].dims) {
      int64_t extent;
      fits &= dim.evaluate(values.data(), extent) && extent >= 0 &&
              !__builtin_mul_overflow(needed, extent, &needed);
    }
    if (!fits || !alignSize(sizes[output.padded], aligned))
      return {JN_INVALID_INPUT, "the size of output '" +
                                    program.outputs[output.output].name +
                                    "' leaves 64 bits: the inputs are too "
                                    "large"};
    if (sizes[output.padded] < needed)
      return {JN_INVALID_MODEL, "the program writes less than output '" +
                                    program.outputs[output.output].name +
                                    "'; compile the model again"};
    placements[output.padded] = {
        aligned, std::max(0, program.buffers[output.padded].firstStep),
        INT32_MAX, 0};
  }
  return {};
}

} // namespace joinery::runtime
