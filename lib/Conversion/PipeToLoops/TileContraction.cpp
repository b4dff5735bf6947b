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
// those of later steps and the rows pass it by, for both would not fit.
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

/// The columns [panel0, panel1) of a block of rows, for one slice of k. Results go
/// to `results`, the last slice's joined with what `ready` has, or through the
/// epilogue if that is null.
class ContractionKernel::TileSweep {
public:
  TileSweep(ContractionKernel &kernel, const ContractionBlock &block,
            const Slice &slice, Value results, int64_t rowTiles);
  void emit();

private:
  /// Two tiles of columns, and a block of 32 rows that they are multiplied by.
  struct TileBlock {
    Value columns[2], rows[2]; // where the first step's tiles are
    Value rowStride, rowStep; // from a row, and from a step, to the next, in bytes
    Value columnStride, columnStep; // in bytes, and in lanes
    Value fetch[2], fetchRow; // of the next two tiles of columns
    Value lane, toOther; // the first column; from waiting sums to the other tile's
  };

  // Where things are.
  TileRows rowsFrom(Value row);
  TileBlock columnsFrom(Value tile);
  Value waitingAt(Value number, Value tile);

  // Products.
  SmallVector<Value> emitBlock(const TileBlock &columns, Value tile,
                               Value number, ValueRange carried);
  SmallVector<Value> emitStep(const TileBlock &at, Value step, TileReuse reuse,
                              function_ref<Value(int64_t)> start);
  SmallVector<Value> emitSteps(const TileBlock &at, int64_t from, int64_t to,
                               ValueRange sums,
                               function_ref<void(Value)> between);

  // What runs between them.
  void store(int64_t i, ValueRange before);
  void drain(ValueRange before, Value from, Value rows);
  void fetchColumns(const TileBlock &at, Value step);
  void fetchWaiting(Value at, Value step);
  void fetchBeside(Value row0, Value count, Value lane);

  /// Do sums of the slices before wait for these?
  bool addsToWaiting() const { return slice.k0 && results; }

  ContractionKernel &kernel;
  KernelEmitter &e;
  TileOps ops;
  Type f32;
  const ContractionBlock &block;
  const Slice &slice;
  Value results;
  int64_t rowTiles, count; // of rows, and of sums: both tiles of columns
  // Steps of k, of which the last may be one that k does not fill.
  int64_t whole;
  bool rests;
  /// Sums are stored within the first step of the next block, and what else there
  /// is to do runs between the products of its other steps that stay near, spread
  /// evenly so that neither waits for the other.
  int64_t resident, spread;
  /// Does the epilogue come with the next block, and not with whole rows?
  bool later;
  int64_t sumsWidth;
  Value first, last, all; // tiles of columns: of this block, and the very last one
  Value blocks, fetchRows;
  Value rowsAt, packedStride;
  TileRows inPlace;
};

ContractionKernel::TileSweep::TileSweep(ContractionKernel &kernel,
                                        const ContractionBlock &block,
                                        const Slice &slice, Value results,
                                        int64_t rowTiles)
    : kernel(kernel), e(kernel.e), ops(e.b, e.loc), f32(e.b.getF32Type()),
      block(block), slice(slice), results(results), rowTiles(rowTiles),
      count(2 * rowTiles), whole(slice.depth / (kPairDepth * kTile)),
      rests(slice.depth % (kPairDepth * kTile)),
      resident(std::clamp<int64_t>(whole, 1, kResidentSteps + 1)),
      spread(std::max<int64_t>(resident - 1, 1)),
      later(!results || (kernel.ready && !kernel.nextK0(slice))),
      sumsWidth(later ? kBlock : kTile) {
  int64_t each = kernel.width / kTile;
  first = e.mul(block.panel0, e.index(each));
  // The last panel may have tiles without a column.
  last = e.min(e.mul(block.panel1, e.index(each)),
               e.index(llvm::divideCeil(kernel.n, kTile)));
  all = e.index(kernel.grid.panels * each - 1);
  blocks = e.ceilDiv(block.count, kBlock);
  fetchRows = e.ceilDiv(e.index(kTile), blocks);
  rowsAt = e.offset(kernel.packed, e.index(kernel.lanesOf(slice.k0)), f32);
  packedStride = e.index(4 * kernel.packedLda);
  if (kernel.readsInPlace())
    inPlace = kernel.rowsInPlace(block, slice);
}

/// Where the rows of a block begin.
ContractionKernel::TileRows ContractionKernel::TileSweep::rowsFrom(Value row) {
  Type byte = e.b.getI8Type();
  if (!inPlace.at)
    return {e.offset(rowsAt, e.mul(row, packedStride), byte), packedStride,
            e.index(kLine)};
  Value full = e.compare(arith::CmpIPredicate::sle,
                         e.add(row, e.index(kBlock)), block.count);
  return {e.select(full, e.offset(inPlace.at, e.mul(row, inPlace.stride), byte),
                   rowsAt),
          e.select(full, inPlace.stride, packedStride),
          e.select(full, inPlace.step, e.index(kLine))};
}

/// Two tiles of columns, from number `tile` on. Where a single one is left over,
/// both are the same.
ContractionKernel::TileSweep::TileBlock
ContractionKernel::TileSweep::columnsFrom(Value tile) {
  Value other = e.add(tile, e.index(1));
  Value single = e.compare(arith::CmpIPredicate::sge, other, last);
  TileBlock at;
  at.toOther = e.select(single, e.index(0), e.index(kernel.tilePitch));
  at.columns[0] = kernel.tileAt(tile, slice.k0);
  at.columns[1] = kernel.tileAt(e.select(single, tile, other), slice.k0);
  at.columnStride = e.index(4 * kernel.width);
  at.columnStep = e.index(kTile * kernel.width);
  if (rests)
    kernel.copyRest(at.columns, slice);
  // The tiles after a slice's last ones are the first of the next slice. The
  // very last take their own: any valid address will do.
  Value after = e.compare(arith::CmpIPredicate::sge, e.add(tile, e.index(2)),
                          last);
  for (int i : {0, 1}) {
    Value next = e.min(e.add(tile, e.index(2 + i)), all);
    Value nextSlice = e.min(e.add(first, e.index(i)), all);
    at.fetch[i] = kernel.tileAt(next, slice.k0);
    if (kernel.slices.size() > 1)
      at.fetch[i] = e.select(
          after, kernel.tileAt(nextSlice, kernel.nextK0(slice)), at.fetch[i]);
  }
  at.lane = e.mul(tile, e.index(kTile));
  return at;
}

/// Sums that wait, of a block of rows and a tile of columns.
Value ContractionKernel::TileSweep::waitingAt(Value number, Value tile) {
  return e.offset(results,
                  e.add(e.mul(number, e.index(kernel.tileRowPitch)),
                        e.mul(tile, e.index(kernel.tilePitch))),
                  f32);
}

/// As many rows of the next tiles of columns as give all of them in the end.
void ContractionKernel::TileSweep::fetchColumns(const TileBlock &at,
                                                Value step) {
  int64_t lanes = kernel.lanesOf(slice.depth);
  Value from = e.add(at.fetchRow, e.mul(step, fetchRows));
  Value to = e.min(e.add(from, fetchRows), e.index(lanes));
  e.loop(from, to, e.index(1), {},
         [&](Value number, ValueRange) -> SmallVector<Value> {
           Value streams = e.index(kStreams);
           Value stream = arith::RemUIOp::create(e.b, e.loc, number, streams);
           Value within = arith::DivUIOp::create(e.b, e.loc, number, streams);
           Value row = e.add(
               e.mul(stream, e.index(llvm::divideCeil(lanes, kStreams))), within);
           for (Value tile : at.fetch)
             e.prefetch(e.offset(tile, e.mul(row, e.index(kernel.width)), f32),
                        2);
           return {};
         });
}

/// One step of k; product i is added to what `start` gives for it.
SmallVector<Value>
ContractionKernel::TileSweep::emitStep(const TileBlock &at, Value step,
                                       TileReuse reuse,
                                       function_ref<Value(int64_t)> start) {
  fetchColumns(at, step);
  Value along = e.mul(step, at.rowStep);
  Value down = e.mul(step, at.columnStep);
  auto rowTile = [&](int64_t i) {
    return ops.load(e.offset(at.rows[i], along, e.b.getI8Type()), at.rowStride,
                    TileReuse::Once);
  };
  auto columnTile = [&](int64_t i) {
    return ops.load(e.offset(at.columns[i], down, f32), at.columnStride, reuse);
  };
  Value a = rowTile(0), columns[] = {columnTile(0), columnTile(1)};
  SmallVector<Value> sums;
  for (int64_t i = 0; i < rowTiles; ++i) {
    if (i > 0)
      a = rowTile(i);
    for (Value column : columns)
      sums.push_back(ops.multiply(start(sums.size()), a, column));
  }
  return sums;
}

/// Steps [from, to) of a slice's products, each followed by `between`.
SmallVector<Value> ContractionKernel::TileSweep::emitSteps(
    const TileBlock &at, int64_t from, int64_t to, ValueRange sums,
    function_ref<void(Value)> between) {
  if (from >= to)
    return sums;
  TileReuse reuse = from < kResidentSteps ? TileReuse::Often : TileReuse::Once;
  return e.loop(e.index(from), e.index(to), e.index(1), sums,
                [&](Value step, ValueRange sums) -> SmallVector<Value> {
                  SmallVector<Value> next = emitStep(
                      at, step, reuse, [&](int64_t i) { return sums[i]; });
                  if (between)
                    between(e.sub(step, e.index(from)));
                  return next;
                });
}

/// Stores sum `i` of the block before.
void ContractionKernel::TileSweep::store(int64_t i, ValueRange before) {
  Value at = later ? e.offset(kernel.pending, e.index(i % 2 * kTile), f32)
                   : before[count + i % 2];
  ops.storeSums(before[i],
                e.offset(at, e.index(i / 2 * kTile * sumsWidth), f32),
                e.index(4 * sumsWidth));
}

/// The epilogue of some rows of the block before.
void ContractionKernel::TileSweep::drain(ValueRange before, Value from,
                                         Value rows) {
  before = before.drop_front(count);
  Value left = e.min(rows, e.sub(before[2], from));
  Value most = e.min(e.mul(last, e.index(kTile)), e.index(kernel.n));
  TileLanes lanes = {before[1], e.min(e.add(before[1], e.index(kBlock)), most)};
  if (kernel.n % kTile == 0) {
    // Where a single tile is left over, the other's sums are the same.
    Value second = e.min(e.add(before[1], e.index(kTile)),
                         e.sub(most, e.index(kTile)));
    for (Value tile : {before[1], second})
      for (int64_t lane = 0; lane < kTile; lane += e.target.lanes)
        lanes.vectors.push_back(e.add(tile, e.index(lane)));
  }
  Value sums = e.offset(kernel.pending, e.mul(from, e.index(kBlock)), f32);
  ResultTile tile = {kernel.form.aggregate.getResult(), sums, kBlock, before[1],
                     kernel.rows, kernel.ns};
  Value row = e.add(before[0], from), row0 = e.add(block.row0, row);
  if (results)
    emitTileInto(e, tile, kernel.waitingTile(results, e.index(0)), row, row0,
                 left, lanes);
  else
    emitTile(e, tile, {}, row0, left, lanes);
}

/// Brings the lines near that begin at `at`, some in each step.
void ContractionKernel::TileSweep::fetchWaiting(Value at, Value step) {
  int64_t lines = llvm::divideCeil(count * kTile, spread);
  Value from = e.mul(step, e.index(lines));
  for (int64_t i = 0; i < lines; ++i) {
    Value line = e.add(from, e.index(i));
    Value other = arith::DivUIOp::create(e.b, e.loc, line, e.index(2 * kTile));
    Value gaps = e.mul(other, e.index(kernel.tilePitch - 2 * kTile * kTile));
    e.prefetch(e.offset(at, e.add(e.mul(line, e.index(kTile)), gaps), f32), 1);
  }
}

/// Brings near what the epilogue of two tiles of columns will read of some rows.
void ContractionKernel::TileSweep::fetchBeside(Value row0, Value count,
                                               Value lane) {
  if (kernel.beside.empty())
    return;
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           Keys keys;
           e.splitRow(e.atom(e.add(row0, r), kernel.grid.rows), kernel.rows,
                      keys);
           e.splitRow(e.atom(lane, plan::product(kernel.ns)), kernel.ns, keys);
           for (const Beside &one : kernel.beside) {
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

/// Block `number` of rows. `carried` are the sums of the block before, then what
/// tells where they go; so is the result.
SmallVector<Value>
ContractionKernel::TileSweep::emitBlock(const TileBlock &columns, Value tile,
                                        Value number, ValueRange carried) {
  int64_t drainRows = llvm::divideCeil(kBlock, spread);
  Value row = e.mul(number, e.index(kBlock));
  TileBlock here = columns;
  TileRows from = rowsFrom(row);
  here.rowStride = from.stride;
  here.rowStep = from.step;
  here.rows[0] = from.at;
  here.rows[1] = e.offset(from.at, e.mul(from.stride, e.index(kTile)),
                          e.b.getI8Type());
  here.fetchRow = e.mul(number, e.mul(e.index(whole + rests), fetchRows));
  // Where sums of earlier slices are, and those that are read next.
  Value waiting[2], next;
  if (results) {
    waiting[0] = waitingAt(number, tile);
    waiting[1] = e.offset(waiting[0], columns.toOther, f32);
    Value down = e.add(number, e.index(1));
    Value ends = e.compare(arith::CmpIPredicate::sge, down, blocks);
    next = e.select(ends, waitingAt(e.index(0), e.add(tile, e.index(2))),
                    waitingAt(down, tile));
  }
  auto start = [&](int64_t i) {
    store(i, carried);
    if (!addsToWaiting())
      return ops.zeroSums();
    Value at = e.offset(waiting[i % 2], e.index(i / 2 * kTile * kTile), f32);
    return ops.load(at, e.index(4 * kTile), TileReuse::Often);
  };
  auto between = [&](Value step) {
    if (addsToWaiting())
      fetchWaiting(next, step);
    if (!later)
      return;
    Value from = e.mul(step, e.index(drainRows));
    drain(carried, from, e.index(drainRows));
    fetchBeside(e.add(block.row0, e.add(row, from)), e.index(drainRows),
                columns.lane);
  };
  TileBlock rest = here;
  if (rests) {
    rest.columnStride = e.index(kLine);
    rest.columnStep = e.index(0);
    for (int64_t i : {0, 1})
      rest.columns[i] = e.offset(kernel.rest, e.index(i * kTile * kTile), f32);
  }
  SmallVector<Value> sums =
      emitStep(whole ? here : rest, e.index(0), TileReuse::Often, start);
  sums = emitSteps(here, 1, resident, sums, between);
  if (later && resident == 1)
    drain(carried, e.index(0), e.index(kBlock));
  sums = emitSteps(here, resident, whole, sums, {});
  if (rests && whole)
    sums = emitStep(rest, e.index(whole), TileReuse::Often,
                    [&](int64_t i) { return sums[i]; });
  if (later)
    sums.append({row, columns.lane,
                 e.min(e.sub(block.count, row), e.index(kBlock))});
  else
    sums.append({waiting[0], waiting[1]});
  return sums;
}

void ContractionKernel::TileSweep::emit() {
  // Of the block before: its sums, then its first row, its first column and how
  // many rows it has, or where its two tiles of columns go. Before the first there
  // is none, and what it stores nobody reads.
  SmallVector<Value> carried(count, ops.zeroSums());
  if (later)
    carried.append(3, e.index(0));
  else
    carried.append(2, kernel.pending);
  carried = e.loop(
      first, last, e.index(2), carried,
      [&](Value tile, ValueRange carried) -> SmallVector<Value> {
        TileBlock columns = columnsFrom(tile);
        return e.loop(e.index(0), blocks, e.index(1), carried,
                      [&](Value number, ValueRange carried) {
                        return emitBlock(columns, tile, number, carried);
                      });
      });
  for (int64_t i = 0; i < count; ++i)
    store(i, carried);
  if (later)
    drain(carried, e.index(0), e.index(kBlock));
}

void ContractionKernel::emitTileBlock(const ContractionBlock &block,
                                      const Slice &slice, Value results) {
  Value few = e.compare(arith::CmpIPredicate::sle, block.count, e.index(kTile));
  Value many = e.compare(arith::CmpIPredicate::sgt, block.count, e.index(kTile));
  e.when(few, [&] { TileSweep(*this, block, slice, results, 1).emit(); });
  e.when(many, [&] { TileSweep(*this, block, slice, results, 2).emit(); });
}
