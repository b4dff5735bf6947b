//===- WorkspaceTest.cpp - Sharing one block of memory --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Workspace.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

using namespace joinery::runtime;

/// The most that lives at one step: no plan can be smaller.
static uint64_t lowerBound(const std::vector<Placement> &items) {
  uint64_t most = 0;
  for (const Placement &at : items) {
    uint64_t sum = 0;
    for (const Placement &item : items)
      if (item.first <= at.first && at.first <= item.last)
        sum += item.bytes;
    most = std::max(most, sum);
  }
  return most;
}

static void expectValid(const std::vector<Placement> &items, uint64_t total) {
  for (size_t i = 0; i < items.size(); ++i) {
    const Placement &a = items[i];
    ASSERT_EQ(a.offset % kAlignment, 0u);
    ASSERT_LE(a.offset + a.bytes, total);
    for (size_t j = 0; j < i; ++j) {
      const Placement &b = items[j];
      bool together = a.first <= b.last && b.first <= a.last;
      bool overlap = a.bytes && b.bytes && a.offset < b.offset + b.bytes &&
                     b.offset < a.offset + a.bytes;
      ASSERT_FALSE(together && overlap) << i << " and " << j;
    }
  }
}

// Tests that what lives at the same time never shares memory, for random
// lifetimes and sizes, and that little is wasted.
TEST(Workspace, NeverOverlapsTheLiving) {
  std::mt19937 random(1);
  double wasted = 0;
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Placement> items(random() % 60 + 1);
    int32_t steps = int32_t(random() % 40 + 1);
    for (Placement &item : items) {
      item.bytes = random() % 20 * kAlignment;
      item.first = int32_t(random() % unsigned(steps));
      item.last = std::min(steps - 1, item.first + int32_t(random() % 8));
    }
    WorkspacePlanner planner;
    uint64_t total = 0;
    ASSERT_TRUE(planner.plan(items, total));
    expectValid(items, total);
    uint64_t bound = lowerBound(items);
    ASSERT_GE(total, bound);
    wasted += bound ? double(total) / double(bound) - 1 : 0;
  }
  EXPECT_LT(wasted / kRounds, 0.1);
}

// Tests that a chain of equal buffers needs two of them.
TEST(Workspace, ReusesTheDead) {
  std::vector<Placement> items;
  for (int32_t i = 0; i < 24; ++i)
    items.push_back({4096, i, i + 1, 0});
  WorkspacePlanner planner;
  uint64_t total = 0;
  ASSERT_TRUE(planner.plan(items, total));
  EXPECT_EQ(total, 8192u);
  expectValid(items, total);
}

// Tests that sizes which leave 63 bits are refused, not wrapped.
TEST(Workspace, RefusesHugeSizes) {
  uint64_t aligned = 0;
  EXPECT_FALSE(alignSize(-1, aligned));
  EXPECT_FALSE(alignSize(INT64_MAX, aligned));
  EXPECT_TRUE(alignSize(0, aligned));
  EXPECT_EQ(aligned, 0u);
  EXPECT_TRUE(alignSize(65, aligned));
  EXPECT_EQ(aligned, 128u);
  std::vector<Placement> items(3, {uint64_t(1) << 62, 0, 0, 0});
  WorkspacePlanner planner;
  uint64_t total = 0;
  EXPECT_FALSE(planner.plan(items, total));
  WorkspaceMemory memory;
  EXPECT_EQ(memory.grow(uint64_t(1) << 62).code(), JN_OUT_OF_MEMORY);
  EXPECT_EQ(memory.size(), 0u);
}
