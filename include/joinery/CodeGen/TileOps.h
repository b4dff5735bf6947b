//===- TileOps.h - Operations on tile registers -----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products of whole tiles: 16 rows of A, which hold 16 pairs of bf16 along k, times
// 16 rows of 16 columns of a panel, are 16 rows of 16 sums in f32. LLVM gives
// registers to tiles and configures them.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_TILEOPS_H
#define JOINERY_CODEGEN_TILEOPS_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/ValueRange.h"

namespace joinery {

/// Where a tile's cache lines go. Those that are read once should not push others
/// out of the level-1 cache.
enum class TileReuse { Often, Once };

class TileOps {
public:
  TileOps(mlir::OpBuilder &b, mlir::Location loc);

  // Strides count bytes.
  mlir::Value load(mlir::Value address, mlir::Value stride, TileReuse reuse);
  mlir::Value zeroSums();
  /// Those at the addresses where `accumulate` holds, else zeros.
  llvm::SmallVector<mlir::Value> startSums(mlir::Value accumulate,
                                           mlir::ValueRange addresses,
                                           mlir::Value stride);
  /// sums + rows * panel
  mlir::Value multiply(mlir::Value sums, mlir::Value rows, mlir::Value panel);
  void storeSums(mlir::Value sums, mlir::Value address, mlir::Value stride);

private:
  mlir::Value call(llvm::StringRef name, mlir::ValueRange arguments,
                   bool result = true);

  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Type tile;
  /// Rows of a tile, and bytes of one.
  mlir::Value rows, bytes;
};

} // namespace joinery

#endif // JOINERY_CODEGEN_TILEOPS_H
