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
  if (!grid.wholeRows)
    return share;

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
