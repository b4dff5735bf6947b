//===- ModelTest.cpp - Opening models -------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"
#include "test/unit/runtime/Lookup.h"

#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>

using namespace joinery::test;

namespace {
class ModelOpen : public testing::Test {
protected:
  void SetUp() override { makeObject(program, lookupKernels(), object); }
  void TearDown() override { unsetenv("JOINERY_ISA"); }

  jn_status open(const jn_open_options *options = nullptr) {
    jn_model *model = nullptr;
    jn_status status =
        jn_model_open(&object.object, store.c_str(), options, &model, &error);
    EXPECT_EQ(status, error.status);
    EXPECT_EQ(status == JN_OK, model != nullptr);
    isa = jn_model_isa(model);
    jn_model_close(model);
    return status;
  }
  bool says(const char *text) const {
    return std::strstr(error.message, text) != nullptr;
  }

  TempDir dir;
  std::string store = dir / "a.store";
  prog::ProgramT program = lookupProgram(store);
  TestObject object;
  jn_error error;
  std::string isa;
};
} // namespace

TEST_F(ModelOpen, DescribesItsBorder) {
  jn_model *model = nullptr;
  ASSERT_EQ(
      jn_model_open(&object.object, store.c_str(), nullptr, &model, &error),
      JN_OK)
      << error.message;
  EXPECT_STREQ(jn_model_name(model), "lookup");
  EXPECT_STREQ(jn_model_precision(model), "f32");
  EXPECT_EQ(jn_model_mask_input(model), 1);
  EXPECT_EQ(jn_model_input_count(model), 3u);
  EXPECT_EQ(jn_model_output_count(model), 1u);
  EXPECT_EQ(jn_model_find_input(model, "x"), 2);
  EXPECT_EQ(jn_model_find_input(model, "y"), -1);
  EXPECT_EQ(jn_model_find_output(model, "y"), 0);
  EXPECT_GT(jn_model_store_bytes(model), 4096u);
  jn_tensor_info info = {};
  info.size = sizeof(info);
  ASSERT_EQ(jn_model_input(model, 0, &info, &error), JN_OK);
  EXPECT_STREQ(info.name, "ids");
  EXPECT_STREQ(info.dtype_name, "int64");
  ASSERT_EQ(info.rank, 2);
  EXPECT_EQ(info.dims[1].value, -1);
  EXPECT_STREQ(info.dims[1].name, "sequence");
  EXPECT_EQ(jn_model_input(model, 3, &info, &error), JN_INVALID_ARGUMENT);
  jn_check_info check = {};
  check.size = sizeof(check);
  ASSERT_EQ(jn_model_check_count(model), 3u);
  ASSERT_EQ(jn_model_check(model, 0, &check, &error), JN_OK);
  EXPECT_EQ(check.kind, JN_CHECK_IN_RANGE);
  EXPECT_EQ(check.has_range, 1);
  EXPECT_EQ(check.high, kTableRows);
  jn_model_close(model);
}

// Tests that JOINERY_ISA forces a level, and says what is wrong with it.
TEST_F(ModelOpen, ChoosesTheLevel) {
  ASSERT_EQ(open(), JN_OK) << error.message;
  bool wide = joinery::runtime::missingFeatures("avx512").empty();
  EXPECT_EQ(isa, wide ? "avx512" : "avx2");
  setenv("JOINERY_ISA", "avx2", 1);
  ASSERT_EQ(open(), JN_OK);
  EXPECT_EQ(isa, "avx2");
  // The object has no code for tiles: that of the level below serves, where the
  // processor has both.
  setenv("JOINERY_ISA", "amx", 1);
  if (joinery::runtime::missingFeatures("amx").empty()) {
    EXPECT_EQ(open(), JN_OK) << error.message;
    EXPECT_EQ(isa, "avx512");
  } else {
    EXPECT_EQ(open(), JN_UNSUPPORTED);
    EXPECT_TRUE(says("JOINERY_ISA=amx")) << error.message;
  }
  setenv("JOINERY_ISA", "sparc", 1);
  EXPECT_EQ(open(), JN_UNSUPPORTED);
  EXPECT_TRUE(says("sparc"));
  unsetenv("JOINERY_ISA");
  jn_open_options options = {};
  options.size = sizeof(options);
  options.isa = "avx2";
  ASSERT_EQ(open(&options), JN_OK);
  EXPECT_EQ(isa, "avx2");
  object.object.levels += 1;
  object.object.level_count = 1;
  EXPECT_EQ(open(&options), JN_UNSUPPORTED);
  EXPECT_TRUE(says("compiled for avx512 only")) << error.message;
}

TEST_F(ModelOpen, RefusesOtherObjects) {
  object.object.abi = JN_ABI_VERSION + 1;
  EXPECT_EQ(open(), JN_MISMATCH);
  EXPECT_TRUE(says("ABI 4, this runtime opens ABI 2 to 3")) << error.message;
  object.object.abi = JN_ABI_OLDEST - 1;
  EXPECT_EQ(open(), JN_MISMATCH);
  EXPECT_TRUE(says("compile the model again")) << error.message;
  object.object.abi = JN_ABI_VERSION;
  object.object.magic = 1;
  EXPECT_EQ(open(), JN_INVALID_MODEL);
  object.object.magic = JN_OBJECT_MAGIC;
  object.object.size = 8;
  EXPECT_EQ(open(), JN_INVALID_MODEL);
  object.object.size = sizeof(JnObject);
  object.object.level_count = 0;
  EXPECT_EQ(open(), JN_UNSUPPORTED);
  object.object.level_count = 2;
  object.levels[0].kernel_count = object.levels[1].kernel_count = 2;
  EXPECT_EQ(open(), JN_INVALID_MODEL);
  object.levels[0].kernel_count = object.levels[1].kernel_count = 3;
  object.kernels[1] = nullptr;
  EXPECT_EQ(open(), JN_INVALID_MODEL);
  EXPECT_TRUE(says("multiply"));
}

// Tests that a store of another build is told from a damaged one.
TEST_F(ModelOpen, RefusesOtherStores) {
  std::string mine = program.store_hash;
  program.store_hash = std::string(32, '0');
  object.build(program);
  EXPECT_EQ(open(), JN_MISMATCH);
  EXPECT_TRUE(says("another build of the model; compile again"));
  program.store_hash = mine;
  using Kind = prog::BufferKind;
  const prog::Buffer table = program.buffers[3];
  program.buffers[3] = prog::Buffer(1, table.bytes(), Kind::Weight);
  object.build(program);
  EXPECT_EQ(open(), JN_INVALID_MODEL);
  uint32_t more = addExpr(program, constant(kTableRows * 4 + 1));
  program.buffers[3] = prog::Buffer(0, more, Kind::Weight);
  object.build(program);
  EXPECT_EQ(open(), JN_INVALID_MODEL);
}

// Tests that blocks are checked while opening only if that is asked for.
TEST_F(ModelOpen, VerifiesOnRequest) {
  std::string bytes = readFile(store);
  bytes[4096] ^= 1;
  writeFile(store, bytes);
  EXPECT_EQ(open(), JN_OK);
  jn_open_options options = {};
  options.size = sizeof(options);
  options.flags = JN_OPEN_VERIFY | JN_OPEN_READ;
  EXPECT_EQ(open(&options), JN_INVALID_STORE);
  EXPECT_TRUE(says("'table'"));
}

// Tests that a run refuses a mapped store that was cut since it was opened, and
// that one that was read into memory does not care.
TEST_F(ModelOpen, SeesStoresThatAreCut) {
  for (uint32_t flags : {0u, JN_OPEN_READ}) {
    std::string whole = readFile(store);
    jn_open_options options = {};
    options.size = sizeof(options);
    options.flags = flags;
    jn_model *model = nullptr;
    ASSERT_EQ(jn_model_open(&object.object, store.c_str(), &options, &model,
                            &error),
              JN_OK);
    jn_context *context = nullptr;
    jn_context_options grow = {};
    grow.size = sizeof(grow);
    grow.flags = JN_CONTEXT_GROW;
    ASSERT_EQ(jn_context_create(model, &grow, &context, &error), JN_OK);
    ASSERT_EQ(::truncate(store.c_str(), 4096), 0);
    LookupData data(2, 3);
    EXPECT_EQ(joinery::test::run(context, data, &error),
              flags ? JN_OK : JN_INVALID_STORE);
    EXPECT_TRUE(flags || says("--read")) << error.message;
    jn_context_destroy(context);
    jn_model_close(model);
    writeFile(store, whole);
  }
}

TEST_F(ModelOpen, RefusesBadCalls) {
  jn_model *model = nullptr;
  EXPECT_EQ(jn_model_open(nullptr, nullptr, nullptr, &model, &error),
            JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_model_open(&object.object, nullptr, nullptr, &model, nullptr),
            JN_INVALID_ARGUMENT);
  EXPECT_EQ(
      jn_model_open(&object.object, store.c_str(), nullptr, nullptr, &error),
      JN_INVALID_ARGUMENT);
  jn_open_options options = {};
  EXPECT_EQ(open(&options), JN_INVALID_ARGUMENT);
  options.size = sizeof(options);
  options.flags = 0x80000000u;
  EXPECT_EQ(open(&options), JN_INVALID_ARGUMENT);
  // A newer caller's struct is taken as long as its additions are zero.
  struct {
    jn_open_options options;
    uint64_t more;
  } newer = {};
  newer.options.size = sizeof(newer);
  EXPECT_EQ(open(&newer.options), JN_OK);
  newer.more = 1;
  EXPECT_EQ(open(&newer.options), JN_INVALID_ARGUMENT);
  EXPECT_EQ(jn_model_input(nullptr, 0, nullptr, &error), JN_INVALID_ARGUMENT);
  EXPECT_STREQ(jn_model_name(nullptr), "");
  jn_model_close(nullptr);
  EXPECT_STREQ(jn_status_name(JN_MISMATCH), "mismatch");
  EXPECT_EQ(jn_abi_version(), JN_ABI_VERSION);
}

TEST_F(ModelOpen, Logs) {
  std::string text;
  jn_open_options options = {};
  options.size = sizeof(options);
  options.log_data = &text;
  options.log = [](void *data, jn_log_level, const char *message) {
    *static_cast<std::string *>(data) += message;
  };
  ASSERT_EQ(open(&options), JN_OK);
  EXPECT_NE(text.find("lookup"), std::string::npos);
}
