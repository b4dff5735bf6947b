//===- AttentionDirect.cpp - Softmax without a maximum --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// e^x / sum e^x needs no greatest x as long as nothing leaves the range of f32, for
// a weight of bf16 has the same exponents as one of f32 and as many digits whatever
// its exponent. So scores become weights as they come, in one pass, and blocks of
// keys add up without being rescaled. Whether all went well is seen in the sums: one
// that is no number, or outside of [2^-60, 2^60], has the whole task done again by
// the kernel that looks for the greatest score.
// The range leaves room for values, which may be 2^60 in size; and a sum of 2^-60
// says of a masked softmax that its greatest score is far from the mask's constant
// (see KernelEmitter::checkMask).
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Attention.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

namespace {
constexpr double kLeastSum = 0x1p-60, kGreatestSum = 0x1p60;
/// A mask whose constant lies below twice this is far from any score that gives
/// such a sum: 2^26 keys of e^-60 come to less.
constexpr double kLeastPeak = -60;
constexpr int64_t kLanes = 16; // what a row of a tile has
} // namespace

bool Attention::goesDirect() {
  return usesTiles() && e.target.roundsBF16 && e.target.lanes == kLanes &&
         form.softmax.leastPeak().value_or(kLeastPeak) <= kLeastPeak;
}

/// Sums of the lanes of 16 vectors, in their order.
static Value sumEach(KernelEmitter &e, SmallVector<Value> vectors) {
  // Each step halves the vectors: what was the first one's goes into the first half
  // of each group of lanes.
  for (int64_t group = kLanes; group > 1; group /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < kLanes; i += group)
      for (int64_t source : {int64_t(0), kLanes})
        for (int64_t lane = 0; lane < group / 2; ++lane) {
          low.push_back(source + i + lane);
          high.push_back(source + i + group / 2 + lane);
        }
    SmallVector<Value> next;
    // Vectors that are half the number apart, so that groups end up in order.
    size_t half = vectors.size() / 2;
    for (size_t i = 0; i < half; ++i) {
      Value a = vectors[i], b = vectors[i + half];
      next.push_back(arith::AddFOp::create(
          e.b, e.loc, vector::ShuffleOp::create(e.b, e.loc, a, b, low),
          vector::ShuffleOp::create(e.b, e.loc, a, b, high)));
    }
    vectors = next;
  }
  return vectors.front();
}

/// The scores of query `r` become weights, 32 keys at a time: what a row of a tile
/// of weights holds. Their sums, lane by lane, are added to the row's.
void Attention::emitDirectWeights(const Task &task, const Keys &keys, Value t0,
                                  Value width, Value r) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  constexpr int64_t both = 2 * kLanes;
  Value weights = e.offset(at(weightRowsAt), e.mul(r, e.index(weightLanes)), f32);
  Value sumsAt = e.offset(at(lanesAt), e.mul(r, e.index(kLanes)), f32);
  SymExpr extent = plan::product(form.t), first = e.atom(t0, extent);
  Value zero = e.broadcast(e.constant(f32, 0));
  Type pairs = VectorType::get({both}, b.getBF16Type());
  beginScores(keys, scoreRow(r));
  auto step = [&](Value lane0, bool whole, ValueRange sums) {
    SmallVector<Value> next(sums), made;
    for (int64_t half : {0, 1})
      e.laneVector(e.add(lane0, e.index(half * kLanes)),
                   whole ? Value() : width, extent, [&](SymExpr lane) {
        Value weight = weightOf(scoreOf(task, keys, first, lane));
        if (e.laneMask())
          weight = arith::SelectOp::create(b, loc, e.laneMask(), weight, zero);
        next[half] = arith::AddFOp::create(b, loc, next[half], weight);
        made.push_back(weight);
      });
    // The intrinsic's first operand is the upper half.
    Value rounded =
        LLVM::CallIntrinsicOp::create(
            b, loc, pairs,
            b.getStringAttr("llvm.x86.avx512bf16.cvtne2ps2bf16.512"),
            ValueRange{made[1], made[0]})
            .getResult(0);
    LLVM::StoreOp::create(b, loc, rounded,
                          e.offset(weights, lane0, b.getBF16Type()), kLanes * 4);
    return next;
  };
  Value rest = arith::AndIOp::create(b, loc, width, e.index(both - 1));
  Value whole = e.sub(width, rest);
  SmallVector<Value> sums = e.loop(
      e.index(0), whole, e.index(both), ValueRange{zero, zero},
      [&](Value lane0, ValueRange sums) { return step(lane0, true, sums); });
  sums = e.loop(
      whole, width, e.index(both), sums,
      [&](Value lane0, ValueRange sums) { return step(lane0, false, sums); });
  e.overrides.clear();
  Value sum = arith::AddFOp::create(b, loc, sums[0], sums[1]);
  Value before = LLVM::LoadOp::create(b, loc, zero.getType(), sumsAt, 4);
  LLVM::StoreOp::create(b, loc, arith::AddFOp::create(b, loc, before, sum),
                        sumsAt, 4);
}

/// Queries s0..: true if a sum of weights is out of range.
Value Attention::emitDirectBlock(const Task &task, Value s0) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value count = e.min(e.sub(task.queryCount, s0), e.index(queryBlock));
  QueryRows rows = queryRows(task, s0, count);
  Value zero = e.broadcast(e.constant(f32, 0));
  auto sumsOf = [&](int64_t row) {
    return e.offset(at(lanesAt), e.index(row * kLanes), f32);
  };
  for (int64_t row = 0; row < queryBlock; ++row)
    LLVM::StoreOp::create(b, loc, zero, sumsOf(row), 4);
  e.loop(e.index(0), task.kept, e.index(keyBlock), {},
         [&](Value t0, ValueRange) -> SmallVector<Value> {
    Value width = e.min(e.sub(task.kept, t0), e.index(keyBlock));
    emitTileScores(rows, t0, width);
    e.loop(e.index(0), count, e.index(1), {},
           [&](Value r, ValueRange) -> SmallVector<Value> {
             emitDirectWeights(task, rowKeys(task, e.add(s0, r)), t0, width, r);
             return {};
           });
    emitTileValues(t0, width,
                   e.compare(arith::CmpIPredicate::sgt, t0, e.index(0)));
    return {};
  });
  Value bad;
  for (int64_t row = 0; row < queryBlock; row += kLanes) {
    SmallVector<Value> lanes;
    for (int64_t i = 0; i < kLanes; ++i)
      lanes.push_back(LLVM::LoadOp::create(b, loc, zero.getType(),
                                           sumsOf(row + i), 4));
    Value sums = sumEach(e, lanes);
    Value one = e.broadcast(e.constant(f32, 1));
    LLVM::StoreOp::create(b, loc, arith::DivFOp::create(b, loc, one, sums),
                          e.offset(at(totalAt), e.index(row), f32), 4);
    auto compared = [&](arith::CmpFPredicate predicate, double limit) -> Value {
      return arith::CmpFOp::create(b, loc, predicate, sums,
                                   e.broadcast(e.constant(f32, limit)));
    };
    // Neither holds for what is no number.
    Value good = arith::AndIOp::create(
        b, loc, compared(arith::CmpFPredicate::OGE, kLeastSum),
        compared(arith::CmpFPredicate::OLE, kGreatestSum));
    SmallVector<int64_t> numbers;
    for (int64_t i = 0; i < kLanes; ++i)
      numbers.push_back(row + i);
    Value past = arith::CmpIOp::create(
        b, loc, arith::CmpIPredicate::sge,
        arith::ConstantOp::create(
            b, loc,
            DenseElementsAttr::get(e.vectorOf(b.getI64Type()),
                                   ArrayRef(numbers))),
        e.broadcast(count));
    Value all = vector::ReductionOp::create(
        b, loc, vector::CombiningKind::AND,
        arith::OrIOp::create(b, loc, good, past));
    Value here = arith::XOrIOp::create(
        b, loc, all,
        arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
    bad = bad ? Value(arith::OrIOp::create(b, loc, bad, here)) : here;
  }
  emitResult(task, s0, count, /*checked=*/true);
  return bad;
}

void Attention::emitDirect(const Task &task) {
  Value no = arith::ConstantOp::create(e.b, e.loc, e.b.getBoolAttr(false));
  Value bad = e.loop(e.index(0), task.queryCount, e.index(queryBlock), ValueRange{no},
                     [&](Value s0, ValueRange bad) -> SmallVector<Value> {
                       return {arith::OrIOp::create(e.b, e.loc, bad[0],
                                                    emitDirectBlock(task, s0))};
                     })[0];
  e.when(bad, [&] { emitBlocks(task); });
}
