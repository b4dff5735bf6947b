//===- Faults.cpp - What kernels report, in words -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Context.h"

#include <charconv>
#include <cstring>

namespace joinery::runtime {

/// A position as an index, "[1, 3]", where it is one.
std::string Context::placeOf(const std::vector<Expr> &dims,
                             int64_t position) const {
  std::string flat = "position " + std::to_string(position);
  if (position < 0)
    return flat;
  std::string index;
  int64_t rest = position, extent;
  for (size_t i = dims.size(); i-- > 0;) {
    if (!dims[i].evaluate(symbols.data(), extent) || extent <= 0)
      return flat;
    index = std::to_string(rest % extent) + (index.empty() ? "" : ", ") + index;
    rest /= extent;
  }
  return rest || index.empty() ? flat : "[" + index + "]";
}

Status Context::faultStatus(const JnFault &fault, size_t step) const {
  if (fault.check < 0 || uint64_t(fault.check) >= program.checks.size())
    return {JN_INTERNAL, "a kernel reports a check that does not exist (" +
                             std::to_string(fault.check) + ")"};
  const Check &check = program.checks[size_t(fault.check)];
  if (check.kind == Check::Kind::Mask)
    return maskStatus(check, fault, step);
  std::string text = check.message + " (";
  bool ofInput = check.input >= 0;
  if (ofInput)
    text += "input '" + program.inputs[check.input].name + "': ";
  text += "value " + std::to_string(fault.value) + " at " +
          placeOf(ofInput ? program.inputs[check.input].dims
                          : std::vector<Expr>(),
                  fault.position);
  int64_t low, high;
  if (check.kind == Check::Kind::InRange &&
      check.lhs.evaluate(symbols.data(), low) &&
      check.rhs.evaluate(symbols.data(), high))
    text += " is outside [" + std::to_string(low) + ", " +
            std::to_string(high) + ")";
  return {JN_INVALID_INPUT, text + ")"};
}

/// The same kernel serves all layers: the step says which softmax it was.
Status Context::maskStatus(const Check &check, const JnFault &fault,
                           size_t step) const {
  auto node = check.nodes.find(uint32_t(step));
  const std::string &name =
      node != check.nodes.end() ? node->second : program.steps[step].name;
  uint32_t bits = uint32_t(fault.value);
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  char number[32];
  char *end = std::to_chars(number, number + sizeof(number), score).ptr;
  return {JN_INVALID_INPUT, "'" + name + "': " + check.message +
                                " (the largest score of row " +
                                placeOf(check.rows, fault.position) + " is " +
                                std::string(number, end) + ")"};
}

} // namespace joinery::runtime
