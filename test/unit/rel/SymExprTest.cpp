//===- SymExprTest.cpp - Key arithmetic -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/SymExpr.h"
#include "gtest/gtest.h"

using joinery::SymExpr;

namespace {

SymExpr parse(const char *text) {
  auto expr = SymExpr::parse(text);
  EXPECT_TRUE(expr) << text;
  return expr.value_or(SymExpr());
}

/// Keys #i < 12, #h < 4, #d < 16 and #s < ?S.
std::optional<SymExpr> bounds(llvm::StringRef symbol) {
  if (symbol == "#i")
    return SymExpr(12);
  if (symbol == "#h")
    return SymExpr(4);
  if (symbol == "#d")
    return SymExpr(16);
  if (symbol == "#s")
    return SymExpr::extent("S");
  return std::nullopt;
}
std::string simplified(const char *text) {
  return parse(text).simplify(bounds).str();
}

TEST(SymExpr, TextIsCanonical) {
  EXPECT_EQ(parse("2 * (?S + 1) - ?S").str(), "?S + 2");
  EXPECT_EQ(parse("#d + 16 * #h"), parse("#h * 16 + #d"));
  EXPECT_EQ(parse(parse("(#i + ?S) floordiv 3 * 2").str().c_str()),
            parse("2 * ((?S + #i) floordiv 3)"));
}

TEST(SymExpr, RefusesMalformedText) {
  for (const char *text : {"", "1 +", "(?S", "?", "3 mod 0", "min(1)", "a"})
    EXPECT_FALSE(SymExpr::parse(text)) << text;
}

TEST(SymExpr, DigitsOfAMixedRadixNumber) {
  EXPECT_EQ(simplified("(16 * #h + #d) floordiv 16"), "#h");
  EXPECT_EQ(simplified("(16 * #h + #d) mod 16"), "#d");
  EXPECT_EQ(simplified("(#h * ?S + #s) floordiv ?S"), "#h");
  EXPECT_EQ(simplified("(#h * ?S + #s) mod ?S"), "#s");
  // 20 is not a bound of #d's neighbours: nothing is known.
  EXPECT_EQ(simplified("(8 * #h + #d) floordiv 8"), "#h + (#d floordiv 8)");
}

TEST(SymExpr, MergedDigitsAreTheNumber) {
  EXPECT_EQ(simplified("4 * (#i floordiv 4) + #i mod 4"), "#i");
  EXPECT_EQ(simplified("8 * (#i floordiv 4) + 2 * (#i mod 4) + 1"),
            "2 * #i + 1");
  EXPECT_EQ(simplified("5 * (#i floordiv 4) + #i mod 4"),
            "5 * (#i floordiv 4) + (#i mod 4)");
}

TEST(SymExpr, ProvesBounds) {
  EXPECT_TRUE(parse("16 * #h + #d").provablyLess(SymExpr(64), bounds));
  EXPECT_FALSE(parse("16 * #h + #d").provablyLess(SymExpr(63), bounds));
  EXPECT_TRUE(parse("#s + 1").provablyLess(parse("?S + 1"), bounds));
  EXPECT_FALSE(parse("#s + 1").provablyLess(parse("?S"), bounds));
  EXPECT_TRUE(parse("?S - #s - 1").provablyNonNegative(bounds));
  EXPECT_FALSE(parse("?S - 1").provablyNonNegative(bounds));
  EXPECT_FALSE(parse("#i - 5").provablyNonNegative(bounds));
  // -6 floordiv 4 is -2, which is more than -6.
  EXPECT_FALSE(parse("-1 * ((#i - 6) floordiv 4) + #i - 6")
                   .provablyNonNegative(bounds));
}

TEST(SymExpr, DividesPolynomialsExactly) {
  EXPECT_EQ(parse("?B * ?S * 12").exactDiv(parse("?S * 4")), parse("?B * 3"));
  EXPECT_EQ(parse("?S * ?S - 1").exactDiv(parse("?S + 1")), parse("?S - 1"));
  EXPECT_FALSE(parse("?S + 1").exactDiv(parse("?S")));
}

// Tests that what leaves 64 bits has no value, nor has anything made of it.
TEST(SymExpr, OverflowHasNoValue) {
  const SymExpr most(INT64_MAX), least(INT64_MIN), s = parse("?S");
  for (const SymExpr &e :
       {most + SymExpr(1), least - SymExpr(1), -least, most * SymExpr(2),
        parse("4611686018427387904 * ?S * 2"), s * most * most - s * most,
        SymExpr::max(most + most, s), SymExpr::mod(most * s + most * s, s)}) {
    EXPECT_FALSE(e.isValid());
    EXPECT_FALSE(e.asConst());
    EXPECT_FALSE(e.asSymbol());
    EXPECT_FALSE((e * SymExpr(0)).isValid());
    EXPECT_FALSE((s - e).isValid());
    EXPECT_FALSE(SymExpr::floorDiv(e, s).isValid());
    EXPECT_FALSE(e.simplify(bounds).isValid());
    EXPECT_FALSE(e.exactDiv(s));
    EXPECT_FALSE(e.provablyNonNegative(bounds));
    EXPECT_FALSE(s.provablyLess(e, bounds));
    EXPECT_FALSE(e.evaluate([](llvm::StringRef) { return 1; }));
    EXPECT_FALSE(parse(e.str().c_str()).isValid());
  }
  EXPECT_EQ(most - most, SymExpr(0));
  EXPECT_EQ(least + most, SymExpr(-1));
  EXPECT_EQ(SymExpr::min(least, most), least);
  EXPECT_EQ(SymExpr::max(least, most), most);
  EXPECT_EQ(SymExpr::floorDiv(least, 2), SymExpr(INT64_MIN / 2));
  EXPECT_EQ(SymExpr::mod(least, 3), SymExpr(1));
  EXPECT_FALSE(least.exactDiv(-1));
  EXPECT_EQ(s.exactDiv(-1), -s);
  // -(2^63) has a coefficient, its negation has none.
  EXPECT_EQ((s * least).str(), "-9223372036854775808 * ?S");
}

TEST(SymExpr, BoundsQuotientsOfDifferences) {
  // Keys of two columns of one extent: their difference is in (-S, S).
  auto bounds = [](llvm::StringRef symbol) -> std::optional<SymExpr> {
    return symbol == "#s" || symbol == "#t" ? std::optional(parse("?S"))
                                            : std::nullopt;
  };
  SymExpr step = parse("(#t - #s) floordiv ?S");
  EXPECT_TRUE((step + SymExpr(1)).provablyNonNegative(bounds));
  EXPECT_FALSE(step.provablyNonNegative(bounds));
  EXPECT_TRUE(step.provablyLess(1, bounds));
  EXPECT_FALSE(step.provablyLess(0, bounds));
  // The relative shift of XLNet: both digits of row and column.
  EXPECT_EQ(parse("#s + ((#t - #s) floordiv ?S + 1) floordiv 2")
                .simplify(bounds),
            parse("#s"));
  EXPECT_EQ(parse("(((#t - #s) floordiv ?S + 1) mod 2) * ?S + (#t - #s) mod ?S")
                .simplify(bounds),
            parse("?S + #t - #s"));
  // What a pool of 2 leaves over.
  EXPECT_TRUE(parse("?S - 2 * (?S floordiv 2)").provablyNonNegative(bounds));
  EXPECT_FALSE(
      parse("?S - 2 * ((?S + 1) floordiv 2)").provablyNonNegative(bounds));
  // A maximum is at least each of its operands.
  EXPECT_TRUE(parse("max(0, ?S - 1)").provablyNonNegative(bounds));
  EXPECT_FALSE(parse("max(#s - ?S, ?S - 2)").provablyNonNegative(bounds));
}

TEST(SymExpr, EvaluatesWithFloorSemantics) {
  auto values = [](llvm::StringRef symbol) -> std::optional<int64_t> {
    return symbol == "?S" ? std::optional<int64_t>(7) : std::nullopt;
  };
  EXPECT_EQ(parse("(2 - ?S) floordiv 2").evaluate(values), -3);
  EXPECT_EQ(parse("(2 - ?S) mod 3").evaluate(values), 1);
  EXPECT_EQ(parse("min(?S, 5) + max(?S, 5)").evaluate(values), 12);
  EXPECT_FALSE(parse("?T").evaluate(values));
  EXPECT_FALSE(parse("1 floordiv (?S - 7)").evaluate(values));
}

} // namespace
