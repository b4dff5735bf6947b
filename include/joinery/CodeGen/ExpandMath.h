//===- ExpandMath.h - Elementary functions without a library ----*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_EXPANDMATH_H
#define JOINERY_CODEGEN_EXPANDMATH_H

#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace joinery {

/// Rewrites elementary functions of the math dialect on f32 and f64, scalars
/// and vectors, into polynomials (see VectorMath.h for the errors). What the
/// processor has (fma, sqrt, floor, ceil, trunc, roundeven, abs, copysign)
/// stays.
void populateExpandMathPatterns(mlir::RewritePatternSet &patterns);

/// The pass `--expand-math` that applies them.
std::unique_ptr<mlir::Pass> createExpandMathPass();

} // namespace joinery

#endif // JOINERY_CODEGEN_EXPANDMATH_H
