//===- Context.cpp - The state of a run -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Context.h"

#include "runtime/Exec/Tensor.h"

#include <algorithm>
#include <utility>

namespace joinery::runtime {

Context::Context(std::shared_ptr<const Model> theModel,
                 const Options &theOptions)
    : model(std::move(theModel)), program(model->program()),
      level(model->level()), options(theOptions),
      runPlan(*model, theOptions.threads), symbols(program.symbols.size()),
      inputData(program.inputs.size()), bufferData(program.buffers.size()),
      capacities(program.outputs.size()), reports(theOptions.threads) {
  size_t count = 0;
  for (const Step &step : program.steps) {
    firstOperand.push_back(count);
    count += step.operands.size();
  }
  operands.resize(count);
  // Last: nothing after it may throw, so that it is always released.
  reserveWorkers(ownWorkers());
}

Context::~Context() { releaseWorkers(ownWorkers()); }

Status Context::setTrace(jn_trace_fn trace, void *data) {
  InUse use(inUse);
  JN_TRY(use.status());
  options.trace = trace;
  options.traceData = data;
  return {};
}

Status Context::reserve(const DLTensor *inputs, size_t count) {
  InUse use(inUse);
  JN_TRY(use.status());
  JN_TRY(runPlan.bind(inputs, count));
  JN_TRY(runPlan.layout());
  return ensureWorkspace(/*grow=*/true);
}

Status Context::ensureWorkspace(bool grow) {
  uint64_t needed = runPlan.workspaceBytes();
  if (needed <= workspaceBytes())
    return {};
  if (grow && !options.workspace)
    return memory.grow(needed);
  return {JN_CAPACITY,
          "the workspace holds " + std::to_string(workspaceBytes()) +
              " bytes, these inputs need " + std::to_string(needed) +
              (options.workspace ? "; give a larger one"
                                 : "; call jn_context_reserve before the run")};
}

Status Context::run(const DLTensor *inputs, size_t inputCount,
                    DLTensor *outputs, size_t outputCount) {
  InUse use(inUse);
  JN_TRY(use.status());
  JN_TRY(runPlan.bind(inputs, inputCount));
  return runBound(inputs, outputs, outputCount);
}

Status Context::runBound(const DLTensor *inputs, DLTensor *outputs,
                         size_t outputCount) {
  JN_TRY(model->checkStore());
  JN_TRY(runPlan.layout());
  JN_TRY(prepareOutputs(outputs, outputCount));
  JN_TRY(ensureWorkspace(options.grow));
  JN_TRY(runPlan.packedBatch() ? preparePackedInputs(inputs)
                               : prepareInputs(inputs));
  locateBuffers(outputs);
  std::copy(runPlan.symbols().begin(), runPlan.symbols().end(),
            symbols.begin());
  JN_TRY(execute());
  return finishOutputs(outputs);
}

Status Context::prepareInputs(const DLTensor *inputs) {
  for (size_t i = 0; i < inputData.size(); ++i)
    JN_TRY(prepareInput(i, inputs[i]));
  return {};
}

Status Context::prepareInput(size_t input, const DLTensor &tensor) {
  const Border &border = program.inputs[input];
  const InputAccess &access = runPlan.input(input);
  JN_TRY(requireData("input", border, tensor, access.elements));
  if (access.copy) {
    void *copy = workspace() + runPlan.copyOffset(input);
    JN_TRY(copyInput(border, tensor, access, copy));
    inputData[input] = copy;
  } else {
    inputData[input] =
        static_cast<const char *>(tensor.data) + tensor.byte_offset;
  }
  return scanInput(input);
}

/// Values that the model needs to be 0 or 1. Kernels may take any byte of a
/// boolean for granted, so booleans are always looked at.
Status Context::scanInput(size_t input) {
  const Border &border = program.inputs[input];
  const Check *wanted = nullptr;
  for (const Check &check : program.checks)
    if (check.kind == Check::Kind::Binary && check.input == int32_t(input))
      wanted = &check;
  if (!wanted && border.dtype != DType::Bool)
    return {};
  int64_t position;
  std::string value;
  if (!findNonBinary(border.dtype, inputData[input],
                     runPlan.input(input).elements, position, value))
    return {};
  return {JN_INVALID_INPUT,
          (wanted ? wanted->message
                  : "input '" + border.name + "' holds booleans") +
              " (value " + value + " at position " + std::to_string(position) +
              " of '" + border.name + "' is neither 0 nor 1)"};
}

Status Context::prepareOutputs(DLTensor *outputs, size_t count) {
  if (count != program.outputs.size())
    return {JN_INVALID_ARGUMENT,
            "the model has " + std::to_string(program.outputs.size()) +
                " outputs, " + std::to_string(count) + " are given"};
  if (count && !outputs)
    return {JN_INVALID_ARGUMENT, "the outputs are a null pointer"};
  auto requireRoom = [&](size_t output, int64_t needed) -> Status {
    if (needed > capacities[output])
      return {JN_CAPACITY,
              "output '" + program.outputs[output].name + "' has room for " +
                  std::to_string(capacities[output]) +
                  " bytes, the run needs " + std::to_string(needed)};
    return requireData("output", program.outputs[output], outputs[output],
                       needed);
  };
  for (size_t i = 0; i < count; ++i) {
    const Border &border = runPlan.outputBorder(i);
    JN_TRY(inspectOutput(border, outputs[i], capacities[i]));
    int64_t bytes = int64_t(dtypeBytes(border.dtype));
    bool empty = false, fits = true;
    for (size_t dim = 0; dim < border.dims.size(); ++dim) {
      int64_t extent;
      JN_TRY(runPlan.outputExtent(i, dim, runPlan.symbols().data(), extent));
      empty |= extent == 0;
      fits &= !__builtin_mul_overflow(bytes, extent, &bytes);
    }
    JN_TRY(requireRoom(i, empty ? 0 : fits ? bytes : INT64_MAX));
  }
  bool packed = runPlan.packedBatch();
  for (size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer &buffer = program.buffers[i];
    if (buffer.kind == Buffer::Kind::Output &&
        !(packed && program.packing.packedOutput[size_t(buffer.index)]))
      JN_TRY(requireRoom(size_t(buffer.index), runPlan.bufferBytes(i)));
  }
  if (packed)
    for (const PackedOutput &output : program.packing.outputs)
      if (output.step >= 0)
        JN_TRY(requireRoom(output.output,
                           runPlan.bufferBytes(size_t(output.rows))));
  return {};
}

void Context::locateBuffers(DLTensor *outputs) {
  for (size_t i = 0; i < bufferData.size(); ++i) {
    const Buffer &buffer = program.buffers[i];
    switch (buffer.kind) {
    case Buffer::Kind::Workspace:
      bufferData[i] = workspace() + runPlan.bufferOffset(i);
      break;
    case Buffer::Kind::Weight:
      bufferData[i] =
          const_cast<void *>(model->weightData(uint32_t(buffer.index)));
      break;
    case Buffer::Kind::Input:
      bufferData[i] = const_cast<void *>(inputData[buffer.index]);
      break;
    case Buffer::Kind::Output: {
      const DLTensor &tensor = outputs[buffer.index];
      bufferData[i] = static_cast<char *>(tensor.data) + tensor.byte_offset;
      break;
    }
    }
  }
  if (runPlan.packedBatch())
    locatePackedOutputs(outputs);
  size_t next = 0;
  for (const Step &step : program.steps)
    for (uint32_t operand : step.operands)
      operands[next++] = bufferData[operand];
}

Status Context::finishOutputs(DLTensor *outputs) const {
  for (size_t i = 0; i < program.outputs.size(); ++i)
    for (size_t dim = 0; dim < runPlan.outputBorder(i).dims.size(); ++dim)
      JN_TRY(
          runPlan.outputExtent(i, dim, symbols.data(), outputs[i].shape[dim]));
  if (runPlan.packedBatch())
    copyPackedOutputs(outputs);
  return {};
}

} // namespace joinery::runtime
