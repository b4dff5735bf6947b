//===- CostModelTest.cpp - The order that costs give ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/CostModel.h"
#include "gtest/gtest.h"

using namespace joinery;
using namespace joinery::plan;

namespace {

/// Tests that more depth and more whole register blocks never take less, and
/// that no call beats the peak of the level's multiply-adds.
TEST(CostModel, GemmGrowsWithItsExtents) {
  for (const Isa &isa : allIsas()) {
    Target target(isa);
    for (int64_t width : {16, 32, 48, 64})
      for (int64_t depth = 8; depth <= 1024; depth *= 2)
        for (int64_t rows = 1; rows <= 64; ++rows) {
          double cycles =
              gemmCycles(target, Operands::F32, width, rows, depth);
          EXPECT_LT(cycles,
                    gemmCycles(target, Operands::F32, width, rows, depth + 8));
          EXPECT_LT(cycles,
                    gemmCycles(target, Operands::F32, width, rows + 24, depth));
          double products =
              double(width) * double(rows) * double(depth) / double(isa.lanes);
          EXPECT_GE(cycles, products / target.multiplyAdds);
        }
  }
}

/// Tests that an edge of rows costs more per row than whole register blocks.
TEST(CostModel, EdgesCostMore) {
  Target target(*findIsa("avx512"));
  double whole = gemmCycles(target, Operands::F32, 48, 8, 768) / 8;
  for (int64_t rows : {1, 2, 3, 5, 7})
    EXPECT_GT(gemmCycles(target, Operands::F32, 48, rows, 768) / double(rows),
              whole);
}

/// Tests that reading again costs more, and that a run which does not fit a
/// cache reads from the next one.
TEST(CostModel, StreamsByWhereTheyComeFrom) {
  Target target(*findIsa("avx512"));
  double bytes = 1 << 18;
  double cached = streamCycles(target, bytes, 1, bytes);
  EXPECT_LT(cached, streamCycles(target, bytes, 2, bytes));
  double shared = streamCycles(target, bytes, 1, double(8 << 20));
  EXPECT_LT(cached, shared);
  EXPECT_LT(shared, streamCycles(target, bytes, 1, double(1 << 30)));
}

} // namespace
