//===- AttentionKeys.cpp - The keys that a task keeps, packed -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "lib/Conversion/PipeToLoops/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// The kept keys' numbers, as i32 in scratch (those of packed rows count from
/// the first row of the task); returns how many.
Value Attention::emitKeyList(const Task &task) {
  OpBuilder &b = e.b;
  Value list = at(listAt);
  Value count = k.unpack ? task.keysSegment.count : e.value(plan::product(form.t));
  return e.loop(
      e.index(0), count, e.index(1), ValueRange{e.index(0)},
      [&](Value iv, ValueRange carried) -> SmallVector<Value> {
        Keys keys = task.keys;
        SymExpr number = e.atom(iv, plan::product(form.t));
        Value kept;
        for (SelectOp select : listSelects) {
          auto packed = k.unpack ? select.getWhere().getDefiningOp<UnpackOp>()
                                 : UnpackOp();
          Value here;
          if (packed && packed.getRank() == k.unpack.getRank()) {
            keys[packed.getRow().str()] =
                e.atom(e.add(task.keysSegment.first, iv), std::nullopt);
            here = e.evaluate(packed.getInput(), keys);
          } else {
            e.splitRow(k.unpack ? keyNumber(task, number) : number, form.t,
                       keys);
            here = e.evaluate(select.getWhere(), keys);
          }
          kept = kept ? Value(arith::AndIOp::create(b, e.loc, kept, here))
                      : here;
        }
        // Written always, counted if kept: no branch.
        Value short32 = arith::TruncIOp::create(b, e.loc, b.getI32Type(), iv);
        LLVM::StoreOp::create(b, e.loc, short32,
                              e.offset(list, carried[0], b.getI32Type()), 4);
        Value one = arith::ExtUIOp::create(b, e.loc, b.getI64Type(), kept);
        return {e.add(carried[0], one)};
      })[0];
}

/// The key that packed row `index` of the task stands for.
SymExpr Attention::keyNumber(const Task &task, SymExpr index) {
  Type i64 = e.b.getI64Type();
  SymExpr row = e.atom(task.keysSegment.first, std::nullopt) + index;
  Value number = e.load(e.bufferOf(cast<BlockArgument>(pack.getRows())), row,
                        i64);
  Value base = task.keysSegment.base;
  if (isa<VectorType>(number.getType()))
    base = e.broadcast(base);
  return e.atom(arith::SubIOp::create(e.b, e.loc, number, base),
                plan::product(form.t));
}

void Attention::packPairs(Value source, Value stride, Value rows, Value columns,
                          Value to, int64_t lanes) {
  auto module = cast<ModuleOp>(e.function->getParentOp());
  func::CallOp::create(e.b, e.loc, getOrCreatePackPairs(module, e.target),
                       ValueRange{source, stride, rows, columns, to,
                                  e.index(lanes)});
}

/// The kept keys, transposed, as panels of keyPanel keys.
void Attention::packKeys(const Task &task) {
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  bool listed = !listSelects.empty();
  Value none = LLVM::ZeroOp::create(b, e.loc, e.scratch.getType());
  Value keyRows = rowsAt(k, task.keys, task.keysSegment);
  Value keyStride = laneStride(k);
  auto transpose = getOrCreateTranspose(module, e.target);
  e.loop(e.index(0), task.kept, e.index(keyPanel), {},
         [&](Value t0, ValueRange) -> SmallVector<Value> {
           Value count = e.min(e.sub(task.kept, t0), e.index(keyPanel));
           Value source = listed
                              ? keyRows
                              : e.offset(keyRows, e.mul(t0, keyStride), f32);
           Value rows =
               listed ? e.offset(task.list, t0, b.getI32Type()) : none;
           Value stride = keyStride;
           if (pairs && !k.half) {
             // Lanes of pairs are moved like elements of f32.
             if (listed) {
               func::CallOp::create(
                   b, e.loc, getOrCreateCopyRows(module, e.target),
                   ValueRange{source, stride, rows, count, e.index(depthCount),
                              at(gatheredAt), e.index(depthCount)});
               source = at(gatheredAt);
               stride = e.index(depthCount);
               rows = none;
             }
             packPairs(source, stride, count, e.index(depthCount),
                       at(keyRowsAt), rowLanes);
             source = at(keyRowsAt);
             stride = e.index(rowLanes);
           }
           // The panel of keys t0.. begins after t0 columns of all depths.
           Value panel =
               e.offset(at(keysAt), e.mul(t0, e.index(paddedDepth)), f32);
           forEachPart(k, source, depthLanes, kTileRows,
                       [&](Value from, int64_t first, int64_t lanes) {
             Value to = e.offset(panel, e.index(first * keyPanel), f32);
             func::CallOp::create(b, e.loc, transpose,
                                  ValueRange{from, stride, rows, count,
                                             e.index(lanes), to,
                                             e.index(keyPanel)});
           });
           // The queries end in zeros as well: memory may hold anything.
           if (paddedDepth > depthLanes)
             e.zeroRows(e.offset(panel, e.index(depthLanes * keyPanel), f32),
                        e.index(paddedDepth - depthLanes), keyPanel, keyPanel);
           return {};
         });
}
