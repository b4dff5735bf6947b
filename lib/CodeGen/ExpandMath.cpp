//===- ExpandMath.cpp - Elementary functions without a library ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/ExpandMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace joinery {
namespace {

struct ExpandMathPass
    : PassWrapper<ExpandMathPass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMathPass)
  StringRef getArgument() const final { return "expand-math"; }
  StringRef getDescription() const final {
    return "Rewrite elementary functions into polynomials";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<arith::ArithDialect, math::MathDialect>();
  }
  void runOnOperation() final {}
};

} // namespace

void populateExpandMathPatterns(RewritePatternSet &patterns) {}

std::unique_ptr<Pass> createExpandMathPass() {
  return std::make_unique<ExpandMathPass>();
}

} // namespace joinery
