//===- TileKernel.cpp - Contractions on tile registers --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile holds 16 rows of 16 lanes. A product of tiles (tdpbf16ps) adds, for 16
// rows of A and 16 columns of the panel, 16 steps of pairs to 16 x 16 sums.
//
//   rows of 32 at a time: the sums of 2 x 3 tiles stay in registers for all of
//   k, which leaves one register for A and one for B
//   fewer rows, and what k leaves over: 1 x 3 tiles of a shape given at run time
//
// Tiles have one shape for all of a function, so each of the two is one.
//
//===----------------------------------------------------------------------===//

#include "MicroKernelBuilder.h"
#include "TileKernel.h"
#include "joinery/CodeGen/MicroKernel.h"
#include "joinery/CodeGen/TileOps.h"
#include <optional>

using namespace mlir;

namespace joinery {
namespace {

using Values = KernelBuilder::Values;

constexpr int64_t kTile = kTileRows;
/// Tile registers, less one for a tile of A and one for a tile of B.
constexpr int64_t kSums = 6;

/// The kernel of `rowTiles` tiles of rows: of whole tiles if there are several,
/// else of one tile with a number of rows and pairs that the caller gives.
///   (A: ptr, lda, B: ptr, ldb, C: ptr, ldc, rows, steps, pairs: i64,
///    accumulate: i1, next: ptr, lines: i64)
/// `steps` products of `pairs` pairs each; at each of them `lines` cache lines
/// from `next` on are prefetched, where it is not null.
class TileGenerator {
public:
  TileGenerator(ModuleOp module, const Isa &isa, int64_t width,
                int64_t rowTiles, StringRef name)
      : k(module, isa, name), width(width), rowTiles(rowTiles) {}

  func::FuncOp run() {
    Type i1 = k.b.getI1Type();
    func::FuncOp func =
        k.begin({k.ptr, k.i64, k.ptr, k.i64, k.ptr, k.i64, k.i64, k.i64, k.i64,
                 i1, k.ptr, k.i64});
    a = func.getArgument(0), lda = func.getArgument(1);
    panel = func.getArgument(2), ldb = func.getArgument(3);
    c = func.getArgument(4), ldc = func.getArgument(5);
    rows = func.getArgument(6), steps = func.getArgument(7);
    pairs = func.getArgument(8), accumulate = func.getArgument(9);
    next = func.getArgument(10), lines = func.getArgument(11);
    bool whole = rowTiles > 1;
    whole ? tiles.emplace(k.b, k.b.getLoc())
          : tiles.emplace(k.b, k.b.getLoc(), rows, pairs);
    aStride = k.mul(lda, 4), bStride = k.mul(ldb, 4), cStride = k.mul(ldc, 4);
    prefetchStep = k.select(k.isNull(next), k.constant(0),
                            k.mul(lines, kCacheLine));

    Value offset = k.constant(0);
    int64_t most = kSums / rowTiles;
    for (int64_t column = 0; column < width;) {
      // As equal as possible: 64 columns are 2 + 2 tiles.
      int64_t left = (width - column) / kTile;
      int64_t columnTiles =
          llvm::divideCeil(left, llvm::divideCeil(left, most));
      offset = whole ? k.loop(k.constant(0), rows, rowTiles * kTile, offset,
                              [&](Value row, ValueRange carried) -> Values {
                                return {block(row, column, columnTiles,
                                              carried[0])};
                              })[0]
                     : block(k.constant(0), column, columnTiles, offset);
      column += columnTiles * kTile;
    }
    k.finish();
    return func;
  }

private:
  /// One block of sums; returns how far the next panel is prefetched.
  Value block(Value row, int64_t column, int64_t columnTiles, Value offset) {
    Values aRows, cTiles;
    for (int64_t r = 0; r < rowTiles; ++r) {
      Value index = k.add(row, r * kTile);
      aRows.push_back(k.at(a, k.mul(index, lda)));
      for (int64_t t = 0; t < columnTiles; ++t)
        cTiles.push_back(
            k.at(k.at(c, k.mul(index, ldc)), column + t * kTile));
    }
    Values carried = tiles->startSums(accumulate, cTiles, cStride);
    carried.push_back(offset);
    Values sums = k.loop(
        k.constant(0), steps, 1, carried,
        [&](Value step, ValueRange values) -> Values {
          Values sums(values.drop_back());
          Value to = k.add(values.back(), prefetchStep);
          k.loop(values.back(), to, kCacheLine, {},
                 [&](Value line, ValueRange) -> Values {
                   k.prefetch(k.at(next, line));
                   return {};
                 });
          Value aStep = k.mul(step, kTile);
          Value bRow = k.at(panel, k.mul(k.mul(step, kTile), ldb));
          // Back and forth over the rows: each tile of B is loaded once, and
          // one of A is in its register at the turn.
          int64_t r = 0, held = -1;
          Value aTile;
          for (int64_t t = 0; t < columnTiles; ++t) {
            // A panel does not fit into the level-1 cache beside the rows,
            // which are read again within a step.
            Value bTile = tiles->loadPanel(k.at(bRow, column + t * kTile),
                                           bStride, TileReuse::Once);
            for (int64_t i = 0; i < rowTiles; ++i) {
              if (i > 0)
                r = rowTiles - 1 - r;
              if (held != r)
                aTile = tiles->loadRows(k.at(aRows[r], aStep), aStride,
                                        TileReuse::Often);
              held = r;
              Value &sum = sums[r * columnTiles + t];
              sum = tiles->multiply(sum, aTile, bTile);
            }
          }
          sums.push_back(to);
          return sums;
        });
    Value reached = sums.pop_back_val();
    for (auto [address, sum] : llvm::zip(cTiles, sums))
      tiles->storeSums(sum, address, cStride);
    return reached;
  }

  KernelBuilder k;
  int64_t width, rowTiles;
  std::optional<TileOps> tiles;
  Value a, lda, panel, ldb, c, ldc, rows, steps, pairs, accumulate, next, lines;
  Value aStride, bStride, cStride, prefetchStep;
};

/// The kernel with the interface of every level's.
class TileGemmGenerator {
public:
  TileGemmGenerator(ModuleOp module, const Isa &isa, int64_t width,
                    StringRef name)
      : k(module, isa, name), width(width),
        rowsKernel(TileGenerator(module, isa, width, /*rowTiles=*/2,
                                 (name + "_rows").str())
                       .run()),
        edgeKernel(TileGenerator(module, isa, width, /*rowTiles=*/1,
                                 (name + "_edge").str())
                       .run()) {}

  func::FuncOp run() {
    Type i1 = k.b.getI1Type();
    func::FuncOp func = k.begin(
        {k.ptr, k.i64, k.ptr, k.i64, k.ptr, k.i64, k.i64, k.i64, i1, k.ptr});
    a = func.getArgument(0), lda = func.getArgument(1);
    panel = func.getArgument(2), ldb = func.getArgument(3);
    c = func.getArgument(4), ldc = func.getArgument(5);
    Value rows = func.getArgument(6), depth = func.getArgument(7);
    Value accumulate = func.getArgument(8), next = func.getArgument(9);
    Value whole = k.roundDown(rows, 2 * kTile);
    Value steps = k.div(depth, k.constant(kTile));
    Value done = k.roundDown(depth, kTile), rest = k.sub(depth, done);
    Value zero = k.constant(0), tile = k.constant(kTile);
    // The next panel's lines, spread over the steps of all blocks of rows (of
    // the first tile of rows if there are no blocks).
    Value blocks = k.div(whole, k.constant(2 * kTile));
    Value panelLines = k.div(k.mul(depth, width), k.constant(kCacheLine));
    auto linesIn = [&](Value turns) {
      return k.ceilDiv(panelLines, k.max(turns, k.constant(1)));
    };
    int64_t walks = llvm::divideCeil(width / kTile, kSums / 2);
    Value lines = linesIn(k.mul(k.mul(blocks, steps), walks));

    scf::IfOp::create(k.b, k.less(zero, whole), [&](OpBuilder &, Location loc) {
      func::CallOp::create(k.b, rowsKernel,
                           ValueRange{a, lda, panel, ldb, c, ldc, whole, steps,
                                      tile, accumulate, next, lines});
      scf::YieldOp::create(k.b, loc);
    });
    Value edgeNext = k.select(k.less(zero, whole),
                              LLVM::ZeroOp::create(k.b, k.ptr), next);
    edges(whole, rows, zero, steps, tile, accumulate, edgeNext, linesIn(steps));
    // What k leaves over, for all rows: added to what is there by now.
    scf::IfOp::create(k.b, k.less(zero, rest), [&](OpBuilder &, Location loc) {
      Value yes = arith::ConstantOp::create(k.b, k.b.getBoolAttr(true));
      edges(zero, rows, done, k.constant(1), rest, yes,
            LLVM::ZeroOp::create(k.b, k.ptr), zero);
      scf::YieldOp::create(k.b, loc);
    });
    k.finish();
    return func;
  }

private:
  /// Rows [from, to), a tile at a time, with the pairs from `depth` on. The
  /// first tile prefetches.
  void edges(Value from, Value to, Value depth, Value steps, Value pairs,
             Value accumulate, Value next, Value lines) {
    Value b = k.at(panel, k.mul(depth, ldb));
    Value null = LLVM::ZeroOp::create(k.b, k.ptr);
    k.loop(from, to, kTile, next, [&](Value row, ValueRange toFetch) -> Values {
      Value count = k.min(k.sub(to, row), k.constant(kTile));
      func::CallOp::create(
          k.b, edgeKernel,
          ValueRange{k.at(k.at(a, k.mul(row, lda)), depth), lda, b, ldb,
                     k.at(c, k.mul(row, ldc)), ldc, count, steps, pairs,
                     accumulate, toFetch[0], lines});
      return {null};
    });
  }

  KernelBuilder k;
  int64_t width;
  func::FuncOp rowsKernel, edgeKernel;
  Value a, lda, panel, ldb, c, ldc;
};

} // namespace

func::FuncOp createTileGemm(ModuleOp module, const Isa &isa, int64_t width,
                            StringRef name) {
  return TileGemmGenerator(module, isa, width, name).run();
}

} // namespace joinery
