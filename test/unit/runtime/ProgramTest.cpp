//===- ProgramTest.cpp - Malformed programs -------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Program.h"
#include "test/unit/runtime/TestModel.h"

#include <functional>
#include <gtest/gtest.h>
#include <random>

using namespace joinery::test;
namespace rt = joinery::runtime;

static rt::Status decode(const TestObject &object) {
  rt::Program program;
  return rt::Program::decode(object.program.data(), object.program.size(),
                             program);
}

// Tests that what the FlatBuffers verifier cannot see is refused: indices,
// names, and symbols without a value.
TEST(Program, RefusesBadMeaning) {
  TempDir dir;
  auto expect = [&](const std::function<void(prog::ProgramT &)> &change,
                    jn_status want = JN_INVALID_MODEL) {
    prog::ProgramT program = lookupProgram(dir / "a.store");
    change(program);
    TestObject object;
    makeObject(program, lookupKernels(), object);
    rt::Status status = decode(object);
    EXPECT_EQ(status.code(), want) << status.message();
  };
  using P = prog::ProgramT;
  expect([](P &) {}, JN_OK);
  expect([](P &p) { p.version = 2; });
  expect([](P &p) { p.levels.clear(); });
  expect([](P &p) { p.mask_input = 3; });
  expect([](P &p) { p.mask_input = -2; });
  expect([](P &p) { p.inputs[0]->dtype = prog::DType(10); });
  expect([](P &p) { p.inputs[0]->dims[0] = symbol(2); });
  expect([](P &p) { p.outputs[0]->dims[0]->code.clear(); });
  expect([](P &p) { p.checks[0]->kind = prog::CheckKind(9); });
  expect([](P &p) { p.checks[1]->input = -1; });
  expect([](P &p) { p.checks[1]->input = 3; });
  expect([](P &p) { p.checks[0]->kind = prog::CheckKind::Mask; }, JN_OK);
  expect([](P &p) { p.checks[0]->steps.push_back(0); });
  expect([](P &p) { p.checks[0]->rows.push_back(symbol(2)); });
  // A kernel that no level has.
  expect([](P &p) { p.steps[0] = prog::Step(3, 3, 0, 6); });
  expect([](P &p) { p.steps[0] = prog::Step(UINT32_MAX, 3, 0, 6); });
  expect([](P &p) { p.levels[1]->kernels.pop_back(); });
  using Kernel = prog::Kernel;
  expect([](P &p) { p.levels[0]->kernels[1] = Kernel(0, 0, 0, 3); }, JN_OK);
  expect([](P &p) { p.levels[0]->kernels[1] = Kernel(99, 0, 0, 3); });
  expect([](P &p) { p.levels[0]->kernels[1] = Kernel(0, 0, 99, 3); });
  // Operands that steps do not have, or that are not there.
  expect([](P &p) { p.levels[0]->kernels[1] = Kernel(0, 0, 0, 2); });
  expect([](P &p) { p.levels[0]->kernels[2] = Kernel(0, 0, 0, 4); });
  expect([](P &p) { p.levels[0]->kernels[2] = Kernel(0, 0, 0, ~0u); });
  expect([](P &p) { p.levels[0]->operand_bytes.pop_back(); });
  expect([](P &p) { p.levels[0]->operand_bytes[0] = 99; });
  // Left out, or one for each kernel.
  expect([](P &p) { p.levels[0]->grains = {0, 0, 0}; }, JN_OK);
  expect([](P &p) { p.levels[0]->grains = {0, 0}; });
  expect([](P &p) { p.levels[0]->shared = {0, 0, 99}; });
  expect([](P &p) { p.levels[0]->sharing.assign(12, 0); }, JN_OK);
  expect([](P &p) { p.levels[0]->sharing.assign(11, 0); });
  expect([](P &p) { p.levels[0]->sharing.assign(12, 99); });
  // Operands and names that are not there.
  expect([](P &p) { p.steps[2] = prog::Step(2, 4, 0, 4); });
  expect([](P &p) { p.steps[2] = prog::Step(2, UINT32_MAX, 0, 4); });
  expect([](P &p) { p.steps[2] = prog::Step(2, 3, 0, 5); });
  expect([](P &p) { p.steps[2] = prog::Step(2, 3, 9, 4); });
  expect([](P &p) { p.steps[2] = prog::Step(2, 3, 8, 4); }, JN_OK);
  expect([](P &p) { p.steps[0] = prog::Step(0, 3, 1, 6); });
  expect([](P &p) {
    p.step_names = std::string(1001, 'x') + p.step_names;
    p.steps[0] = prog::Step(0, 3, 0, 1007);
  });
  expect([](P &p) { p.operands[0] = 7; });
  expect([](P &p) { p.operands[0] = UINT32_MAX; });
  using Kind = prog::BufferKind;
  expect([](P &p) { p.buffers.emplace_back(-1, 0, Kind::Workspace); });
  expect([](P &p) { p.buffers[4] = prog::Buffer(-1, 99, Kind::Workspace); });
  expect([](P &p) { p.buffers[0] = prog::Buffer(3, 0, Kind::Input); });
  expect([](P &p) { p.buffers[6] = prog::Buffer(1, 0, Kind::Output); });
  expect([](P &p) { p.buffers[3] = prog::Buffer(-1, 0, Kind::Weight); });
  expect([](P &p) { p.buffers[3] = prog::Buffer(0, 0, Kind(4)); });
  expect([](P &p) { p.exprs[0]->code.clear(); });
  // A symbol that nothing gives a value.
  expect([](P &p) {
    p.symbols.push_back(std::make_unique<prog::SymbolT>());
    p.outputs[0]->dims[0] = symbol(2);
  });
  // Defined by a step without a bound, from an input, twice, out of range.
  auto define = [](P &p, uint32_t number, uint32_t buffer, bool bound) {
    p.symbols.push_back(std::make_unique<prog::SymbolT>());
    if (bound)
      p.symbols.back()->bound = constant(5);
    addDefinition(p, 1, number, buffer, constant(0));
  };
  expect([&](P &p) { define(p, 2, 5, true); }, JN_OK);
  expect([&](P &p) { define(p, 2, 5, false); });
  expect([&](P &p) { define(p, 2, 0, true); });
  expect([&](P &p) { define(p, 0, 5, true); });
  expect([&](P &p) { define(p, 3, 5, true); });
  expect([&](P &p) { define(p, UINT32_MAX, 5, true); });
  // From a buffer of another step, in a step or at a place that is not there.
  expect([&](P &p) { define(p, 2, 6, true); });
  expect([&](P &p) {
    define(p, 2, 5, true);
    p.defines[0] = prog::SymbolDef(3, 2, 5, 0);
  });
  expect([&](P &p) {
    define(p, 2, 5, true);
    p.defines[0] = prog::SymbolDef(1, 2, 5, 99);
  });
  // Out of order.
  expect([&](P &p) {
    define(p, 2, 5, true);
    p.defines.emplace_back(0, 2, 4, 0);
  });
  // Checks and inputs know the inputs' symbols only.
  expect([&](P &p) {
    define(p, 2, 5, true);
    p.checks[2]->lhs = symbol(2);
  });
  expect([&](P &p) {
    define(p, 2, 5, true);
    p.symbols[2]->bound = symbol(2);
  });
}

// Tests that no mutation of a program's bytes crashes the decoder.
TEST(Program, SurvivesMutation) {
  TempDir dir;
  TestObject object;
  makeObject(lookupProgram(dir / "a.store"), lookupKernels(), object);
  ASSERT_TRUE(decode(object).ok());
  const std::vector<uint8_t> whole = object.program;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (uint8_t mask : {0x01, 0x80, 0xff}) {
      object.program[i] ^= mask;
      (void)decode(object).ok();
      object.program[i] = whole[i];
    }
  }
  for (size_t length = 0; length < whole.size(); ++length) {
    object.program.assign(whole.begin(), whole.begin() + long(length));
    (void)decode(object).ok();
  }
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    object.program = whole;
    for (unsigned i = random() % 8 + 1; i--;)
      object.program[random() % whole.size()] = uint8_t(random());
    (void)decode(object).ok();
  }
}

// Tests that a program at an odd address is read all the same.
TEST(Program, NeedsNoAlignment) {
  TempDir dir;
  TestObject object;
  makeObject(lookupProgram(dir / "a.store"), lookupKernels(), object);
  std::vector<uint8_t> shifted(object.program.size() + 1);
  std::copy(object.program.begin(), object.program.end(), shifted.begin() + 1);
  rt::Program program;
  EXPECT_TRUE(
      rt::Program::decode(shifted.data() + 1, object.program.size(), program)
          .ok());
  EXPECT_FALSE(rt::Program::decode(nullptr, 100, program).ok());
}
