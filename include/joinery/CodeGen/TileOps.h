//===- TileOps.h - Operations on tile registers -----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products of tiles, for one shape of tiles: `rows` rows of A, which hold `pairs`
// pairs of bf16 along k, times `pairs` rows of 16 columns of a panel, are `rows`
// rows of 16 sums in f32. LLVM gives registers to tiles and configures them.
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
  /// Whole tiles: 16 rows, 16 pairs.
  TileOps(mlir::OpBuilder &b, mlir::Location loc);
  /// Tiles of a shape that is known at run time; both are i64 of [1, 16].
  TileOps(mlir::OpBuilder &b, mlir::Location loc, mlir::Value rows,
          mlir::Value pairs);

  // Strides count bytes.
  mlir::Value loadRows(mlir::Value address, mlir::Value stride,
                       TileReuse reuse);
  mlir::Value loadPanel(mlir::Value address, mlir::Value stride,
                        TileReuse reuse);
  mlir::Value loadSums(mlir::Value address, mlir::Value stride);
  mlir::Value zeroSums();
  /// Those at the addresses where `accumulate` holds, else zeros.
  llvm::SmallVector<mlir::Value> startSums(mlir::Value accumulate,
                                           mlir::ValueRange addresses,
                                           mlir::Value stride);
  /// sums + rows * panel
  mlir::Value multiply(mlir::Value sums, mlir::Value rows, mlir::Value panel);
  void storeSums(mlir::Value sums, mlir::Value address, mlir::Value stride);

private:
  mlir::Value shape(int64_t value);
  mlir::Value shape(mlir::Value value);
  mlir::Value call(llvm::StringRef name, mlir::ValueRange arguments,
                   bool result = true);
  mlir::Value load(mlir::Value rows, mlir::Value bytes, mlir::Value address,
                   mlir::Value stride, TileReuse reuse);

  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Type tile;
  /// Rows of A, pairs of the panel's tile, bytes of A's rows and of the others.
  mlir::Value rows, pairs, pairBytes, lineBytes;
};

} // namespace joinery

#endif // JOINERY_CODEGEN_TILEOPS_H
