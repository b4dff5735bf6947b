//===- TileOperands.cpp - Where tiles of rows and panels lie --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What k leaves over of whole steps is one more step: rows are packed with zeros
// after k, and the panel's last pairs are copied to where zeros follow them.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/TileOps.h"
#include "lib/Conversion/PipeToLoops/Contraction.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

bool ContractionKernel::usesTiles() const {
  return packs() && e.target.tiles;
}

void ContractionKernel::allocateRest() {
  rest = e.allocateElements(2 * kTileRows * kTileRows);
  e.zeroRows(rest, e.index(2 * kTileRows), kTileRows, kTileRows);
}

/// Copies the pairs that a slice leaves over of two tiles of columns, which begin
/// at `columns`.
void ContractionKernel::copyRest(const Value (&columns)[2],
                                 const Slice &slice) {
  Type f32 = e.b.getF32Type();
  auto lanes = VectorType::get({e.target.lanes}, f32);
  int64_t whole = slice.depth / (kPairDepth * kTileRows) * kTileRows;
  e.loop(e.index(whole), e.index(lanesOf(slice.depth)), e.index(1), {},
         [&](Value pair, ValueRange) -> SmallVector<Value> {
    Value row = e.mul(pair, e.index(width));
    Value copy = e.mul(e.sub(pair, e.index(whole)), e.index(kTileRows));
    for (int64_t tile : {0, 1})
      for (int64_t lane = 0; lane < kTileRows; lane += e.target.lanes) {
        Value from = e.offset(columns[tile], e.add(row, e.index(lane)), f32);
        Value to = e.offset(
            rest, e.add(copy, e.index(tile * kTileRows * kTileRows + lane)), f32);
        LLVM::StoreOp::create(
            e.b, e.loc, LLVM::LoadOp::create(e.b, e.loc, lanes, from, 4), to, 4);
      }
    return {};
  });
}

/// Tile of columns number `number`, from k0 on.
Value ContractionKernel::tileAt(Value number, int64_t k0) {
  Value each = e.index(width / kTileRows);
  Value panel = arith::DivUIOp::create(e.b, e.loc, number, each);
  Value within = e.sub(number, e.mul(panel, each));
  return e.offset(panelAt(panel, k0), e.mul(within, e.index(kTileRows)),
                  e.b.getF32Type());
}

ContractionBlock
ContractionKernel::partialRows(const ContractionBlock &block) {
  ContractionBlock rest = block;
  Value whole = e.mul(arith::DivUIOp::create(e.b, e.loc, block.count,
                                             e.index(2 * kTileRows)),
                      e.index(2 * kTileRows));
  rest.row0 = e.add(block.row0, whole);
  rest.count = e.sub(block.count, whole);
  return rest;
}

ContractionKernel::TileRows
ContractionKernel::rowsInPlace(const ContractionBlock &block,
                               const Slice &slice) {
  Type half = e.b.getBF16Type();
  int64_t run = *plan::product(folds.inner).asConst();
  SymExpr along(slice.k0 % run);
  SymExpr start =
      startOf(rowsOffset, slice.run) + (blocks ? along * blocks.rows : along);
  Value from = e.offset(a, e.value(start), half);
  return {e.offset(from, e.mul(block.row0, lda), half),
          e.mul(lda, e.index(kHalfBytes)),
          blocks ? e.value(blocks.pitch() * SymExpr(kHalfBytes))
                 : e.index(4 * kTileRows)};
}
