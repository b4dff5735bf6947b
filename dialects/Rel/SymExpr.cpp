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
#include <limits>

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

/// a mod b for b > 0: in [0, b).
static int64_t floorMod(int64_t a, int64_t b) {
  return a % b + (a % b < 0 ? b : 0);
}

SymExpr SymExpr::mod(const SymExpr &a, const SymExpr &b) {
  if (a.overflow_ || b.overflow_)
    return overflow();
  if (b.isConst(1) || a.isConst(0))
    return 0;
  auto ca = a.asConst(), cb = b.asConst();
  if (ca && cb && *cb > 0)
    return floorMod(*ca, *cb);
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
          factor = floorMod(*a, *b);
      }
      if (!factor || llvm::MulOverflow(product, *factor, product))
        return std::nullopt;
    }
    if (llvm::AddOverflow(sum, product, sum))
      return std::nullopt;
  }
  return sum;
}

//===----------------------------------------------------------------------===//
// Division
//===----------------------------------------------------------------------===//

/// monomial / divisor, if the divisor's atoms are among the monomial's.
static std::optional<SymExpr::Monomial>
divideMonomial(const SymExpr::Monomial &monomial,
               const SymExpr::Monomial &divisor) {
  SymExpr::Monomial rest = monomial;
  for (const auto &atom : divisor) {
    auto it = std::find(rest.begin(), rest.end(), atom);
    if (it == rest.end())
      return std::nullopt;
    rest.erase(it);
  }
  return rest;
}

std::pair<SymExpr, SymExpr> SymExpr::splitBy(const SymExpr &divisor) const {
  SymExpr q, r;
  if (overflow_ || divisor.overflow_)
    return {SymExpr(0), overflow()};
  if (divisor.terms().size() != 1)
    return exactDiv(divisor) ? std::pair(*exactDiv(divisor), SymExpr(0))
                             : std::pair(SymExpr(0), *this);
  const auto &[by, byCoefficient] = *divisor.terms().begin();
  for (const auto &[monomial, coefficient] : terms()) {
    auto rest = divideMonomial(monomial, by);
    if (!rest) {
      r.add(monomial, coefficient);
      continue;
    }
    if (byCoefficient < 0) {
      r.add(monomial, coefficient);
      continue;
    }
    q.add(*rest, llvm::divideFloorSigned(coefficient, byCoefficient));
    r.add(monomial, floorMod(coefficient, byCoefficient));
  }
  return {q, r};
}

std::optional<SymExpr> SymExpr::exactDiv(const SymExpr &divisor) const {
  if (divisor.terms().empty() || overflow_ || divisor.overflow_)
    return std::nullopt;
  // Long division by the greatest term, in the map's order.
  SymExpr rest = *this, quotient;
  const auto &[lead, leadCoefficient] = *divisor.terms().rbegin();
  for (int step = 0; step < 64 && !rest.terms().empty(); ++step) {
    bool progress = false;
    for (auto it = rest.terms().rbegin(); it != rest.terms().rend(); ++it) {
      auto factor = divideMonomial(it->first, lead);
      // The least integer over -1 has no quotient.
      if (!factor ||
          (leadCoefficient == -1
               ? it->second == std::numeric_limits<int64_t>::min()
               : it->second % leadCoefficient != 0))
        continue;
      SymExpr term;
      term.ownTerms()[*factor] = it->second / leadCoefficient;
      quotient = quotient + term;
      rest = rest - term * divisor;
      progress = true;
      break;
    }
    if (!progress)
      return std::nullopt;
  }
  if (!rest.terms().empty() || !quotient.isValid())
    return std::nullopt;
  return quotient;
}

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

SymExpr SymExpr::substitute(
    llvm::function_ref<std::optional<SymExpr>(StringRef)> map) const {
  if (overflow_ || isConst())
    return *this;
  SymExpr result;
  for (const auto &[monomial, coefficient] : terms()) {
    SymExpr product(coefficient);
    for (const Atom &atom : monomial) {
      SymExpr factor;
      if (atom.kind == Atom::Symbol) {
        auto mapped = map(atom.text);
        factor = mapped ? *mapped : symbol(atom.text);
      } else {
        SymExpr a = atom.lhs->substitute(map), b = atom.rhs->substitute(map);
        factor = atom.kind == Atom::FloorDiv ? floorDiv(a, b)
                 : atom.kind == Atom::Mod    ? mod(a, b)
                 : atom.kind == Atom::Min    ? min(a, b)
                                             : max(a, b);
      }
      product = product * factor;
    }
    result = result + product;
  }
  return result;
}

bool SymExpr::provablyNonNegative(Bounds bounds) const {
  // Bounded symbols with a negative coefficient are replaced by their greatest
  // value, bound - 1; what remains must have no negative term.
  if (overflow_)
    return false;
  SymExpr lower = *this;
  for (int round = 0; round < 8; ++round) {
    bool negative = false, changed = false;
    SymExpr next;
    for (const auto &[monomial, coefficient] : lower.terms()) {
      SymExpr term(coefficient);
      if (coefficient >= 0) {
        for (const Atom &atom : monomial) {
          // floordiv and min of what may be negative have no known sign.
          if (atom.kind != Atom::Symbol && atom.kind != Atom::Mod &&
              !(atom.lhs->provablyNonNegative(bounds) &&
                atom.rhs->provablyNonNegative(bounds)))
            return false;
          term = term * of(atom);
        }
        next = next + term;
        continue;
      }
      bool replaced = false;
      for (const Atom &atom : monomial) {
        std::optional<SymExpr> greatest;
        if (atom.kind == Atom::Symbol) {
          if (auto bound = bounds(atom.text))
            greatest = *bound - SymExpr(1);
        } else if (atom.kind == Atom::Mod) {
          greatest = *atom.rhs - SymExpr(1);
        } else if (atom.kind == Atom::Min) {
          greatest = atom.lhs->isConst() ? *atom.lhs : *atom.rhs;
        } else if (atom.kind == Atom::FloorDiv &&
                   atom.rhs->provablyLess(SymExpr(1), bounds) == false) {
          // Only where the dividend is not negative is it a bound.
          if (!atom.lhs->isConst() && atom.lhs->provablyNonNegative(bounds))
            greatest = *atom.lhs;
        }
        if (greatest && !replaced) {
          term = term * *greatest;
          replaced = true;
        } else {
          term = term * of(atom);
        }
      }
      if (!replaced && !monomial.empty())
        negative = true;
      if (monomial.empty())
        next = next + SymExpr(coefficient);
      else
        next = next + term;
      changed |= replaced;
    }
    lower = next;
    if (lower.overflow_)
      return false;
    auto constant = lower.asConst();
    if (constant)
      return *constant >= 0;
    if (!changed) {
      if (negative)
        return false;
      auto it = lower.terms().find({});
      return it == lower.terms().end() || it->second >= 0;
    }
  }
  return false;
}

bool SymExpr::provablyLess(const SymExpr &bound, Bounds bounds) const {
  return (bound - *this - SymExpr(1)).provablyNonNegative(bounds);
}

/// E * (a floordiv E) + a mod E = a, with any common factor.
static SymExpr mergeDigits(SymExpr expr) {
  auto restOf = [](const SymExpr::Monomial &monomial, size_t i,
                   int64_t coefficient) {
    SymExpr rest(coefficient);
    for (size_t j = 0; j < monomial.size(); ++j)
      if (j != i)
        rest = rest * SymExpr::of(monomial[j]);
    return rest;
  };
  for (const auto &[high, c] : expr.terms())
    for (size_t i = 0; i < high.size(); ++i) {
      if (high[i].kind != SymExpr::Atom::FloorDiv)
        continue;
      for (const auto &[low, d] : expr.terms())
        for (size_t j = 0; j < low.size(); ++j) {
          if (low[j].kind != SymExpr::Atom::Mod || *low[j].lhs != *high[i].lhs ||
              *low[j].rhs != *high[i].rhs)
            continue;
          SymExpr factor = restOf(low, j, d);
          if (restOf(high, i, c) != factor * *low[j].rhs)
            continue;
          return mergeDigits(expr - restOf(high, i, c) * SymExpr::of(high[i]) -
                             factor * SymExpr::of(low[j]) +
                             factor * *low[j].lhs);
        }
    }
  return expr;
}

SymExpr SymExpr::simplify(Bounds bounds) const {
  // A polynomial of symbols alone is in its simplest form.
  if (overflow_ || llvm::all_of(terms(), [](const auto &term) {
        return llvm::all_of(term.first, [](const Atom &atom) {
          return atom.kind == Atom::Symbol;
        });
      }))
    return *this;
  SymExpr result;
  for (const auto &[monomial, coefficient] : terms()) {
    SymExpr product(coefficient);
    for (const Atom &atom : monomial) {
      if (atom.kind == Atom::Symbol) {
        product = product * symbol(atom.text);
        continue;
      }
      SymExpr a = atom.lhs->simplify(bounds), b = atom.rhs->simplify(bounds);
      SymExpr factor;
      if (atom.kind == Atom::Min || atom.kind == Atom::Max) {
        bool less = (b - a).provablyNonNegative(bounds);
        bool greater = (a - b).provablyNonNegative(bounds);
        bool isMin = atom.kind == Atom::Min;
        factor = less      ? (isMin ? a : b)
                 : greater ? (isMin ? b : a)
                 : isMin   ? min(a, b)
                           : max(a, b);
      } else {
        auto [q, r] = a.splitBy(b);
        bool digit = r.provablyNonNegative(bounds) && r.provablyLess(b, bounds);
        if (atom.kind == Atom::FloorDiv)
          factor = digit ? q : floorDiv(a, b);
        else
          factor = digit ? r : mod(a, b);
      }
      product = product * factor;
    }
    result = result + product;
  }
  return mergeDigits(result);
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

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
