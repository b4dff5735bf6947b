//===- RowsKernel.cpp - Element-wise and row-wise pipelines ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// for each row (the result's columns but the last; the tasks)
//   what the row alone decides: looked-up keys, statistics over the lane
//   for each vector of the last column: evaluate, store
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Contraction.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

static MaterializeOp breakerOf(KernelEmitter &e) {
  Block &body = e.kernel.getBody().front();
  return cast<pipe::YieldOp>(body.getTerminator())
      .getValue()
      .getDefiningOp<MaterializeOp>();
}

Value lowering::rootOf(KernelEmitter &e) { return breakerOf(e).getInput(); }

RelType lowering::storedType(KernelEmitter &e) {
  return storedAt(e.kernel, e.target, breakerOf(e).getType());
}

/// Evaluates `relation` at `keysAt(lane)` for the lanes of `extent` in `part`, and
/// stores it; what the lane does not change is computed before.
static void emitLaneLoop(KernelEmitter &e, Value relation,
                         const TileLanes &part, bool whole,
                         const SymExpr &extent,
                         function_ref<Keys(const SymExpr &)> keysAt,
                         function_ref<void(Value, const Keys &)> store) {
  e.hoist(relation, keysAt(e.futureLane(extent)));
  auto emitVector = [&](const SymExpr &lane) {
    Keys keys = keysAt(lane);
    store(e.evaluate(relation, keys), keys);
  };
  for (Value first : part.vectors)
    e.laneVector(first, Value(), extent, emitVector);
  if (part.vectors.empty())
    e.laneLoop(part.from, part.to, whole, extent, {},
               [&](SymExpr lane, ValueRange) -> SmallVector<Value> {
                 emitVector(lane);
                 return {};
               });
}

/// Stores a value of the kernel's result.
static void storeResult(KernelEmitter &e, Value value, const Keys &keys) {
  RelType stored = storedType(e);
  e.store(value, e.out, e.storageOffset(stored, keys), stored.getElementType());
}

static void emitLanesInto(KernelEmitter &e, Value relation, const Keys &row,
                          ArrayRef<Column> columns, const TileLanes &part,
                          bool whole,
                          function_ref<void(Value, const Keys &)> store) {
  auto keysAt = [&](const SymExpr &lane) {
    Keys keys = row;
    e.splitRow(lane, columns, keys);
    return keys;
  };
  emitLaneLoop(e, relation, part, whole, plan::product(columns), keysAt,
               store);
}

void lowering::emitLanes(KernelEmitter &e, Value root, const Keys &row,
                         ArrayRef<Column> columns, Value from, Value to,
                         bool whole) {
  emitLanesInto(e, root, row, columns, {from, to}, whole,
                [&](Value value, const Keys &keys) {
                  storeResult(e, value, keys);
                });
}

SymExpr ResultTile::rowAt(KernelEmitter &e, Value row) const {
  if (!tilePitch)
    return e.atom(e.mul(row, e.index(stride)), std::nullopt) -
           e.atom(firstLane, plan::product(lanes));
  Value block =
      arith::DivUIOp::create(e.b, e.loc, row, e.index(2 * kTileRows));
  Value within = e.sub(row, e.mul(block, e.index(2 * kTileRows)));
  return e.atom(e.add(e.mul(block, e.index(stride)),
                      e.mul(within, e.index(kTileRows))),
                std::nullopt);
}

SymExpr ResultTile::laneAt(const Keys &keys) const {
  SymExpr lane;
  for (Column column : lanes)
    lane = lane * column.getExtent() + keys.at(column.getName().str());
  lane = joinDigits(lane);
  if (!tilePitch)
    return lane;
  return SymExpr::floorDiv(lane, kTileRows) * SymExpr(tilePitch) +
         SymExpr::mod(lane, kTileRows);
}

using StoreValue = std::function<void(Value, const Keys &)>;

/// Evaluates `relation` over rows and lanes of a tile, whose own relation is read
/// from there. `storeRow` gives what stores a row, by its number in the tile.
static void overTile(KernelEmitter &e, const ResultTile &tile, Value relation,
                     const Keys &keys, Value row0, Value count,
                     const TileLanes &part,
                     function_ref<StoreValue(Value)> storeRow) {
  SymExpr rows = plan::product(tile.rows), lanes = plan::product(tile.lanes);
  auto size = lanes.asConst();
  e.loop(e.index(0), count, e.index(1), {},
         [&](Value r, ValueRange) -> SmallVector<Value> {
           Keys row = keys;
           e.splitRow(e.atom(e.add(row0, r), rows), tile.rows, row);
           SymExpr start = tile.rowAt(e, r);
           e.overrides[tile.relation.getAsOpaquePointer()] =
               [&, start](const Keys &at) {
                 return e.load(tile.results, joinDigits(start + tile.laneAt(at)),
                               e.b.getF32Type());
               };
           emitLanesInto(e, relation, row, tile.lanes, part,
                         size && *size % e.target.lanes == 0, storeRow(r));
           e.overrides.clear();
           return {};
         });
}

void lowering::emitTile(KernelEmitter &e, const ResultTile &tile,
                        const Keys &keys, Value row0, Value count,
                        const TileLanes &lanes) {
  overTile(e, tile, rootOf(e), keys, row0, count, lanes, [&](Value) {
    return [&](Value value, const Keys &at) { storeResult(e, value, at); };
  });
}

void lowering::emitTileInto(KernelEmitter &e, const ResultTile &tile,
                            const ResultTile &into, Value intoRow, Value row0,
                            Value count, const TileLanes &lanes) {
  overTile(e, tile, into.relation, {}, row0, count, lanes, [&](Value r) {
    SymExpr start = into.rowAt(e, e.add(intoRow, r));
    return [&e, &into, start](Value value, const Keys &at) {
      e.store(value, into.results, joinDigits(start + into.laneAt(at)),
              e.b.getF32Type());
    };
  });
}

/// Would a vector over `lane` gather, while one over a folded column would
/// read consecutive elements? Then the fold takes the vectors.
static bool foldsContiguously(Value value, StringRef lane,
                              llvm::SmallDenseSet<Value> &seen) {
  Operation *op = value.getDefiningOp();
  if (!op || !seen.insert(value).second)
    return false;
  if (auto aggregate = dyn_cast<AggregateOp>(op);
      aggregate && aggregate.getType().has(lane)) {
    bool contiguous = false;
    auto visit = [&](auto &&self, Value input) -> void {
      if (auto argument = dyn_cast<BlockArgument>(input)) {
        auto layout = cast<RelType>(argument.getType()).getLayout();
        contiguous |=
            !layout.empty() &&
            aggregate.folds(cast<StringAttr>(layout[layout.size() - 1]));
        return;
      }
      for (Value operand : input.getDefiningOp()->getOperands())
        self(self, operand);
    };
    visit(visit, aggregate.getInputs()[0]);
    if (contiguous)
      return true;
  }
  return llvm::any_of(op->getOperands(), [&](Value operand) {
    return foldsContiguously(operand, lane, seen);
  });
}

/// The lanes of a row whose parts differ, as a loop for each part; false if there
/// is one, or too many.
static bool emitParts(KernelEmitter &e, Value root, const Keys &row,
                      Column column, int64_t lanes) {
  constexpr size_t most = 16;
  auto keysAt = [&](const SymExpr &lane) {
    Keys keys = row;
    keys[column.getName().str()] = lane;
    return keys;
  };
  auto store = [&](Value value, const Keys &keys) {
    storeResult(e, value, keys);
  };
  std::set<int64_t> ends =
      e.partEnds(root, keysAt(e.futureLane(SymExpr(lanes))), lanes);
  if (ends.size() < 2 || ends.size() > most)
    return false;
  SymExpr first;
  for (int64_t end : ends) {
    int64_t size = end - *first.asConst();
    emitLaneLoop(
        e, root, {e.index(0), e.index(size)}, size % e.target.lanes == 0, size,
        [&](const SymExpr &lane) { return keysAt(lane + first); }, store);
    first = end;
  }
  return true;
}

FailureOr<KernelCost> lowering::emitRows(KernelEmitter &e) {
  Value root = rootOf(e);
  RelType stored = storedType(e);
  SmallVector<Column> rows;
  for (StringRef digit : stored.getLayout().getAsValueRange<StringAttr>()) {
    if (!stored.has(digit))
      return e.kernel.emitError("a row-wise pipeline stores plain columns");
    rows.push_back(stored.getColumns()[stored.find(digit)]);
  }
  SmallVector<Column> lanes;
  llvm::SmallDenseSet<Value> seen;
  if (!rows.empty() &&
      !foldsContiguously(root, rows.back().getName(), seen)) {
    lanes.push_back(rows.back());
    rows.pop_back();
  }
  SymExpr tasks = plan::product(rows), lane = plan::product(lanes);

  e.loop(e.begin, e.end, e.index(1), {},
         [&](Value task, ValueRange) -> SmallVector<Value> {
           Keys keys;
           e.splitRow(e.atom(task, tasks), rows, keys);
           if (lanes.empty()) {
             e.store(e.evaluate(root, keys), e.out,
                     e.storageOffset(stored, keys), stored.getElementType());
             return {};
           }
           auto size = lane.asConst();
           if (size && emitParts(e, root, keys, lanes[0], *size))
             return {};
           emitLanes(e, root, keys, lanes, e.index(0), e.value(lane),
                     size && *size % e.target.lanes == 0);
           return {};
         });
  KernelCost cost;
  cost.tasks = tasks;
  cost.scratch = e.scratchBytes;
  return cost;
}
