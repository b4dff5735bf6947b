//===- AttentionScores.cpp - One row of scores ----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

SmallVector<Value> Attention::overKeys(
    Value width, ValueRange carried,
    function_ref<SmallVector<Value>(SymExpr, ValueRange)> body) {
  Value rest = arith::AndIOp::create(e.b, e.loc, width,
                                     e.index(e.target.lanes - 1));
  Value whole = e.sub(width, rest);
  SmallVector<Value> state = e.laneLoop(e.index(0), whole, true,
                                        plan::product(form.t), carried, body);
  return e.laneLoop(whole, width, false, plan::product(form.t), state, body);
}

/// Scores are numbers: no case for NaN, one instruction.
Value Attention::greatest(Value a, Value b) {
  Value more = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, a,
                                     b);
  return arith::SelectOp::create(e.b, e.loc, more, a, b);
}

/// Where the scores of query `r` of a block are, and a key's from there on: tiles of
/// 16 keys by 32 queries, or a row.
Value Attention::scoreRow(Value r) {
  return e.offset(at(scoresAt),
                  e.mul(r, e.index(usesTiles() ? kTileRows : scoreLanes)),
                  e.b.getF32Type());
}

SymExpr Attention::scoreLane(const SymExpr &lane) const {
  if (!usesTiles())
    return lane;
  return SymExpr::floorDiv(lane, kTileRows) * SymExpr(kScoreTiles) +
         SymExpr::mod(lane, kTileRows);
}

/// Lets scores of one query be evaluated from the products at `row`: until the
/// overrides are cleared.
void Attention::beginScores(const Keys &keys, Value row) {
  SymExpr extent = plan::product(form.t);
  e.overrides[form.scores.aggregate.getResult().getAsOpaquePointer()] =
      [this, row](const Keys &at) {
        return e.load(row, scoreLane(SymExpr::symbol(currentLane)),
                      e.b.getF32Type());
      };
  // The keys that are left are those that the selections keep.
  for (SelectOp select : form.keySelects)
    e.overrides[select.getResult().getAsOpaquePointer()] =
        [this, select](const Keys &at) mutable {
          return e.evaluate(select.getInput(), at);
        };
  Keys future = keys;
  e.splitRow(e.futureLane(extent), form.t, future);
  e.hoist(form.softmax.getInputs()[0], future);
}

/// The score of the lane, which counts the kept keys from number `first` on.
Value Attention::scoreOf(const Task &task, const Keys &keys,
                         const SymExpr &first, const SymExpr &lane) {
  SymExpr extent = plan::product(form.t);
  currentLane = *lane.asSymbol();
  Keys here = keys;
  SymExpr number = first + lane;
  if (!listSelects.empty()) {
    Value numbers = e.load(task.list, number, e.b.getI32Type());
    numbers = arith::ExtSIOp::create(e.b, e.loc, e.vectorOf(e.b.getI64Type()),
                                     numbers);
    number = e.atom(numbers, extent);
  }
  if (k.unpack && form.readsKeyNumbers)
    number = keyNumber(task, number);
  e.splitRow(number, form.t, here);
  return e.broadcast(e.evaluate(form.softmax.getInputs()[0], here));
}

/// Applies what follows the contraction to a row of the tile, in place, and
/// gives the greatest score.
Value Attention::emitScores(const Task &task, const Keys &keys, Value row,
                            Value t0, Value width) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value lowest =
      e.constant(f32, -double(std::numeric_limits<float>::max()));
  beginScores(keys, row);
  SymExpr first = e.atom(t0, plan::product(form.t));
  Value peak = overKeys(
      width, ValueRange{e.broadcast(lowest)},
      [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
        Value x = scoreOf(task, keys, first, lane);
        e.store(x, row, scoreLane(lane), f32);
        if (e.laneMask())
          x = arith::SelectOp::create(b, loc, e.laneMask(), x,
                                      e.broadcast(lowest));
        return {greatest(x, carried[0])};
      })[0];
  e.overrides.clear();
  // Halves against each other, down to one lane.
  for (int64_t lanes = e.target.lanes; lanes > 1; lanes /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < lanes / 2; ++i) {
      low.push_back(i);
      high.push_back(lanes / 2 + i);
    }
    peak = greatest(vector::ShuffleOp::create(b, loc, peak, peak, low),
                    vector::ShuffleOp::create(b, loc, peak, peak, high));
  }
  return vector::ExtractOp::create(b, loc, peak, ArrayRef<int64_t>{0});
}

/// The constant that a number or all lanes are, if they are one.
static std::optional<double> constantOf(Value x) {
  if (auto lanes = x.getDefiningOp<vector::BroadcastOp>())
    x = lanes.getSource();
  APFloat value(0.0f);
  if (!matchPattern(x, m_ConstantFloat(&value)))
    return std::nullopt;
  return value.convertToDouble();
}

Value Attention::weightOf(Value x) {
  OpBuilder &b = e.b;
  if (!pairs || !e.target.roundsBF16)
    return math::ExpOp::create(b, e.loc, x);
  // 2^t = 2^floor(t) * 2^f: the polynomial in f is within 8e-5, a bf16 within
  // 2e-3. Both instructions take any number, and 2^-inf is 0.
  constexpr double log2e = 1.44269504088896341;
  const double polynomial[] = {.999925222, .695833519, .226067177, .0780245251};
  auto constant = [&](double value) {
    return e.broadcast(e.constant(b.getF32Type(), value));
  };
  Type i32 = b.getI32Type();
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantIntOp::create(b, e.loc, i32, value);
  };
  Value all = arith::ConstantIntOp::create(b, e.loc, b.getI16Type(), -1);
  constexpr int64_t toFloor = 1, presentRounding = 4;
  auto call = [&](StringRef name, ValueRange arguments) {
    return LLVM::CallIntrinsicOp::create(b, e.loc, x.getType(),
                                         b.getStringAttr(name), arguments)
        .getResult(0);
  };
  // Scores are mostly products with a constant.
  double factor = log2e;
  if (auto product = x.getDefiningOp<arith::MulFOp>())
    if (std::optional<double> scale = constantOf(product.getRhs())) {
      factor *= *scale;
      x = product.getLhs();
    }
  Value t = arith::MulFOp::create(b, e.loc, x, constant(factor));
  Value f = call("llvm.x86.avx512.mask.reduce.ps.512",
                 {t, number(toFloor), t, all, number(presentRounding)});
  Value p = constant(polynomial[3]);
  for (int i : {2, 1, 0})
    p = vector::FMAOp::create(b, e.loc, p, f, constant(polynomial[i]));
  return call("llvm.x86.avx512.mask.scalef.ps.512",
              {p, t, p, all, number(presentRounding)});
}

/// Zeros from the last whole vector of weights on to the end of a tile: keys that
/// there are none of.
void Attention::clearWeights(Value weights, Value width) {
  OpBuilder &b = e.b;
  Type half = b.getI16Type();
  VectorType type = e.vectorOf(half);
  Value zeros = arith::ConstantOp::create(b, e.loc, b.getZeroAttr(type));
  constexpr int64_t tile = kPairDepth * kTileRows;
  Value first = e.sub(width, arith::AndIOp::create(b, e.loc, width,
                                                   e.index(e.target.lanes - 1)));
  Value last = e.mul(e.ceilDiv(width, tile), e.index(tile));
  e.loop(first, last, e.index(e.target.lanes), {},
         [&](Value lane, ValueRange) -> SmallVector<Value> {
           LLVM::StoreOp::create(b, e.loc, zeros, e.offset(weights, lane, half),
                                 2);
           return {};
         });
}

/// A row of scores; its greatest enters the maximum of query `r`, and what earlier
/// weights are worth relative to the new one is noted.
void Attention::emitPeak(const Task &task, const Keys &keys, Value row,
                         Value t0, Value width, Value r) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value peak = emitScores(task, keys, row, t0, width);
  Value maxSlot = e.offset(at(maxAt), r, f32);
  Value before = LLVM::LoadOp::create(b, loc, f32, maxSlot, 4);
  Value more = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT,
                                     peak, before);
  Value now = arith::SelectOp::create(b, loc, more, peak, before);
  Value scale = math::ExpOp::create(
      b, loc, arith::SubFOp::create(b, loc, before, now));
  LLVM::StoreOp::create(b, loc, now, maxSlot, 4);
  LLVM::StoreOp::create(b, loc, scale, e.offset(at(scaleAt), r, f32), 4);
}

/// A row of scores becomes weights; the state (z, acc) of query `r` takes them in.
void Attention::emitWeights(Value row, Value width, Value later, Value r) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value zero = e.constant(f32, 0);
  Value sumSlot = e.offset(at(totalAt), r, f32);
  Value now = LLVM::LoadOp::create(b, loc, f32, e.offset(at(maxAt), r, f32), 4);
  Value scale =
      LLVM::LoadOp::create(b, loc, f32, e.offset(at(scaleAt), r, f32), 4);
  Value weights = row;
  Type weightType = f32;
  if (pairs) {
    weights = e.offset(at(weightRowsAt), e.mul(r, e.index(weightLanes)), f32);
    weightType = b.getBF16Type();
    clearWeights(weights, width);
  }
  Value sum = e.reduceLanes(
      Monoid::Sum,
      overKeys(
          width, ValueRange{e.broadcast(zero)},
          [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
            Value x = e.load(row, scoreLane(lane), f32);
            x = arith::SubFOp::create(b, loc, x, e.broadcast(now));
            Value weight = weightOf(x);
            e.store(weight, weights, lane, weightType);
            if (e.laneMask())
              weight = arith::SelectOp::create(b, loc, e.laneMask(), weight,
                                               e.broadcast(zero));
            return {arith::AddFOp::create(b, loc, carried[0], weight)};
          })[0]);
  // Earlier blocks were weighted relative to the old maximum.
  Value total = LLVM::LoadOp::create(b, loc, f32, sumSlot, 4);
  total = arith::AddFOp::create(
      b, loc, arith::MulFOp::create(b, loc, total, scale), sum);
  LLVM::StoreOp::create(b, loc, total, sumSlot, 4);
  Value acc = e.offset(at(sumsAt), e.mul(r, e.index(sumLanes)), f32);
  Value columns = arith::SelectOp::create(
      b, loc, later, e.index(paddedWidth), e.index(0));
  e.laneLoop(e.index(0), columns, true, SymExpr(paddedWidth), {},
             [&](SymExpr lane, ValueRange) -> SmallVector<Value> {
               Value x = e.load(acc, lane, f32);
               x = arith::MulFOp::create(b, loc, x, e.broadcast(scale));
               e.store(x, acc, lane, f32);
               return {};
             });
}
