//===- SymExprRewrite.cpp - Division, bounds and simplification -----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/SymExprQuotients.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <limits>

using namespace joinery;
using llvm::StringRef;

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
    r.add(monomial, llvm::mod(coefficient, byCoefficient));
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

/// A quotient that is a term of its own, and what is at least 0 exactly where
/// `expr` is: for d > 0, x floordiv d + r >= 0 is x + r*d >= 0, and
/// r - x floordiv d >= 0 is x < (r + 1)*d.
static std::optional<SymExpr>
multiplyOut(const SymExpr &expr, const SymExpr::Monomial &monomial,
            int64_t coefficient,
            llvm::function_ref<bool(const SymExpr &)> isPositive) {
  if (monomial.size() != 1 || (coefficient != 1 && coefficient != -1) ||
      monomial[0].kind != SymExpr::Atom::FloorDiv ||
      !isPositive(*monomial[0].rhs))
    return std::nullopt;
  const SymExpr &x = *monomial[0].lhs, &d = *monomial[0].rhs;
  SymExpr rest = expr - SymExpr(coefficient) * SymExpr::of(monomial[0]);
  return coefficient == 1 ? x + rest * d
                          : (rest + SymExpr(1)) * d - x - SymExpr(1);
}

static bool nonNegativeByQuotient(const SymExpr &expr, SymExpr::Bounds bounds) {
  for (const auto &[monomial, coefficient] : expr.terms()) {
    // A divisor of 0 has no keys that it could divide.
    auto next = multiplyOut(expr, monomial, coefficient,
                            [&](const SymExpr &divisor) {
                              return divisor.provablyNonNegative(bounds);
                            });
    if (next && next->provablyNonNegative(bounds))
      return true;
  }
  return false;
}

SymExpr joinery::withoutQuotients(const SymExpr &expr) {
  if (!expr.isValid())
    return expr;
  for (const auto &[monomial, coefficient] : expr.terms())
    if (auto next = multiplyOut(expr, monomial, coefficient,
                                [](const SymExpr &divisor) {
                                  return divisor.asConst().value_or(0) > 0;
                                }))
      return withoutQuotients(*next);
  return expr;
}

/// floordiv and min of what may be negative have no known sign.
static bool isNonNegativeAtom(const SymExpr::Atom &atom,
                              SymExpr::Bounds bounds) {
  auto holds = [&](const auto &side) {
    return side->provablyNonNegative(bounds);
  };
  switch (atom.kind) {
  case SymExpr::Atom::Symbol:
  case SymExpr::Atom::Mod:
    return true;
  case SymExpr::Atom::Max:
    return holds(atom.lhs) || holds(atom.rhs);
  default:
    return holds(atom.lhs) && holds(atom.rhs);
  }
}

bool SymExpr::provablyNonNegative(Bounds bounds) const {
  if (overflow_)
    return false;
  if (nonNegativeByQuotient(*this, bounds))
    return true;
  // Bounded symbols with a negative coefficient are replaced by their greatest
  // value, bound - 1; what remains must have no negative term.
  SymExpr lower = *this;
  for (int round = 0; round < 8; ++round) {
    bool negative = false, changed = false;
    SymExpr next;
    for (const auto &[monomial, coefficient] : lower.terms()) {
      SymExpr term(coefficient);
      if (coefficient >= 0) {
        for (const Atom &atom : monomial) {
          if (!isNonNegativeAtom(atom, bounds))
            return false;
          term = term * of(atom);
        }
        next = next + term;
        continue;
      }
      bool replaced = false;
      // d * (x floordiv d) is at most x.
      if (monomial.size() == 1 && monomial[0].kind == Atom::FloorDiv)
        if (auto factor = term.exactDiv(*monomial[0].rhs)) {
          next = next + *factor * *monomial[0].lhs;
          changed = true;
          continue;
        }
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
