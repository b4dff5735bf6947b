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
// Scores exist for one block only. The state (m, z, acc) and its merge are the
// online softmax of Milakov & Gimelshein 2018 (arXiv:1805.02867).
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Contraction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

namespace {
constexpr int64_t keyPanel = 48;

/// An operand of the two contractions: where its rows begin for a task, the
/// distance of two rows, and the order of its innermost columns.
struct Operand {
  Value pointer;
  SymExpr offset, stride;
  SmallVector<Column> inner;
};

/// The pieces of the kernel's body and its scratch memory.
struct Attention {
  KernelEmitter &e;
  AggregateOp softmax;
  plan::Contraction scores;
  Value query, key, weighted; // relations
  Column t;
  SmallVector<Column> s, d, outer, depth;
  SmallVector<SelectOp> keySelects; // conditions on keys alone
  Operand q, k, v;
  int64_t depthCount = 1, width = 1, paddedWidth = 16;
  int64_t queryBlock = 32, keyBlock = 480;
  // Scratch: byte offsets.
  SymExpr listAt, keysAt, valuesAt, scoresAt, sumsAt, maxAt, totalAt;
  std::string currentLane; // the atom of the lane over keys

  explicit Attention(KernelEmitter &e) : e(e) {}
  LogicalResult match();
  LogicalResult operand(Value relation, ArrayRef<Column> inner, Operand &out);
  KernelCost emit();
  void emitTask(Value task);
  Value emitKeyList(const Keys &outerKeys);
  void emitBlock(const Keys &outerKeys, Value kept, Value list, Value s0,
                 SymExpr queryCount);
  Value at(const SymExpr &bytes) {
    return e.offset(e.scratch, e.value(bytes), e.b.getI8Type());
  }
};
} // namespace

static bool contains(ArrayRef<Column> columns, Column column) {
  return llvm::is_contained(columns, column);
}

LogicalResult Attention::operand(Value relation, ArrayRef<Column> inner,
                                 Operand &out) {
  plan::View view = plan::viewOf(relation);
  auto argument = dyn_cast<BlockArgument>(view.base);
  if (!argument)
    return e.kernel.emitError("an operand of the attention is not stored");
  auto offset =
      plan::viewOffset(view, cast<RelType>(argument.getType()));
  out.inner.assign(inner.begin(), inner.end());
  std::optional<SymExpr> stride;
  if (offset)
    stride = plan::chain(*offset, out.inner);
  if (!stride || !stride->isConst(1))
    return e.kernel.emitError("an operand of the attention has another layout");
  out.pointer = e.bufferOf(argument);
  out.offset = *offset;
  return success();
}

LogicalResult Attention::match() {
  for (Operation &op : e.kernel.getBody().front())
    if (auto aggregate = dyn_cast<AggregateOp>(op);
        aggregate && aggregate.getMonoid() == Monoid::SoftmaxSum)
      softmax = aggregate;
  if (!softmax || softmax.getOver().size() != 1)
    return e.kernel.emitError("there is no softmax_sum over one column");
  Value score = softmax.getInputs()[0];
  weighted = softmax.getInputs()[1];
  auto scoreType = cast<RelType>(score.getType());
  auto valueType = cast<RelType>(weighted.getType());
  StringRef over = cast<StringAttr>(softmax.getOver()[0]).getValue();
  t = scoreType.getColumns()[scoreType.find(over)];

  // The one contraction that the scores are computed from.
  SmallVector<Value> work{score};
  llvm::SmallDenseSet<Value> seen;
  bool found = false;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second)
      continue;
    if (auto contraction = plan::matchContraction(op)) {
      if (!found && contraction->aggregate.getType().has(over)) {
        scores = *contraction;
        found = true;
      }
      continue;
    }
    llvm::append_range(work, op->getOperands());
  }
  if (!found)
    return e.kernel.emitError("the scores are not a contraction");
  bool leftHasT = cast<RelType>(scores.left.getType()).has(over);
  query = leftHasT ? scores.right : scores.left;
  key = leftHasT ? scores.left : scores.right;
  auto &queryFree = leftHasT ? scores.rightFree : scores.leftFree;
  auto &keyFree = leftHasT ? scores.leftFree : scores.rightFree;
  if (keyFree.size() != 1 || keyFree[0] != t)
    return e.kernel.emitError("the keys have other free columns");
  for (Column column : valueType.getColumns())
    if (!scoreType.has(column.getName()))
      d.push_back(column);
  for (Column column : softmax.getType().getColumns()) {
    if (contains(d, column))
      continue;
    bool free = contains(queryFree, column) &&
                !valueType.has(column.getName());
    (free ? s : outer).push_back(column);
  }
  depth = scores.k;
  if (s.empty() || d.empty())
    return e.kernel.emitError("there are no query or value columns");

  // Conditions on keys alone shorten the list of keys.
  Value value = score;
  while (auto select = value.getDefiningOp<SelectOp>()) {
    auto otherwise = dyn_cast<FloatAttr>(select.getOtherwise());
    bool drops = otherwise && otherwise.getValue().isInfinity() &&
                 otherwise.getValue().isNegative();
    for (Column column : select.getWhere().getType().getColumns())
      drops &= !contains(s, column);
    if (drops)
      keySelects.push_back(select);
    value = select.getInput();
  }

  if (failed(operand(query, depth, q)) || failed(operand(key, q.inner, k)) ||
      failed(operand(weighted, d, v)))
    return failure();
  if (q.inner != k.inner)
    return e.kernel.emitError("queries and keys order their columns "
                              "differently");
  auto queryStride = plan::chain(q.offset, s);
  auto keyStride = plan::strideOf(k.offset, t.getName());
  auto valueStride = plan::strideOf(v.offset, t.getName());
  if (!queryStride || !keyStride || !valueStride)
    return e.kernel.emitError("an operand's rows have no stride");
  q.stride = *queryStride;
  k.stride = *keyStride;
  v.stride = *valueStride;
  d = v.inner;
  for (Column column : depth)
    depthCount *= *column.getExtent().asConst();
  for (Column column : d)
    width *= *column.getExtent().asConst();
  paddedWidth = llvm::alignTo(width, 16);
  auto design = [&](StringRef name, int64_t &value) {
    if (auto dictionary = e.kernel.getDesign())
      if (auto attr = dictionary->getAs<IntegerAttr>(name))
        value = attr.getInt();
  };
  design("rows", queryBlock);
  design("slice", keyBlock);
  keyBlock = llvm::alignTo(keyBlock, keyPanel);
  return success();
}

/// The kept keys' numbers, as i32 in scratch; returns how many.
Value Attention::emitKeyList(const Keys &outerKeys) {
  OpBuilder &b = e.b;
  Value list = at(listAt);
  return e.loop(
      e.index(0), e.value(t.getExtent()), e.index(1), ValueRange{e.index(0)},
      [&](Value iv, ValueRange carried) -> SmallVector<Value> {
        Keys keys = outerKeys;
        keys[t.getName().str()] = e.atom(iv, t.getExtent());
        Value kept;
        for (SelectOp select : keySelects) {
          Value here = e.evaluate(select.getWhere(), keys);
          kept = kept ? Value(arith::AndIOp::create(b, e.loc, kept, here))
                      : here;
        }
        // Written always, counted if kept: no branch.
        Value number = arith::TruncIOp::create(b, e.loc, b.getI32Type(), iv);
        LLVM::StoreOp::create(b, e.loc, number,
                              e.offset(list, carried[0], b.getI32Type()), 4);
        Value one = arith::ExtUIOp::create(b, e.loc, b.getI64Type(), kept);
        return {e.add(carried[0], one)};
      })[0];
}

void Attention::emitTask(Value task) {
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  SymExpr tasks(1), queryCount(1);
  for (Column column : outer)
    tasks = tasks * column.getExtent();
  for (Column column : s)
    queryCount = queryCount * column.getExtent();
  Keys keys;
  e.splitRow(e.atom(task, tasks), outer, keys);
  bool selected = !keySelects.empty();
  Value none = LLVM::ZeroOp::create(b, e.loc, e.scratch.getType());
  Value kept = selected ? emitKeyList(keys) : e.value(t.getExtent());
  Value list = selected ? at(listAt) : none;

  // Where this task's rows begin: the inner, query and key columns at 0.
  auto base = [&](const Operand &operand) {
    SymExpr start =
        operand.offset.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
          if (!symbol.consume_front("#"))
            return std::nullopt;
          auto it = keys.find(symbol.str());
          return it == keys.end() ? SymExpr(0) : it->second;
        });
    return e.offset(operand.pointer, e.value(joinDigits(start)), f32);
  };
  Value keyRows = base(k), valueRows = base(v);
  e.count(e.mul(e.mul(kept, e.value(queryCount)),
                e.index(2 * (depthCount + width))),
          e.mul(kept, e.index(4 * (depthCount + width))));
  Value packedKeys = at(keysAt), packedValues = at(valuesAt);
  Value keyStride = e.value(k.stride), valueStride = e.value(v.stride);
  auto transpose = getOrCreateTranspose(module, e.target);
  auto copyRows = getOrCreateCopyRows(module, e.target);
  e.loop(e.index(0), kept, e.index(keyPanel), {},
         [&](Value t0, ValueRange) -> SmallVector<Value> {
           Value count = e.min(e.sub(kept, t0), e.index(keyPanel));
           Value source = selected
                              ? keyRows
                              : e.offset(keyRows, e.mul(t0, keyStride), f32);
           Value rows = selected ? e.offset(list, t0, b.getI32Type()) : none;
           // The panel of keys t0.. begins after t0 columns of all depths.
           Value panel = e.offset(packedKeys,
                                  e.mul(t0, e.index(depthCount)), f32);
           func::CallOp::create(b, e.loc, transpose,
                                ValueRange{source, keyStride, rows, count,
                                           e.index(depthCount), panel,
                                           e.index(keyPanel)});
           return {};
         });
  func::CallOp::create(b, e.loc, copyRows,
                       ValueRange{valueRows, valueStride, list, kept,
                                  e.index(width), packedValues,
                                  e.index(paddedWidth)});
  e.loop(e.index(0), e.value(queryCount), e.index(queryBlock), {},
         [&](Value s0, ValueRange) -> SmallVector<Value> {
           emitBlock(keys, kept, list, s0, queryCount);
           return {};
         });
}

void Attention::emitBlock(const Keys &outerKeys, Value kept, Value list,
                          Value s0, SymExpr queryCount) {
  OpBuilder &b = e.b;
  Location loc = e.loc;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  Value count = e.min(e.sub(e.value(queryCount), s0), e.index(queryBlock));
  SymExpr start =
      q.offset.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
        if (!symbol.consume_front("#"))
          return std::nullopt;
        auto it = outerKeys.find(symbol.str());
        return it == outerKeys.end() ? SymExpr(0) : it->second;
      });
  Value stride = e.value(q.stride);
  Value queries = e.offset(
      e.offset(q.pointer, e.value(joinDigits(start)), f32),
      e.mul(s0, stride), f32);
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

  auto scoreGemm = getOrCreateGemm(module, e.target, keyPanel);
  e.loop(e.index(0), kept, e.index(keyBlock), {},
         [&](Value t0, ValueRange) -> SmallVector<Value> {
    Value width = e.min(e.sub(kept, t0), e.index(keyBlock));
    e.loop(e.index(0), width, e.index(keyPanel), {},
           [&](Value p, ValueRange) -> SmallVector<Value> {
             Value panel = e.offset(
                 packedKeys, e.mul(e.add(t0, p), e.index(depthCount)), f32);
             func::CallOp::create(
                 b, loc, scoreGemm,
                 ValueRange{queries, stride, panel, e.index(keyPanel),
                            e.offset(scoreTile, p, f32), e.index(keyBlock),
                            count, e.index(depthCount), no, panel});
             return {};
           });
    Value later = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, t0,
                                        e.index(0));
    e.loop(e.index(0), count, e.index(1), {},
           [&](Value r, ValueRange) -> SmallVector<Value> {
      Keys keys = outerKeys;
      e.splitRow(e.atom(e.add(s0, r), queryCount), s, keys);
      Value row = e.offset(scoreTile, e.mul(r, e.index(keyBlock)), f32);
      e.overrides[scores.aggregate.getResult().getAsOpaquePointer()] =
          [&](const Keys &at) {
            return e.load(row, SymExpr::symbol(currentLane), f32);
          };
      for (SelectOp select : keySelects)
        e.overrides[select.getResult().getAsOpaquePointer()] =
            [this, select](const Keys &at) mutable {
              return e.evaluate(select.getInput(), at);
            };
      Value score = softmax.getInputs()[0];
      Keys future = keys;
      future[t.getName().str()] = e.futureLane(t.getExtent());
      e.hoist(score, future);
      SymExpr first = e.atom(t0, t.getExtent());
      Value peak = e.reduceLanes(
          Monoid::Max,
          e.laneLoop(
              e.index(0), width, false, t.getExtent(),
              ValueRange{e.broadcast(lowest)},
              [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
                currentLane = *lane.asSymbol();
                Keys here = keys;
                here[t.getName().str()] = first + lane;
                if (!keySelects.empty()) {
                  Value numbers =
                      e.load(list, first + lane, b.getI32Type());
                  numbers = arith::ExtSIOp::create(
                      b, loc, e.vectorOf(b.getI64Type()), numbers);
                  here[t.getName().str()] = e.atom(numbers, t.getExtent());
                }
                Value x = e.broadcast(e.evaluate(score, here));
                e.store(x, row, lane, f32);
                x = arith::SelectOp::create(b, loc, e.laneMask(), x,
                                            e.broadcast(lowest));
                Value more = arith::CmpFOp::create(
                    b, loc, arith::CmpFPredicate::OGT, x, carried[0]);
                return {arith::SelectOp::create(b, loc, more, x, carried[0])};
              })[0]);
      e.overrides.clear();
      Value maxSlot = e.offset(greatest, r, f32);
      Value sumSlot = e.offset(totals, r, f32);
      Value before = LLVM::LoadOp::create(b, loc, f32, maxSlot, 4);
      Value more = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT,
                                         peak, before);
      Value now = arith::SelectOp::create(b, loc, more, peak, before);
      Value sum = e.reduceLanes(
          Monoid::Sum,
          e.laneLoop(
              e.index(0), width, false, t.getExtent(),
              ValueRange{e.broadcast(zero)},
              [&](SymExpr lane, ValueRange carried) -> SmallVector<Value> {
                Value x = e.load(row, lane, f32);
                x = arith::SubFOp::create(b, loc, x, e.broadcast(now));
                Value weight = math::ExpOp::create(b, loc, x);
                e.store(weight, row, lane, f32);
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
      Value acc = e.offset(sums, e.mul(r, e.index(paddedWidth)), f32);
      Value columns = arith::SelectOp::create(
          b, loc, later, e.index(paddedWidth), e.index(0));
      e.laneLoop(e.index(0), columns, true, SymExpr(paddedWidth), {},
                 [&](SymExpr lane, ValueRange) -> SmallVector<Value> {
                   Value x = e.load(acc, lane, f32);
                   x = arith::MulFOp::create(b, loc, x, e.broadcast(scale));
                   e.store(x, acc, lane, f32);
                   return {};
                 });
      return {};
    });
    for (int64_t d0 = 0; d0 < paddedWidth;) {
      int64_t part = std::min<int64_t>(64, paddedWidth - d0);
      Value values = e.offset(
          packedValues,
          e.add(e.mul(t0, e.index(paddedWidth)), e.index(d0)), f32);
      func::CallOp::create(
          b, loc, getOrCreateGemm(module, e.target, part),
          ValueRange{scoreTile, e.index(keyBlock), values,
                     e.index(paddedWidth), e.offset(sums, e.index(d0), f32),
                     e.index(paddedWidth), count, width, later, values});
      d0 += part;
    }
    return {};
  });

  Value root = rootOf(e);
  Value one = e.constant(f32, 1);
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           Keys keys = outerKeys;
           e.splitRow(e.atom(e.add(s0, r), queryCount), s, keys);
           Value total = LLVM::LoadOp::create(
               b, loc, f32, e.offset(totals, r, f32), 4);
           Value empty = arith::CmpFOp::create(
               b, loc, arith::CmpFPredicate::OEQ, total, zero);
           Value inverse = arith::DivFOp::create(b, loc, one, total);
           Value acc = e.offset(sums, e.mul(r, e.index(paddedWidth)), f32);
           e.overrides[softmax.getResult().getAsOpaquePointer()] =
               [&](const Keys &at) -> Value {
             SymExpr lane;
             for (Column column : d)
               lane = lane * column.getExtent() + at.at(column.getName().str());
             Value x = e.load(acc, joinDigits(lane), f32);
             bool wide = isa<VectorType>(x.getType());
             auto widen = [&](Value v) { return wide ? e.broadcast(v) : v; };
             x = arith::MulFOp::create(b, loc, x, widen(inverse));
             return arith::SelectOp::create(b, loc, widen(empty), widen(zero),
                                            x);
           };
           emitLanes(e, root, keys, d, e.index(0), e.index(width),
                     width % e.target.lanes == 0);
           e.overrides.clear();
           return {};
         });
}

KernelCost Attention::emit() {
  SymExpr tasks(1), queryCount(1), keys = t.getExtent();
  for (Column column : outer)
    tasks = tasks * column.getExtent();
  for (Column column : s)
    queryCount = queryCount * column.getExtent();
  SymExpr paddedKeys =
      SymExpr::floorDiv(keys + SymExpr(keyPanel - 1), keyPanel) *
      SymExpr(keyPanel);
  listAt = e.allocateScratch(keys * SymExpr(4) + SymExpr(64));
  keysAt = e.allocateScratch(paddedKeys * SymExpr(4 * depthCount));
  valuesAt = e.allocateScratch(paddedKeys * SymExpr(4 * paddedWidth));
  int64_t rows = llvm::alignTo(queryBlock, e.target.mr);
  scoresAt = e.allocateScratch(rows * keyBlock * 4);
  sumsAt = e.allocateScratch(rows * paddedWidth * 4);
  maxAt = e.allocateScratch(rows * 4);
  totalAt = e.allocateScratch(rows * 4);
  e.loop(e.begin, e.end, e.index(1), {},
         [&](Value task, ValueRange) -> SmallVector<Value> {
           emitTask(task);
           return {};
         });
  KernelCost cost;
  cost.tasks = tasks;
  cost.scratch = e.scratchBytes;
  cost.countedFlops =
      tasks * queryCount * keys * SymExpr(2 * (depthCount + width));
  cost.counted = {key, weighted};
  return cost;
}

FailureOr<KernelCost> lowering::emitAttention(KernelEmitter &e) {
  Attention attention(e);
  if (failed(attention.match()))
    return failure();
  return attention.emit();
}
