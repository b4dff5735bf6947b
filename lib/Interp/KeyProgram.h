//===- KeyProgram.h - Key expressions over blocks of keys -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_INTERP_KEYPROGRAM_H
#define JOINERY_LIB_INTERP_KEYPROGRAM_H

#include "dialects/Rel/SymExpr.h"
#include <deque>
#include <memory>
#include <vector>

namespace joinery::interp {

/// Lanes that are evaluated at once.
constexpr int64_t blockLanes = 512;

/// One column's keys in a block: `base + step * lane`, or one per lane. Most
/// blocks run along a column, so whole blocks stay in this affine form.
struct Key {
  int64_t base = 0, step = 0;
  const int64_t *lanes = nullptr;

  int64_t at(int64_t lane) const {
    return lanes ? lanes[lane] : base + step * lane;
  }
  bool isUniform() const { return !lanes && !step; }
};

/// Per-lane keys that live until the enclosing evaluation returns.
class KeyArena {
public:
  int64_t *allocate();
  size_t mark() const { return used; }
  void release(size_t mark) { used = mark; }

private:
  std::deque<std::unique_ptr<int64_t[]>> buffers;
  size_t used = 0;
};

/// Adds factor * x to each of the n keys of `sum`.
void addScaled(Key &sum, const Key &x, int64_t factor, int64_t n,
               KeyArena &arena);

/// A key expression whose extents are bound; its symbols are positions in the
/// key vector of a block.
class KeyProgram {
public:
  using Resolve =
      llvm::function_ref<std::optional<SymExpr>(llvm::StringRef symbol)>;
  using Position = llvm::function_ref<int(llvm::StringRef key)>;

  /// Nothing if a symbol has no value.
  static std::optional<KeyProgram> compile(const SymExpr &expr,
                                           Resolve symbols, Position keys);
  Key evaluate(const Key *keys, int64_t n, KeyArena &arena) const;

private:
  struct Factor {
    SymExpr::Atom::Kind kind;
    int key = 0;
    std::shared_ptr<KeyProgram> lhs, rhs;
  };
  struct Term {
    int64_t coefficient;
    std::vector<Factor> factors;
  };
  Key factor(const Factor &factor, const Key *keys, int64_t n,
             KeyArena &arena) const;
  int64_t constant = 0;
  std::vector<Term> terms;
};

} // namespace joinery::interp

#endif // JOINERY_LIB_INTERP_KEYPROGRAM_H
