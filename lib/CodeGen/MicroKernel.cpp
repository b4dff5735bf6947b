//===- MicroKernel.cpp - Generated contractions ---------------------------===//
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

/// The most contraction steps between two bursts of prefetches.
constexpr int64_t kPrefetchBlock = 32;

/// Parts of the next panel that are prefetched at a time: memory gives more to
/// several streams than to one.
constexpr int64_t kPrefetchStreams = 4;

class GemmGenerator {
public:
  GemmGenerator(ModuleOp module, const Isa &isa, int64_t width,
                Operands operands, StringRef name)
      : k(module, isa, name), isa(isa), width(width),
        laneDepth(operands == Operands::DecodedPairs ? kPairDepth : 1),
        operands(operands) {
    lanes = VectorType::get(isa.lanes, k.b.getI32Type());
  }

  func::FuncOp run() {
    Type i1 = k.b.getI1Type();
    func::FuncOp func = k.begin(
        {k.ptr, k.i64, k.ptr, k.i64, k.ptr, k.i64, k.i64, k.i64, i1, k.ptr,
         k.i64});
    a = func.getArgument(0), lda = func.getArgument(1);
    bPanel = func.getArgument(2), ldb = func.getArgument(3);
    c = func.getArgument(4), ldc = func.getArgument(5);
    rows = func.getArgument(6), depth = func.getArgument(7);
    accumulate = func.getArgument(8), next = func.getArgument(9);
    nextLanes = func.getArgument(10);
    unrolledDepth = k.roundDown(depth, isa.unroll);

    Value zero = k.constant(0);
    prefetchEnd = k.mul(k.ceilDiv(nextLanes, kPrefetchStreams * kCacheLine),
                        kCacheLine);
    for (int64_t i = 0; i < kPrefetchStreams; ++i)
      streams.push_back(k.at(next, k.mul(prefetchEnd, i)));
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
  /// about a dozen every few contraction steps, a part of the panel by turns.
  /// Long bursts fill the queue of outstanding misses, single prefetches leave
  /// it empty.
  void planPrefetch() {
    Value tiles = k.constant(0), left = rows;
    for (int64_t size : tileSizes()) {
      Value whole = k.div(left, k.constant(size));
      tiles = k.add(tiles, k.mul(whole, width / groupWidth(size)));
      left = k.sub(left, k.mul(whole, size));
    }
    tiles = k.max(tiles, k.constant(1));
    prefetchBlock =
        k.min(k.mul(tiles, isa.unroll), k.constant(kPrefetchBlock));
    Value steps = k.mul(k.max(depth, k.constant(1)), tiles);
    prefetchBurst =
        k.mul(k.ceilDiv(k.mul(nextLanes, prefetchBlock),
                        k.mul(steps, kPrefetchStreams * kCacheLine)),
              kCacheLine);
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

    // `half` of a lane: the even or the odd step of a pair.
    auto step = [&](Value bRow, Value index, int64_t u, int64_t half,
                    MutableArrayRef<Value> acc) {
      Values bs;
      for (int64_t v = 0; v < vectors; ++v)
        bs.push_back(loadColumns(k.at(bRow, v * isa.lanes), half));
      for (int64_t r = 0; r < tileRows; ++r) {
        Value as = broadcastRow(k.at(k.at(aRows[r], index), u));
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = acc[r * vectors + v];
          sum = multiplyAdd(as, bs[v], sum);
        }
      }
    };
    auto steps = [&](Value from, Value to, int64_t unroll, ValueRange carried) {
      return k.loop(from, to, unroll, carried,
                    [&](Value index, ValueRange values) {
                      Values acc(values);
                      Value lane = laneRow(index);
                      for (int64_t u = 0; u < unroll; ++u) {
                        Value row = k.add(lane, u / laneDepth);
                        step(k.at(bGroup, k.mul(row, ldb)), index, u,
                             u % laneDepth, acc);
                      }
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
                          for (Value stream : streams)
                            k.prefetch(k.at(stream, line));
                          return {};
                        });
                 Value end = k.min(k.add(block, prefetchBlock), unrolledDepth);
                 Values sums =
                     steps(block, end, isa.unroll, carried.drop_back());
                 sums.push_back(to);
                 return sums;
               });
    Value reached = acc.pop_back_val();
    if (laneDepth == 1) {
      acc = steps(unrolledDepth, depth, 1, acc);
    } else {
      // Whole pairs, then the even step of a last one.
      Value whole = k.roundDown(depth, laneDepth);
      acc = steps(unrolledDepth, whole, laneDepth, acc);
      acc = k.loop(whole, depth, laneDepth, acc,
                   [&](Value index, ValueRange values) {
                     Values sums(values);
                     step(k.at(bGroup, k.mul(laneRow(index), ldb)), index, 0, 0,
                          sums);
                     return sums;
                   });
    }
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t v = 0; v < vectors; ++v)
        k.store(acc[r * vectors + v], k.at(cRows[r], v * isa.lanes));
    return reached;
  }

  /// The row of B's lanes that holds a contraction step.
  Value laneRow(Value index) {
    return laneDepth == 1 ? index : k.div(index, k.constant(laneDepth));
  }

  /// A vector of B's columns at one step, as the product takes it.
  Value loadColumns(Value address, int64_t half) {
    if (operands == Operands::F32)
      return k.loadVector(address);
    Value pairs = k.load(lanes, address);
    if (operands == Operands::Pairs)
      return pairs;
    return LLVM::BitcastOp::create(k.b, k.vec, k.half(pairs, half));
  }

  /// An element (or a pair) of A in all lanes.
  Value broadcastRow(Value address) {
    bool pairs = operands == Operands::Pairs;
    Value scalar = k.load(pairs ? Type(k.b.getI32Type()) : k.f32, address);
    return vector::BroadcastOp::create(k.b, pairs ? lanes : k.vec, scalar);
  }

  Value multiplyAdd(Value a, Value b, Value sum) {
    if (operands != Operands::Pairs)
      return vector::FMAOp::create(k.b, a, b, sum);
    auto halves = VectorType::get(2 * isa.lanes, k.b.getBF16Type());
    auto cast = [&](Value value) -> Value {
      return LLVM::BitcastOp::create(k.b, halves, value);
    };
    return LLVM::CallIntrinsicOp::create(
               k.b, k.vec,
               k.b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps." +
                                 std::to_string(32 * isa.lanes)),
               ValueRange{sum, cast(b), cast(a)})
        .getResult(0);
  }

  KernelBuilder k;
  const Isa &isa;
  int64_t width;
  /// Contraction steps in one row of B's lanes.
  int64_t laneDepth;
  Operands operands;
  VectorType lanes;
  Value a, lda, bPanel, ldb, c, ldc, rows, depth, accumulate, next, nextLanes;
  Value unrolledDepth, prefetchEnd, prefetchBlock, prefetchBurst;
  /// Where the parts of the next panel begin.
  Values streams;
};

} // namespace

func::FuncOp getOrCreateGemm(ModuleOp module, const Isa &isa, int64_t width,
                             Operands operands) {
  assert((operands != Operands::Pairs || (isa.dotBF16 && !isa.tiles)) &&
         "the level has no product of pairs, or tiles for it");
  assert(width % kRowPadding == 0 && width > 0 && width <= 64 &&
         "panels are 16, 32, 48 or 64 wide");
  const char *kinds[] = {"f32x", "decode_bf16x", "bf16x"};
  std::string name = std::string("jn_gemm_") + kinds[int(operands)] +
                     std::to_string(width) + "_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  func::FuncOp func = GemmGenerator(module, isa, width, operands, name).run();
  // What the cost model knows it by.
  Builder b(module.getContext());
  func->setAttr("gemm_width", b.getI64IntegerAttr(width));
  func->setAttr("gemm_operands", b.getI64IntegerAttr(int64_t(operands)));
  return func;
}

} // namespace joinery
