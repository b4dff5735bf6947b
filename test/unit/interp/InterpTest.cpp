//===- InterpTest.cpp - Every operator by its definition ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"
#include "gtest/gtest.h"
#include <cmath>
#include <numeric>

using namespace joinery;
using Floats = std::vector<double>;
using Integers = std::vector<int64_t>;

namespace {

TEST(Interp, ContractsByJoinAndSum) {
  Program program(R"(
    !x = !rel.rel<[s: ?S, k: 3] x f32>
    !w = !rel.rel<[k: 3, n: 2] x f32>
    rel.table @w : !rel.rel<[i: 3, j: 2] x f32> = dense<[1., 2., 3., 4., 5., 6.]> : tensor<6xf32>
    func.func @main(%x: !x) -> !rel.rel<[s: ?S, n: 2] x f32> {
      %w = rel.scan @w : !w
      %p = rel.join %x, %w : (!x, !w) -> !rel.rel<[s: ?S, k: 3, n: 2] x f32> {
      ^bb0(%a: f32, %b: f32):
        %0 = arith.mulf %a, %b : f32
        rel.yield %0 : f32
      }
      %y = rel.aggregate sum %p over [k]
        : (!rel.rel<[s: ?S, k: 3, n: 2] x f32>) -> !rel.rel<[s: ?S, n: 2] x f32>
      return %y : !rel.rel<[s: ?S, n: 2] x f32>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  auto results = program.run({{{"s", "k"}, {2, 3}, Floats{1, 0, 2, 0, 1, 0}}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ((*results)[0].extents, (Integers{2, 2}));
  EXPECT_EQ(floats((*results)[0]), (Floats{11, 14, 3, 4}));
}

TEST(Interp, RekeySplitsMergesAndPads) {
  Program program(R"(
    func.func @main(%x: !rel.rel<[h: 6] x i64>)
        -> (!rel.rel<[d: 3, n: 2] x i64>, !rel.rel<[i: 5] x i64>) {
      %a = rel.rekey %x [h = "3 * #n + #d"]
        : !rel.rel<[h: 6] x i64> -> !rel.rel<[d: 3, n: 2] x i64>
      %b = rel.rekey %a [n = "(#i + 3) floordiv 3", d = "(#i + 3) mod 3"] else -1 : i64
        : !rel.rel<[d: 3, n: 2] x i64> -> !rel.rel<[i: 5] x i64>
      return %a, %b : !rel.rel<[d: 3, n: 2] x i64>, !rel.rel<[i: 5] x i64>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  auto results = program.run({{{"h"}, {6}, Integers{0, 10, 20, 30, 40, 50}}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(integers((*results)[0]), (Integers{0, 30, 10, 40, 20, 50}));
  EXPECT_EQ(integers((*results)[1]), (Integers{30, 40, 50, -1, -1}));
}

// Tests quotients and remainders of keys that fall, and that rise by more than the
// divisor, along a block.
TEST(Interp, RekeyDividesAlongABlock) {
  Program program(R"(
    func.func @main(%x: !rel.rel<[q: 30, r: 7] x i64>)
        -> (!rel.rel<[i: 60] x i64>, !rel.rel<[i: 12] x i64>) {
      %a = rel.rekey %x [q = "(200 - 3 * #i) floordiv 7", r = "(200 - 3 * #i) mod 7"]
        : !rel.rel<[q: 30, r: 7] x i64> -> !rel.rel<[i: 60] x i64>
      %b = rel.rekey %x [q = "(16 * #i + 5) floordiv 7", r = "(16 * #i + 5) mod 7"]
        : !rel.rel<[q: 30, r: 7] x i64> -> !rel.rel<[i: 12] x i64>
      return %a, %b : !rel.rel<[i: 60] x i64>, !rel.rel<[i: 12] x i64>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  Integers numbers(210), falling, rising;
  std::iota(numbers.begin(), numbers.end(), 0);
  for (int64_t i = 0; i < 60; ++i)
    falling.push_back(200 - 3 * i);
  for (int64_t i = 0; i < 12; ++i)
    rising.push_back(16 * i + 5);
  auto results = program.run({{{"q", "r"}, {30, 7}, numbers}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(integers((*results)[0]), falling);
  EXPECT_EQ(integers((*results)[1]), rising);
}

TEST(Interp, LookupWrapsNegativeIndices) {
  const char *text = R"(
    func.func @main(%t: !rel.rel<[v: 3, h: 2] x f32>, %i: !rel.rel<[s: ?S] x i64>)
        -> !rel.rel<[s: ?S, h: 2] x f32> {
      %e = rel.lookup %t[v = %i] : (!rel.rel<[v: 3, h: 2] x f32>, !rel.rel<[s: ?S] x i64>)
        -> !rel.rel<[s: ?S, h: 2] x f32>
      return %e : !rel.rel<[s: ?S, h: 2] x f32>
    })";
  Relation table{{"v", "h"}, {3, 2}, Floats{1, 2, 3, 4, 5, 6}};
  Program program(text);
  ASSERT_TRUE(program.module) << program.diagnostics;
  auto results = program.run({table, {{"s"}, {2}, Integers{-1, 0}}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(floats((*results)[0]), (Floats{5, 6, 1, 2}));
  EXPECT_TRUE(mlir::failed(program.run({table, {{"s"}, {1}, Integers{3}}})));
  EXPECT_NE(program.diagnostics.find("index 3 is out of range"),
            std::string::npos);
}

TEST(Interp, SoftmaxSumOfNothingIsZero) {
  Program program(R"(
    !s = !rel.rel<[s: 2, t: 3] x f32>
    !v = !rel.rel<[t: 3, d: 2] x f32>
    !m = !rel.rel<[s: 2, t: 3] x i1>
    func.func @main(%s: !s, %v: !v, %m: !m) -> !rel.rel<[s: 2, d: 2] x f32> {
      %k = rel.select %s where %m else 0xFF800000 : f32 : (!s, !m) -> !s
      %y = rel.aggregate softmax_sum %k, %v over [t] : (!s, !v) -> !rel.rel<[s: 2, d: 2] x f32>
      return %y : !rel.rel<[s: 2, d: 2] x f32>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  Relation scores{{"s", "t"}, {2, 3}, Floats{0, 0, 9, 1, 2, 3}};
  Relation values{{"t", "d"}, {3, 2}, Floats{1, 2, 3, 4, NAN, NAN}};
  Relation mask{{"s", "t"}, {2, 3}, Integers{1, 1, 0, 0, 0, 0}};
  auto results = program.run({scores, values, mask});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(floats((*results)[0]), (Floats{2, 3, 0, 0}));
}

// Tests that scores near the constant of their mask are an error, unless there
// is none or one that is no number.
TEST(Interp, SoftmaxSumChecksItsMask) {
  Program program(R"(
    !s = !rel.rel<[t: 3] x f32>
    !m = !rel.rel<[t: 3] x i1>
    func.func @main(%s: !s, %v: !s, %m: !m) -> !rel.rel<[] x f32> {
      %k = rel.select %s where %m else 0xFF800000 : f32 : (!s, !m) -> !s
      %y = rel.aggregate softmax_sum %k, %v over [t] : (!s, !s) -> !rel.rel<[] x f32> {mask = -1.0e4 : f64}
      return %y : !rel.rel<[] x f32>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  Relation values{{"t"}, {3}, Floats{1, 2, 3}};
  auto runs = [&](Floats scores, Integers mask) {
    return mlir::succeeded(program.run(
        {{{"t"}, {3}, scores}, values, {{"t"}, {3}, mask}}));
  };
  EXPECT_TRUE(runs({-4999, -7000, 9}, {1, 1, 0}));
  EXPECT_FALSE(runs({-5000, -7000, 9}, {1, 1, 0}));
  EXPECT_NE(program.diagnostics.find("half of the mask's constant"),
            std::string::npos);
  EXPECT_TRUE(runs({-5000, -7000, 9}, {0, 0, 0}));
  EXPECT_TRUE(runs({-5000, NAN, 9}, {1, 1, 0}));
}

TEST(Interp, UnionAndAggregatesOverKeys) {
  Program program(R"(
    !a = !rel.rel<[s: 2, h: 2] x f32>
    !u = !rel.rel<[s: 3, h: 2] x f32>
    func.func @main(%c: !rel.rel<[h: 2] x f32>, %a: !a)
        -> (!u, !rel.rel<[h: 2] x i64>, !rel.rel<[] x f32>, !rel.rel<[h: 2] x f32>) {
      %u = rel.union over s(%c, %a) sizes ["1", "2"] : (!rel.rel<[h: 2] x f32>, !a) -> !u
      %i = rel.aggregate argmax %u over [s] : (!u) -> !rel.rel<[h: 2] x i64>
      %p = rel.aggregate prod %u over [s, h] : (!u) -> !rel.rel<[] x f32>
      %m = rel.aggregate min %u over [s] : (!u) -> !rel.rel<[h: 2] x f32>
      return %u, %i, %p, %m : !u, !rel.rel<[h: 2] x i64>, !rel.rel<[] x f32>, !rel.rel<[h: 2] x f32>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  auto results = program.run({{{"h"}, {2}, Floats{5, 1}},
                              {{"s", "h"}, {2, 2}, Floats{5, 7, 3, 7}}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(floats((*results)[0]), (Floats{5, 1, 5, 7, 3, 7}));
  EXPECT_EQ(integers((*results)[1]), (Integers{0, 1}));
  EXPECT_EQ(floats((*results)[2]), (Floats{5 * 5 * 3 * 49}));
  EXPECT_EQ(floats((*results)[3]), (Floats{3, 1}));
}

TEST(Interp, ScalarsSaturateWrapAndRound) {
  Program program(R"(
    !f = !rel.rel<[i: 4] x f32>
    func.func @main(%x: !f) -> (!rel.rel<[i: 4] x i8>, !rel.rel<[i: 4] x f16>, !f) {
      %a = rel.join %x : (!f) -> !rel.rel<[i: 4] x i8> {
      ^bb0(%u: f32):
        %0 = arith.fptosi %u : f32 to i8
        rel.yield %0 : i8
      }
      %b = rel.join %x : (!f) -> !rel.rel<[i: 4] x f16> {
      ^bb0(%u: f32):
        %0 = arith.truncf %u : f32 to f16
        rel.yield %0 : f16
      }
      %c = rel.join %x : (!f) -> !f {
      ^bb0(%u: f32):
        %z = arith.constant 0.0 : f32
        %0 = arith.cmpf olt, %u, %z : f32
        %1 = math.absf %u : f32
        %2 = math.sqrt %1 : f32
        %3 = arith.select %0, %z, %2 : f32
        rel.yield %3 : f32
      }
      return %a, %b, %c : !rel.rel<[i: 4] x i8>, !rel.rel<[i: 4] x f16>, !f
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  auto results = program.run({{{"i"}, {4}, Floats{1e9, -3.7, 0.1, 65520}}});
  ASSERT_TRUE(mlir::succeeded(results)) << program.diagnostics;
  EXPECT_EQ(integers((*results)[0]), (Integers{127, -3, 0, 127}));
  Floats halves = floats((*results)[1]);
  EXPECT_EQ(halves[1], -3.69921875);
  EXPECT_EQ(halves[2], 0.0999755859375);
  EXPECT_TRUE(std::isinf(halves[3]));
  EXPECT_EQ(floats((*results)[2])[1], 0);
  EXPECT_EQ(floats((*results)[2])[2], double(std::sqrt(0.1f)));
}

TEST(Interp, ReportsExtentsThatDiffer) {
  Program program(R"(
    !x = !rel.rel<[s: ?S] x f32>
    func.func @main(%x: !x, %y: !x) -> !x {
      return %x : !x
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  EXPECT_TRUE(mlir::failed(
      program.run({{{"s"}, {1}, Floats{1}}, {{"s"}, {2}, Floats{1, 2}}})));
  EXPECT_NE(program.diagnostics.find("has 2 keys in column 's', not ?S"),
            std::string::npos)
      << program.diagnostics;
}

} // namespace
