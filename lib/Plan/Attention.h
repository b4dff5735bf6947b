//===- Attention.h - The form of a streaming attention ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_ATTENTION_H
#define JOINERY_LIB_PLAN_ATTENTION_H

#include "lib/Plan/Contraction.h"

namespace joinery::plan {

/// softmax_sum over t of scores that a contraction of queries and keys gives,
/// with element-wise operations and selections after it; they may read more
/// that is stored, other contractions with keys among it.
struct Attention {
  rel::AggregateOp softmax;
  Contraction scores;
  mlir::Value query, key, weighted;
  /// The keys' columns, the last the fastest: patches of an image have two.
  llvm::SmallVector<rel::Column> t;
  /// The result's columns: queries, values, and those that all three share.
  llvm::SmallVector<rel::Column> s, d, outer;
  /// Selections of the scores by conditions on keys alone, with default -inf.
  llvm::SmallVector<rel::SelectOp> keySelects;
  /// The scores depend on t by more than the contraction and `keySelects`.
  bool readsKeyNumbers = false;

  /// Must the numbers of keys that are packed by `rank` be known?
  bool needsKeyNumbers(mlir::Value rank) const;
};

/// Recognises the form that the streaming kernel executes. Queries, keys and
/// values for which `isConstant` holds are a contraction with weights instead.
std::optional<Attention>
matchAttention(mlir::Operation *op,
               llvm::function_ref<bool(mlir::Value)> isConstant);

} // namespace joinery::plan

#endif // JOINERY_LIB_PLAN_ATTENTION_H
