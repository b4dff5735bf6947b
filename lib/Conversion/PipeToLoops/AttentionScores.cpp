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

/// Applies what follows the contraction to a row of the tile, in place, and
/// gives the greatest score.
Value Attention::emitScores(const Task &task, const Keys &keys, Value row,
                            Value t0, Value width) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  SymExpr extent = plan::product(form.t);
  Value lowest =
      e.constant(f32, -double(std::numeric_limits<float>::max()));
  e.overrides[form.scores.aggregate.getResult().getAsOpaquePointer()] =
      [&](const Keys &at) {
        return e.load(row, SymExpr::symbol(currentLane), f32);
      };
  // The keys that are left are those that the selections keep.
  for (SelectOp select : form.keySelects)
    e.overrides[select.getResult().getAsOpaquePointer()] =
        [this, select](const Keys &at) mutable {
          return e.evaluate(select.getInput(), at);
        };
  Value score = form.softmax.getInputs()[0];
  Keys future = keys;
  e.splitRow(e.futureLane(extent), form.t, future);
  e.hoist(score, future);
  SymExpr first = e.atom(t0, extent);
  Value peak = overKeys(
      width, ValueRange{e.broadcast(lowest)},
      [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
        currentLane = *lane.asSymbol();
        Keys here = keys;
        SymExpr number = first + lane;
        if (!listSelects.empty()) {
          Value numbers = e.load(task.list, number, b.getI32Type());
          numbers = arith::ExtSIOp::create(
              b, loc, e.vectorOf(b.getI64Type()), numbers);
          number = e.atom(numbers, extent);
        }
        if (k.unpack && form.readsKeyNumbers)
          number = keyNumber(task, number);
        e.splitRow(number, form.t, here);
        Value x = e.broadcast(e.evaluate(score, here));
        e.store(x, row, lane, f32);
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

/// A row of scores becomes weights; the state (m, z, acc) of query `r` takes
/// them in.
void Attention::emitScoreRow(const Task &task, const Keys &keys, Value row,
                             Value t0, Value width, Value later, Value r) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value zero = e.constant(f32, 0);
  Value peak = emitScores(task, keys, row, t0, width);
  Value maxSlot = e.offset(at(maxAt), r, f32);
  Value sumSlot = e.offset(at(totalAt), r, f32);
  Value before = LLVM::LoadOp::create(b, loc, f32, maxSlot, 4);
  Value more = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT,
                                     peak, before);
  Value now = arith::SelectOp::create(b, loc, more, peak, before);
  Value sum = e.reduceLanes(
      Monoid::Sum,
      overKeys(
          width, ValueRange{e.broadcast(zero)},
          [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
            Value x = e.load(row, lane, f32);
            x = arith::SubFOp::create(b, loc, x, e.broadcast(now));
            Value weight = math::ExpOp::create(b, loc, x);
            e.store(weight, row, lane, f32);
            if (e.laneMask())
              weight = arith::SelectOp::create(b, loc, e.laneMask(), weight,
                                               e.broadcast(zero));
            return {arith::AddFOp::create(b, loc, carried[0], weight)};
          })[0]);
  // Earlier blocks were weighted relative to the old maximum.
  Value scale = math::ExpOp::create(
      b, loc, arith::SubFOp::create(b, loc, before, now));
  Value total = LLVM::LoadOp::create(b, loc, f32, sumSlot, 4);
  total = arith::AddFOp::create(
      b, loc, arith::MulFOp::create(b, loc, total, scale), sum);
  LLVM::StoreOp::create(b, loc, now, maxSlot, 4);
  LLVM::StoreOp::create(b, loc, total, sumSlot, 4);
  Value acc = e.offset(at(sumsAt), e.mul(r, e.index(paddedWidth)), f32);
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
