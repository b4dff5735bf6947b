//===- Halves.h - Relations that a level stores in bf16 ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operands and results of kernels that levels store otherwise than their types
// say: in bf16 where products of pairs are all that reads them (StoreHalves.cpp),
// and such relations in blocks of columns where tiles do (BlockHalves.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_HALVES_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_HALVES_H

#include "dialects/Pipe/Pipe.h"
#include "joinery/CodeGen/Isa.h"

namespace joinery::lowering {

/// Attributes of a pipe.kernel: the numbers of its operands that are in bf16 at
/// levels that multiply pairs, and whether its result is.
inline constexpr llvm::StringLiteral kHalfInputs = "pipe.half_inputs";
inline constexpr llvm::StringLiteral kHalfResult = "pipe.half_result";
bool isHalf(pipe::KernelOp kernel, const Isa &isa, int64_t input);
bool hasHalfResult(pipe::KernelOp kernel, const Isa &isa);

inline constexpr int64_t kHalfBytes = 2;

/// Columns of a block: what a row of a tile holds, a cache line.
inline constexpr int64_t kBlockColumns = kPairDepth * kTileRows;

/// Attributes of a pipe.kernel: for each operand, and for the result, how many
/// columns a row has that levels with tiles store in blocks; 0 where rows are
/// stored one after the other.
inline constexpr llvm::StringLiteral kBlockedInputs = "pipe.blocked_inputs";
inline constexpr llvm::StringLiteral kBlockedResult = "pipe.blocked_result";
int64_t blockedColumns(pipe::KernelOp kernel, const Isa &isa, int64_t input);

/// Rows of `columns` elements in blocks of kBlockColumns: element (r, c) lies at
/// (c / kBlockColumns * rows + r) * kBlockColumns + c % kBlockColumns.
struct ColumnBlocks {
  int64_t columns = 0; // 0: there are no blocks
  SymExpr rows;

  explicit operator bool() const { return columns > 0; }
  /// Elements from one block to the next.
  SymExpr pitch() const { return rows * SymExpr(kBlockColumns); }
  /// Where an offset in plain rows points to in blocks, if its column is the
  /// first of a block. Keys that run within a block must become 0 thereafter.
  SymExpr offset(const SymExpr &plain) const;
  /// The same of a distance of two rows.
  SymExpr stride(const SymExpr &plain) const;
};

/// The rows of `type` as blocks: its last columns are the `columns` of a row.
/// Nothing if the type has no such columns in its layout.
std::optional<ColumnBlocks> columnBlocks(rel::RelType type, int64_t columns);
/// How the kernel's operand is stored.
ColumnBlocks blocksOf(pipe::KernelOp kernel, const Isa &isa,
                      mlir::BlockArgument operand);

/// The type of the kernel's result as the level stores it.
rel::RelType storedAt(pipe::KernelOp kernel, const Isa &isa, rel::RelType type);

} // namespace joinery::lowering

#endif
