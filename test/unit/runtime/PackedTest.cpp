//===- PackedTest.cpp - Runs on packed tokens -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/Lookup.h"

using namespace joinery::test;

namespace {
enum { B, S, Rows };

/// rank[i]: how many of the first i numbers of the mask are 1.
void rankMask(const JnKernelCall *call) {
  auto *mask = static_cast<const int64_t *>(call->buffers[0]);
  auto *rank = static_cast<int64_t *>(call->buffers[1]);
  rank[0] = 0;
  for (int64_t i = 0; i < call->symbols[B] * call->symbols[S]; ++i)
    rank[i + 1] = rank[i] + mask[i];
}

/// t[r] = 2 ids[r], over the kept keys.
void twice(const JnKernelCall *call) {
  auto *ids = static_cast<const int64_t *>(call->buffers[0]);
  auto *rank = static_cast<const int64_t *>(call->buffers[1]);
  auto *rows = static_cast<int64_t *>(call->buffers[2]);
  for (int64_t i = 0; i < call->symbols[B] * call->symbols[S]; ++i)
    if (rank[i] < rank[i + 1])
      rows[rank[i]] = 2 * ids[i];
}

int spreads = 0;

void spread(const JnKernelCall *call) {
  auto *rows = static_cast<const int64_t *>(call->buffers[0]);
  auto *rank = static_cast<const int64_t *>(call->buffers[1]);
  auto *out = static_cast<int64_t *>(call->buffers[2]);
  ++spreads;
  for (int64_t i = 0; i < call->symbols[B] * call->symbols[S]; ++i)
    out[i] = rank[i] < rank[i + 1] ? rows[rank[i]] : 0;
}

/// What the ids are under the mask, key by key.
void masked(const JnKernelCall *call) {
  auto *ids = static_cast<const int64_t *>(call->buffers[0]);
  auto *mask = static_cast<const int64_t *>(call->buffers[1]);
  auto *out = static_cast<int64_t *>(call->buffers[2]);
  for (int64_t i = 0; i < call->symbols[B] * call->symbols[S]; ++i)
    out[i] = mask[i] ? ids[i] : -1;
}

ExprPtr elements() { return times(symbol(B), symbol(S)); }
ExprPtr longs(ExprPtr count) { return times(std::move(count), constant(8)); }

/// Outputs 'twice' by a step that only spreads packed rows, and 'ids' without
/// one.
prog::ProgramT packedProgram() {
  prog::ProgramT program;
  program.name = "packed";
  for (const char *name : {"batch", "sequence", "rows"}) {
    program.symbols.push_back(std::make_unique<prog::SymbolT>());
    program.symbols.back()->name = name;
  }
  program.symbols[Rows]->bound = elements();
  auto border = [](const std::string &name) {
    auto result = tensor(name, prog::DType::I64);
    addDim(*result, symbol(B), "batch");
    addDim(*result, symbol(S), "sequence");
    return result;
  };
  program.inputs.push_back(border("mask"));
  program.inputs.push_back(border("ids"));
  program.outputs.push_back(border("twice"));
  program.outputs.push_back(border("ids"));
  using Kind = prog::BufferKind;
  uint32_t mask = addBuffer(program, Kind::Input, 0, longs(elements()));
  uint32_t ids = addBuffer(program, Kind::Input, 1, longs(elements()));
  uint32_t rank = addBuffer(
      program, Kind::Workspace, -1,
      longs(binary(prog::Opcode::Add, elements(), constant(1))));
  uint32_t rows = addBuffer(program, Kind::Workspace, -1, longs(symbol(Rows)));
  uint32_t twiceIds = addBuffer(program, Kind::Output, 0, longs(elements()));
  uint32_t maskedIds = addBuffer(program, Kind::Output, 1, longs(elements()));
  addStep(program, "rank", {mask, rank});
  addStep(program, "twice", {ids, rank, rows});
  addStep(program, "spread", {rows, rank, twiceIds});
  addStep(program, "masked", {ids, mask, maskedIds});
  addDefinition(program, 0, Rows, rank, elements());
  for (const char *name : {"avx2", "avx512"}) {
    std::vector<KernelFacts> facts(4);
    for (KernelFacts &kernel : facts) {
      kernel.tasks = constant(1);
      kernel.bytes.resize(3);
    }
    facts[0].bytes.resize(2);
    addLevel(program, name, std::move(facts));
  }
  program.packing = std::make_unique<prog::PackingT>();
  program.packing->mask = 0;
  program.packing->tokens = {1};
  program.packing->rows = Rows;
  program.packing->outputs.emplace_back(0, 2, int32_t(rows));
  program.packing->outputs.emplace_back(1, -1, -1);
  return program;
}

std::vector<JnKernel> packedKernels() {
  return {rankMask, twice, spread, masked};
}

struct Packed : testing::Test {
  OpenModel open{packedProgram(), packedKernels()};
  jn_context *context = open.context(2);
  jn_error error = {};
  std::vector<int64_t> offsets{0, 2, 2, 5};
  Tensor<int64_t> ids{{5}}, doubled{{5}}, same{{5}};

  Packed() { ids.values = {3, 4, 5, 6, 7}; }
  ~Packed() override { jn_context_destroy(context); }
  jn_packed_batch batch() const {
    return {sizeof(jn_packed_batch), offsets.size() - 1, offsets.data()};
  }
  jn_status run() {
    jn_packed_batch given = batch();
    DLTensor in = ids.view(), out[] = {doubled.view(), same.view()};
    return jn_run_packed(context, &given, &in, 1, out, 2, &error);
  }
  void says(const char *text) {
    EXPECT_NE(std::string(error.message).find(text), std::string::npos)
        << error.message;
  }
};

// Tests that rows come back packed, and that the step that spreads them is left
// out.
TEST_F(Packed, GivesRowsOfTokens) {
  spreads = 0;
  ASSERT_EQ(run(), JN_OK) << error.message;
  EXPECT_EQ(doubled.values, (std::vector<int64_t>{6, 8, 10, 12, 14}));
  EXPECT_EQ(same.values, ids.values);
  EXPECT_EQ(spreads, 0);
}

// Tests that a context takes padded and packed batches in turn.
TEST_F(Packed, TakesTurnsWithPaddedRuns) {
  Tensor<int64_t> mask({3, 3}), padded({3, 3}), twice({3, 3}), plain({3, 3});
  mask.values = {1, 1, 0, 0, 0, 0, 1, 1, 1};
  padded.values = {3, 4, 9, 9, 9, 9, 5, 6, 7};
  DLTensor in[] = {mask.view(), padded.view()};
  DLTensor out[] = {twice.view(), plain.view()};
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(jn_run(context, in, 2, out, 2, &error), JN_OK) << error.message;
    EXPECT_EQ(twice.values,
              (std::vector<int64_t>{6, 8, 0, 0, 0, 0, 10, 12, 14}));
    EXPECT_EQ(plain.values,
              (std::vector<int64_t>{3, 4, -1, -1, -1, -1, 5, 6, 7}));
    ASSERT_EQ(run(), JN_OK) << error.message;
    EXPECT_EQ(doubled.values, (std::vector<int64_t>{6, 8, 10, 12, 14}));
  }
}

// Tests batches without tokens and without sequences.
TEST_F(Packed, TakesEmptyBatches) {
  ids = doubled = same = Tensor<int64_t>({0});
  offsets = {0, 0, 0};
  EXPECT_EQ(run(), JN_OK) << error.message;
  offsets = {0};
  EXPECT_EQ(run(), JN_OK) << error.message;
}

TEST_F(Packed, RefusesBadBatches) {
  offsets = {1, 2, 2, 5};
  EXPECT_EQ(run(), JN_INVALID_INPUT);
  says("the offsets begin with 1");
  offsets = {0, 4, 2, 5};
  EXPECT_EQ(run(), JN_INVALID_INPUT);
  says("the offsets decrease from 4 to 2 at sequence 1");
  offsets = {0, 2, 6};
  EXPECT_EQ(run(), JN_INVALID_INPUT);
  says("input 'ids' has 5 tokens, the offsets end with 6");
  offsets = {0, int64_t(1) << 62};
  ids.shape[0] = int64_t(1) << 62;
  EXPECT_EQ(run(), JN_INVALID_INPUT);
  ids.shape[0] = 5;
  offsets = {0, 5};
  jn_packed_batch given = batch();
  DLTensor in = ids.view(), out[] = {doubled.view(), same.view()};
  auto call = [&](const jn_packed_batch *batch, const DLTensor *inputs,
                  size_t count) {
    return jn_run_packed(context, batch, inputs, count, out, 2, &error);
  };
  EXPECT_EQ(call(nullptr, &in, 1), JN_INVALID_ARGUMENT);
  EXPECT_EQ(call(&given, nullptr, 1), JN_INVALID_ARGUMENT);
  EXPECT_EQ(call(&given, &in, 2), JN_INVALID_ARGUMENT);
  says("1 inputs beside its mask");
  given.offsets = nullptr;
  EXPECT_EQ(call(&given, &in, 1), JN_INVALID_ARGUMENT);
  given = batch();
  given.size = 3;
  EXPECT_EQ(call(&given, &in, 1), JN_INVALID_ARGUMENT);
  given = batch();
  in.data = nullptr;
  EXPECT_EQ(call(&given, &in, 1), JN_INVALID_ARGUMENT);
  says("input 'ids' has no data");
  in = ids.view();
  doubled.shape[0] = 4;
  EXPECT_EQ(call(&given, &in, 1), JN_CAPACITY);
}

TEST_F(Packed, SaysWhatIsPacked) {
  EXPECT_EQ(jn_model_packed(open.model, &error), JN_OK);
  EXPECT_EQ(jn_model_packed_input(open.model, 0), JN_PACKED_LEFT_OUT);
  EXPECT_EQ(jn_model_packed_input(open.model, 1), JN_PACKED_TOKENS);
  EXPECT_EQ(jn_model_packed_input(open.model, 2), JN_PACKED_SAME);
  EXPECT_EQ(jn_model_packed_output(open.model, 0), JN_PACKED_TOKENS);
  // A program from before there were packed tokens.
  OpenModel plain;
  EXPECT_EQ(jn_model_packed(plain.model, &error), JN_UNSUPPORTED);
  EXPECT_EQ(jn_model_packed_input(plain.model, 0), JN_PACKED_SAME);
  jn_context *other = plain.context(1);
  jn_packed_batch given = batch();
  DLTensor in = ids.view(), out = doubled.view();
  EXPECT_EQ(jn_run_packed(other, &given, &in, 1, &out, 1, &error),
            JN_UNSUPPORTED);
  says("takes no packed tokens");
  jn_context_destroy(other);
}

// Tests that the workspace that the query asks for is enough, and that less is
// refused.
TEST_F(Packed, FitsTheWorkspaceItAsksFor) {
  jn_packed_batch given = batch();
  DLTensor in = ids.view(), out[] = {doubled.view(), same.view()};
  uint64_t bytes = 0;
  ASSERT_EQ(jn_workspace_bytes_packed(open.model, &given, &in, 1, 1, &bytes,
                                      &error),
            JN_OK);
  for (bool enough : {true, false}) {
    std::vector<char> memory(bytes + 64);
    jn_context_options options = {};
    options.size = sizeof(options);
    options.threads = 1;
    options.workspace = reinterpret_cast<void *>(
        (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
    options.workspace_bytes = enough ? bytes : bytes - 64;
    jn_context *own = nullptr;
    ASSERT_EQ(jn_context_create(open.model, &options, &own, &error), JN_OK);
    jn_status want = enough ? JN_OK : JN_CAPACITY;
    EXPECT_EQ(jn_context_reserve_packed(own, &given, &in, 1, &error), want);
    EXPECT_EQ(jn_run_packed(own, &given, &in, 1, out, 2, &error), want);
    jn_context_destroy(own);
  }
}

// Tests that a program cannot have a run leave out a step that something needs,
// or write past what the caller gives.
TEST(PackedProgram, IsVerified) {
  auto refused = [](auto change) {
    prog::ProgramT program = packedProgram();
    change(*program.packing);
    TestObject object;
    makeObject(program, packedKernels(), object);
    jn_model *model = nullptr;
    jn_error error = {};
    jn_status status =
        jn_model_open(&object.object, nullptr, nullptr, &model, &error);
    jn_model_close(model);
    return status == JN_INVALID_MODEL &&
           std::string(error.message).find("packed") != std::string::npos;
  };
  using Packing = prog::PackingT;
  auto direct = [](int32_t step, int32_t buffer) {
    return [=](Packing &p) { p.outputs[0] = {0, step, buffer}; };
  };
  EXPECT_TRUE(refused([](Packing &p) { p.mask = 2; }));
  EXPECT_TRUE(refused([](Packing &p) { p.mask = -1; }));
  EXPECT_TRUE(refused([](Packing &p) { p.kept = 2; }));
  EXPECT_TRUE(refused([](Packing &p) { p.tokens = {0}; }));
  EXPECT_TRUE(refused([](Packing &p) { p.tokens = {7}; }));
  EXPECT_TRUE(refused([](Packing &p) { p.rows = S; }));
  EXPECT_TRUE(refused([](Packing &p) { p.rows = 3; }));
  EXPECT_TRUE(refused([](Packing &p) { p.rows = -1; }));
  EXPECT_TRUE(refused(direct(1, 3)));
  EXPECT_TRUE(refused(direct(9, 3)));
  EXPECT_TRUE(refused(direct(2, 0)));
  EXPECT_TRUE(refused(direct(2, 99)));
  EXPECT_TRUE(refused(direct(-1, 3)));
  EXPECT_TRUE(refused([](Packing &p) { p.outputs[1] = {0, -1, -1}; }));
  EXPECT_TRUE(refused([](Packing &p) { p.outputs[1] = {5, -1, -1}; }));
}
} // namespace
