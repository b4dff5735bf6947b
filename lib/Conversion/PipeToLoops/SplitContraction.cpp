//===- SplitContraction.cpp - f32 on tile registers -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rows and panel are split into three terms of bf16 (SplitTerms.h):
// split the block's rows for a slice of k
// for each two tiles of columns, for each 4 steps of k (a part)
//   for each 32 rows: 2 x 2 tiles of sums, 24 products of tiles for each step,
//     between which the terms of the next part are made
// A part's terms stay in the level-1 cache for all rows; six products for each
// pair of loads leave time for rows and sums to come from level 2.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/SplitTerms.h"
#include "joinery/CodeGen/TileOps.h"
#include "lib/Conversion/PipeToLoops/Contraction.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

namespace {
constexpr int64_t kTile = kTileRows, kBlock = 2 * kTile;
/// Elements of k in a step, steps in a part.
constexpr int64_t kStep = kPairDepth * kTile, kPartSteps = 4;
/// Lanes of a tile, and of the terms of two tiles of columns for a step.
constexpr int64_t kTileLanes = kTile * kTile;
constexpr int64_t kStepLanes = kTerms * 2 * kTileLanes;
} // namespace

bool ContractionKernel::canSplit() const {
  return operands == Operands::F32 && e.target.tiles &&
         *plan::product(folds.inner).asConst() % kStep == 0;
}

void ContractionKernel::allocateTerms() {
  int64_t deepest = 0;
  for (const Slice &slice : slices)
    deepest = std::max(deepest, slice.depth);
  packedLda = oddLines(deepest / kPairDepth);
  ownRows = e.allocateElements(kTerms * grid.rowBlock * packedLda);
  termPitch = e.index(grid.rowBlock * packedLda);
  grid.preparedBytes = 4 * int64_t(slices.size()) * kTerms * packedLda;
  for (Value &terms : panelTerms)
    terms = e.allocateElements(kPartSteps * kStepLanes);
}

Value ContractionKernel::termsOf(const Slice &slice) {
  int64_t number = &slice - slices.data();
  Value before = e.mul(termPitch, e.index(number * kTerms));
  return e.offset(packed, e.select(isAll, e.index(0), before),
                  e.b.getF32Type());
}

void ContractionKernel::splitBlock(const ContractionBlock &block,
                                   const Slice &slice) {
  Value terms = termsOf(slice);
  forEachRun(block, slice, [&](Value rowsAt, Value count, Value before) {
    Value to = e.offset(terms, e.mul(before, e.index(packedLda)),
                        e.b.getF32Type());
    func::CallOp::create(e.b, e.loc, getOrCreateSplitRows(module, e.target),
                         ValueRange{rowsAt, lda, count, e.index(slice.depth), to,
                                    e.index(packedLda), termPitch});
  });
}

/// The parts of a slice's panels, part by part of two tiles of columns.
struct ContractionKernel::PanelParts {
  Value first, last; // tiles of columns
  int64_t k0, steps, count; // of the slice, and of parts along k
};

/// Two tiles of columns for some steps of k.
struct ContractionKernel::PanelPart {
  Value tile, along; // its first tile of columns, its number along k
  Value steps, source[2]; // where its tiles' rows of the panel are
};

ContractionKernel::PanelPart
ContractionKernel::partAt(const PanelParts &parts, Value position) {
  Value number = arith::DivUIOp::create(e.b, e.loc, position,
                                        e.index(parts.count));
  PanelPart part;
  part.tile = e.add(parts.first, e.mul(number, e.index(2)));
  part.along = e.sub(position, e.mul(number, e.index(parts.count)));
  part.steps = e.min(e.sub(e.index(parts.steps),
                           e.mul(part.along, e.index(kPartSteps))),
                     e.index(kPartSteps));
  Value rows = e.mul(part.along, e.index(kPartSteps * kStep * width));
  for (int64_t tile : {0, 1}) {
    // Where a single tile is left over, both are the same.
    Value column = e.min(e.add(part.tile, e.index(tile)),
                         e.sub(parts.last, e.index(1)));
    part.source[tile] =
        e.offset(tileAt(column, parts.k0), rows, e.b.getF32Type());
  }
  return part;
}

/// Splits pairs [from, to) of rows of the panel at `source`.
void ContractionKernel::emitTerms(Value from, Value to, ValueRange source,
                                  ValueRange later, Value terms) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  auto lanes = VectorType::get({e.target.lanes}, f32);
  auto bits = VectorType::get({e.target.lanes}, b.getI16Type());
  auto wide = VectorType::get({e.target.lanes}, b.getI32Type());
  Value sixteen = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(wide, int32_t(16)));
  e.loop(from, to, e.index(1), {},
         [&](Value pair, ValueRange) -> SmallVector<Value> {
    Value row = e.mul(pair, e.index(kPairDepth * width));
    Value step = arith::DivUIOp::create(b, loc, pair, e.index(kTile));
    Value within = e.sub(pair, e.mul(step, e.index(kTile)));
    Value place = e.add(e.mul(step, e.index(kStepLanes)),
                        e.mul(within, e.index(kTile)));
    for (int64_t tile : {0, 1}) {
      for (int64_t odd = 0; odd < kPairDepth && !later.empty(); ++odd)
        e.prefetch(
            e.offset(later[tile], e.add(row, e.index(odd * width)), f32), 2);
      for (int64_t lane = 0; lane < kTile; lane += e.target.lanes) {
        SmallVector<Value> pairTerms[kPairDepth];
        for (int64_t odd = 0; odd < kPairDepth; ++odd) {
          Value at = e.offset(source[tile],
                              e.add(row, e.index(odd * width + lane)), f32);
          pairTerms[odd] =
              splitTerms(b, loc, LLVM::LoadOp::create(b, loc, lanes, at, 4));
        }
        for (int64_t term = 0; term < kTerms; ++term) {
          auto half = [&](int64_t odd) -> Value {
            return arith::ExtUIOp::create(
                b, loc, wide,
                arith::BitcastOp::create(b, loc, bits, pairTerms[odd][term]));
          };
          Value both = arith::OrIOp::create(
              b, loc, half(0),
              arith::ShLIOp::create(b, loc, half(1), sixteen));
          Value to = e.add(place, e.index((term * 2 + tile) * kTileLanes + lane));
          LLVM::StoreOp::create(b, loc, both, e.offset(terms, to, f32), 4);
        }
      }
    }
    return {};
  });
}

/// The products of one step: rows at `rows`, terms of two tiles at `panel`. Does
/// `between` before the last: the next step's loads should follow as soon as a
/// processor looks ahead.
SmallVector<Value>
ContractionKernel::emitTermProducts(TileOps &ops, Value rows, Value panel,
                                    ValueRange sums,
                                    function_ref<void()> between) {
  Type f32 = e.b.getF32Type();
  Value rowStride = e.index(4 * packedLda), line = e.index(4 * kTile);
  SmallVector<Value> result(sums);
  // Of the eight registers seven are in use: LLVM, which moves loads up, would
  // spill a tile if it found none free.
  int64_t left = -1;
  Value a[2];
  for (auto [i, j] : kTermProducts) {
    for (int64_t tile = 0; tile < 2 && i != left; ++tile)
      a[tile] = ops.load(
          e.offset(rows,
                   e.add(e.mul(termPitch, e.index(i)),
                         e.index(tile * kTile * packedLda)),
                   f32),
          rowStride, TileReuse::Once);
    left = i;
    if (std::pair(i, j) == std::end(kTermProducts)[-1])
      between();
    for (int64_t column : {0, 1}) {
      Value b = ops.load(
          e.offset(panel, e.index((j * 2 + column) * kTileLanes), f32), line,
          TileReuse::Often);
      for (int64_t tile : {0, 1})
        result[2 * tile + column] =
            ops.multiply(result[2 * tile + column], a[tile], b);
    }
  }
  return result;
}

void ContractionKernel::emitSplitBlock(const ContractionBlock &block,
                                       const Slice &slice, Value results) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  TileOps ops(b, loc);
  Value rowTerms = termsOf(slice);
  e.when(isAll, [&] { splitBlock(block, slice); });
  int64_t each = width / kTile;
  PanelParts parts;
  parts.first = e.mul(block.panel0, e.index(each));
  parts.last = e.mul(block.panel1, e.index(each));
  parts.k0 = slice.k0;
  parts.steps = slice.depth / kStep;
  parts.count = llvm::divideCeil(parts.steps, kPartSteps);
  Value end = e.mul(e.ceilDiv(e.sub(parts.last, parts.first), 2),
                    e.index(parts.count));
  Value final = e.sub(end, e.index(1));
  Value blocks = e.ceilDiv(block.count, kBlock);
  Value sumStride = e.index(4 * kTile);
  PanelPart start = partAt(parts, e.index(0));
  emitTerms(e.index(0), e.mul(start.steps, e.index(kTile)), start.source, {},
            panelTerms[0]);
  e.loop(e.index(0), end, e.index(1), {panelTerms[0], panelTerms[1]},
         [&](Value position, ValueRange terms) -> SmallVector<Value> {
    PanelPart here = partAt(parts, position);
    Value single = e.compare(arith::CmpIPredicate::sge,
                             e.add(here.tile, e.index(1)), parts.last);
    // The next part's terms are made between this one's products.
    PanelPart next = partAt(parts, e.min(e.add(position, e.index(1)), final));
    PanelPart later = partAt(parts, e.min(e.add(position, e.index(2)), final));
    Value more = e.compare(arith::CmpIPredicate::slt, position, final);
    Value pairs = e.select(more, e.mul(next.steps, e.index(kTile)), e.index(0));
    Value perStep = e.ceilDiv(pairs, e.mul(blocks, here.steps));
    // Results that do not wait begin with these columns.
    Value columns = e.mul(here.tile, e.index(tilePitch));
    Value sumsAt =
        results ? results
                : e.offset(tile, e.sub(e.index(0), columns), f32);
    Value continues =
        slice.k0 ? arith::ConstantOp::create(b, loc, b.getBoolAttr(true))
                       .getResult()
                 : e.compare(arith::CmpIPredicate::sgt, here.along, e.index(0));
    Value along = e.mul(here.along, e.index(kPartSteps * kTile));
    e.loop(e.index(0), blocks, e.index(1), {},
           [&](Value number, ValueRange) -> SmallVector<Value> {
      Value to[4];
      to[0] = e.offset(
          sumsAt, e.add(e.mul(number, e.index(tileRowPitch)), columns), f32);
      to[1] = e.offset(to[0], e.select(single, e.index(0), e.index(tilePitch)),
                       f32);
      for (int i : {2, 3})
        to[i] = e.offset(to[i - 2], e.index(kTileLanes), f32);
      Value rows = e.offset(
          rowTerms,
          e.add(e.mul(number, e.index(kBlock * packedLda)), along), f32);
      Value done = e.mul(number, here.steps);
      auto sums = e.loop(
          e.index(0), here.steps, e.index(1),
          ops.startSums(continues, ValueRange(to), sumStride),
          [&](Value step, ValueRange sums) -> SmallVector<Value> {
            Value from = e.mul(e.add(done, step), perStep);
            auto split = [&] {
              emitTerms(from, e.min(e.add(from, perStep), pairs), next.source,
                        later.source, terms[1]);
            };
            return emitTermProducts(
                ops, e.offset(rows, e.mul(step, e.index(kTile)), f32),
                e.offset(terms[0], e.mul(step, e.index(kStepLanes)), f32), sums,
                split);
          });
      for (int i = 0; i < 4; ++i)
        ops.storeSums(sums[i], to[i], sumStride);
      return {};
    });
    if (!results)
      e.when(e.compare(arith::CmpIPredicate::eq, here.along,
                       e.index(parts.count - 1)),
             [&] {
               Value from = e.mul(here.tile, e.index(kTile));
               Value to = e.min(e.add(from, e.index(kBlock)),
                                e.min(e.mul(parts.last, e.index(kTile)),
                                      e.index(n)));
               epilogue(block, sumsAt, from, from, to);
             });
    return {terms[1], terms[0]};
  });
}
