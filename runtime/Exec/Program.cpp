//===- Program.cpp - Verifying and decoding a program ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Program.h"

#include "program_generated.h"

#include <algorithm>

namespace joinery::runtime {

/// The longest name of a step that program.fbs allows.
static constexpr size_t kMaxStepName = 1000;

namespace {
/// Decodes one program. The FlatBuffers verifier proves that every offset is
/// inside the buffer; this proves what it cannot: that indices are in range,
/// expressions well-formed, and symbols known where they are used.
class Decoder {
public:
  Decoder(const program::Program &source, Program &program)
      : source(source), program(program) {}

  Status run() {
    if (source.version() != 1)
      return bad("has version " + std::to_string(source.version()) +
                 ", this runtime executes version 1");
    program.name = text(source.name());
    program.compiler = text(source.compiler());
    program.storeHash = text(source.store_hash());
    program.precision = text(source.precision());
    program.maskInput = source.mask_input();
    JN_TRY(symbols());
    JN_TRY(borders(source.inputs(), "input", program.inputs));
    markBoundSymbols();
    for (const auto *def : vector(source.defines()))
      if (def->symbol() < program.symbols.size())
        program.symbols[def->symbol()].definedByStep = true;
    JN_TRY(symbolSources());
    JN_TRY(borders(source.outputs(), "output", program.outputs));
    JN_TRY(checks());
    if (program.maskInput < -1 ||
        program.maskInput >= int64_t(program.inputs.size()))
      return bad("names a mask input that does not exist");
    JN_TRY(exprs());
    JN_TRY(buffers());
    JN_TRY(steps());
    JN_TRY(defines());
    JN_TRY(levels());
    if (program.levels.empty())
      return bad("has no instruction-set level");
    if (!decodePacking(source.packing(), program))
      return bad("is malformed in what it says of packed tokens");
    return {};
  }

private:
  /// Where a symbol's value comes from.
  enum class From : uint8_t { Nowhere, Input, Step };

  static Status bad(const std::string &what) {
    return {JN_INVALID_MODEL,
            "the object's program " + what + "; compile the model again"};
  }
  static std::string text(const flatbuffers::String *string) {
    return string ? string->str() : std::string();
  }
  /// A range over a vector that may be absent.
  template <typename T>
  static flatbuffers::Vector<T> const &
  vector(const flatbuffers::Vector<T> *source) {
    // Zeros are an empty vector.
    alignas(8) static const uint8_t empty[8] = {};
    return source ? *source
                  : *reinterpret_cast<const flatbuffers::Vector<T> *>(empty);
  }

  Status expr(const program::Expr *from, int64_t absent, const char *what,
              bool inputsOnly, Expr &to) {
    if (!Expr::decode(from, program.symbols.size(), absent, to))
      return bad(std::string("has a malformed expression for ") + what);
    if (sources.empty())
      return {};
    for (const Expr::Instr &instr : to.instructions()) {
      if (instr.op != Expr::Op::Symbol)
        continue;
      From from = sources[instr.imm];
      if (from == From::Nowhere || (inputsOnly && from == From::Step))
        return bad("uses the symbol '" + program.symbols[instr.imm].name +
                   "' for " + what + " where it has no value");
    }
    return {};
  }

  Status symbols() {
    program.symbols.resize(vector(source.symbols()).size());
    size_t i = 0;
    for (const auto *symbol : vector(source.symbols())) {
      program.symbols[i].name = text(symbol->name());
      JN_TRY(expr(symbol->bound(), INT64_MAX, "a symbol's bound", false,
                  program.symbols[i].bound));
      ++i;
    }
    return {};
  }

  Status
  borders(const flatbuffers::Vector<flatbuffers::Offset<program::Tensor>> *from,
          const char *what, std::vector<Border> &to) {
    for (const auto *tensor : vector(from)) {
      Border border;
      border.name = text(tensor->name());
      if (size_t(tensor->dtype()) >= kDTypes)
        return bad(std::string("has an ") + what + " of unknown type");
      border.dtype = DType(tensor->dtype());
      for (const auto *dim : vector(tensor->dims())) {
        border.dims.emplace_back();
        JN_TRY(expr(dim, -1, what, false, border.dims.back()));
      }
      for (const auto *name : vector(tensor->dim_names()))
        border.dimNames.push_back(text(name));
      border.dimNames.resize(border.dims.size());
      to.push_back(std::move(border));
    }
    return {};
  }

  void markBoundSymbols() {
    sources.assign(program.symbols.size(), From::Nowhere);
    for (const Border &input : program.inputs)
      for (const Expr &dim : input.dims)
        if (dim.plainSymbol() >= 0)
          sources[dim.plainSymbol()] = From::Input;
  }

  /// Decides where each symbol comes from, and checks what was decoded before
  /// that was known: the inputs' dimensions and the symbols' bounds.
  Status symbolSources() {
    for (size_t i = 0; i < program.symbols.size(); ++i) {
      const Symbol &symbol = program.symbols[i];
      if (!symbol.definedByStep)
        continue;
      if (sources[i] == From::Input)
        return bad("defines the symbol '" + symbol.name + "' twice");
      // A bound may use the inputs' symbols and the ones before it.
      for (const Expr::Instr &instr : symbol.bound.instructions())
        if (instr.op == Expr::Op::Symbol && sources[instr.imm] == From::Nowhere)
          return bad("bounds the symbol '" + symbol.name +
                     "' by one without a value");
      if (symbol.bound.isConstant() &&
          symbol.bound.constantValue() == INT64_MAX)
        return bad("has no bound for the symbol '" + symbol.name + "'");
      sources[i] = From::Step;
    }
    for (const auto *input : vector(source.inputs()))
      for (const auto *dim : vector(input->dims())) {
        Expr ignored;
        JN_TRY(expr(dim, -1, "an input's dimension", true, ignored));
      }
    return {};
  }

  Status checks() {
    for (const auto *from : vector(source.checks())) {
      Check check;
      if (uint8_t(from->kind()) > uint8_t(Check::Kind::Mask))
        return bad("has a check of unknown kind");
      check.kind = Check::Kind(from->kind());
      check.input = from->input();
      check.message = text(from->message());
      JN_TRY(expr(from->lhs(), 0, "a check", true, check.lhs));
      JN_TRY(expr(from->rhs(), 0, "a check", true, check.rhs));
      bool needsInput = check.kind == Check::Kind::Binary;
      if (check.input < (needsInput ? 0 : -1) ||
          check.input >= int64_t(program.inputs.size()))
        return bad("has a check on an input that does not exist");
      for (const auto *extent : vector(from->rows()))
        JN_TRY(expr(extent, 0, "a check", false, check.rows.emplace_back()));
      if (vector(from->steps()).size() != vector(from->nodes()).size())
        return bad("has a check whose steps have no names");
      for (uint32_t i = 0; i < vector(from->steps()).size(); ++i)
        check.nodes[from->steps()->Get(i)] = text(from->nodes()->Get(i));
      program.checks.push_back(std::move(check));
    }
    return {};
  }

  Status exprs() {
    for (const auto *from : vector(source.exprs())) {
      decoded.emplace_back();
      JN_TRY(expr(from, 0, "a buffer or a kernel", false, decoded.back()));
    }
    return {};
  }

  Status numbered(uint32_t number, Expr &to) {
    if (number >= decoded.size())
      return bad("refers to an expression that does not exist");
    to = decoded[number];
    return {};
  }

  /// The expression of kernel `kernel` in a list that may be left out.
  template <typename List>
  Status optional(const List &list, size_t kernel, int64_t absent, Expr &to) {
    if (list.size() == 0) {
      to = Expr::constant(absent);
      return {};
    }
    if (kernel >= list.size())
      return bad("has a kernel without its sizes");
    return numbered(list[uint32_t(kernel)], to);
  }

  Status buffers() {
    for (const auto *from : vector(source.buffers())) {
      program.buffers.emplace_back();
      JN_TRY(buffer(*from, program.buffers.back()));
    }
    return {};
  }

  Status buffer(const program::Buffer &from, Buffer &to) {
    if (uint8_t(from.kind()) > uint8_t(Buffer::Kind::Output))
      return bad("has a buffer of unknown kind");
    to.kind = Buffer::Kind(from.kind());
    to.index = from.index();
    JN_TRY(numbered(from.bytes(), to.bytes));
    // Weights are checked against the store when the model is opened.
    size_t count = to.kind == Buffer::Kind::Input    ? program.inputs.size()
                   : to.kind == Buffer::Kind::Output ? program.outputs.size()
                                                     : size_t(INT32_MAX);
    if (to.kind != Buffer::Kind::Workspace &&
        (to.index < 0 || size_t(to.index) >= count))
      return bad("has a buffer for a tensor that does not exist");
    return {};
  }

  Status steps() {
    const auto &operands = vector(source.operands());
    uint32_t nextOperand = 0;
    for (const auto *from : vector(source.steps())) {
      int32_t number = int32_t(program.steps.size());
      program.steps.emplace_back();
      Step &to = program.steps.back();
      JN_TRY(name(*from, to.name));
      to.kernel = from->kernel();
      if (from->operands() > operands.size() - nextOperand)
        return bad("has a step '" + to.name + "' without its operands");
      for (uint32_t i = 0; i < from->operands(); ++i) {
        uint32_t operand = operands[nextOperand++];
        if (operand >= program.buffers.size())
          return bad("has a step '" + to.name +
                     "' on a buffer that does not exist");
        to.operands.push_back(operand);
        Buffer &buffer = program.buffers[operand];
        if (buffer.firstStep < 0)
          buffer.firstStep = number;
        buffer.lastStep = number;
      }
    }
    for (const Buffer &buffer : program.buffers)
      if (buffer.kind == Buffer::Kind::Workspace && buffer.firstStep < 0)
        return bad("has a workspace buffer that no step uses");
    return {};
  }

  /// Undoes the front coding. Names have a limit, so that a program cannot
  /// decode to many times its own size.
  Status name(const program::Step &from, std::string &to) {
    size_t have = source.step_names() ? source.step_names()->size() : 0;
    uint32_t prefix = from.name_prefix(), rest = from.name_rest();
    if (prefix > lastName.size() || rest > have - nextName ||
        uint64_t(prefix) + rest > kMaxStepName)
      return bad("has a step with a malformed name");
    lastName.resize(prefix);
    if (rest)
      lastName.append(source.step_names()->c_str() + nextName, rest);
    nextName += rest;
    to = lastName;
    return {};
  }

  Status defines() {
    uint32_t lastStep = 0;
    for (const auto *from : vector(source.defines())) {
      if (from->symbol() >= program.symbols.size() ||
          from->step() >= program.steps.size() || from->step() < lastStep)
        return bad("defines a symbol that does not exist");
      lastStep = from->step();
      Step &step = program.steps[lastStep];
      auto operand =
          std::find(step.operands.begin(), step.operands.end(), from->buffer());
      if (operand == step.operands.end() || !isWritten(*operand))
        return bad("defines a symbol from a buffer that the step '" +
                   step.name + "' does not write");
      step.defines.push_back({from->symbol(), from->buffer(), {}});
      JN_TRY(numbered(from->index(), step.defines.back().index));
    }
    return {};
  }

  bool isWritten(uint32_t buffer) const {
    Buffer::Kind kind = program.buffers[buffer].kind;
    return kind == Buffer::Kind::Workspace || kind == Buffer::Kind::Output;
  }

  Status levels() {
    for (const auto *from : vector(source.levels())) {
      program.levels.emplace_back();
      Level &level = program.levels.back();
      level.name = text(from->name());
      const auto &bytes = vector(from->operand_bytes());
      const auto &grains = vector(from->grains());
      const auto &shared = vector(from->shared());
      const auto &sharing = vector(from->sharing());
      uint32_t nextOperand = 0;
      for (const auto *kernel : vector(from->kernels())) {
        level.kernels.emplace_back();
        Kernel &to = level.kernels.back();
        JN_TRY(numbered(kernel->tasks(), to.tasks));
        JN_TRY(numbered(kernel->scratch(), to.scratch));
        JN_TRY(numbered(kernel->flops(), to.flops));
        size_t number = level.kernels.size() - 1;
        JN_TRY(optional(grains, number, 1, to.grain));
        JN_TRY(optional(shared, number, 0, to.shared));
        JN_TRY(optional(sharing, 4 * number, INT64_MAX, to.workers));
        JN_TRY(optional(sharing, 4 * number + 1, 0, to.prepare));
        JN_TRY(optional(sharing, 4 * number + 2, 0, to.finish));
        JN_TRY(optional(sharing, 4 * number + 3, INT64_MAX, to.alone));
        if (kernel->operands() > bytes.size() - nextOperand)
          return bad("has a kernel without its operands");
        to.bytes.resize(kernel->operands());
        for (Expr &expr : to.bytes)
          JN_TRY(numbered(bytes[nextOperand++], expr));
        for (const Expr *expr : {&to.tasks, &to.scratch, &to.grain, &to.shared,
                                 &to.workers, &to.prepare, &to.finish, &to.alone})
          to.dynamic |= isDynamic(*expr);
      }
      for (const Step &step : program.steps)
        if (step.kernel >= level.kernels.size() ||
            level.kernels[step.kernel].bytes.size() != step.operands.size())
          return bad("lacks the kernel of step '" + step.name +
                     "' for the level '" + level.name + "'");
    }
    return {};
  }

  bool isDynamic(const Expr &expr) const {
    return std::any_of(expr.instructions().begin(), expr.instructions().end(),
                       [&](const Expr::Instr &instr) {
                         return instr.op == Expr::Op::Symbol &&
                                sources[instr.imm] == From::Step;
                       });
  }

  const program::Program &source;
  Program &program;
  /// Empty until the inputs are decoded.
  std::vector<From> sources;
  std::vector<Expr> decoded;
  std::string lastName;
  /// Where the next step's part of the names begins.
  size_t nextName = 0;
};
} // namespace

Status Program::decode(const uint8_t *data, uint64_t bytes, Program &program) {
  Status malformed = {JN_INVALID_MODEL, "the object's program is malformed; "
                                        "compile the model again"};
  if (!data || bytes < 16 || bytes >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return malformed;
  // Scalars are read in place, so they must be aligned as in the buffer.
  std::vector<uint64_t> aligned;
  if (reinterpret_cast<uintptr_t>(data) % 8 != 0) {
    aligned.resize((bytes + 7) / 8);
    std::copy_n(data, bytes, reinterpret_cast<uint8_t *>(aligned.data()));
    data = reinterpret_cast<const uint8_t *>(aligned.data());
  }
  flatbuffers::Verifier verifier(data, bytes);
  if (!program::VerifyProgramBuffer(verifier))
    return malformed;
  return Decoder(*program::GetProgram(data), program).run();
}

} // namespace joinery::runtime
