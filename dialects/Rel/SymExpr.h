//===- SymExpr.h - Integer expressions over symbols and keys ----*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Extents of columns and key arithmetic are polynomials with floordiv, mod, min
// and max over symbols: `?name` is an extent, `#name` the key of a column.
// Expressions are kept in one canonical form, so equal text means equal values
// (the reverse need not hold). Coefficients have 64 bits; an expression that
// would need more has no value and is written `overflow`, as is all that is made
// of it: who makes expressions from sizes of a file asks isValid() in the end.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_DIALECTS_REL_SYMEXPR_H
#define JOINERY_DIALECTS_REL_SYMEXPR_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace joinery {

class SymExpr {
public:
  /// What a product is made of: a symbol (with its prefix `?` or `#`), or an
  /// operation that is not polynomial.
  struct Atom {
    enum Kind { Symbol, FloorDiv, Mod, Min, Max } kind;
    std::string text; // canonical; orders and compares atoms
    std::shared_ptr<const SymExpr> lhs, rhs;
    bool operator<(const Atom &other) const { return text < other.text; }
    bool operator==(const Atom &other) const { return text == other.text; }
  };
  using Monomial = std::vector<Atom>; // sorted; empty for the constant term
  using Terms = std::map<Monomial, int64_t>;
  /// Gives the exclusive upper bound of a key or symbol that is known to be
  /// at least 0, or nothing.
  using Bounds =
      llvm::function_ref<std::optional<SymExpr>(llvm::StringRef symbol)>;

  SymExpr(int64_t value = 0);
  /// The extent `?name` and the key `#name`.
  static SymExpr extent(llvm::StringRef name);
  static SymExpr key(llvm::StringRef name);
  static SymExpr symbol(llvm::StringRef prefixedName);
  static SymExpr of(const Atom &atom);
  /// What has no value in 64 bits.
  static SymExpr overflow();
  static SymExpr floorDiv(const SymExpr &a, const SymExpr &b);
  /// a / by, rounded up.
  static SymExpr ceilDiv(const SymExpr &a, int64_t by) {
    return floorDiv(a + SymExpr(by - 1), by);
  }
  static SymExpr mod(const SymExpr &a, const SymExpr &b);
  static SymExpr min(const SymExpr &a, const SymExpr &b);
  static SymExpr max(const SymExpr &a, const SymExpr &b);
  /// Parses canonical or hand-written text; nothing if it is malformed.
  static std::optional<SymExpr> parse(llvm::StringRef text);

  SymExpr operator+(const SymExpr &other) const;
  SymExpr operator-(const SymExpr &other) const;
  SymExpr operator*(const SymExpr &other) const;
  SymExpr operator-() const { return SymExpr(0) - *this; }
  bool operator==(const SymExpr &other) const {
    return terms_ == other.terms_ || terms() == other.terms();
  }
  bool operator!=(const SymExpr &other) const { return !(*this == other); }
  bool operator<(const SymExpr &other) const { return str() < other.str(); }

  bool isValid() const { return !overflow_; }
  const Terms &terms() const;
  bool isConst() const;
  std::optional<int64_t> asConst() const;
  bool isConst(int64_t value) const { return asConst() == value; }
  /// The symbol with its prefix, if the expression is just that.
  std::optional<std::string> asSymbol() const;
  std::string str() const;

  /// The exact quotient as a polynomial, if there is one.
  std::optional<SymExpr> exactDiv(const SymExpr &divisor) const;
  /// Splits into q*divisor + r, term by term: every term that the divisor
  /// divides goes to q.
  std::pair<SymExpr, SymExpr> splitBy(const SymExpr &divisor) const;
  /// Replaces symbols (with prefix) and simplifies.
  SymExpr substitute(
      llvm::function_ref<std::optional<SymExpr>(llvm::StringRef)> map) const;
  /// Simplifies floordiv, mod, min and max by bounds: (a*E + e) floordiv E = a
  /// and (a*E + e) mod E = e where 0 <= e < E is provable.
  SymExpr simplify(Bounds bounds) const;
  /// True if 0 <= *this (or *this < bound) holds for all keys and symbols
  /// within `bounds`; extents are taken to be at least 0.
  bool provablyNonNegative(Bounds bounds) const;
  bool provablyLess(const SymExpr &bound, Bounds bounds) const;
  /// The value, if every symbol has one and no divisor is 0.
  std::optional<int64_t>
  evaluate(llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> values)
      const;
  /// All symbols with their prefixes.
  void collect(std::set<std::string> &symbols) const;
  bool uses(llvm::StringRef symbol) const;
  bool hasKeys() const;

private:
  static SymExpr make(Atom::Kind kind, const SymExpr &a, const SymExpr &b);
  void add(const Monomial &monomial, int64_t coefficient);
  /// The terms, for this expression alone to change.
  Terms &ownTerms();
  /// Shared by copies, of which importer and laws make many; null for zero.
  std::shared_ptr<Terms> terms_;
  bool overflow_ = false;
};

} // namespace joinery

#endif // JOINERY_DIALECTS_REL_SYMEXPR_H
