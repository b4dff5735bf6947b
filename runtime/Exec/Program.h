//===- Program.h - A decoded and verified program ---------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// program.fbs, decoded once when a model is opened. Every index that a decoded
// program holds is in range, so that execution need not look again.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_PROGRAM_H
#define JOINERY_EXEC_PROGRAM_H

#include "joinery/runtime/Status.h"
#include "runtime/Exec/Expr.h"

#include <cstdint>
#include <string>
#include <vector>

namespace joinery::runtime {

/// As DType in program.fbs.
enum class DType : uint8_t { F32, F64, F16, BF16, I8, U8, I16, I32, I64, Bool };
inline constexpr size_t kDTypes = 10;

/// Bytes per element.
size_t dtypeBytes(DType dtype);
/// As NumPy spells it ("bfloat16" where it has no name).
const char *dtypeName(DType dtype);
DLDataType dtypeToDLPack(DType dtype);

struct Symbol {
  std::string name;
  /// For a symbol that a step defines: its upper bound.
  Expr bound;
  bool definedByStep = false;
};

struct Border {
  std::string name;
  DType dtype = DType::F32;
  std::vector<Expr> dims;
  std::vector<std::string> dimNames;
};

struct Check {
  enum class Kind : uint8_t { Equal, AtMost, Binary, InRange, NonZero };
  Kind kind = Kind::Equal;
  Expr lhs;
  Expr rhs;
  int32_t input = -1;
  std::string message;
};

struct Buffer {
  enum class Kind : uint8_t { Workspace, Weight, Input, Output };
  Kind kind = Kind::Workspace;
  int32_t index = -1;
  Expr bytes;
  /// A workspace buffer's first and last step.
  int32_t firstStep = -1;
  int32_t lastStep = -1;
};

struct SymbolDef {
  uint32_t symbol;
  uint32_t buffer;
  Expr index;
};

struct Step {
  uint32_t kernel = 0;
  std::string name;
  std::vector<uint32_t> operands;
  std::vector<SymbolDef> defines;
};

struct Kernel {
  Expr tasks;
  Expr scratch;
  Expr flops;
  /// Bytes moved of each operand, the result last.
  std::vector<Expr> bytes;
  /// `tasks` or `scratch` depends on a symbol that a step defines.
  bool dynamic = false;
};

/// What is different between instruction-set levels: the kernels of the steps.
struct Level {
  std::string name;
  std::vector<Kernel> kernels;
};

struct Program {
  std::string name;
  std::string compiler;
  std::string storeHash;
  std::string precision;
  std::vector<Symbol> symbols;
  std::vector<Border> inputs;
  std::vector<Border> outputs;
  std::vector<Check> checks;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  /// Each has all kernels that the steps use.
  std::vector<Level> levels;
  int32_t maskInput = -1;

  /// Verifies and decodes. Error: JN_INVALID_MODEL.
  static Status decode(const uint8_t *data, uint64_t bytes, Program &program);
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_PROGRAM_H
