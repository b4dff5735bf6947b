//===- SharedTest.cpp - Opening shared objects ----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/runtime/TestModel.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

using namespace joinery::test;

// Tests that PREFIX and PREFIX.so open PREFIX.so with PREFIX.store.
TEST(Shared, OpensByPrefix) {
  TempDir dir;
  std::filesystem::copy(JOINERY_TEST_MODEL, dir / "model.so");
  setenv("JOINERY_TEST_STORE", (dir / "model.store").c_str(), 1);
  for (const char *name : {"model", "model.so"}) {
    jn_model *model = nullptr;
    jn_error error;
    ASSERT_EQ(jn_model_open_shared((dir / name).c_str(), nullptr, nullptr,
                                   &model, &error),
              JN_OK)
        << error.message;
    EXPECT_STREQ(jn_model_name(model), "lookup");
    jn_model_close(model);
  }
}

// Tests that what is no model is refused with the file's name.
TEST(Shared, RefusesOtherFiles) {
  TempDir dir;
  writeFile(dir / "text.so", "no shared object");
  jn_model *model = nullptr;
  jn_error error;
  EXPECT_EQ(jn_model_open_shared((dir / "text").c_str(), nullptr, nullptr,
                                 &model, &error),
            JN_INVALID_MODEL);
  EXPECT_NE(std::string(error.message).find("text.so"), std::string::npos);
  EXPECT_EQ(jn_model_open_shared((dir / "absent").c_str(), nullptr, nullptr,
                                 &model, &error),
            JN_IO);
  EXPECT_NE(std::string(error.message).find("absent.so"), std::string::npos);
  EXPECT_EQ(model, nullptr);
}
