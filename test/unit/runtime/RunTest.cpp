//===- RunTest.cpp - What a run takes and gives ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

using namespace joinery::test;

namespace {
class Run : public testing::Test {
protected:
  ~Run() override { jn_context_destroy(context); }

  jn_status run(std::vector<DLTensor> in, std::vector<DLTensor> out) {
    jn_status status =
        jn_run(context, in.data(), in.size(), out.data(), out.size(), &error);
    EXPECT_EQ(status, error.status);
    return status;
  }
  bool says(const char *text) const {
    bool found = std::strstr(error.message, text) != nullptr;
    EXPECT_TRUE(found) << error.message;
    return found;
  }

  OpenModel model;
  jn_context *context = model.context(2);
  LookupData data{3, 5};
  jn_error error;
};
} // namespace

TEST_F(Run, GivesTheResult) {
  for (int64_t b : {1, 2, 7, 3})
    for (int64_t s : {1, 5, 64}) {
      LookupData shape(b, s);
      ASSERT_EQ(run(shape.inputs(), {shape.y.view()}), JN_OK) << error.message;
      shape.expectRight();
    }
}

// Tests that extents of 0 run: no tasks, no data.
TEST_F(Run, TakesZeroExtents) {
  for (auto [b, s] : {std::pair{0, 5}, {3, 0}, {0, 0}}) {
    LookupData empty(b, s);
    ASSERT_EQ(run(empty.inputs(), {empty.y.view()}), JN_OK) << error.message;
  }
  ASSERT_EQ(run(data.inputs(), {data.y.view()}), JN_OK);
  data.expectRight();
}

TEST_F(Run, NamesWhatDoesNotFit) {
  std::vector<DLTensor> in = data.inputs();
  int64_t other[] = {3, 6}, cube[] = {3, 5, 1};
  in[1].shape = other;
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  says("dimension 1 of input 'mask' ('sequence') is 6, but dimension 1 of "
       "input 'ids' ('sequence') is 5");
  in = data.inputs();
  in[2].ndim = 3;
  in[2].shape = cube;
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  says("input 'x' has 3 dimensions, the model has 2");
  in = data.inputs();
  in[0].dtype = {kDLFloat, 32, 1};
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  says("input 'ids' is float32[3,5], the model takes int64");
  in[0].dtype = {kDLInt, 64, 2};
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  in = data.inputs();
  int64_t negative[] = {-3, 5};
  in[0].shape = negative;
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  int64_t huge[] = {int64_t(1) << 40, int64_t(1) << 40};
  in[0].shape = huge;
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  says("larger than memory");
  in = data.inputs();
  in[0].device.device_type = kDLCUDA;
  EXPECT_EQ(run(in, {data.y.view()}), JN_INVALID_INPUT);
  LookupData longer(1, 65);
  EXPECT_EQ(run(longer.inputs(), {longer.y.view()}), JN_INVALID_INPUT);
  says("the model has 64 positions (65 is more than 64)");
  data.mask.values[4] = 2;
  EXPECT_EQ(run(data.inputs(), {data.y.view()}), JN_INVALID_INPUT);
  says("value 2 at position 4 of 'mask'");
}

TEST_F(Run, RefusesBadCalls) {
  std::vector<DLTensor> in = data.inputs();
  DLTensor out = data.y.view();
  EXPECT_EQ(jn_run(nullptr, in.data(), 3, &out, 1, &error),
            JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_run(context, in.data(), 2, &out, 1, &error),
            JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_run(context, nullptr, 3, &out, 1, &error), JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_run(context, in.data(), 3, nullptr, 1, &error),
            JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_run(context, in.data(), 3, &out, 0, &error),
            JN_INVALID_ARGUMENT);
  in[1].data = nullptr;
  EXPECT_EQ(jn_run(context, in.data(), 3, &out, 1, &error),
            JN_INVALID_ARGUMENT);
  says("input 'mask' has no data");
  in = data.inputs();
  in[0].shape = nullptr;
  EXPECT_EQ(jn_run(context, in.data(), 3, &out, 1, &error),
            JN_INVALID_ARGUMENT);
  in = data.inputs();
  out.data = nullptr;
  EXPECT_EQ(jn_run(context, in.data(), 3, &out, 1, nullptr),
            JN_INVALID_ARGUMENT);
}

// Tests that int32 ids, strided, transposed, broadcast and unaligned tensors
// are copied.
TEST_F(Run, CopiesWhatKernelsCannotRead) {
  Tensor<int32_t> narrow({3, 5});
  for (size_t i = 0; i < 15; ++i)
    narrow.values[i] = int32_t(data.ids.values[i]);
  std::vector<DLTensor> in = data.inputs();
  in[0] = narrow.view();
  // x transposed in memory; the mask one row for all.
  std::vector<float> columns(15);
  for (size_t b = 0; b < 3; ++b)
    for (size_t s = 0; s < 5; ++s) {
      columns[s * 3 + b] = data.x.values[b * 5 + s];
      data.mask.values[b * 5 + s] = data.mask.values[s];
    }
  int64_t transposed[] = {1, 3}, broadcast[] = {0, 1};
  in[2].data = columns.data();
  in[2].strides = transposed;
  in[1].strides = broadcast;
  ASSERT_EQ(run(in, {data.y.view()}), JN_OK) << error.message;
  data.expectRight();

  // One byte off, by way of byte_offset.
  in = data.inputs();
  std::vector<char> shifted(15 * 4 + 1);
  std::memcpy(shifted.data() + 1, data.x.values.data(), 15 * 4);
  in[2].data = shifted.data();
  in[2].byte_offset = 1;
  std::fill(data.y.values.begin(), data.y.values.end(), -1.0f);
  ASSERT_EQ(run(in, {data.y.view()}), JN_OK) << error.message;
  data.expectRight();
}

TEST_F(Run, ChecksOutputs) {
  std::vector<DLTensor> in = data.inputs();
  Tensor<float> small({3, 4});
  EXPECT_EQ(run(in, {small.view()}), JN_CAPACITY);
  says("output 'y' has room for 48 bytes, the run needs 60");
  Tensor<double> wide({3, 5});
  EXPECT_EQ(run(in, {wide.view()}), JN_INVALID_INPUT);
  says("the model gives float32");
  DLTensor strided = data.y.view();
  int64_t strides[] = {1, 3};
  strided.strides = strides;
  EXPECT_EQ(run(in, {strided}), JN_INVALID_INPUT);
  // More room than needed: the shape says what was written.
  Tensor<float> large({10, 10});
  DLTensor out = large.view();
  ASSERT_EQ(jn_run(context, in.data(), 3, &out, 1, &error), JN_OK);
  EXPECT_EQ(large.shape, (std::vector<int64_t>{3, 5}));
  for (size_t i = 0; i < 15; ++i)
    EXPECT_EQ(large.values[i], data.want(i));
}

// Tests that shapes and workspace are known before a run.
TEST_F(Run, AnswersQueries) {
  std::vector<DLTensor> in = data.inputs();
  for (DLTensor &tensor : in)
    tensor.data = nullptr;
  int64_t shape[2];
  DLTensor out = {};
  out.shape = shape;
  ASSERT_EQ(jn_model_output_shapes(model.model, in.data(), 3, &out, 1, &error),
            JN_OK);
  EXPECT_EQ(out.ndim, 2);
  EXPECT_EQ(shape[0], 3);
  EXPECT_EQ(shape[1], 5);
  EXPECT_EQ(out.dtype.bits, 32);
  uint64_t bytes = 0;
  ASSERT_EQ(jn_workspace_bytes(model.model, in.data(), 3, 2, &bytes, &error),
            JN_OK);
  // Rows and their product, then the product with the rows' scratch dead.
  EXPECT_GE(bytes, 128u);

  std::unique_ptr<void, void (*)(void *)> memory(std::aligned_alloc(64, bytes),
                                                 std::free);
  jn_context_options options = {};
  options.size = sizeof(options);
  options.threads = 2;
  options.workspace = memory.get();
  options.workspace_bytes = bytes;
  jn_context *mine = nullptr;
  ASSERT_EQ(jn_context_create(model.model, &options, &mine, &error), JN_OK);
  ASSERT_EQ(joinery::test::run(mine, data, &error), JN_OK) << error.message;
  data.expectRight();
  LookupData larger(30, 50);
  EXPECT_EQ(joinery::test::run(mine, larger, &error), JN_CAPACITY);
  says("give a larger one");
  EXPECT_EQ(jn_context_workspace_bytes(mine), bytes);
  jn_context_destroy(mine);
  options.workspace = static_cast<char *>(memory.get()) + 1;
  EXPECT_EQ(jn_context_create(model.model, &options, &mine, &error),
            JN_INVALID_ARGUMENT);
  options.workspace = nullptr;
  EXPECT_EQ(jn_context_create(model.model, &options, &mine, &error),
            JN_INVALID_ARGUMENT);
}

// Tests that without JN_CONTEXT_GROW only reserve grows a workspace.
TEST_F(Run, GrowsOnRequestOnly) {
  jn_context *strict = model.context(1, 0);
  EXPECT_EQ(joinery::test::run(strict, data, &error), JN_CAPACITY);
  says("jn_context_reserve");
  std::vector<DLTensor> in = data.inputs();
  ASSERT_EQ(jn_context_reserve(strict, in.data(), 3, &error), JN_OK);
  EXPECT_EQ(joinery::test::run(strict, data, &error), JN_OK);
  data.expectRight();
  jn_context_destroy(strict);
}

// Tests that a context outlives its model's handle.
TEST_F(Run, KeepsTheModel) {
  jn_model_close(model.model);
  model.model = nullptr;
  ASSERT_EQ(run(data.inputs(), {data.y.view()}), JN_OK);
  data.expectRight();
}

TEST_F(Run, Traces) {
  std::vector<jn_trace_step> steps;
  auto record = [](void *to, const jn_trace_step *step) {
    static_cast<std::vector<jn_trace_step> *>(to)->push_back(*step);
  };
  ASSERT_EQ(jn_context_set_trace(context, record, &steps, &error), JN_OK);
  ASSERT_EQ(run(data.inputs(), {data.y.view()}), JN_OK);
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_STREQ(steps[1].name, "multiply");
  EXPECT_EQ(steps[1].flops, 15);
  EXPECT_EQ(steps[1].read_bytes, 120);
  EXPECT_EQ(steps[1].written_bytes, 60);
  EXPECT_EQ(steps[1].tasks, 15);
  EXPECT_EQ(steps[0].read_bytes, 120);
  EXPECT_EQ(steps[0].store_bytes, 60);
  // Counted by the kernel: ten of the mask's elements are 1.
  EXPECT_EQ(steps[2].flops, 10);
  EXPECT_EQ(steps[2].read_bytes, 120 + 40);
  EXPECT_EQ(steps[2].written_bytes, 60);
  EXPECT_EQ(steps[0].tasks, 3);
}

namespace {
/// count[n] = the number of ones; then that many positions.
void countOnes(const JnKernelCall *call) {
  auto *mask = static_cast<const int64_t *>(call->buffers[0]);
  auto *count = static_cast<int64_t *>(call->buffers[1]) + call->symbols[0];
  *count = 0;
  for (int64_t i = 0; i < call->symbols[0]; ++i)
    *count += mask[i];
}
void positions(const JnKernelCall *call) {
  auto *mask = static_cast<const int64_t *>(call->buffers[0]);
  auto *out = static_cast<int64_t *>(call->buffers[1]);
  int64_t next = 0;
  for (int64_t i = 0; next < call->symbols[1]; ++i)
    if (mask[i])
      out[next++] = i;
}

/// One input [n], of ones and zeros, whose count is read at `index` (really n);
/// `lie` bounds it too low.
prog::ProgramT positionsProgram(bool lie, ExprPtr index = symbol(0)) {
  prog::ProgramT program;
  for (const char *name : {"n", "ones"}) {
    program.symbols.push_back(std::make_unique<prog::SymbolT>());
    program.symbols.back()->name = name;
  }
  program.symbols[1]->bound = lie ? constant(1) : symbol(0);
  program.inputs.push_back(tensor("mask", prog::DType::I64));
  addDim(*program.inputs[0], symbol(0), "n");
  program.outputs.push_back(tensor("where", prog::DType::I64));
  addDim(*program.outputs[0], symbol(1), "ones");
  auto bytes = [](ExprPtr count) { return times(std::move(count), constant(8)); };
  uint32_t mask =
      addBuffer(program, prog::BufferKind::Input, 0, bytes(symbol(0)));
  // The count follows as many places as there are elements.
  uint32_t count = addBuffer(
      program, prog::BufferKind::Workspace, -1,
      bytes(binary(prog::Opcode::Add, symbol(0), constant(1))));
  uint32_t out =
      addBuffer(program, prog::BufferKind::Output, 0, bytes(symbol(1)));
  addStep(program, "count", {mask, count});
  addStep(program, "positions", {mask, out});
  addDefinition(program, 0, 1, count, std::move(index));
  for (const char *level : {"avx2", "avx512"}) {
    std::vector<KernelFacts> facts(2);
    facts[0].tasks = binary(prog::Opcode::Min, symbol(0), constant(1));
    facts[1].tasks = binary(prog::Opcode::Min, symbol(1), constant(1));
    facts[1].scratch = symbol(1);
    facts[0].bytes.resize(2);
    facts[1].bytes.resize(2);
    addLevel(program, level, std::move(facts));
  }
  return program;
}
} // namespace

// Tests that extents which depend on values are known after the run, are
// bounded before it, and may be 0.
TEST(RunDynamic, DefinesSymbols) {
  OpenModel model(positionsProgram(false), {countOnes, positions});
  jn_context *context = model.context(2);
  for (std::vector<int64_t> mask :
       {std::vector<int64_t>{0, 1, 1, 0, 1}, {0, 0}, {1, 1, 1}, {}}) {
    Tensor<int64_t> in({int64_t(mask.size())}), where({5});
    in.values = mask;
    DLTensor input = in.view(), output = where.view();
    ASSERT_EQ(jn_run(context, &input, 1, &output, 1, &model.error), JN_OK)
        << model.error.message;
    std::vector<int64_t> want;
    for (size_t i = 0; i < mask.size(); ++i)
      if (mask[i])
        want.push_back(int64_t(i));
    ASSERT_EQ(where.shape[0], int64_t(want.size()));
    where.values.resize(want.size());
    EXPECT_EQ(where.values, want);
  }
  Tensor<int64_t> in({6}), where({5});
  DLTensor input = in.view(), output = where.view();
  EXPECT_EQ(jn_run(context, &input, 1, &output, 1, &model.error), JN_CAPACITY);
  jn_context_destroy(context);
}

// Tests that a value beyond its bound stops the run before it is used.
TEST(RunDynamic, StopsAtBounds) {
  OpenModel model(positionsProgram(true), {countOnes, positions});
  jn_context *context = model.context(1);
  Tensor<int64_t> in({3}), where({3});
  in.values = {1, 1, 0};
  DLTensor input = in.view(), output = where.view();
  EXPECT_EQ(jn_run(context, &input, 1, &output, 1, &model.error), JN_INTERNAL);
  jn_context_destroy(context);
}

// Tests that no symbol is read outside its buffer.
TEST(RunDynamic, StaysInBuffers) {
  using prog::Opcode;
  for (int bad = 0; bad < 4; ++bad) {
    ExprPtr index =
        bad == 0   ? binary(Opcode::Add, symbol(0), constant(1))
        : bad == 1 ? constant(-1)
        : bad == 2 ? binary(Opcode::FloorDiv, symbol(0), constant(0))
                   : constant(INT64_MAX);
    OpenModel model(positionsProgram(false, std::move(index)),
                    {countOnes, positions});
    jn_context *context = model.context(1);
    Tensor<int64_t> in({3}), where({3});
    DLTensor input = in.view(), output = where.view();
    EXPECT_EQ(jn_run(context, &input, 1, &output, 1, &model.error),
              JN_INVALID_MODEL);
    jn_context_destroy(context);
  }
}
