//===- Packing.cpp - Verifying and decoding how tokens are packed ---------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Program.h"

#include "program_generated.h"

namespace joinery::runtime {

/// [batch, sequence, ...] with nothing else that changes.
static bool hasRowForEachToken(const Packing &packing, const Border &border) {
  if (border.dims.size() < 2 ||
      border.dims[0].plainSymbol() != packing.batch ||
      border.dims[1].plainSymbol() != packing.sequence)
    return false;
  for (size_t i = 2; i < border.dims.size(); ++i)
    if (!border.dims[i].isConstant())
      return false;
  return true;
}

/// The same without padding: one dimension for both.
static Border packedBorder(Border border) {
  border.dims.erase(border.dims.begin());
  border.dimNames.erase(border.dimNames.begin());
  return border;
}

static bool decodeInputs(const program::Packing &source, Program &program) {
  Packing &to = program.packing;
  if (source.mask() < 0 || size_t(source.mask()) >= program.inputs.size())
    return false;
  to.mask = size_t(source.mask());
  const Border &mask = program.inputs[to.mask];
  if (mask.dims.size() != 2)
    return false;
  to.batch = mask.dims[0].plainSymbol();
  to.sequence = mask.dims[1].plainSymbol();
  if (to.batch < 0 || to.sequence < 0 || to.batch == to.sequence)
    return false;
  to.kept = source.kept();
  to.rows = source.rows();
  if ((to.kept != 0 && to.kept != 1) || to.rows < -1 ||
      (to.rows >= 0 && (size_t(to.rows) >= program.symbols.size() ||
                        !program.symbols[size_t(to.rows)].definedByStep)))
    return false;
  to.isToken.resize(program.inputs.size());
  if (source.tokens())
    for (uint32_t token : *source.tokens()) {
      if (token >= program.inputs.size() || token == to.mask ||
          !hasRowForEachToken(to, program.inputs[token]))
        return false;
      to.isToken[token] = 1;
    }
  for (size_t i = 0; i < program.inputs.size(); ++i)
    if (i != to.mask)
      to.inputBorders.push_back(to.isToken[i] ? packedBorder(program.inputs[i])
                                              : program.inputs[i]);
  return true;
}

/// A run leaves out the step, so nothing else may need what it writes.
static bool maySkip(const Program &program, const PackedOutput &output) {
  if (program.packing.rows < 0 || output.step < 0 || output.rows < 0 ||
      size_t(output.step) >= program.steps.size() ||
      size_t(output.rows) >= program.buffers.size())
    return false;
  const Step &step = program.steps[size_t(output.step)];
  const Buffer &padded = program.buffers[output.padded];
  return program.buffers[size_t(output.rows)].kind == Buffer::Kind::Workspace &&
         padded.firstStep == output.step && padded.lastStep == output.step &&
         step.defines.empty() && step.operands.back() == output.padded;
}

static bool decodeOutput(const program::PackedOutput &source,
                         Program &program) {
  Packing &to = program.packing;
  PackedOutput output = {source.output(), 0, source.step(), source.buffer()};
  if (output.output >= program.outputs.size() ||
      !hasRowForEachToken(to, program.outputs[output.output]))
    return false;
  size_t buffers = 0;
  for (size_t i = 0; i < program.buffers.size(); ++i)
    if (program.buffers[i].kind == Buffer::Kind::Output &&
        program.buffers[i].index == int32_t(output.output)) {
      output.padded = uint32_t(i);
      ++buffers;
    }
  if (buffers != 1)
    return false;
  for (const PackedOutput &other : to.outputs)
    if (other.output == output.output ||
        (output.rows >= 0 && other.rows == output.rows))
      return false;
  if (output.step != -1 || output.rows != -1) {
    if (!maySkip(program, output))
      return false;
    to.skipped[size_t(output.step)] = 1;
  }
  to.outputs.push_back(output);
  return true;
}

bool decodePacking(const program::Packing *source, Program &program) {
  Packing &to = program.packing;
  if (!source) {
    to.refusal = "it was compiled before there were any";
    return true;
  }
  if (source->refusal() && source->refusal()->size()) {
    to.refusal = source->refusal()->str();
    return true;
  }
  if (!decodeInputs(*source, program))
    return false;
  to.skipped.resize(program.steps.size());
  if (source->outputs())
    for (const auto *output : *source->outputs())
      if (!decodeOutput(*output, program))
        return false;
  to.packedOutput.resize(program.outputs.size());
  for (const PackedOutput &output : to.outputs)
    to.packedOutput[output.output] = &output;
  for (size_t i = 0; i < program.outputs.size(); ++i)
    to.outputBorders.push_back(to.packedOutput[i]
                                   ? packedBorder(program.outputs[i])
                                   : program.outputs[i]);
  return true;
}

} // namespace joinery::runtime
