//===- ExprTest.cpp - Expressions over symbols ----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Expr.h"
#include "test/unit/runtime/TestModel.h"

#include <gtest/gtest.h>

using namespace joinery::test;
using joinery::runtime::Expr;

static bool decode(const prog::ExprT &source, size_t symbols, Expr &expr) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(prog::Expr::Pack(builder, &source));
  auto *root = flatbuffers::GetRoot<prog::Expr>(builder.GetBufferPointer());
  return Expr::decode(root, symbols, 0, expr);
}

static bool evaluate(ExprPtr source, int64_t &value) {
  Expr expr;
  const int64_t symbols[] = {7, -7};
  return decode(*source, 2, expr) && expr.evaluate(symbols, value);
}

// Tests that division and remainder round down, as the compiler folds them.
TEST(Expr, FloorsTowardsMinusInfinity) {
  using Op = prog::Opcode;
  struct {
    Op op;
    int64_t a, b, want;
  } cases[] = {{Op::Add, 3, 4, 7},        {Op::Sub, 3, 4, -1},
               {Op::Mul, 3, -4, -12},     {Op::FloorDiv, 7, 2, 3},
               {Op::FloorDiv, -7, 2, -4}, {Op::FloorDiv, -8, 2, -4},
               {Op::Mod, 7, 4, 3},        {Op::Mod, -7, 4, 1},
               {Op::Mod, -8, 4, 0},       {Op::Min, 3, 4, 3},
               {Op::Max, 3, 4, 4}};
  for (const auto &c : cases) {
    int64_t value = 0;
    ASSERT_TRUE(evaluate(binary(c.op, constant(c.a), constant(c.b)), value));
    EXPECT_EQ(value, c.want) << prog::EnumNameOpcode(c.op);
  }
  int64_t value = 0;
  ASSERT_TRUE(evaluate(binary(Op::Sub, symbol(0), symbol(1)), value));
  EXPECT_EQ(value, 14);
}

// Tests that overflow and divisors that are not positive have no value.
TEST(Expr, HasNoValueOutsideItsDomain) {
  using Op = prog::Opcode;
  int64_t value = 0;
  EXPECT_FALSE(
      evaluate(binary(Op::Add, constant(INT64_MAX), constant(1)), value));
  EXPECT_FALSE(
      evaluate(binary(Op::Sub, constant(INT64_MIN), constant(1)), value));
  EXPECT_FALSE(evaluate(
      binary(Op::Mul, constant(int64_t(1) << 62), constant(2)), value));
  for (Op op : {Op::FloorDiv, Op::Mod})
    for (int64_t divisor : {int64_t(0), int64_t(-1), INT64_MIN})
      EXPECT_FALSE(
          evaluate(binary(op, constant(INT64_MIN), constant(divisor)), value));
}

// Tests that code which would leave the stack or the symbols is refused.
TEST(Expr, RefusesMalformedCode) {
  using Op = prog::Opcode;
  Expr expr;
  prog::ExprT code;
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op::Add, 0}};
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op::Const, 1}, {Op::Const, 1}};
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op::Symbol, 2}};
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op::Symbol, -1}};
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op(99), 0}};
  EXPECT_FALSE(decode(code, 2, expr));
  code.code.assign(100000, {Op::Const, 1});
  EXPECT_FALSE(decode(code, 2, expr));
  code.code = {{Op::Symbol, 1}};
  EXPECT_TRUE(decode(code, 2, expr));
}
