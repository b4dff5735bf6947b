//===- RunPlan.cpp - What a run's shapes decide ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/RunPlan.h"

#include <algorithm>

namespace joinery::runtime {

RunPlan::RunPlan(const Model &model, uint32_t threads)
    : model(model), program(model.program()), level(model.level()),
      threads(threads) {
  size_t inputs = program.inputs.size();
  values.resize(program.symbols.size());
  bound.resize(program.symbols.size());
  access.resize(inputs);
  sizes.resize(program.buffers.size());
  sizesOfSteps.resize(program.steps.size());
  placements.resize(sizes.size() + inputs + program.steps.size());
  planner.reserve(placements.size());
  plannedValues.resize(values.size());
  plannedCopies.resize(inputs);
  paddedInputs.resize(inputs);
  packedAccess.resize(inputs);
  for (const Border &border : program.inputs)
    paddedShapes.emplace_back(border.dims.size());
}

static std::string dimOf(const Border &border, size_t dim) {
  std::string text =
      "dimension " + std::to_string(dim) + " of input '" + border.name + "'";
  if (!border.dimNames[dim].empty())
    text += " ('" + border.dimNames[dim] + "')";
  return text;
}

Status RunPlan::bind(const DLTensor *inputs, size_t count) {
  if (count != program.inputs.size())
    return {JN_INVALID_ARGUMENT,
            "the model has " + std::to_string(program.inputs.size()) +
                " inputs, " + std::to_string(count) + " are given"};
  if (count && !inputs)
    return {JN_INVALID_ARGUMENT, "the inputs are a null pointer"};
  packed = false;
  std::fill(bound.begin(), bound.end(), 0);
  for (size_t i = 0; i < count; ++i) {
    JN_TRY(inspectInput(program.inputs[i], inputs[i], access[i]));
    for (int dim = 0; dim < inputs[i].ndim; ++dim)
      JN_TRY(bindDim(i, size_t(dim), inputs[i].shape[dim]));
  }
  // Divisors first: everything else may divide by them.
  JN_TRY(checkObligations(/*divisors=*/true));
  JN_TRY(checkDims(inputs));
  JN_TRY(checkObligations(/*divisors=*/false));
  return boundDefinedSymbols();
}

Status RunPlan::bindDim(size_t input, size_t dim, int64_t extent) {
  const Border &border = program.inputs[input];
  const Expr &expr = border.dims[dim];
  if (expr.isConstant() && expr.constantValue() != extent)
    return {JN_INVALID_INPUT,
            dimOf(border, dim) + " is " + std::to_string(extent) +
                ", the model takes " + std::to_string(expr.constantValue())};
  int64_t symbol = expr.plainSymbol();
  if (symbol < 0)
    return {};
  if (bound[symbol] && values[symbol] != extent)
    return boundByOther(input, dim, extent);
  bound[symbol] = 1;
  values[symbol] = extent;
  return {};
}

/// The error for an extent that contradicts an earlier one.
Status RunPlan::boundByOther(size_t input, size_t dim, int64_t extent) const {
  const Border &border = program.inputs[input];
  int64_t symbol = border.dims[dim].plainSymbol();
  std::string other = "an earlier dimension";
  for (size_t i = input + 1; i-- > 0;)
    for (size_t d = program.inputs[i].dims.size(); d-- > 0;)
      if ((i < input || d < dim) &&
          program.inputs[i].dims[d].plainSymbol() == symbol)
        other = dimOf(program.inputs[i], d);
  return {JN_INVALID_INPUT, dimOf(border, dim) + " is " +
                                std::to_string(extent) + ", but " + other +
                                " is " + std::to_string(values[symbol]) +
                                "; they must be equal"};
}

/// Dimensions that are neither constants nor plain symbols.
Status RunPlan::checkDims(const DLTensor *inputs) const {
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    const Border &border = program.inputs[i];
    for (size_t dim = 0; dim < border.dims.size(); ++dim) {
      const Expr &expr = border.dims[dim];
      if (expr.isConstant() || expr.plainSymbol() >= 0)
        continue;
      int64_t want;
      if (!expr.evaluate(values.data(), want))
        return {JN_INVALID_INPUT, dimOf(border, dim) +
                                      " cannot be computed for the sizes of "
                                      "the other inputs"};
      if (want != inputs[i].shape[dim])
        return {JN_INVALID_INPUT,
                dimOf(border, dim) + " is " +
                    std::to_string(inputs[i].shape[dim]) +
                    ", the sizes of the other inputs make it " +
                    std::to_string(want)};
    }
  }
  return {};
}

Status RunPlan::checkObligations(bool divisors) const {
  for (const Check &check : program.checks) {
    bool isDivisor = check.kind == Check::Kind::NonZero;
    if (isDivisor != divisors || check.kind == Check::Kind::Binary ||
        check.kind == Check::Kind::InRange || check.kind == Check::Kind::Mask)
      continue;
    int64_t lhs, rhs;
    if (!check.lhs.evaluate(values.data(), lhs) ||
        !check.rhs.evaluate(values.data(), rhs))
      return {JN_INVALID_INPUT,
              check.message + " (not computable for these sizes)"};
    switch (check.kind) {
    case Check::Kind::Equal:
      if (lhs != rhs)
        return {JN_INVALID_INPUT, check.message + " (" + std::to_string(lhs) +
                                      " is not " + std::to_string(rhs) + ")"};
      break;
    case Check::Kind::AtMost:
      if (lhs > rhs)
        return {JN_INVALID_INPUT, check.message + " (" + std::to_string(lhs) +
                                      " is more than " + std::to_string(rhs) +
                                      ")"};
      break;
    default:
      if (lhs == 0)
        return {JN_INVALID_INPUT, check.message + " (a divisor is 0)"};
    }
  }
  return {};
}

Status RunPlan::boundDefinedSymbols() {
  for (size_t i = 0; i < values.size(); ++i) {
    const Symbol &symbol = program.symbols[i];
    if (!symbol.definedByStep)
      continue;
    if (!symbol.bound.evaluate(values.data(), values[i]) || values[i] < 0)
      return {JN_INVALID_INPUT, "the bound of '" + symbol.name +
                                    "' leaves 64 bits: the inputs are too "
                                    "large"};
  }
  return {};
}

Status RunPlan::outputExtent(size_t output, size_t dim, const int64_t *symbols,
                             int64_t &extent) const {
  const Border &border = outputBorder(output);
  if (packed && program.packing.packedOutput[output] && dim == 0) {
    extent = batch.tokens;
    return {};
  }
  if (border.dims[dim].evaluate(symbols, extent) && extent >= 0)
    return {};
  return {JN_INVALID_INPUT, "dimension " + std::to_string(dim) +
                                " of output '" + border.name +
                                "' has no size for these inputs"};
}

Status RunPlan::sizeBuffers() {
  for (size_t i = 0; i < sizes.size(); ++i) {
    const Buffer &buffer = program.buffers[i];
    uint64_t aligned = 0;
    if (!buffer.bytes.evaluate(values.data(), sizes[i]) ||
        !alignSize(sizes[i], aligned))
      return {JN_INVALID_INPUT,
              "the size of buffer " + std::to_string(i) +
                  " leaves 64 bits: the inputs are too large"};
    switch (buffer.kind) {
    case Buffer::Kind::Workspace:
      placements[i] = {aligned, buffer.firstStep, buffer.lastStep, 0};
      break;
    case Buffer::Kind::Weight:
      if (uint64_t(sizes[i]) > model.weightBytes(uint32_t(buffer.index)))
        return {JN_INVALID_MODEL, "the program reads past the end of table " +
                                      std::to_string(buffer.index) +
                                      "; compile the model again"};
      break;
    case Buffer::Kind::Input:
      if (sizes[i] > access[buffer.index].bytes)
        return {JN_INVALID_MODEL, "the program reads past the end of input '" +
                                      program.inputs[buffer.index].name +
                                      "'; compile the model again"};
      break;
    case Buffer::Kind::Output:
      placements[i] = {};
      break; // against the caller's capacity
    }
  }
  return packed ? placePackedOutputs() : Status();
}

/// False if a size leaves 64 bits.
bool RunPlan::sizesOf(size_t step, const int64_t *symbols,
                      StepSizes &sizes) const {
  const Kernel &kernel = level.kernels[program.steps[step].kernel];
  int64_t scratch, shared;
  if (!kernel.tasks.evaluate(symbols, sizes.tasks) ||
      !kernel.grain.evaluate(symbols, sizes.grain) ||
      !kernel.scratch.evaluate(symbols, scratch) ||
      !kernel.shared.evaluate(symbols, shared) ||
      !alignSize(scratch, sizes.scratch))
    return false;
  // Alone there is nothing to share; steps of packed rows ask this in each run.
  if (threads > 1 && (!kernel.workers.evaluate(symbols, sizes.workers) ||
                      !kernel.prepare.evaluate(symbols, sizes.prepare) ||
                      !kernel.finish.evaluate(symbols, sizes.finish) ||
                      !kernel.alone.evaluate(symbols, sizes.alone)))
    return false;
  constexpr int64_t counters = JN_SHARED_COUNTERS * sizeof(int64_t);
  return !__builtin_add_overflow(shared, shared > 0 ? counters : 0, &shared) &&
         alignSize(shared, sizes.shared);
}

bool RunPlan::resize(size_t step, const int64_t *symbols,
                     StepSizes &sizes) const {
  return sizesOf(step, symbols, sizes) &&
         sizes.scratch <= sizesOfSteps[step].scratch &&
         sizes.shared <= sizesOfSteps[step].shared;
}

Status RunPlan::sizeSteps() {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    StepSizes &step = sizesOfSteps[i];
    uint64_t all;
    if (!sizesOf(i, values.data(), step) ||
        __builtin_mul_overflow(step.scratch, uint64_t(threads), &all) ||
        __builtin_add_overflow(all, step.shared, &all) ||
        all > uint64_t(INT64_MAX))
      return {JN_INVALID_INPUT, "the work of step '" + program.steps[i].name +
                                    "' leaves 64 bits: the inputs are too "
                                    "large"};
    placements[sizes.size() + access.size() + i] = {all, int32_t(i), int32_t(i),
                                                    0};
  }
  return {};
}

Status RunPlan::layout() {
  auto sameCopies = [&] {
    for (size_t i = 0; i < access.size(); ++i)
      if (plannedCopies[i] != char(access[i].copy))
        return false;
    return true;
  };
  if (planned && plannedPacked == packed && plannedValues == values &&
      sameCopies())
    return {};
  planned = false;
  JN_TRY(sizeBuffers());
  JN_TRY(sizeSteps());
  for (size_t i = 0; i < access.size(); ++i) {
    // Any step may read an input, so its copy lives as long as the run.
    uint64_t aligned = 0;
    alignSize(access[i].copy ? access[i].bytes : 0, aligned);
    placements[sizes.size() + i] = {aligned, 0, INT32_MAX, 0};
    plannedCopies[i] = access[i].copy;
  }
  if (!planner.plan(placements, total))
    return {JN_INVALID_INPUT, "the workspace leaves 63 bits: the inputs are "
                              "too large"};
  std::copy(values.begin(), values.end(), plannedValues.begin());
  plannedPacked = packed;
  planned = true;
  return {};
}

} // namespace joinery::runtime
