//===- PackProgram.cpp - Writes a program without repetition --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/CodeGen/Model/PackProgram.h"
#include <map>
#include <tuple>

using namespace joinery;
namespace prog = joinery::program;
using flatbuffers::Offset;

namespace {
class Packer {
public:
  std::string run(const prog::ProgramT &program);

private:
  Offset<prog::Expr> expr(const std::unique_ptr<prog::ExprT> &e);
  Offset<prog::Buffer> buffer(const prog::BufferT &buffer);
  Offset<flatbuffers::Vector<int32_t>> operands(const std::vector<int32_t> &list);
  Offset<prog::Step> step(const prog::StepT &step);
  Offset<prog::Plan> plan(const prog::PlanT &plan);

  flatbuffers::FlatBufferBuilder b;
  std::map<std::vector<std::pair<int, int64_t>>, Offset<prog::Expr>> exprs;
  std::map<std::tuple<int, int32_t, flatbuffers::uoffset_t, int32_t, int32_t>,
           Offset<prog::Buffer>>
      buffers;
  std::map<std::vector<flatbuffers::uoffset_t>,
           Offset<flatbuffers::Vector<Offset<prog::Buffer>>>>
      bufferLists;
  std::map<std::vector<int32_t>, Offset<flatbuffers::Vector<int32_t>>> lists;
};
} // namespace

Offset<prog::Expr> Packer::expr(const std::unique_ptr<prog::ExprT> &e) {
  if (!e)
    return 0;
  std::vector<std::pair<int, int64_t>> key;
  for (const prog::Instr &instr : e->code)
    key.push_back({int(instr.op()), instr.imm()});
  auto [it, fresh] = exprs.try_emplace(std::move(key));
  if (fresh)
    it->second = prog::CreateExpr(b, b.CreateVectorOfStructs(e->code));
  return it->second;
}

Offset<prog::Buffer> Packer::buffer(const prog::BufferT &buffer) {
  Offset<prog::Expr> bytes = expr(buffer.bytes);
  auto [it, fresh] =
      buffers.try_emplace({int(buffer.kind), buffer.index, bytes.o,
                           buffer.first_step, buffer.last_step});
  if (fresh)
    it->second = prog::CreateBuffer(b, buffer.kind, buffer.index, bytes,
                                    buffer.first_step, buffer.last_step);
  return it->second;
}

Offset<flatbuffers::Vector<int32_t>>
Packer::operands(const std::vector<int32_t> &list) {
  auto [it, fresh] = lists.try_emplace(list);
  if (fresh)
    it->second = b.CreateVector(list);
  return it->second;
}

Offset<prog::Step> Packer::step(const prog::StepT &step) {
  auto name = b.CreateSharedString(step.name);
  auto list = operands(step.operands);
  auto tasks = expr(step.tasks), scratch = expr(step.scratch);
  auto flops = expr(step.flops), bytes = expr(step.bytes);
  Offset<flatbuffers::Vector<Offset<prog::SymbolDef>>> defines = 0;
  if (!step.defines.empty()) {
    std::vector<Offset<prog::SymbolDef>> entries;
    for (const auto &define : step.defines)
      entries.push_back(prog::CreateSymbolDef(b, define.get()));
    defines = b.CreateVector(entries);
  }
  return prog::CreateStep(b, step.kernel, name, list, tasks, scratch, flops,
                          bytes, defines);
}

Offset<prog::Plan> Packer::plan(const prog::PlanT &plan) {
  std::vector<Offset<prog::Buffer>> entries;
  std::vector<flatbuffers::uoffset_t> key;
  for (const auto &entry : plan.buffers) {
    entries.push_back(buffer(*entry));
    key.push_back(entries.back().o);
  }
  auto [it, fresh] = bufferLists.try_emplace(std::move(key));
  if (fresh)
    it->second = b.CreateVector(entries);
  std::vector<Offset<prog::Step>> steps;
  for (const auto &entry : plan.steps)
    steps.push_back(step(*entry));
  return prog::CreatePlan(b, b.CreateSharedString(plan.level), it->second,
                          b.CreateVector(steps));
}

std::string Packer::run(const prog::ProgramT &program) {
  auto pack = [&](const auto &list, auto create) {
    std::vector<decltype(create(*list[0]))> entries;
    for (const auto &entry : list)
      entries.push_back(create(*entry));
    return b.CreateVector(entries);
  };
  auto plans = pack(program.plans,
                    [&](const prog::PlanT &entry) { return plan(entry); });
  auto symbols = pack(program.symbols, [&](const prog::SymbolT &entry) {
    return prog::CreateSymbol(b, &entry);
  });
  auto inputs = pack(program.inputs, [&](const prog::TensorT &entry) {
    return prog::CreateTensor(b, &entry);
  });
  auto outputs = pack(program.outputs, [&](const prog::TensorT &entry) {
    return prog::CreateTensor(b, &entry);
  });
  auto checks = pack(program.checks, [&](const prog::CheckT &entry) {
    return prog::CreateCheck(b, &entry);
  });
  auto name = b.CreateString(program.name);
  auto compiler = b.CreateString(program.compiler);
  auto hash = b.CreateString(program.store_hash);
  auto precision = b.CreateString(program.precision);
  b.Finish(prog::CreateProgram(b, program.version, name, compiler, hash,
                               symbols, inputs, outputs, checks, plans,
                               precision, program.mask_input),
           prog::ProgramIdentifier());
  return std::string(reinterpret_cast<const char *>(b.GetBufferPointer()),
                     b.GetSize());
}

std::string joinery::packProgram(const prog::ProgramT &program) {
  return Packer().run(program);
}
