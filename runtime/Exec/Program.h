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
#include <map>
#include <string>
#include <vector>

namespace joinery::program {
struct Packing;
}

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
  enum class Kind : uint8_t { Equal, AtMost, Binary, InRange, NonZero, Mask };
  Kind kind = Kind::Equal;
  Expr lhs;
  Expr rhs;
  int32_t input = -1;
  std::string message;
  /// Masks only: what numbers the rows, and the node of each step.
  std::vector<Expr> rows;
  std::map<uint32_t, std::string> nodes;
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
  /// Of 1 and of 0 where they are left out.
  Expr grain;
  Expr shared;
  /// The most workers that find enough to do; tasks of the phases before and
  /// after its own, and the fewest for each worker that need no phases.
  Expr workers, prepare, finish, alone;
  /// One of those above depends on a symbol that a step defines.
  bool dynamic = false;
  Expr flops;
  /// Bytes moved of each operand, the result last.
  std::vector<Expr> bytes;
};

/// What is different between instruction-set levels: the kernels of the steps.
struct Level {
  std::string name;
  std::vector<Kernel> kernels;
};

/// An output with a row for each token.
struct PackedOutput {
  uint32_t output = 0;
  /// Its buffer.
  uint32_t padded = 0;
  /// The step that only spreads the rows of `rows` over it, or -1.
  int32_t step = -1;
  int32_t rows = -1;
};

/// How tokens without padding are run: see program.fbs.
struct Packing {
  /// Why they cannot be, or empty. Then the rest is not set.
  std::string refusal;
  size_t mask = 0;
  int32_t kept = 1;
  int64_t batch = 0;
  int64_t sequence = 0;
  int32_t rows = -1;
  std::vector<PackedOutput> outputs;
  /// By input, output and step.
  std::vector<char> isToken;
  std::vector<const PackedOutput *> packedOutput;
  std::vector<char> skipped;
  /// What the caller gives and gets: inputs without the mask, tokens in rows.
  std::vector<Border> inputBorders;
  std::vector<Border> outputBorders;

  Status supported() const {
    if (refusal.empty())
      return {};
    return {JN_UNSUPPORTED, "the model takes no packed tokens: " + refusal};
  }
};

struct Program {
  Program() = default;
  Program(const Program &) = delete;
  Program &operator=(const Program &) = delete;

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
  Packing packing;

  /// Verifies and decodes. Error: JN_INVALID_MODEL.
  static Status decode(const uint8_t *data, uint64_t bytes, Program &program);
};

/// Verifies and decodes how tokens are packed, after all else of the program.
/// False if that is malformed.
bool decodePacking(const program::Packing *source, Program &program);

} // namespace joinery::runtime

#endif // JOINERY_EXEC_PROGRAM_H
