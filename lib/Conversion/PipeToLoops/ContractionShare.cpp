//===- ContractionShare.cpp - What a worker does of a product -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/ContractionShare.h"
#include "joinery/runtime/abi.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

void ContractionGrid::setTasks(KernelCost &cost, int64_t unit) const {
  SymExpr units = SymExpr::ceilDiv(rows, unit);
  cost.tasks = units * SymExpr(panels);
  cost.passes = SymExpr::ceilDiv(rows, rowBlock);
  SymExpr grain(1);
  // Each call packs the rows of its block, which takes as long as the products of
  // some four panels if they come from memory, and less where they are few.
  if (packs) {
    SymExpr some = SymExpr(4) + SymExpr::min(SymExpr::floorDiv(rows, 16), 28);
    grain = SymExpr::min(units, rowBlock / unit) * SymExpr::min(panels, some);
  }
  if (wholeRows) {
    // The last block may write rows up to a whole unit.
    cost.shared = SymExpr::min(units * SymExpr(unit), sharedRows) *
                  SymExpr(rowBytes);
    // Shared by rows, a call reads all panels: for a block of rows at least.
    SymExpr many = SymExpr::min(SymExpr::floorDiv(rows, sharedRows + 1), 1);
    grain = grain + many * SymExpr(rowBlock / unit * panels);
  }
  cost.grain = grain;
  if (!hasPhases())
    return;
  // The rows that phases are for: a block at most, and worth the waiting.
  constexpr int64_t preparedMost = 12 << 20;
  int64_t most = rowBlock, least = std::max<int64_t>(2 * unit, 16);
  if (wholeRows)
    most = std::min(most, sharedRows);
  if (preparedBytes)
    most = std::min(most, preparedMost / preparedBytes);
  SymExpr few = SymExpr::min(SymExpr::floorDiv(rows, least), 1) *
                (SymExpr(1) - SymExpr::min(SymExpr::floorDiv(rows, most + 1), 1));
  cost.alone = alone(unit);
  if (wholeRows)
    cost.finish = few * units;
  if (preparedBytes) {
    cost.prepare = few * units;
    // Rows may turn out to be fewer than they are planned for: no less then.
    int64_t mostUnits = llvm::divideCeil(most, unit);
    cost.shared = cost.shared + SymExpr::min(units, mostUnits) *
                                    SymExpr(unit * preparedBytes);
  }
}

SymExpr ContractionGrid::alone(int64_t unit) const {
  // Workers that share panels read each other's rows, and perhaps results; those
  // that share rows all read the panels. So it is a matter of what is larger:
  // measured, as soon as there are a third as many rows as columns.
  constexpr int64_t leastRows = 64, share = 3;
  SymExpr tall = SymExpr::min(
      SymExpr::floorDiv(rows, llvm::divideCeil(columns, share)), 1);
  return SymExpr(leastRows / unit * panels) +
         (SymExpr(1) - tall) * SymExpr(KernelCost::kNever);
}

Value lowering::isPhase(KernelEmitter &e, int64_t phase) {
  auto is = [&](int64_t number) {
    return e.compare(arith::CmpIPredicate::eq, e.phase, e.index(number));
  };
  return arith::OrIOp::create(e.b, e.loc, is(JN_PHASE_ALL), is(phase));
}

ContractionShare lowering::emitShare(KernelEmitter &e,
                                     const ContractionGrid &grid) {
  int64_t unit = e.target.rowUnit;
  Value panels = e.index(grid.panels), rowBlock = e.index(grid.rowBlock);
  Value rows = e.value(grid.rows), units = e.ceilDiv(rows, unit);
  // Every worker should find two cells or more, if need be in lower blocks; but
  // blocks that several calls may do need a counter each.
  int64_t least = unit;
  if (grid.wholeRows && grid.panels > 1)
    least = llvm::alignTo(
        llvm::divideCeil(grid.sharedRows, int64_t(JN_SHARED_COUNTERS)), unit);
  Value most = e.ceilDiv(rows, grid.rowBlock);
  Value enough = e.ceilDiv(e.mul(e.workers, e.index(2)), grid.panels);
  if (grid.hasPhases()) {
    Value tasks = e.mul(units, panels);
    Value own = arith::DivUIOp::create(e.b, e.loc, tasks, e.workers);
    Value alone = e.compare(arith::CmpIPredicate::sge, own,
                            e.value(grid.alone(unit)));
    enough = e.max(enough, e.select(alone, e.workers, e.index(1)));
  }
  // Equal blocks, for workers often have one each.
  Value height = e.mul(e.ceilDiv(units, e.max(most, enough)), e.index(unit));
  height = e.max(height, e.index(least));
  Value blocks = e.ceilDiv(rows, height);
  // Tasks are equal shares of the cells.
  ContractionShare share;
  share.firstRow = e.index(0);
  share.lastRow = rows;
  share.height = height;
  share.from = e.ceilDiv(e.mul(e.begin, blocks), units);
  share.to = e.ceilDiv(e.mul(e.end, blocks), units);
  if (grid.hasPhases()) {
    // Of phases but the main one the tasks are row units.
    Value inCells = isPhase(e, JN_PHASE_MAIN);
    Value last = e.min(e.mul(e.end, e.index(unit)), rows);
    share.firstRow =
        e.select(inCells, share.firstRow, e.mul(e.begin, e.index(unit)));
    share.lastRow = e.select(inCells, share.lastRow, last);
    share.height = e.select(inCells, share.height, rowBlock);
    share.from = e.select(inCells, share.from, e.index(0));
    share.to = e.select(inCells, share.to, panels);
  }
  if (!grid.wholeRows)
    return share;

  // More rows than may wait: the step has no phases then.
  Value many = e.compare(arith::CmpIPredicate::sgt, rows,
                         e.index(grid.sharedRows));
  Value first = e.mul(e.ceilDiv(e.begin, grid.panels), e.index(unit));
  Value last =
      e.min(e.mul(e.ceilDiv(e.end, grid.panels), e.index(unit)), rows);
  Value count = e.max(e.sub(last, first), e.index(0));
  Value own = e.mul(e.ceilDiv(count, grid.rowBlock), panels);
  share.firstRow = e.select(many, first, share.firstRow);
  share.lastRow = e.select(many, last, share.lastRow);
  share.height = e.select(many, rowBlock, share.height);
  share.from = e.select(many, e.index(0), share.from);
  share.to = e.select(many, own, share.to);
  return share;
}

void lowering::forEachBlock(
    KernelEmitter &e, const ContractionGrid &grid,
    const ContractionShare &share,
    function_ref<void(const ContractionBlock &)> body) {
  Value panels = e.index(grid.panels);
  Value first = arith::DivUIOp::create(e.b, e.loc, share.from, panels);
  Value last = e.ceilDiv(share.to, grid.panels);
  e.loop(first, last, e.index(1), {},
         [&](Value number, ValueRange) -> SmallVector<Value> {
           ContractionBlock block;
           block.number = number;
           block.row0 = e.add(share.firstRow, e.mul(number, share.height));
           block.count = e.min(e.sub(share.lastRow, block.row0), share.height);
           Value cell = e.mul(number, panels);
           block.panel0 = e.max(e.sub(share.from, cell), e.index(0));
           block.panel1 = e.min(e.sub(share.to, cell), panels);
           body(block);
           return {};
         });
}

Value lowering::emitArrival(KernelEmitter &e, const ContractionGrid &grid,
                            const ContractionBlock &block, Value complete) {
  OpBuilder &b = e.b;
  auto branches = scf::IfOp::create(b, e.loc, TypeRange{b.getI1Type()},
                                    complete, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&branches.getThenRegion().front());
  scf::YieldOp::create(b, e.loc, complete);
  b.setInsertionPointToStart(&branches.getElseRegion().front());
  Value done = e.sub(block.panel1, block.panel0);
  // Results are written before the count, and seen by who counts last.
  Value before = LLVM::AtomicRMWOp::create(
      b, e.loc, LLVM::AtomicBinOp::add,
      e.offset(e.shared, block.number, b.getI64Type()), done,
      LLVM::AtomicOrdering::acq_rel);
  Value all = e.compare(arith::CmpIPredicate::eq, e.add(before, done),
                        e.index(grid.panels));
  scf::YieldOp::create(b, e.loc, all);
  return branches.getResult(0);
}
