//===- SplitTerms.h - f32 as a sum of three bf16 ----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// x = x1 + x2 + x3, each the bf16 next to what those before it leave: 3 x 8 bits
// hold the 24 of an f32. The product x y is the sum of the six products xi yj with
// i + j <= 4, but for 2^-24 of it, so units that multiply bf16 alone multiply f32
// (Henry, Tang and Heinecke 2019, arXiv:1904.06376). An infinite x, or one beyond
// the greatest bf16 (3.39e38), makes a sum that is no number.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_SPLITTERMS_H
#define JOINERY_CODEGEN_SPLITTERMS_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace joinery {

/// How many bf16 an f32 is split into.
inline constexpr int64_t kTerms = 3;
/// The products that are made, as (term of the left, term of the right), the
/// least ones first.
inline constexpr std::pair<int64_t, int64_t> kTermProducts[] = {
    {2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};

/// The terms of a vector of f32, as vectors of bf16.
llvm::SmallVector<mlir::Value> splitTerms(mlir::OpBuilder &b,
                                          mlir::Location loc, mlir::Value x);

/// Splits f32 rows into planes of pairs:
///   (src: ptr, ld: i64, rows: i64, cols: i64, dst: ptr, ldd: i64, plane: i64)
///   pair p of row r of plane i = term i of src[r][2p], src[r][2p + 1]
/// ldd and plane, the distance of two planes, count pairs; `cols` is a multiple of
/// the level's vectors.
mlir::func::FuncOp getOrCreateSplitRows(mlir::ModuleOp module, const Isa &isa);

} // namespace joinery

#endif // JOINERY_CODEGEN_SPLITTERMS_H
