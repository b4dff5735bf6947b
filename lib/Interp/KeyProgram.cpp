//===- KeyProgram.cpp - Key expressions over blocks of keys ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KeyProgram.h"
#include "llvm/Support/MathExtras.h"

using namespace joinery;
using namespace joinery::interp;

int64_t *KeyArena::allocate() {
  if (used == buffers.size())
    buffers.push_back(std::make_unique<int64_t[]>(blockLanes));
  return buffers[used++].get();
}

std::optional<KeyProgram> KeyProgram::compile(const SymExpr &expr,
                                              Resolve symbols, Position keys) {
  SymExpr bound = expr.substitute(symbols);
  KeyProgram program;
  for (const auto &[monomial, coefficient] : bound.terms()) {
    if (monomial.empty()) {
      program.constant = coefficient;
      continue;
    }
    Term term{coefficient, {}};
    for (const SymExpr::Atom &atom : monomial) {
      Factor factor{atom.kind, 0, nullptr, nullptr};
      if (atom.kind == SymExpr::Atom::Symbol) {
        if (atom.text[0] != '#')
          return std::nullopt;
        factor.key = keys(llvm::StringRef(atom.text).drop_front());
        if (factor.key < 0)
          return std::nullopt;
      } else {
        auto lhs = compile(*atom.lhs, symbols, keys);
        auto rhs = compile(*atom.rhs, symbols, keys);
        if (!lhs || !rhs)
          return std::nullopt;
        factor.lhs = std::make_shared<KeyProgram>(std::move(*lhs));
        factor.rhs = std::make_shared<KeyProgram>(std::move(*rhs));
      }
      term.factors.push_back(std::move(factor));
    }
    program.terms.push_back(std::move(term));
  }
  return program;
}

/// floordiv and mod by a divisor that is not positive have no value; 0 keeps
/// the evaluation going until the key is found to be out of range or unused.
static int64_t apply(SymExpr::Atom::Kind kind, int64_t a, int64_t b) {
  switch (kind) {
  case SymExpr::Atom::Min:
    return std::min(a, b);
  case SymExpr::Atom::Max:
    return std::max(a, b);
  case SymExpr::Atom::FloorDiv:
    return b > 0 ? llvm::divideFloorSigned(a, b) : 0;
  case SymExpr::Atom::Mod:
    return b > 0 ? a - llvm::divideFloorSigned(a, b) * b : 0;
  case SymExpr::Atom::Symbol:
    break;
  }
  return 0;
}

Key KeyProgram::factor(const Factor &factor, const Key *keys, int64_t n,
                       KeyArena &arena) const {
  if (factor.kind == SymExpr::Atom::Symbol)
    return keys[factor.key];
  Key a = factor.lhs->evaluate(keys, n, arena);
  Key b = factor.rhs->evaluate(keys, n, arena);
  if (a.isUniform() && b.isUniform())
    return {apply(factor.kind, a.base, b.base), 0, nullptr};
  bool divides = factor.kind == SymExpr::Atom::FloorDiv ||
                 factor.kind == SymExpr::Atom::Mod;
  if (divides && !a.lanes && b.isUniform() && b.base > 0) {
    // A block that stays within one quotient keeps its affine form.
    int64_t first = llvm::divideFloorSigned(a.base, b.base);
    int64_t last = llvm::divideFloorSigned(a.at(n - 1), b.base);
    if (first == last)
      return factor.kind == SymExpr::Atom::FloorDiv
                 ? Key{first, 0, nullptr}
                 : Key{a.base - first * b.base, a.step, nullptr};
  }
  int64_t *lanes = arena.allocate();
  if (divides && !a.lanes && b.isUniform() && b.base > 0) {
    // Step by step: no division for each lane.
    int64_t by = b.base, quotient = llvm::divideFloorSigned(a.base, by);
    int64_t rest = a.base - quotient * by;
    int64_t whole = llvm::divideFloorSigned(a.step, by);
    int64_t part = a.step - whole * by;
    bool floors = factor.kind == SymExpr::Atom::FloorDiv;
    for (int64_t i = 0; i < n; ++i) {
      lanes[i] = floors ? quotient : rest;
      rest += part;
      bool carry = rest >= by;
      rest -= carry ? by : 0;
      quotient += whole + carry;
    }
    return {0, 0, lanes};
  }
  for (int64_t i = 0; i < n; ++i)
    lanes[i] = apply(factor.kind, a.at(i), b.at(i));
  return {0, 0, lanes};
}

Key KeyProgram::evaluate(const Key *keys, int64_t n, KeyArena &arena) const {
  Key sum{constant, 0, nullptr};
  for (const Term &term : terms) {
    Key product{term.coefficient, 0, nullptr};
    for (const Factor &f : term.factors) {
      Key x = factor(f, keys, n, arena);
      if (product.isUniform() && !x.lanes) {
        product = {product.base * x.base, product.base * x.step, nullptr};
      } else if (x.isUniform() && !product.lanes) {
        product = {product.base * x.base, product.step * x.base, nullptr};
      } else {
        int64_t *lanes = arena.allocate();
        for (int64_t i = 0; i < n; ++i)
          lanes[i] = product.at(i) * x.at(i);
        product = {0, 0, lanes};
      }
    }
    addScaled(sum, product, 1, n, arena);
  }
  return sum;
}

void interp::addScaled(Key &sum, const Key &x, int64_t factor, int64_t n,
                       KeyArena &arena) {
  if (!sum.lanes && !x.lanes) {
    sum.base += factor * x.base;
    sum.step += factor * x.step;
    return;
  }
  int64_t *lanes = arena.allocate();
  auto add = [&](auto a, auto b) {
    for (int64_t i = 0; i < n; ++i)
      lanes[i] = a(i) + factor * b(i);
  };
  auto affine = [](Key key) {
    return [=](int64_t i) { return key.base + key.step * i; };
  };
  auto stored = [](Key key) { return [=](int64_t i) { return key.lanes[i]; }; };
  if (!sum.lanes)
    add(affine(sum), stored(x));
  else if (!x.lanes)
    add(stored(sum), affine(x));
  else
    add(stored(sum), stored(x));
  sum = {0, 0, lanes};
}
