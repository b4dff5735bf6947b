//===- WindowWriterTest.cpp - Large writes to a file ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Support/WindowWriter.h"
#include "test/unit/runtime/TestModel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using namespace joinery::runtime;

// Tests that what is appended, padded, cut and read back, at sizes around those
// of huge pages and windows, is what the file holds in the end.
TEST(WindowWriter, HoldsWhatIsLeft) {
  joinery::test::TempDir folder;
  TemporaryFile file;
  ASSERT_TRUE(file.create(folder / "bytes").ok());
  WindowWriter writer;
  writer.open(file.fd(), file.targetPath());
  std::vector<char> expected;
  std::mt19937 random(1);
  auto agrees = [&](uint64_t offset, uint64_t bytes) {
    std::vector<char> back(bytes);
    EXPECT_TRUE(writer.read(back.data(), bytes, offset).ok());
    return std::equal(back.begin(), back.end(), expected.begin() + offset);
  };
  for (int turn = 0; turn < 40; ++turn) {
    std::vector<char> piece(random() % (3 * kHugePage));
    for (char &byte : piece)
      byte = char(random());
    ASSERT_TRUE(writer.append(piece.data(), piece.size()).ok());
    expected.insert(expected.end(), piece.begin(), piece.end());
    uint64_t padded = (expected.size() + 4095) / 4096 * 4096;
    ASSERT_TRUE(writer.pad(padded).ok());
    expected.resize(padded);
    ASSERT_EQ(writer.size(), expected.size());
    // Across what is written and what is not.
    uint64_t offset = random() % (expected.size() + 1);
    ASSERT_TRUE(agrees(offset, expected.size() - offset));
    if (turn % 3)
      continue;
    uint64_t left = turn % 2 == 0 ? offset : expected.size() - piece.size() / 2;
    ASSERT_TRUE(writer.cut(left).ok());
    expected.resize(left);
    ASSERT_EQ(writer.size(), left);
  }
  ASSERT_TRUE(writer.finish().ok());
  ASSERT_GT(expected.size(), 8 * kHugePage);
  std::vector<char> written(expected.size());
  ASSERT_TRUE(
      readAt(file.fd(), "bytes", written.data(), written.size(), 0).ok());
  EXPECT_EQ(written, expected);
}
