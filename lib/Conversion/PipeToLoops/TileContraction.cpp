//===- TileContraction.cpp - A block of rows on tile registers ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// for each two tiles of columns (they may lie in neighbouring panels)
//   for each 32 rows: 2 x 2 tiles of sums stay in registers for all steps of k
//   (1 x 2 where there are no more than 16 rows)
// The panel's tiles of the first steps stay in the level-1 cache for all rows;
// those of later steps and the rows pass it by, for both would not fit. What k
// leaves over is one more step: rows are packed with zeros after k, and the panel's
// last pairs are copied to where zeros follow them.
//
// A block's sums are stored while the next one's first products run. Where the
// epilogue looks at single columns, they go to a scratch of 4 KiB, and their
// epilogue runs between the products of the next 32 rows: vector units and tiles
// work at the same time, but only if neither has to wait in program order for the
// other's loop to end. Of an epilogue over whole rows as much as looks at single
// columns is done so: what is joined to the sums then comes from memory while
// tiles are multiplied.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/TileOps.h"
#include "lib/Conversion/PipeToLoops/Contraction.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

namespace {
constexpr int64_t kTile = kTileRows, kBlock = 2 * kTile;
/// What a row of a tile takes.
constexpr int64_t kLine = 64;
/// Where in a tile's columns lines are fetched in turn: the memory system answers
/// sooner for several pages at a time than for one after the other.
constexpr int64_t kStreams = 8;
static_assert(kTile % kStreams == 0);
} // namespace

bool ContractionKernel::usesTiles() const {
  return packs() && e.target.tiles;
}

void ContractionKernel::allocateRest() {
  rest = e.allocateElements(2 * kTile * kTile);
  e.zeroRows(rest, e.index(2 * kTile), kTile, kTile);
}

/// Copies the pairs that a slice leaves over of two tiles of columns, which begin
/// at `columns`.
void ContractionKernel::copyRest(const Value (&columns)[2],
                                 const Slice &slice) {
  Type f32 = e.b.getF32Type();
  auto lanes = VectorType::get({e.target.lanes}, f32);
  int64_t whole = slice.depth / (kPairDepth * kTile) * kTile;
  e.loop(e.index(whole), e.index(lanesOf(slice.depth)), e.index(1), {},
         [&](Value pair, ValueRange) -> SmallVector<Value> {
    Value row = e.mul(pair, e.index(width));
    Value copy = e.mul(e.sub(pair, e.index(whole)), e.index(kTile));
    for (int64_t tile : {0, 1})
      for (int64_t lane = 0; lane < kTile; lane += e.target.lanes) {
        Value from = e.offset(columns[tile], e.add(row, e.index(lane)), f32);
        Value to = e.offset(
            rest, e.add(copy, e.index(tile * kTile * kTile + lane)), f32);
        LLVM::StoreOp::create(
            e.b, e.loc, LLVM::LoadOp::create(e.b, e.loc, lanes, from, 4), to, 4);
      }
    return {};
  });
}

/// Tile of columns number `number`, from k0 on.
Value ContractionKernel::tileAt(Value number, int64_t k0) {
  Value each = e.index(width / kTile);
  Value panel = arith::DivUIOp::create(e.b, e.loc, number, each);
  Value within = e.sub(number, e.mul(panel, each));
  return e.offset(panelAt(panel, k0), e.mul(within, e.index(kTile)),
                  e.b.getF32Type());
}

ContractionBlock
ContractionKernel::partialRows(const ContractionBlock &block) {
  ContractionBlock rest = block;
  Value whole = e.mul(arith::DivUIOp::create(e.b, e.loc, block.count,
                                             e.index(kBlock)),
                      e.index(kBlock));
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
                 : e.index(kLine)};
}

/// One block of sums.
struct ContractionKernel::TileBlock {
  Value columns[2], rows[2]; // where the first step's tiles are
  Value rowStride, rowStep; // from a row, and from a step, to the next, in bytes
  Value columnStride, columnStep; // in bytes, and in lanes
  Value fetch[2], fetchRow, fetchRows; // of the next two tiles of columns
  int64_t rowTiles;
};

SmallVector<Value>
ContractionKernel::emitTileStep(TileOps &ops, const TileBlock &block,
                                Value step, TileReuse reuse, int64_t depth,
                                function_ref<Value(int64_t)> start) {
  Type f32 = e.b.getF32Type();
  // As many rows of the next tiles as give all of them in the end.
  Value first = e.add(block.fetchRow, e.mul(step, block.fetchRows));
  Value last = e.min(e.add(first, block.fetchRows), e.index(lanesOf(depth)));
  e.loop(first, last, e.index(1), {},
         [&](Value number, ValueRange) -> SmallVector<Value> {
           Value streams = e.index(kStreams);
           Value stream = arith::RemUIOp::create(e.b, e.loc, number, streams);
           Value within = arith::DivUIOp::create(e.b, e.loc, number, streams);
           Value row = e.add(
               e.mul(stream, e.index(llvm::divideCeil(lanesOf(depth), kStreams))),
               within);
           for (Value tile : block.fetch)
             e.prefetch(e.offset(tile, e.mul(row, e.index(width)), f32), 2);
           return {};
         });
  Value along = e.mul(step, block.rowStep);
  Value down = e.mul(step, block.columnStep);
  auto rowTile = [&](int64_t i) {
    return ops.load(e.offset(block.rows[i], along, e.b.getI8Type()),
                    block.rowStride, TileReuse::Once);
  };
  auto columnTile = [&](int64_t i) {
    return ops.load(e.offset(block.columns[i], down, f32), block.columnStride,
                    reuse);
  };
  Value a = rowTile(0), columns[] = {columnTile(0), columnTile(1)};
  SmallVector<Value> sums;
  for (int64_t i = 0; i < block.rowTiles; ++i) {
    if (i > 0)
      a = rowTile(i);
    for (Value column : columns)
      sums.push_back(ops.multiply(start(sums.size()), a, column));
  }
  return sums;
}

SmallVector<Value> ContractionKernel::emitTileSteps(
    TileOps &ops, const TileBlock &block, int64_t from, int64_t to,
    int64_t depth, ValueRange sums, function_ref<void(Value)> between) {
  if (from >= to)
    return sums;
  TileReuse reuse = from < kResidentSteps ? TileReuse::Often : TileReuse::Once;
  return e.loop(e.index(from), e.index(to), e.index(1), sums,
                [&](Value step, ValueRange sums) -> SmallVector<Value> {
                  SmallVector<Value> next =
                      emitTileStep(ops, block, step, reuse, depth,
                                   [&](int64_t i) { return sums[i]; });
                  if (between)
                    between(e.sub(step, e.index(from)));
                  return next;
                });
}

/// Brings near what the epilogue of two tiles of columns will read of some rows.
void ContractionKernel::fetchBeside(Value row0, Value count, Value lane) {
  if (beside.empty())
    return;
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           Keys keys;
           e.splitRow(e.atom(e.add(row0, r), grid.rows), rows, keys);
           e.splitRow(e.atom(lane, plan::product(ns)), ns, keys);
           for (const Beside &one : beside) {
             Type element =
                 cast<rel::RelType>(one.buffer.getType()).getElementType();
             Value at = e.offset(e.bufferOf(one.buffer),
                                 e.value(startOf(one.offset, keys)), element);
             for (int64_t tile : {0, 1})
               e.prefetch(e.offset(at, e.index(tile * kTile), element), 2);
           }
           return {};
         });
}

void ContractionKernel::emitTileBlock(const ContractionBlock &block,
                                      const Slice &slice, Value results) {
  Value few = e.compare(arith::CmpIPredicate::sle, block.count, e.index(kTile));
  Value many = e.compare(arith::CmpIPredicate::sgt, block.count, e.index(kTile));
  e.when(few, [&] { emitTileBlock(block, slice, results, /*rowTiles=*/1); });
  e.when(many, [&] { emitTileBlock(block, slice, results, /*rowTiles=*/2); });
}

/// The columns [panel0, panel1) of the block for one slice of k. Results go to
/// `results`, the last slice's joined with what `ready` has, or through the epilogue
/// if that is null.
void ContractionKernel::emitTileBlock(const ContractionBlock &block,
                                      const Slice &slice, Value results,
                                      int64_t rowTiles) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  int64_t whole = slice.depth / (kPairDepth * kTile);
  bool rests = slice.depth % (kPairDepth * kTile);
  int64_t steps = whole + rests;
  int64_t each = width / kTile;
  TileOps ops(b, loc);
  Value first = e.mul(block.panel0, e.index(each));
  // The last panel may have tiles without a column.
  Value last = e.min(e.mul(block.panel1, e.index(each)),
                     e.index(llvm::divideCeil(n, kTile)));
  Value all = e.index(grid.panels * each - 1);
  Value blocks = e.ceilDiv(block.count, kBlock);
  Value fetchRows = e.ceilDiv(e.index(kTile), blocks);
  Value rowsAt = e.offset(packed, e.index(lanesOf(slice.k0)), f32);
  Value packedStride = e.index(4 * packedLda);
  TileRows inPlace;
  if (readsInPlace())
    inPlace = rowsInPlace(block, slice);
  // The first row of a block, and the distance of two in bytes.
  auto rowsOf = [&](Value row) -> TileRows {
    Type byte = b.getI8Type();
    if (!inPlace.at)
      return {e.offset(rowsAt, e.mul(row, packedStride), byte), packedStride,
              e.index(kLine)};
    Value full = e.compare(arith::CmpIPredicate::sle,
                           e.add(row, e.index(kBlock)), block.count);
    return {e.select(full,
                     e.offset(inPlace.at, e.mul(row, inPlace.stride), byte),
                     rowsAt),
            e.select(full, inPlace.stride, packedStride),
            e.select(full, inPlace.step, e.index(kLine))};
  };

  // Sums are stored within the first step of the next block, and what else there
  // is to do runs between the products of its other steps that stay near, spread
  // evenly so that neither waits for the other.
  int64_t resident = std::clamp<int64_t>(whole, 1, kResidentSteps + 1);
  int64_t spread = std::max<int64_t>(resident - 1, 1);
  int64_t drainRows = llvm::divideCeil(kBlock, spread);
  bool later = !results || (ready && !nextK0(slice));
  int64_t sumsWidth = later ? kBlock : kTile, count = 2 * rowTiles;
  // Of the block before: its sums, then its first row, its first column and how
  // many rows it has, or where its two tiles of columns go. Before the first there
  // is none, and what it stores nobody reads.
  SmallVector<Value> carried(count, ops.zeroSums());
  if (later)
    carried.append(3, e.index(0));
  else
    carried.append(2, pending);
  auto store = [&](int64_t i, ValueRange before) {
    Value at = later ? e.offset(pending, e.index(i % 2 * kTile), f32)
                     : before[count + i % 2];
    ops.storeSums(before[i],
                  e.offset(at, e.index(i / 2 * kTile * sumsWidth), f32),
                  e.index(4 * sumsWidth));
  };
  auto drain = [&](ValueRange before, Value from, Value rows) {
    before = before.drop_front(count);
    Value left = e.min(rows, e.sub(before[2], from));
    Value most = e.min(e.mul(last, e.index(kTile)), e.index(n));
    TileLanes lanes = {before[1],
                       e.min(e.add(before[1], e.index(kBlock)), most)};
    if (n % kTile == 0) {
      // Where a single tile is left over, the other's sums are the same.
      Value second = e.min(e.add(before[1], e.index(kTile)),
                           e.sub(most, e.index(kTile)));
      for (Value tile : {before[1], second})
        for (int64_t lane = 0; lane < kTile; lane += e.target.lanes)
          lanes.vectors.push_back(e.add(tile, e.index(lane)));
    }
    Value sums = e.offset(pending, e.mul(from, e.index(kBlock)), f32);
    ResultTile tile = {form.aggregate.getResult(), sums, kBlock, before[1],
                       this->rows, ns};
    Value row = e.add(before[0], from), row0 = e.add(block.row0, row);
    if (results)
      emitTileInto(e, tile, waitingTile(results, e.index(0)), row, row0, left,
                   lanes);
    else
      emitTile(e, tile, {}, row0, left, lanes);
  };

  // Sums that wait, of a block of rows and a tile of columns.
  auto waitingAt = [&](Value number, Value tile) {
    return e.offset(results,
                    e.add(e.mul(number, e.index(tileRowPitch)),
                          e.mul(tile, e.index(tilePitch))),
                    f32);
  };
  // Brings the lines near that begin at `at`, some in each step.
  int64_t waitingLines = llvm::divideCeil(count * kTile, spread);
  auto fetchWaiting = [&](Value at, Value step) {
    Value from = e.mul(step, e.index(waitingLines));
    for (int64_t i = 0; i < waitingLines; ++i) {
      Value line = e.add(from, e.index(i));
      Value other = arith::DivUIOp::create(b, loc, line, e.index(2 * kTile));
      Value gaps = e.mul(other, e.index(tilePitch - 2 * kTile * kTile));
      e.prefetch(e.offset(at, e.add(e.mul(line, e.index(kTile)), gaps), f32), 1);
    }
  };

  carried = e.loop(
      first, last, e.index(2), carried,
      [&](Value tile, ValueRange carried) -> SmallVector<Value> {
    Value other = e.add(tile, e.index(1));
    // Where a single tile is left over, both are the same.
    Value single = e.compare(arith::CmpIPredicate::sge, other, last);
    Value toOther = e.select(single, e.index(0), e.index(tilePitch));
    TileBlock sizes;
    sizes.rowTiles = rowTiles;
    sizes.columns[0] = tileAt(tile, slice.k0);
    sizes.columns[1] = tileAt(e.select(single, tile, other), slice.k0);
    sizes.columnStride = e.index(4 * width);
    sizes.columnStep = e.index(kTile * width);
    if (rests)
      copyRest(sizes.columns, slice);
    // The tiles after a slice's last ones are the first of the next slice. The
    // very last take their own: any valid address will do.
    Value after = e.compare(arith::CmpIPredicate::sge, e.add(tile, e.index(2)),
                            last);
    for (int i : {0, 1}) {
      Value next = e.min(e.add(tile, e.index(2 + i)), all);
      Value nextSlice = e.min(e.add(first, e.index(i)), all);
      sizes.fetch[i] = tileAt(next, slice.k0);
      if (slices.size() > 1)
        sizes.fetch[i] =
            e.select(after, tileAt(nextSlice, nextK0(slice)), sizes.fetch[i]);
    }
    sizes.fetchRows = fetchRows;
    Value lane = e.mul(tile, e.index(kTile));
    return e.loop(
        e.index(0), blocks, e.index(1), carried,
        [&](Value number, ValueRange carried) -> SmallVector<Value> {
      Value row = e.mul(number, e.index(kBlock));
      TileBlock here = sizes;
      TileRows from = rowsOf(row);
      here.rowStride = from.stride;
      here.rowStep = from.step;
      here.rows[0] = from.at;
      here.rows[1] = e.offset(from.at, e.mul(from.stride, e.index(kTile)),
                              b.getI8Type());
      here.fetchRow = e.mul(number, e.mul(e.index(steps), fetchRows));
      // Where sums of earlier slices are, and those that are read next.
      Value waiting[2], next;
      if (results) {
        waiting[0] = waitingAt(number, tile);
        waiting[1] = e.offset(waiting[0], toOther, f32);
        Value down = e.add(number, e.index(1));
        Value ends = e.compare(arith::CmpIPredicate::sge, down, blocks);
        next = e.select(ends, waitingAt(e.index(0), e.add(tile, e.index(2))),
                        waitingAt(down, tile));
      }
      auto start = [&](int64_t i) {
        store(i, carried);
        if (!slice.k0 || !results)
          return ops.zeroSums();
        Value at = e.offset(waiting[i % 2], e.index(i / 2 * kTile * kTile), f32);
        return ops.load(at, e.index(4 * kTile), TileReuse::Often);
      };
      auto between = [&](Value step) {
        if (slice.k0 && results)
          fetchWaiting(next, step);
        if (!later)
          return;
        Value from = e.mul(step, e.index(drainRows));
        drain(carried, from, e.index(drainRows));
        fetchBeside(e.add(block.row0, e.add(row, from)), e.index(drainRows),
                    lane);
      };
      TileBlock last = here;
      if (rests) {
        last.columnStride = e.index(kLine);
        last.columnStep = e.index(0);
        for (int64_t i : {0, 1})
          last.columns[i] = e.offset(rest, e.index(i * kTile * kTile), f32);
      }
      SmallVector<Value> sums =
          emitTileStep(ops, whole ? here : last, e.index(0), TileReuse::Often,
                       slice.depth, start);
      sums = emitTileSteps(ops, here, 1, resident, slice.depth, sums, between);
      if (later && resident == 1)
        drain(carried, e.index(0), e.index(kBlock));
      sums = emitTileSteps(ops, here, resident, whole, slice.depth, sums, {});
      if (rests && whole)
        sums = emitTileStep(ops, last, e.index(whole), TileReuse::Often,
                            slice.depth, [&](int64_t i) { return sums[i]; });
      if (later)
        sums.append({row, lane,
                     e.min(e.sub(block.count, row), e.index(kBlock))});
      else
        sums.append({waiting[0], waiting[1]});
      return sums;
    });
  });
  for (int64_t i = 0; i < count; ++i)
    store(i, carried);
  if (later)
    drain(carried, e.index(0), e.index(kBlock));
}
