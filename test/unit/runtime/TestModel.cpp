//===- TestModel.cpp - Compiled models made by hand -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/TestModel.h"

#include "joinery/runtime/StoreWriter.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <stdlib.h>

namespace joinery::test {

TempDir::TempDir() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "joinery-XXXXXX").string();
  if (!mkdtemp(pattern.data()))
    throw std::runtime_error("mkdtemp");
  path = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string TempDir::operator/(const std::string &name) const {
  return path + "/" + name;
}

std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

ExprPtr constant(int64_t value) {
  auto expr = std::make_unique<prog::ExprT>();
  expr->code.emplace_back(prog::Opcode::Const, value);
  return expr;
}

ExprPtr symbol(int64_t number) {
  auto expr = std::make_unique<prog::ExprT>();
  expr->code.emplace_back(prog::Opcode::Symbol, number);
  return expr;
}

ExprPtr binary(prog::Opcode op, ExprPtr a, ExprPtr b) {
  a->code.insert(a->code.end(), b->code.begin(), b->code.end());
  a->code.emplace_back(op, 0);
  return a;
}

ExprPtr times(ExprPtr a, ExprPtr b) {
  return binary(prog::Opcode::Mul, std::move(a), std::move(b));
}

std::unique_ptr<prog::TensorT> tensor(const std::string &name,
                                      prog::DType dtype) {
  auto result = std::make_unique<prog::TensorT>();
  result->name = name;
  result->dtype = dtype;
  return result;
}

void addDim(prog::TensorT &tensor, ExprPtr extent, const std::string &name) {
  tensor.dims.push_back(std::move(extent));
  tensor.dim_names.push_back(name);
}

uint32_t addExpr(prog::ProgramT &program, ExprPtr expr) {
  program.exprs.push_back(std::move(expr));
  return uint32_t(program.exprs.size()) - 1;
}

uint32_t addBuffer(prog::ProgramT &program, prog::BufferKind kind,
                   int32_t index, ExprPtr bytes) {
  program.buffers.emplace_back(index, addExpr(program, std::move(bytes)), kind);
  return uint32_t(program.buffers.size()) - 1;
}

void addStep(prog::ProgramT &program, const std::string &name,
             const std::vector<uint32_t> &operands) {
  program.operands.insert(program.operands.end(), operands.begin(),
                          operands.end());
  program.step_names += name;
  program.steps.emplace_back(uint32_t(program.steps.size()),
                             uint32_t(operands.size()), 0,
                             uint32_t(name.size()));
}

void addLevel(prog::ProgramT &program, const std::string &name,
              std::vector<KernelFacts> kernels) {
  auto level = std::make_unique<prog::LevelT>();
  level->name = name;
  auto number = [&](ExprPtr &expr) {
    return addExpr(program, expr ? std::move(expr) : constant(0));
  };
  for (KernelFacts &facts : kernels) {
    uint32_t tasks = number(facts.tasks), scratch = number(facts.scratch);
    uint32_t flops = number(facts.flops);
    level->kernels.emplace_back(tasks, scratch, flops,
                                uint32_t(facts.bytes.size()));
    for (ExprPtr &bytes : facts.bytes)
      level->operand_bytes.push_back(number(bytes));
    if (facts.grain && facts.shared) {
      level->grains.push_back(number(facts.grain));
      level->shared.push_back(number(facts.shared));
    }
    for (ExprPtr &expr : facts.sharing)
      level->sharing.push_back(number(expr));
  }
  program.levels.push_back(std::move(level));
}

prog::ProgramT stepProgram(const std::string &name,
                           const std::function<KernelFacts()> &facts) {
  prog::ProgramT program;
  program.symbols.push_back(std::make_unique<prog::SymbolT>());
  program.symbols[0]->name = "n";
  program.inputs.push_back(tensor("x", prog::DType::I64));
  program.outputs.push_back(tensor("y", prog::DType::I64));
  for (auto *border : {&program.inputs[0], &program.outputs[0]})
    addDim(**border, symbol(0), "n");
  auto bytes = [] { return times(symbol(0), constant(8)); };
  uint32_t x = addBuffer(program, prog::BufferKind::Input, 0, bytes());
  uint32_t y = addBuffer(program, prog::BufferKind::Output, 0, bytes());
  addStep(program, name, {x, y});
  for (const char *level : {"avx2", "avx512"}) {
    std::vector<KernelFacts> kernels;
    kernels.push_back(facts());
    kernels[0].tasks = symbol(0);
    kernels[0].bytes.resize(2);
    addLevel(program, level, std::move(kernels));
  }
  return program;
}

void addDefinition(prog::ProgramT &program, uint32_t step, uint32_t symbol,
                   uint32_t buffer, ExprPtr index) {
  program.defines.emplace_back(step, symbol, buffer,
                               addExpr(program, std::move(index)));
}

void TestObject::build(const prog::ProgramT &source) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(prog::Program::Pack(builder, &source),
                 prog::ProgramIdentifier());
  program.assign(builder.GetBufferPointer(),
                 builder.GetBufferPointer() + builder.GetSize());
  levels = {{"avx2", kernels.data(), kernels.size()},
            {"avx512", kernels.data(), kernels.size()}};
  object.magic = JN_OBJECT_MAGIC;
  object.abi = JN_ABI_VERSION;
  object.size = sizeof(JnObject);
  object.name = "test";
  object.program = program.data();
  object.program_size = program.size();
  object.levels = levels.data();
  object.level_count = levels.size();
}

void makeObject(const prog::ProgramT &program, std::vector<JnKernel> kernels,
                TestObject &object) {
  object.kernels = std::move(kernels);
  object.build(program);
}

float tableValue(int64_t row) { return float(row) * 0.25f - 3.0f; }

namespace {
enum { B, S };

/// t[b,s] = table[ids[b,s]]; one task per row of the batch.
void gather(const JnKernelCall *call) {
  auto *ids = static_cast<const int64_t *>(call->buffers[0]);
  auto *table = static_cast<const float *>(call->buffers[1]);
  auto *out = static_cast<float *>(call->buffers[2]);
  int64_t s = call->symbols[S];
  // Scratch must be this worker's own.
  auto *scratch = static_cast<int64_t *>(call->scratch);
  for (int64_t b = call->begin; b < call->end; ++b) {
    for (int64_t i = 0; i < s; ++i)
      scratch[i] = ids[b * s + i];
    for (int64_t i = 0; i < s; ++i) {
      if (scratch[i] < 0 || scratch[i] >= kTableRows) {
        // The least position of all that the worker meets.
        if (call->fault->check == -1 || b * s + i < call->fault->position)
          *call->fault = {0, scratch[i], b * s + i};
        return;
      }
      out[b * s + i] = table[scratch[i]];
    }
  }
}

void multiply(const JnKernelCall *call) {
  auto *a = static_cast<const float *>(call->buffers[0]);
  auto *b = static_cast<const float *>(call->buffers[1]);
  auto *out = static_cast<float *>(call->buffers[2]);
  for (int64_t i = call->begin; i < call->end; ++i)
    out[i] = a[i] * b[i];
}

void applyMask(const JnKernelCall *call) {
  auto *a = static_cast<const float *>(call->buffers[0]);
  auto *mask = static_cast<const int64_t *>(call->buffers[1]);
  auto *out = static_cast<float *>(call->buffers[2]);
  for (int64_t i = call->begin; i < call->end; ++i) {
    out[i] = mask[i] ? a[i] : 0;
    call->counters->flops += mask[i];
    call->counters->bytes += 4 * mask[i];
  }
}

std::unique_ptr<prog::CheckT> check(prog::CheckKind kind, ExprPtr lhs,
                                    ExprPtr rhs, int32_t input,
                                    const std::string &message) {
  auto result = std::make_unique<prog::CheckT>();
  result->kind = kind;
  result->lhs = std::move(lhs);
  result->rhs = std::move(rhs);
  result->input = input;
  result->message = message;
  return result;
}

ExprPtr elements() { return times(symbol(B), symbol(S)); }
ExprPtr bytes(int64_t size) { return times(elements(), constant(size)); }

void lookupSteps(prog::ProgramT &program) {
  using Kind = prog::BufferKind;
  uint32_t ids = addBuffer(program, Kind::Input, 0, bytes(8));
  uint32_t mask = addBuffer(program, Kind::Input, 1, bytes(8));
  uint32_t x = addBuffer(program, Kind::Input, 2, bytes(4));
  uint32_t table =
      addBuffer(program, Kind::Weight, 0, constant(kTableRows * 4));
  uint32_t rows = addBuffer(program, Kind::Workspace, -1, bytes(4));
  uint32_t product = addBuffer(program, Kind::Workspace, -1, bytes(4));
  uint32_t y = addBuffer(program, Kind::Output, 0, bytes(4));
  addStep(program, "gather", {ids, table, rows});
  addStep(program, "multiply", {rows, x, product});
  addStep(program, "mask", {product, mask, y});
}

std::vector<KernelFacts> lookupFacts() {
  std::vector<KernelFacts> facts(3);
  facts[0].tasks = symbol(B);
  facts[0].scratch = times(symbol(S), constant(8));
  facts[1].tasks = elements();
  facts[1].flops = elements();
  facts[2].tasks = elements();
  for (KernelFacts &kernel : facts)
    for (int64_t size : {8, 4, 4})
      kernel.bytes.push_back(bytes(size));
  for (ExprPtr &operand : facts[1].bytes)
    operand = bytes(4);
  facts[2].bytes[0] = nullptr; // counted by the kernel
  facts[2].bytes[1] = bytes(8);
  return facts;
}
} // namespace

std::vector<JnKernel> lookupKernels() { return {gather, multiply, applyMask}; }

prog::ProgramT lookupProgram(const std::string &storePath) {
  prog::ProgramT program;
  program.name = "lookup";
  program.compiler = "test";
  program.precision = "f32";
  program.mask_input = 1;
  for (const char *name : {"batch", "sequence"}) {
    program.symbols.push_back(std::make_unique<prog::SymbolT>());
    program.symbols.back()->name = name;
  }
  auto border = [](const std::string &name, prog::DType dtype) {
    auto result = tensor(name, dtype);
    addDim(*result, symbol(B), "batch");
    addDim(*result, symbol(S), "sequence");
    return result;
  };
  program.inputs.push_back(border("ids", prog::DType::I64));
  program.inputs.push_back(border("mask", prog::DType::I64));
  program.inputs.push_back(border("x", prog::DType::F32));
  program.outputs.push_back(border("y", prog::DType::F32));
  program.checks.push_back(check(prog::CheckKind::InRange, constant(0),
                                 constant(kTableRows), 0,
                                 "token ids must be in the table"));
  program.checks.push_back(check(prog::CheckKind::Binary, nullptr, nullptr, 1,
                                 "the mask must hold 0 and 1"));
  program.checks.push_back(check(prog::CheckKind::AtMost, symbol(S),
                                 constant(kMaxLength), -1,
                                 "the model has 64 positions"));
  lookupSteps(program);
  addLevel(program, "avx2", lookupFacts());
  addLevel(program, "avx512", lookupFacts());

  runtime::StoreWriter writer;
  std::vector<float> table(kTableRows);
  for (int64_t row = 0; row < kTableRows; ++row)
    table[size_t(row)] = tableValue(row);
  auto require = [](const runtime::Status &status) {
    if (!status.ok())
      throw std::runtime_error(status.message());
  };
  require(writer.open(storePath));
  require(writer.beginTable({"table", "F32", {"row"}, {kTableRows}, "row"}));
  require(writer.append(table.data(), table.size() * sizeof(float)));
  require(writer.endTable());
  require(writer.finish({"lookup", "f32", "test"}, program.store_hash));
  return program;
}

} // namespace joinery::test
