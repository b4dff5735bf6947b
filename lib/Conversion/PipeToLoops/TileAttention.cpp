//===- TileAttention.cpp - The attention's products on tile registers -----===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both products of a block of 32 queries, whose tiles stay in registers: the
// queries while keys pass by, 16 at a time, and the sums of weighted values, 32
// columns at a time, while weights and values do. What a block of keys does not
// fill is zero: keys past the last have weight 0, and values of 0 as well, for
// memory may hold anything.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/TileOps.h"
#include "lib/Conversion/PipeToLoops/Attention.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

static constexpr int64_t kTile = kTileRows;

bool Attention::usesTiles() const {
  return pairs && e.target.tiles;
}

void Attention::emitTileScores(const QueryRows &queries, Value t0,
                               Value width) {
  constexpr int64_t mostHeld = 2; // steps whose tiles of queries stay
  Type f32 = e.b.getF32Type();
  TileOps ops(e.b, e.loc);
  int64_t steps = paddedDepth / kTile;
  Value keyStride = e.index(4 * keyPanel);
  auto query = [&](int64_t row, int64_t step) {
    Value from = e.offset(
        queries.at,
        e.add(e.mul(queries.stride, e.index(row * kTile)),
              e.mul(queries.step, e.index(step))),
        f32);
    return ops.load(from, e.mul(queries.stride, e.index(4)), TileReuse::Often);
  };
  SmallVector<Value> held;
  if (steps <= mostHeld)
    for (int64_t i = 0; i < 2 * steps; ++i)
      held.push_back(query(i % 2, i / 2));
  Value each = e.index(keyPanel / kTile);
  Value first = arith::DivUIOp::create(e.b, e.loc, t0, e.index(kTile));
  e.loop(e.index(0), e.ceilDiv(width, kTile), e.index(1), {},
         [&](Value number, ValueRange) -> SmallVector<Value> {
           Value tile = e.add(first, number);
           Value panel = arith::DivUIOp::create(e.b, e.loc, tile, each);
           Value within = e.sub(tile, e.mul(panel, each));
           Value from = e.add(e.mul(panel, e.index(keyPanel * paddedDepth)),
                              e.mul(within, e.index(kTile)));
           Value sums[2] = {ops.zeroSums(), ops.zeroSums()};
           for (int64_t step = 0; step < steps; ++step) {
             Value at = e.add(from, e.index(step * kTile * keyPanel));
             Value keys = ops.load(e.offset(this->at(keysAt), at, f32),
                                   keyStride, TileReuse::Often);
             for (int64_t row : {0, 1})
               sums[row] = ops.multiply(
                   sums[row],
                   held.empty() ? query(row, step) : held[2 * step + row], keys);
           }
           Value to = e.offset(this->at(scoresAt),
                               e.mul(number, e.index(kScoreTiles)), f32);
           ops.storeSums(sums[0], to, e.index(4 * kTile));
           ops.storeSums(sums[1], e.offset(to, e.index(kTile * kTile), f32),
                         e.index(4 * kTile));
           return {};
         });
}

void Attention::emitTileValues(Value t0, Value width, Value later) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  TileOps ops(b, loc);
  Value sumStride = e.index(4 * sumLanes), weightStride =
                                               e.index(4 * weightLanes);
  Value valueStride = e.index(4 * valueLanes);
  Value values = e.offset(at(valuesAt),
                          e.mul(e.ceilDiv(t0, kPairDepth), e.index(valueLanes)),
                          f32);
  Value weights = at(weightRowsAt);
  int64_t tiles = paddedWidth / kTile;
  for (int64_t tile = 0; tile < tiles; tile += 2) {
    // Of a single tile that is left over both columns are the same.
    int64_t columns[2] = {tile, std::min(tile + 1, tiles - 1)};
    SmallVector<Value> to;
    for (int64_t i = 0; i < 4; ++i)
      to.push_back(e.offset(
          at(sumsAt),
          e.index((i / 2 * sumLanes + columns[i % 2]) * kTile), f32));
    SmallVector<Value> sums = e.loop(
        e.index(0), e.ceilDiv(width, kPairDepth * kTile), e.index(1),
        ops.startSums(later, to, sumStride),
        [&](Value step, ValueRange sums) -> SmallVector<Value> {
          Value along = e.mul(step, e.index(kTile));
          Value down = e.mul(step, e.index(kTile * valueLanes));
          Value rows[2], panels[2];
          for (int64_t i : {0, 1}) {
            rows[i] = ops.load(
                e.offset(weights,
                         e.add(along, e.index(i * kTile * weightLanes)), f32),
                weightStride, TileReuse::Often);
            panels[i] = ops.load(
                e.offset(values, e.add(down, e.index(columns[i] * kTile)), f32),
                valueStride, TileReuse::Often);
          }
          SmallVector<Value> next;
          for (int64_t i = 0; i < 4; ++i)
            next.push_back(ops.multiply(sums[i], rows[i / 2], panels[i % 2]));
          return next;
        });
    for (auto [sum, address] : llvm::zip(sums, to))
      ops.storeSums(sum, address, sumStride);
  }
}

/// Zeros where rounded queries end, which are never written again.
void Attention::padQueries() {
  Value last = e.offset(at(queryRowsAt), e.index(paddedDepth - kTile),
                        e.b.getF32Type());
  e.zeroRows(last, e.index(queryBlock), rowLanes, kTile);
}

/// Zeros for the rows of values that whole tiles read past the last.
void Attention::padTileValues(Value kept) {
  Type f32 = e.b.getF32Type();
  Value zero = e.broadcast(e.constant(f32, 0));
  Value rows = e.ceilDiv(kept, kPairDepth);
  Value all = e.mul(e.ceilDiv(kept, kPairDepth * kTile), e.index(kTile));
  e.loop(e.mul(rows, e.index(valueLanes)), e.mul(all, e.index(valueLanes)),
         e.index(e.target.lanes), {},
         [&](Value lane, ValueRange) -> SmallVector<Value> {
           LLVM::StoreOp::create(e.b, e.loc, zero,
                                 e.offset(at(valuesAt), lane, f32), 4);
           return {};
         });
}
