//===- Passes.h - The laws of the algebra as passes -------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_OPTIMIZE_PASSES_H
#define JOINERY_OPTIMIZE_PASSES_H

#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace joinery {

/// How a plan shows its layers.
enum class LayerForm {
  Inline,    // as one function
  Functions, // equal layers are one function
  Parts      // each part of a layer is a function, repeated or not
};

struct OptimizeOptions {
  /// Plans over tables alone become tables of at most this many bytes.
  int64_t foldByteLimit = 1 << 20;
  /// Values are rounded to f16 where the model does (rounding=keep), rather
  /// than computed in f32.
  bool keepRounding = false;
  /// Rows that the mask drops are zero in every output (padding=skip).
  bool selectOutputs = true;
  /// Masks whose constant is finite stay in the scores (padding=keep).
  bool keepFiniteMasks = false;
  /// The phases after `optimize` read one function: layers are for reading and
  /// comparing plans.
  LayerForm layers = LayerForm::Inline;
  /// Rows that no output needs are not computed (padding=skip).
  bool pushSelections = true;
};

/// rel → rel: logical rewrites only, to the normal form.
void buildOptimizePipeline(mlir::OpPassManager &manager,
                           const OptimizeOptions &options);

namespace optimize {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "joinery/Optimize/Passes.h.inc"
} // namespace optimize

} // namespace joinery

#endif // JOINERY_OPTIMIZE_PASSES_H
