//===- SymExpr.cpp - Integer expressions over symbols and keys ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/SymExpr.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace joinery;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Construction
//===----------------------------------------------------------------------===//

const SymExpr::Terms &SymExpr::terms() const {
  static const Terms none;
  return terms_ ? *terms_ : none;
}

SymExpr::Terms &SymExpr::ownTerms() {
  if (!terms_)
    terms_ = std::make_shared<Terms>();
  else if (terms_.use_count() > 1)
    terms_ = std::make_shared<Terms>(*terms_);
  return *terms_;
}

SymExpr::SymExpr(int64_t value) {
  if (value)
    ownTerms()[{}] = value;
}

SymExpr SymExpr::symbol(StringRef prefixedName) {
  return of(Atom{Atom::Symbol, prefixedName.str(), nullptr, nullptr});
}
SymExpr SymExpr::of(const Atom &atom) {
  SymExpr result;
  result.ownTerms()[{atom}] = 1;
  return result;
}
SymExpr SymExpr::overflow() {
  SymExpr result = symbol("overflow");
  result.overflow_ = true;
  return result;
}
SymExpr SymExpr::extent(StringRef name) { return symbol(("?" + name).str()); }
SymExpr SymExpr::key(StringRef name) { return symbol(("#" + name).str()); }

void SymExpr::add(const Monomial &monomial, int64_t coefficient) {
  if (!coefficient || overflow_)
    return;
  Terms &terms = ownTerms();
  auto [it, inserted] = terms.try_emplace(monomial, coefficient);
  if (inserted)
    return;
  if (llvm::AddOverflow(it->second, coefficient, it->second))
    *this = overflow();
  else if (!it->second)
    terms.erase(it);
}

SymExpr SymExpr::operator+(const SymExpr &other) const {
  if (overflow_ || other.overflow_)
    return overflow();
  if (terms().empty())
    return other;
  SymExpr result = *this;
  for (const auto &[monomial, coefficient] : other.terms())
    result.add(monomial, coefficient);
  return result;
}

SymExpr SymExpr::operator-(const SymExpr &other) const {
  return *this + other * SymExpr(-1);
}

SymExpr SymExpr::operator*(const SymExpr &other) const {
  if (overflow_ || other.overflow_)
    return overflow();
  if (isConst(1))
    return other;
  if (other.isConst(1))
    return *this;
  SymExpr result;
  for (const auto &[a, ca] : terms())
    for (const auto &[b, cb] : other.terms()) {
      Monomial product(a);
      product.insert(product.end(), b.begin(), b.end());
      std::sort(product.begin(), product.end());
      int64_t coefficient;
      if (llvm::MulOverflow(ca, cb, coefficient))
        return overflow();
      result.add(product, coefficient);
    }
  return result;
}

SymExpr SymExpr::make(Atom::Kind kind, const SymExpr &a, const SymExpr &b) {
  static const char *const names[] = {"", " floordiv ", " mod ", "min", "max"};
  std::string text;
  if (kind == Atom::Min || kind == Atom::Max) {
    text = std::string(names[kind]) + "(" + a.str() + ", " + b.str() + ")";
  } else {
    auto operand = [](const SymExpr &e) {
      bool simple = e.asConst() ? *e.asConst() >= 0 : bool(e.asSymbol());
      return simple ? e.str() : "(" + e.str() + ")";
    };
    text = "(" + operand(a) + names[kind] + operand(b) + ")";
  }
  return of(Atom{kind, text, std::make_shared<SymExpr>(a),
                 std::make_shared<SymExpr>(b)});
}

SymExpr SymExpr::floorDiv(const SymExpr &a, const SymExpr &b) {
  if (a.overflow_ || b.overflow_)
    return overflow();
  if (b.isConst(1) || a.isConst(0))
    return a;
  auto ca = a.asConst(), cb = b.asConst();
  if (ca && cb && *cb > 0)
    return llvm::divideFloorSigned(*ca, *cb);
  if (auto quotient = a.exactDiv(b))
    return *quotient;
  // Whole multiples of the divisor leave: (q*b + r) floordiv b = q + r div b.
  auto [q, r] = a.splitBy(b);
  if (q != SymExpr(0))
    return q + floorDiv(r, b);
  return make(Atom::FloorDiv, a, b);
}

SymExpr SymExpr::mod(const SymExpr &a, const SymExpr &b) {
  if (a.overflow_ || b.overflow_)
    return overflow();
  if (b.isConst(1) || a.isConst(0))
    return 0;
  auto ca = a.asConst(), cb = b.asConst();
  if (ca && cb && *cb > 0)
    return llvm::mod(*ca, *cb);
  SymExpr r = a.splitBy(b).second;
  if (r.isConst(0))
    return 0;
  if (r != a)
    return mod(r, b);
  return make(Atom::Mod, a, b);
}

SymExpr SymExpr::min(const SymExpr &a, const SymExpr &b) {
  if (a.overflow_ || b.overflow_)
    return overflow();
  // Not by their difference, which may overflow.
  if (auto ca = a.asConst(), cb = b.asConst(); ca && cb)
    return std::min(*ca, *cb);
  if (auto difference = (a - b).asConst())
    return *difference <= 0 ? a : b;
  return b < a ? make(Atom::Min, b, a) : make(Atom::Min, a, b);
}

SymExpr SymExpr::max(const SymExpr &a, const SymExpr &b) {
  if (a.overflow_ || b.overflow_)
    return overflow();
  if (auto ca = a.asConst(), cb = b.asConst(); ca && cb)
    return std::max(*ca, *cb);
  if (auto difference = (a - b).asConst())
    return *difference >= 0 ? a : b;
  return b < a ? make(Atom::Max, b, a) : make(Atom::Max, a, b);
}

//===----------------------------------------------------------------------===//
// Inspection
//===----------------------------------------------------------------------===//

bool SymExpr::isConst() const { return asConst().has_value(); }

std::optional<int64_t> SymExpr::asConst() const {
  if (terms().empty())
    return 0;
  if (terms().size() == 1 && terms().begin()->first.empty())
    return terms().begin()->second;
  return std::nullopt;
}

std::optional<std::string> SymExpr::asSymbol() const {
  if (overflow_ || terms().size() != 1 || terms().begin()->second != 1 ||
      terms().begin()->first.size() != 1 ||
      terms().begin()->first[0].kind != Atom::Symbol)
    return std::nullopt;
  return terms().begin()->first[0].text;
}

std::string SymExpr::str() const {
  if (terms().empty())
    return "0";
  std::string text;
  // The constant term is the first of the map and printed last.
  auto print = [&](const Monomial &monomial, int64_t coefficient) {
    bool negative = coefficient < 0;
    uint64_t magnitude = negative ? -uint64_t(coefficient) : coefficient;
    if (text.empty())
      text += negative ? "-" : "";
    else
      text += negative ? " - " : " + ";
    if (magnitude != 1 || monomial.empty())
      text += std::to_string(magnitude) + (monomial.empty() ? "" : " * ");
    for (size_t i = 0; i < monomial.size(); ++i)
      text += (i ? " * " : "") + monomial[i].text;
  };
  for (const auto &[monomial, coefficient] : terms())
    if (!monomial.empty())
      print(monomial, coefficient);
  if (auto it = terms().find({}); it != terms().end())
    print(it->first, it->second);
  return text;
}

void SymExpr::collect(std::set<std::string> &symbols) const {
  if (overflow_)
    return;
  for (const auto &[monomial, coefficient] : terms())
    for (const Atom &atom : monomial) {
      if (atom.kind == Atom::Symbol) {
        symbols.insert(atom.text);
        continue;
      }
      atom.lhs->collect(symbols);
      atom.rhs->collect(symbols);
    }
}

bool SymExpr::uses(StringRef symbol) const {
  std::set<std::string> symbols;
  collect(symbols);
  return symbols.count(symbol.str());
}

bool SymExpr::hasKeys() const {
  std::set<std::string> symbols;
  collect(symbols);
  return std::any_of(symbols.begin(), symbols.end(),
                     [](const std::string &s) { return s[0] == '#'; });
}

std::optional<int64_t> SymExpr::evaluate(
    llvm::function_ref<std::optional<int64_t>(StringRef)> values) const {
  if (overflow_)
    return std::nullopt;
  int64_t sum = 0;
  for (const auto &[monomial, coefficient] : terms()) {
    int64_t product = coefficient;
    for (const Atom &atom : monomial) {
      std::optional<int64_t> factor;
      if (atom.kind == Atom::Symbol) {
        factor = values(atom.text);
      } else {
        auto a = atom.lhs->evaluate(values), b = atom.rhs->evaluate(values);
        if (!a || !b)
          return std::nullopt;
        if (atom.kind == Atom::Min)
          factor = std::min(*a, *b);
        else if (atom.kind == Atom::Max)
          factor = std::max(*a, *b);
        else if (*b <= 0)
          return std::nullopt;
        else if (atom.kind == Atom::FloorDiv)
          factor = llvm::divideFloorSigned(*a, *b);
        else
          factor = llvm::mod(*a, *b);
      }
      if (!factor || llvm::MulOverflow(product, *factor, product))
        return std::nullopt;
    }
    if (llvm::AddOverflow(sum, product, sum))
      return std::nullopt;
  }
  return sum;
}
