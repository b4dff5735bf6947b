//===- MicroKernel.cpp - Generated f32 contractions -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "MicroKernelBuilder.h"

using namespace mlir;

namespace joinery {
namespace {

using Values = KernelBuilder::Values;

constexpr int64_t kCacheLine = 16; // f32 elements
/// The most contraction steps between two bursts of prefetches.
constexpr int64_t kPrefetchBlock = 32;

class GemmGenerator {
public:
  GemmGenerator(ModuleOp module, const Isa &isa, int64_t width, StringRef name)
      : k(module, isa, name), isa(isa), width(width) {}

  func::FuncOp run() {
    Type i1 = k.b.getI1Type();
    func::FuncOp func = k.begin(
        {k.ptr, k.i64, k.ptr, k.i64, k.ptr, k.i64, k.i64, k.i64, i1, k.ptr});
    a = func.getArgument(0), lda = func.getArgument(1);
    bPanel = func.getArgument(2), ldb = func.getArgument(3);
    c = func.getArgument(4), ldc = func.getArgument(5);
    rows = func.getArgument(6), depth = func.getArgument(7);
    accumulate = func.getArgument(8), next = func.getArgument(9);
    unrolledDepth = k.roundDown(depth, isa.unroll);

    Value zero = k.constant(0);
    prefetchEnd = k.select(k.isNull(next), zero, k.mul(depth, width));
    planPrefetch();
    Value row = zero, offset = zero;
    for (int64_t tileRows : tileSizes())
      std::tie(row, offset) = rowLoop(tileRows, row, offset);
    k.finish();
    return func;
  }

private:
  int64_t accumulators() const { return isa.mr * isa.nr / isa.lanes; }

  /// Rows of the largest tile: all accumulators, but few enough rows that
  /// their addresses stay in registers.
  int64_t mainRows() const {
    int64_t columns = width % isa.nr == 0 ? isa.nr : width;
    return std::min<int64_t>(12, accumulators() * isa.lanes / columns);
  }

  /// The rows of all tiles, in the order that they are used.
  SmallVector<int64_t> tileSizes() const {
    SmallVector<int64_t> sizes = {mainRows()};
    for (int64_t size : {4, 2, 1})
      if (size < sizes.front())
        sizes.push_back(size);
    return sizes;
  }

  /// Spreads the next panel's cache lines evenly over all tiles: a burst of
  /// about a dozen every few contraction steps. Long bursts fill the queue of
  /// outstanding misses, single prefetches leave it empty.
  void planPrefetch() {
    Value tiles = k.constant(0), left = rows;
    for (int64_t size : tileSizes()) {
      Value whole = k.div(left, k.constant(size));
      tiles = k.add(tiles, k.mul(whole, width / groupWidth(size)));
      left = k.sub(left, k.mul(whole, size));
    }
    tiles = k.max(tiles, k.constant(1));
    prefetchBlock =
        k.min(k.mul(tiles, 2 * isa.unroll), k.constant(kPrefetchBlock));
    Value lines = k.mul(prefetchBlock, width / kCacheLine);
    lines = k.div(k.add(k.add(lines, tiles), -1), tiles);
    prefetchBurst = k.mul(lines, kCacheLine);
  }

  /// The widest column group that a tile of so many rows has registers for.
  int64_t groupWidth(int64_t tileRows) const {
    for (int64_t group = width; group > kRowPadding; group -= kRowPadding)
      if (width % group == 0 && tileRows * group / isa.lanes <= accumulators())
        return group;
    return kRowPadding;
  }

  /// Computes all rows from `first` that fill whole tiles; returns the first
  /// row left over and how far the next panel is prefetched.
  std::pair<Value, Value> rowLoop(int64_t tileRows, Value first, Value offset) {
    Value end = k.add(first, k.roundDown(k.sub(rows, first), tileRows));
    int64_t group = groupWidth(tileRows);
    for (int64_t column = 0; column < width; column += group)
      offset = k.loop(first, end, tileRows, offset,
                      [&](Value row, ValueRange carried) -> Values {
                        return {tile(tileRows, column, group, row, carried[0])};
                      })[0];
    return {end, offset};
  }

  /// One register block; returns how far the next panel is prefetched.
  Value tile(int64_t tileRows, int64_t column, int64_t group, Value row,
             Value offset) {
    int64_t vectors = group / isa.lanes;
    Values aRows, cRows;
    for (int64_t r = 0; r < tileRows; ++r) {
      Value index = k.add(row, r);
      aRows.push_back(k.opaque(k.at(a, k.mul(index, lda))));
      cRows.push_back(k.at(k.at(c, k.mul(index, ldc)), column));
    }
    Value bGroup = k.opaque(k.at(bPanel, column));

    auto branch = scf::IfOp::create(
        k.b, accumulate,
        [&](OpBuilder &, Location loc) {
          Values loaded;
          for (Value cRow : cRows)
            for (int64_t v = 0; v < vectors; ++v)
              loaded.push_back(k.loadVector(k.at(cRow, v * isa.lanes)));
          scf::YieldOp::create(k.b, loc, loaded);
        },
        [&](OpBuilder &, Location loc) {
          Values zeros(tileRows * vectors, k.zero());
          scf::YieldOp::create(k.b, loc, zeros);
        });
    Values init(branch.getResults());
    init.push_back(offset);

    auto step = [&](Value index, int64_t u, MutableArrayRef<Value> acc) {
      Values bs;
      Value bRow = k.at(bGroup, k.mul(k.add(index, u), ldb));
      for (int64_t v = 0; v < vectors; ++v)
        bs.push_back(k.loadVector(k.at(bRow, v * isa.lanes)));
      for (int64_t r = 0; r < tileRows; ++r) {
        Value scalar = k.load(k.f32, k.at(k.at(aRows[r], index), u));
        Value as = vector::BroadcastOp::create(k.b, k.vec, scalar);
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = acc[r * vectors + v];
          sum = vector::FMAOp::create(k.b, as, bs[v], sum);
        }
      }
    };
    auto steps = [&](Value from, Value to, int64_t unroll, ValueRange carried) {
      return k.loop(from, to, unroll, carried,
                    [&](Value index, ValueRange values) {
                      Values acc(values);
                      for (int64_t u = 0; u < unroll; ++u)
                        step(index, u, acc);
                      return acc;
                    });
    };

    Values acc =
        k.loop(k.constant(0), unrolledDepth, prefetchBlock, init,
               [&](Value block, ValueRange carried) {
                 Value from = carried.back();
                 Value to = k.min(k.add(from, prefetchBurst), prefetchEnd);
                 k.loop(from, to, kCacheLine, {},
                        [&](Value line, ValueRange) -> Values {
                          k.prefetch(k.at(next, line));
                          return {};
                        });
                 Value end = k.min(k.add(block, prefetchBlock), unrolledDepth);
                 Values sums =
                     steps(block, end, isa.unroll, carried.drop_back());
                 sums.push_back(to);
                 return sums;
               });
    Value reached = acc.pop_back_val();
    acc = steps(unrolledDepth, depth, 1, acc);
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t v = 0; v < vectors; ++v)
        k.store(acc[r * vectors + v], k.at(cRows[r], v * isa.lanes));
    return reached;
  }

  KernelBuilder k;
  const Isa &isa;
  int64_t width;
  Value a, lda, bPanel, ldb, c, ldc, rows, depth, accumulate, next;
  Value unrolledDepth, prefetchEnd, prefetchBlock, prefetchBurst;
};

} // namespace

func::FuncOp getOrCreateGemm(ModuleOp module, const Isa &isa, int64_t width) {
  assert(width % kRowPadding == 0 && width > 0 && width <= 64 &&
         "panels are 16, 32, 48 or 64 wide");
  std::string name = "jn_gemm_f32x" + std::to_string(width) + "_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return GemmGenerator(module, isa, width, name).run();
}

} // namespace joinery
