//===- MicroKernel.h - Generated contraction kernels ------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each function here returns a private function of the module, made at the
// first call for an instruction-set level. All of them take `!llvm.ptr` and
// `i64`; strides count elements. None of them touches memory beyond what its
// comment says.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_MICROKERNEL_H
#define JOINERY_CODEGEN_MICROKERNEL_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace joinery {

/// How a contraction reads its rows A and its panel B.
enum class Operands {
  /// Both are f32.
  F32,
  /// A is f32. B holds bf16 pairs along k, a pair in each 32-bit lane with the
  /// even k in the low half, and is decoded to f32: strides count lanes.
  DecodedPairs,
  /// A and B hold such pairs; lda, ldb and K count pairs. For levels that have
  /// the product of pairs of vectors, and no tiles (TileOps.h).
  Pairs
};

/// How the level reads panels of bf16.
inline Operands pairOperands(const Isa &isa) {
  return isa.dotBF16 ? Operands::Pairs : Operands::DecodedPairs;
}

/// f32 contraction with `width` (16, 32, 48 or 64) columns:
///   (A: ptr, lda: i64, B: ptr, ldb: i64, C: ptr, ldc: i64, M: i64, K: i64,
///    accumulate: i1, next: ptr, nextLanes: i64)
///   C[M][width] = (accumulate ? C : 0) + A[M][K] * B[K][width]
/// Rows of A, B and C are contiguous. An element's bits depend on its row of A
/// and its column of B only: not on M, not on the row's place. Cutting K into
/// calls that accumulate does not change them either.
/// Meanwhile `nextLanes` lanes of 32 bits from `next` on are prefetched into the
/// level-2 cache: what the following call reads, or decodes, as B. Up to three
/// cache lines more are.
mlir::func::FuncOp getOrCreateGemm(mlir::ModuleOp module, const Isa &isa,
                                   int64_t width,
                                   Operands operands = Operands::F32);

/// Decodes a panel of bf16 pairs (see Operands) to f32:
///   (src: ptr, dst: ptr, width: i64, pairs: i64)
///   dst[2p][c], dst[2p + 1][c] = the pair in lane c of row p of src
/// Rows of both follow each other; `width` is a multiple of 16.
mlir::func::FuncOp getOrCreateDecodePairs(mlir::ModuleOp module,
                                          const Isa &isa);

/// Rounds f32 rows to pairs of bf16, to the nearest and to even:
///   (src: ptr, ld: i64, rows: i64, cols: i64, dst: ptr, ldd: i64)
///   pair p of row r of dst = src[r][2p], src[r][2p + 1]  (zero past `cols`)
/// ldd counts pairs. A row of dst is written in whole vectors of the level. For
/// levels that have the product of pairs.
mlir::func::FuncOp getOrCreatePackPairs(mlir::ModuleOp module, const Isa &isa);

/// Rounds f32 rows to pairs of one row and the next:
///   (src: ptr, ld: i64, index: ptr, rows: i64, cols: i64, dst: ptr, ldd: i64)
///   lane c of row p of dst = src[row 2p][c], src[row 2p + 1][c]
/// `row r` is index[r] as in a transpose; rows past `rows` are zero. A row of dst
/// is written in whole vectors of the level.
mlir::func::FuncOp getOrCreatePackRowPairs(mlir::ModuleOp module,
                                           const Isa &isa);

/// The same of rows that are bf16 already: ld counts them.
mlir::func::FuncOp getOrCreateInterleaveRows(mlir::ModuleOp module,
                                             const Isa &isa);

/// f32 transpose with an optional gather:
///   (src: ptr, ld: i64, index: ptr, rows: i64, cols: i64, dst: ptr, ldd: i64)
///   dst[c][r] = src[index ? index[r] : r][c]  for r < rows, c < cols
/// `index` points to i32 or is null. dst[c][r] is 0 for r from `rows` to the
/// next multiple of 16, so ldd >= that multiple.
mlir::func::FuncOp getOrCreateTranspose(mlir::ModuleOp module, const Isa &isa);

/// Gathers f32 rows:
///   (src: ptr, ld: i64, index: ptr, rows: i64, cols: i64, dst: ptr, ldd: i64)
///   dst[r][c] = src[index ? index[r] : r][c]  for r < rows, c < cols
/// Nothing else of dst is written.
mlir::func::FuncOp getOrCreateCopyRows(mlir::ModuleOp module, const Isa &isa);

} // namespace joinery

#endif // JOINERY_CODEGEN_MICROKERNEL_H
