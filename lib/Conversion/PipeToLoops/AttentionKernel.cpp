//===- AttentionKernel.cpp - Streaming softmax over a join ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// for each (batch row, head) (the tasks)
//   list the keys that the mask keeps; pack their k (transposed) and v
//   for each block of queries
//     for each block of keys: scores, running maximum and sum, weighted values
//     divide by the sum, epilogue, store
// In bf16, at levels that multiply pairs, all four operands are pairs: rounded
// where they are packed or made, if they are not stored so; scores, sums and the
// state stay f32.
// Scores exist for one block only. The state (m, z, acc) and its merge are the
// online softmax of Milakov & Gimelshein 2018 (arXiv:1805.02867).
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

static constexpr int64_t kScoreRows = 8;

/// Where the packed rows of the task with these keys lie.
Segment Attention::segment(const AttentionOperand &operand, const Keys &keys) {
  UnpackOp unpack = operand.unpack;
  const std::string &last = operand.over.back();
  auto names = unpack.getOver().getAsValueRange<StringAttr>();
  SymExpr base = unpack.flat([&](StringRef name) {
    size_t i = std::distance(names.begin(), llvm::find(names, name));
    return operand.over[i] == last ? SymExpr(0) : keys.at(operand.over[i]);
  });
  SymExpr size = *SymExpr::parse(
      cast<StringAttr>(unpack.getSizes()[operand.over.size() - 1]).getValue());
  std::string column =
      unpack.getRank().getType().getColumns()[0].getName().str();
  Value first = e.evaluate(unpack.getRank(), {{column, base}});
  Value end = e.evaluate(unpack.getRank(), {{column, base + size}});
  return {first, e.sub(end, first), e.value(base)};
}

/// The first of an operand's rows for a task: the inner columns, and those that
/// count its rows, at 0.
Value Attention::rowsAt(const AttentionOperand &operand, const Keys &keys,
                        const Segment &segment) {
  Keys first = keys;
  if (UnpackOp unpack = operand.unpack)
    first[unpack.getRow().str()] = e.atom(segment.first, std::nullopt);
  Type element = operand.half ? Type(e.b.getBF16Type()) : Type(e.b.getF32Type());
  return e.offset(operand.pointer, e.value(startOf(operand.offset, first)),
                  element);
}

Value Attention::laneStride(const AttentionOperand &operand) {
  SymExpr stride = operand.stride;
  return e.value(operand.half ? SymExpr::floorDiv(stride, kPairDepth) : stride);
}

void Attention::forEachPart(
    const AttentionOperand &operand, Value rows, int64_t count, int64_t inBlock,
    function_ref<void(Value, int64_t, int64_t)> body) {
  if (!operand.blocks) {
    body(rows, 0, count);
    return;
  }
  Value pitch = e.value(operand.blocks.pitch());
  for (int64_t first = 0; first < count; first += inBlock) {
    body(rows, first, inBlock);
    rows = e.offset(rows, pitch, e.b.getBF16Type());
  }
}

void Attention::emitTask(Value number) {
  OpBuilder &b = e.b;
  auto module = cast<ModuleOp>(e.function->getParentOp());
  Task task;
  e.splitRow(e.atom(number, plan::product(form.outer)), form.outer, task.keys);
  if (q.unpack)
    task.queries = segment(q, task.keys);
  if (k.unpack)
    task.keysSegment = segment(k, task.keys);
  task.queryCount =
      q.unpack ? task.queries.count : e.value(plan::product(form.s));
  bool listed = !listSelects.empty();
  Value none = LLVM::ZeroOp::create(b, e.loc, e.scratch.getType());
  task.kept = listed     ? emitKeyList(task)
              : k.unpack ? task.keysSegment.count
                         : e.value(plan::product(form.t));
  task.list = listed ? at(listAt) : none;

  e.count(e.mul(e.mul(task.kept, task.queryCount),
                e.index(2 * (depthCount + width))),
          e.mul(task.kept, e.index((k.half ? 2 : 4) * depthCount +
                                   (v.half ? 2 : 4) * width)));
  packKeys(task);
  auto packValues = v.half  ? getOrCreateInterleaveRows(module, e.target)
                    : pairs ? getOrCreatePackRowPairs(module, e.target)
                            : getOrCreateCopyRows(module, e.target);
  Value valueRows = rowsAt(v, task.keys, task.keysSegment);
  forEachPart(v, valueRows, width, kBlockColumns,
              [&](Value from, int64_t first, int64_t columns) {
    Value to = e.offset(at(valuesAt), e.index(first), b.getF32Type());
    func::CallOp::create(b, e.loc, packValues,
                         ValueRange{from, e.value(v.stride), task.list,
                                    task.kept, e.index(columns), to,
                                    e.index(valueLanes)});
  });
  if (usesTiles())
    padTileValues(task.kept);
  if (goesDirect())
    emitDirect(task);
  else
    emitBlocks(task);
}

void Attention::emitBlocks(const Task &task) {
  e.loop(e.index(0), task.queryCount, e.index(queryBlock), {},
         [&](Value s0, ValueRange) -> SmallVector<Value> {
           emitBlock(task, s0);
           return {};
         });
}

/// The keys of query number `row` of the task.
Keys Attention::rowKeys(const Task &task, Value row) {
  Keys keys = task.keys;
  if (!q.unpack) {
    e.splitRow(e.atom(row, plan::product(form.s)), form.s, keys);
    return keys;
  }
  SymExpr packedRow = e.atom(e.add(task.queries.first, row), std::nullopt);
  keys[pack.row().str()] = packedRow;
  Value number = e.evaluate(pack.getRows(), {{pack.row().str(), packedRow}});
  keys[form.s[0].getName().str()] =
      e.atom(e.sub(number, task.queries.base), form.s[0].getExtent());
  return keys;
}

/// Queries s0.., as pairs where products are of pairs.
Attention::QueryRows Attention::queryRows(const Task &task, Value s0,
                                          Value count) {
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  Value stride = laneStride(q), line = e.index(kTileRows);
  Value from = e.offset(rowsAt(q, task.keys, task.queries), e.mul(s0, stride),
                        f32);
  if (!pairs || (q.half && !usesTiles()))
    return {from, stride, line};
  Value to = at(queryRowsAt);
  QueryRows packed = {to, e.index(rowLanes), line};
  if (!q.half) {
    packPairs(from, stride, count, e.index(depthCount), to, rowLanes);
    return packed;
  }
  auto copy = [&] {
    Value direct = LLVM::ZeroOp::create(b, e.loc, to.getType());
    forEachPart(q, from, depthLanes, kTileRows,
                [&](Value from, int64_t first, int64_t lanes) {
      func::CallOp::create(b, e.loc, getOrCreateCopyRows(module, e.target),
                           ValueRange{from, stride, direct, count,
                                      e.index(lanes),
                                      e.offset(to, e.index(first), f32),
                                      e.index(rowLanes)});
    });
  };
  if (paddedDepth > depthLanes) {
    copy();
    return packed;
  }
  // Whole tiles may be read past the last query: where they are not whole.
  Value whole = e.compare(arith::CmpIPredicate::eq, count, e.index(queryBlock));
  e.when(e.compare(arith::CmpIPredicate::ne, count, e.index(queryBlock)), copy);
  Value step = q.blocks ? e.value(SymExpr::floorDiv(q.blocks.pitch(), kPairDepth))
                        : line;
  return {e.select(whole, from, packed.at),
          e.select(whole, stride, packed.stride), e.select(whole, step, line)};
}

void Attention::emitBlock(const Task &task, Value s0) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  Value count = e.min(e.sub(task.queryCount, s0), e.index(queryBlock));
  Value scoreTile = at(scoresAt), sums = at(sumsAt), greatest = at(maxAt),
        totals = at(totalAt);
  Value packedKeys = at(keysAt), packedValues = at(valuesAt);
  Value zero = e.constant(f32, 0);
  Value lowest =
      e.constant(f32, -double(std::numeric_limits<float>::max()));
  Value no = arith::ConstantOp::create(b, loc, b.getBoolAttr(false));
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           LLVM::StoreOp::create(b, loc, zero, e.offset(totals, r, f32), 4);
           LLVM::StoreOp::create(b, loc, lowest, e.offset(greatest, r, f32), 4);
           return {};
         });

  Operands operands = pairs ? Operands::Pairs : Operands::F32;
  QueryRows rows = queryRows(task, s0, count);
  auto scorePanels = [&](Value t0, Value width) {
    auto scoreGemm = getOrCreateGemm(module, e.target, keyPanel, operands);
    e.loop(e.index(0), width, e.index(keyPanel), {},
           [&](Value p, ValueRange) -> SmallVector<Value> {
             Value panel = e.offset(
                 packedKeys, e.mul(e.add(t0, p), e.index(paddedDepth)), f32);
             func::CallOp::create(
                 b, loc, scoreGemm,
                 ValueRange{rows.at, rows.stride, panel, e.index(keyPanel),
                            e.offset(scoreTile, p, f32), e.index(scoreLanes),
                            count, e.index(depthLanes), no, panel, e.index(0)});
             return {};
           });
  };
  e.loop(e.index(0), task.kept, e.index(keyBlock), {},
         [&](Value t0, ValueRange) -> SmallVector<Value> {
    Value width = e.min(e.sub(task.kept, t0), e.index(keyBlock));
    if (usesTiles())
      emitTileScores(rows, t0, width);
    else
      scorePanels(t0, width);
    Value later = e.compare(arith::CmpIPredicate::sgt, t0, e.index(0));
    // A row's weights wait for its maximum: several rows at a time, so that
    // others fill the time, and few, so that they stay in the level-1 cache.
    auto overRows = [&](Value first, function_ref<void(Value, Value)> body) {
      e.loop(first, e.min(count, e.add(first, e.index(kScoreRows))), e.index(1),
             {}, [&](Value r, ValueRange) -> SmallVector<Value> {
               body(r, scoreRow(r));
               return {};
             });
    };
    e.loop(e.index(0), count, e.index(kScoreRows), {},
           [&](Value first, ValueRange) -> SmallVector<Value> {
             overRows(first, [&](Value r, Value row) {
               emitPeak(task, rowKeys(task, e.add(s0, r)), row, t0, width, r);
             });
             overRows(first, [&](Value r, Value row) {
               emitWeights(row, width, later, r);
             });
             return {};
           });
    if (usesTiles()) {
      emitTileValues(t0, width, later);
      return {};
    }
    Value weights = scoreTile, weightStride = e.index(scoreLanes);
    Value firstLane = t0, lanes = width;
    if (pairs) {
      weights = at(weightRowsAt);
      weightStride = e.index(weightLanes);
      firstLane = e.ceilDiv(t0, kPairDepth);
      lanes = e.ceilDiv(width, kPairDepth);
    }
    for (int64_t d0 = 0; d0 < paddedWidth;) {
      int64_t part = std::min<int64_t>(64, paddedWidth - d0);
      Value values = e.offset(
          packedValues,
          e.add(e.mul(firstLane, e.index(valueLanes)), e.index(d0)), f32);
      func::CallOp::create(
          b, loc, getOrCreateGemm(module, e.target, part, operands),
          ValueRange{weights, weightStride, values, e.index(valueLanes),
                     e.offset(sums, e.index(d0), f32), e.index(sumLanes),
                     count, lanes, later, values, e.index(0)});
      d0 += part;
    }
    return {};
  });
  emitResult(task, s0, count, /*checked=*/false);
}

/// Weighted values over their sums of weights, through the epilogue. Of sums that
/// are `checked` none is 0 or near a mask's constant, and their inverses are there.
void Attention::emitResult(const Task &task, Value s0, Value count,
                           bool checked) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  Value root = rootOf(e), sums = at(sumsAt), totals = at(totalAt);
  Value one = e.constant(f32, 1), zero = e.constant(f32, 0);
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           Keys keys = rowKeys(task, e.add(s0, r));
           Value total = LLVM::LoadOp::create(
               b, loc, f32, e.offset(totals, r, f32), 4);
           Value empty, inverse = total;
           if (form.softmax.getMask() && !checked) {
             Value peak = LLVM::LoadOp::create(
                 b, loc, f32, e.offset(at(maxAt), r, f32), 4);
             e.checkMask(form.softmax, peak, total, keys);
           }
           if (!checked) {
             empty = arith::CmpFOp::create(
                 b, loc, arith::CmpFPredicate::OEQ, total, zero);
             inverse = arith::DivFOp::create(b, loc, one, total);
           }
           Value acc = e.offset(sums, e.mul(r, e.index(sumLanes)), f32);
           Value core = pack ? pack.getResult() : form.softmax.getResult();
           e.overrides[core.getAsOpaquePointer()] =
               [&](const Keys &at) -> Value {
             SymExpr lane;
             for (Column column : form.d)
               lane = lane * column.getExtent() + at.at(column.getName().str());
             Value x = e.load(acc, joinDigits(lane), f32);
             bool wide = isa<VectorType>(x.getType());
             auto widen = [&](Value v) { return wide ? e.broadcast(v) : v; };
             x = arith::MulFOp::create(b, loc, x, widen(inverse));
             if (checked)
               return x;
             return arith::SelectOp::create(b, loc, widen(empty), widen(zero),
                                            x);
           };
           emitLanes(e, root, keys, form.d, e.index(0), e.index(width),
                     width % e.target.lanes == 0);
           e.overrides.clear();
           return {};
         });
}

KernelCost Attention::emit() {
  SymExpr keys = plan::product(form.t);
  SymExpr paddedKeys = SymExpr::ceilDiv(keys, keyPanel) * SymExpr(keyPanel);
  listAt = e.allocateScratch(keys * SymExpr(4) + SymExpr(64));
  int64_t valueBytes = 4 * valueLanes / (pairs ? kPairDepth : 1);
  keysAt = e.allocateScratch(paddedKeys * SymExpr(4 * paddedDepth));
  // Whole tiles of keys are read.
  SymExpr valueRows = paddedKeys + SymExpr(usesTiles() ? kPairDepth * kTileRows : 0);
  valuesAt = e.allocateScratch(valueRows * SymExpr(valueBytes));
  int64_t rows = llvm::alignTo(queryBlock, e.target.mr);
  if (pairs) {
    if (!listSelects.empty())
      gatheredAt = e.allocateScratch(keyPanel * depthCount * 4);
    keyRowsAt = e.allocateScratch(keyPanel * rowLanes * 4);
    queryRowsAt = e.allocateScratch(rows * rowLanes * 4);
    weightRowsAt = e.allocateScratch(rows * weightLanes * 4);
  }
  scoresAt = e.allocateScratch(rows * scoreLanes * 4);
  sumsAt = e.allocateScratch(rows * sumLanes * 4);
  maxAt = e.allocateScratch(rows * 4);
  scaleAt = e.allocateScratch(rows * 4);
  totalAt = e.allocateScratch(rows * 4);
  if (goesDirect())
    lanesAt = e.allocateScratch(rows * kTileRows * 4);
  if (paddedDepth > depthLanes)
    padQueries();
  e.loop(e.begin, e.end, e.index(1), {},
         [&](Value task, ValueRange) -> SmallVector<Value> {
           emitTask(task);
           return {};
         });
  KernelCost cost;
  cost.tasks = plan::product(form.outer);
  cost.taskNs = 300; // to pack keys and values, and to divide by the sums
  cost.scratch = e.scratchBytes;
  cost.countedWork = {form.softmax.getResult()};
  cost.countedReads = {form.key, form.weighted};
  return cost;
}

FailureOr<KernelCost> lowering::emitAttention(KernelEmitter &e) {
  Attention attention(e);
  if (failed(attention.match()))
    return failure();
  return attention.emit();
}
