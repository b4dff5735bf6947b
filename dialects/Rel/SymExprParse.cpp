//===- SymExprParse.cpp - Integer expressions from text -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/SymExpr.h"
#include "llvm/ADT/StringExtras.h"

using namespace joinery;
using llvm::StringRef;

static bool isNameCharacter(char c) {
  return llvm::isAlnum(c) || c == '_' || c == '.' || c == '$';
}

namespace {
/// Recursive descent over: sum := product (('+'|'-') product)*,
/// product := unary (('*'|'floordiv'|'mod') unary)*.
class Parser {
public:
  explicit Parser(StringRef text) : rest(text) {}
  std::optional<SymExpr> run() {
    auto result = sum(0);
    skip();
    return rest.empty() ? result : std::nullopt;
  }

private:
  static constexpr int maxDepth = 64;
  StringRef rest;

  void skip() { rest = rest.ltrim(); }
  bool eat(StringRef token) {
    skip();
    return rest.consume_front(token);
  }
  std::optional<SymExpr> sum(int depth) {
    auto result = product(depth);
    while (result) {
      bool plus = eat("+");
      if (!plus && !eat("-"))
        break;
      auto next = product(depth);
      if (!next)
        return std::nullopt;
      result = plus ? *result + *next : *result - *next;
    }
    return result;
  }
  std::optional<SymExpr> product(int depth) {
    auto result = unary(depth);
    while (result) {
      int kind = eat("*") ? 0 : eat("floordiv") ? 1 : eat("mod") ? 2 : 3;
      if (kind == 3)
        break;
      auto next = unary(depth);
      if (!next || (kind && next->isConst(0)))
        return std::nullopt;
      result = kind == 0   ? *result * *next
               : kind == 1 ? SymExpr::floorDiv(*result, *next)
                           : SymExpr::mod(*result, *next);
    }
    return result;
  }
  std::optional<SymExpr> unary(int depth) {
    if (depth > maxDepth)
      return std::nullopt;
    if (eat("-")) {
      auto operand = unary(depth + 1);
      return operand ? std::optional(-*operand) : std::nullopt;
    }
    if (eat("(")) {
      auto inner = sum(depth + 1);
      return inner && eat(")") ? inner : std::nullopt;
    }
    for (bool isMin : {true, false})
      if (eat(isMin ? "min(" : "max(")) {
        auto a = sum(depth + 1);
        if (!a || !eat(","))
          return std::nullopt;
        auto b = sum(depth + 1);
        if (!b || !eat(")"))
          return std::nullopt;
        return isMin ? SymExpr::min(*a, *b) : SymExpr::max(*a, *b);
      }
    skip();
    if (!rest.empty() && (rest[0] == '?' || rest[0] == '#')) {
      StringRef name = rest.substr(1).take_while(isNameCharacter);
      if (name.empty())
        return std::nullopt;
      StringRef symbol = rest.take_front(name.size() + 1);
      rest = rest.drop_front(symbol.size());
      return SymExpr::symbol(symbol);
    }
    if (rest.consume_front("overflow"))
      return SymExpr::overflow();
    StringRef digits = rest.take_while(llvm::isDigit);
    int64_t value;
    if (digits.empty() || digits.getAsInteger(10, value))
      return std::nullopt;
    rest = rest.drop_front(digits.size());
    return SymExpr(value);
  }
};
} // namespace

std::optional<SymExpr> SymExpr::parse(StringRef text) {
  // Most extents are a number or one name.
  if (int64_t value; !text.empty() && llvm::isDigit(text.front()) &&
                     !text.getAsInteger(10, value))
    return SymExpr(value);
  if (text.size() > 1 && (text.front() == '?' || text.front() == '#') &&
      llvm::all_of(text.drop_front(), isNameCharacter))
    return SymExpr::symbol(text);
  return Parser(text).run();
}
