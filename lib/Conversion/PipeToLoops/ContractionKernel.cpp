//===- ContractionKernel.cpp - Join + aggregate as one loop nest ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// for each block of rows of the call's share (see ContractionShare.h)
//   for each slice of k, for each of its panels of n: micro-kernel into scratch
//   for each row of the block: the epilogue, which reads the scratch
// Rows that do not follow each other with one stride (windows of a convolution in
// several sequences) are runs: the micro-kernel is called for each in a block.
// An epilogue that looks at one column at a time runs after each panel instead,
// while the panel's results are in the level-1 cache.
//
//===----------------------------------------------------------------------===//

#include "joinery/runtime/abi.h"
#include "lib/Conversion/PipeToLoops/Contraction.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

int64_t ContractionKernel::lanesOf(int64_t depth) const {
  return operands == Operands::F32 ? depth
                                   : llvm::divideCeil(depth, kPairDepth);
}

Value ContractionKernel::panelAt(Value number, int64_t k0) {
  return e.offset(w,
                  e.add(e.mul(number, e.index(lanesOf(k) * width)),
                        e.index(lanesOf(k0) * width)),
                  e.b.getF32Type());
}

Value ContractionKernel::firstLane(Value panel) {
  return e.mul(panel, e.index(width));
}

Value ContractionKernel::lastLane(Value panel) {
  return e.min(firstLane(panel), e.index(n));
}

void ContractionKernel::allocate() {
  Type byte = e.b.getI8Type();
  tile = e.allocateElements(tilePitch ? grid.rowBlock / (2 * kTileRows) *
                                             tileRowPitch
                                       : grid.rowBlock * ldc);
  sharedTile = e.offset(e.shared, e.index(JN_SHARED_COUNTERS * 8), byte);
  a = e.bufferOf(rowsBuffer);
  w = e.bufferOf(panelsBuffer);
  lda = e.value(runs.stride);
  module = cast<ModuleOp>(e.function->getParentOp());
  if (split)
    allocateTerms();
  else
    allocateRows();
  if (grid.hasPhases())
    isAll = e.compare(arith::CmpIPredicate::eq, e.phase, e.index(JN_PHASE_ALL));
  if (!grid.preparedBytes)
    return;
  int64_t unit = e.target.rowUnit;
  Value allRows = e.mul(e.ceilDiv(e.value(grid.rows), unit), e.index(unit));
  sharedRows = sharedTile;
  if (grid.wholeRows)
    sharedRows =
        e.offset(sharedTile, e.mul(allRows, e.index(grid.rowBytes)), byte);
  if (split)
    termPitch = e.select(isAll, termPitch, e.mul(allRows, e.index(packedLda)));
}

void ContractionKernel::allocateRows() {
  // Of f32 the level has nothing that its base does not.
  const Isa *base = operands == Operands::F32 ? findIsa(e.target.base) : nullptr;
  if (!usesTiles())
    gemm = getOrCreateGemm(module, base ? *base : e.target, width, operands);
  packedLda = oddLines(
      lanesOf(usesTiles() ? llvm::alignTo(k, kPairDepth * kTileRows) : k));
  if (packs())
    ownRows = e.allocateElements(
        (readsInPlace() ? 2 * kTileRows : grid.rowBlock) * packedLda);
  if (packs() && !readsInPlace())
    grid.preparedBytes = 4 * packedLda;
  if (usesTiles()) {
    pending = e.allocateElements(4 * kTileRows * kTileRows);
    if (hasRest())
      allocateRest();
  }
  if (operands == Operands::DecodedPairs && e.target.decodeRows > 0)
    decoded = e.allocateElements(lanesOf(slices.front().depth) * kPairDepth *
                                 width);
}

/// A call of the micro-kernel. Of many rows and a panel that it would decode for
/// each register block, the panel is decoded first.
void ContractionKernel::multiply(Value rowsAt, Value stride, Value panel,
                                 Value c, Value count, int64_t depth,
                                 Value accumulate, Value next) {
  OpBuilder::InsertionGuard guard(e.b);
  Value width64 = e.index(width), rowDepth = e.index(depth);
  Value panelLanes = e.index(lanesOf(depth) * width);
  if (decoded) {
    Value many = e.compare(arith::CmpIPredicate::sge, count,
                           e.index(e.target.decodeRows));
    auto branches =
        scf::IfOp::create(e.b, e.loc, many, /*withElseRegion=*/true);
    e.b.setInsertionPointToStart(&branches.getThenRegion().front());
    func::CallOp::create(
        e.b, e.loc, getOrCreateDecodePairs(module, e.target),
        ValueRange{panel, decoded, width64, e.index(lanesOf(depth))});
    func::CallOp::create(e.b, e.loc, getOrCreateGemm(module, e.target, width),
                         ValueRange{rowsAt, stride, decoded, width64, c,
                                    e.index(ldc), count, rowDepth, accumulate,
                                    next, panelLanes});
    e.b.setInsertionPointToStart(&branches.getElseRegion().front());
  }
  func::CallOp::create(e.b, e.loc, gemm,
                       ValueRange{rowsAt, stride, panel, width64, c,
                                  e.index(ldc), count,
                                  e.index(packs() ? lanesOf(depth) : depth),
                                  accumulate, next, panelLanes});
}

/// The epilogue over lanes [from, to) of a block whose results are at `results`,
/// beginning with lane `shift`.
void ContractionKernel::epilogue(const ContractionBlock &block, Value results,
                                 Value shift, Value from, Value to) {
  emitTile(e, waitingTile(results, shift), {}, block.row0, block.count,
           {from, to});
}

ResultTile ContractionKernel::waitingTile(Value results, Value shift) {
  return {ready ? ready : form.aggregate.getResult(),
          results,
          tilePitch ? tileRowPitch : ldc,
          shift,
          rows,
          ns,
          tilePitch};
}

Value ContractionKernel::sharedResults(const ContractionBlock &block) {
  Value place = e.mul(block.row0, e.index(ldc));
  if (tilePitch)
    place = e.mul(arith::DivUIOp::create(e.b, e.loc, block.row0,
                                         e.index(2 * kTileRows)),
                  e.index(tileRowPitch));
  return e.offset(sharedTile, place, e.b.getF32Type());
}

void ContractionKernel::forEachRun(
    const ContractionBlock &block, const Slice &slice,
    function_ref<void(Value, Value, Value)> body) {
  Type element = half ? Type(e.b.getBF16Type()) : Type(e.b.getF32Type());
  int64_t inRun = slice.k0 % *plan::product(folds.inner).asConst();
  auto part = [&](const Keys &keys, Value first, Value count, Value before) {
    SymExpr start = startOf(rowsOffset, keys) + SymExpr(inRun);
    Value from = e.offset(a, e.value(start), element);
    body(e.offset(from, e.mul(first, lda), element), count, before);
  };
  if (runs.outer.empty()) {
    part(slice.run, block.row0, block.count, e.index(0));
    return;
  }
  Value length = e.value(plan::product(runs.inner));
  Value end = e.add(block.row0, block.count);
  // An empty run has no rows: there is no block, and nothing to divide by.
  Value divisor = e.max(length, e.index(1));
  Value last = arith::DivUIOp::create(e.b, e.loc, e.sub(end, e.index(1)),
                                      divisor);
  e.loop(arith::DivUIOp::create(e.b, e.loc, block.row0, divisor),
         e.add(last, e.index(1)), e.index(1), {},
         [&](Value number, ValueRange) -> SmallVector<Value> {
           Keys keys = slice.run;
           e.splitRow(e.atom(number, plan::product(runs.outer)), runs.outer,
                      keys);
           Value run0 = e.mul(number, length);
           Value from = e.max(block.row0, run0);
           Value to = e.min(end, e.add(run0, length));
           part(keys, e.sub(from, run0), e.sub(to, from),
                e.sub(from, block.row0));
           return {};
         });
}

void ContractionKernel::packBlock(const ContractionBlock &block) {
  if (usesTiles() && hasRest())
    padRows(block);
  int64_t run = *plan::product(folds.inner).asConst();
  for (int64_t k0 = 0; k0 < k; k0 += run) {
    Slice whole = {k0, run, runAt(k0)};
    forEachRun(block, whole, [&](Value rowsAt, Value count, Value before) {
      Value to = e.offset(packed,
                          e.add(e.mul(before, e.index(packedLda)),
                                e.index(lanesOf(k0))),
                          e.b.getF32Type());
      if (!half) {
        func::CallOp::create(e.b, e.loc, getOrCreatePackPairs(module, e.target),
                             ValueRange{rowsAt, lda, count, e.index(run), to,
                                        e.index(packedLda)});
        return;
      }
      copyRows(rowsAt, count, run, to);
    });
  }
}

void ContractionKernel::padRows(const ContractionBlock &block) {
  int64_t step = lanesOf(k) / kTileRows * kTileRows;
  e.zeroRows(e.offset(packed, e.index(step), e.b.getF32Type()), block.count,
             packedLda, kTileRows);
}

void ContractionKernel::copyRows(Value rowsAt, Value count, int64_t columns,
                                 Value to) {
  Value stride = arith::DivUIOp::create(e.b, e.loc, lda, e.index(kPairDepth));
  Value direct = LLVM::ZeroOp::create(e.b, e.loc, to.getType());
  auto copy = [&](Value from, int64_t lanes, Value to) {
    func::CallOp::create(e.b, e.loc, getOrCreateCopyRows(module, e.target),
                         ValueRange{from, stride, direct, count,
                                    e.index(lanes), to, e.index(packedLda)});
  };
  if (!blocks) {
    copy(rowsAt, lanesOf(columns), to);
    return;
  }
  Value pitch = e.value(blocks.pitch());
  e.loop(e.index(0), e.index(columns / kBlockColumns), e.index(1), {},
         [&](Value block, ValueRange) -> SmallVector<Value> {
           Value from = e.offset(rowsAt, e.mul(block, pitch), e.b.getBF16Type());
           copy(from, kTileRows,
                e.offset(to, e.mul(block, e.index(kTileRows)),
                         e.b.getF32Type()));
           return {};
         });
}

void ContractionKernel::during(int64_t phase, function_ref<void()> body) {
  if (grid.hasPhases())
    e.when(isPhase(e, phase), body);
  else
    body();
}

void ContractionKernel::prepareBlock(const ContractionBlock &block) {
  if (!split) {
    during(JN_PHASE_PREPARE, [&] { packBlock(block); });
    return;
  }
  e.when(e.compare(arith::CmpIPredicate::eq, e.phase,
                   e.index(JN_PHASE_PREPARE)),
         [&] {
           for (const Slice &slice : slices)
             splitBlock(block, slice);
         });
}

void ContractionKernel::emitBlock(const ContractionBlock &block) {
  packed = ownRows;
  if (grid.preparedBytes) {
    Value shared = e.offset(sharedRows, e.mul(block.row0, e.index(packedLda)),
                            e.b.getF32Type());
    packed = e.select(isAll, ownRows, shared);
    prepareBlock(block);
  }
  Value results = tile, complete;
  if (grid.wholeRows) {
    complete = e.compare(arith::CmpIPredicate::eq,
                         e.sub(block.panel1, block.panel0),
                         e.index(grid.panels));
    Value own = arith::AndIOp::create(e.b, e.loc, complete, isAll);
    results = e.select(own, tile, sharedResults(block));
  }
  during(JN_PHASE_MAIN, [&] { emitProducts(block, results); });
  if (grid.wholeRows)
    during(JN_PHASE_FINISH, [&] {
      e.when(emitArrival(e, grid, block, complete), [&] {
        epilogue(block, results, e.index(0), e.index(0), e.index(n));
      });
    });
}

void ContractionKernel::emitProducts(const ContractionBlock &block,
                                     Value results) {
  Type f32 = e.b.getF32Type();
  if (packs() && readsInPlace())
    packBlock(partialRows(block));
  for (const Slice &slice : slices) {
    if (usesTiles()) {
      emitTileBlock(block, slice, waits ? results : Value());
      continue;
    }
    if (split) {
      emitSplitBlock(block, slice, waits ? results : Value());
      continue;
    }
    int64_t k0 = slice.k0, depth = slice.depth;
    Value accumulate =
        arith::ConstantOp::create(e.b, e.loc, e.b.getBoolAttr(k0 > 0));
    int64_t nextK0 = this->nextK0(slice);
    e.loop(block.panel0, block.panel1, e.index(1), {},
           [&](Value p, ValueRange) -> SmallVector<Value> {
             Value panel = panelAt(p, k0), after = e.add(p, e.index(1));
             // The panel after a slice's last one is the first of the next
             // slice, or probably of the worker's next call. The very last
             // takes its own: any valid address will do.
             Value first = nextK0
                               ? block.panel0
                               : e.min(after, e.index(grid.panels - 1));
             Value next = e.select(
                 e.compare(arith::CmpIPredicate::slt, after, block.panel1),
                 panelAt(after, k0), panelAt(first, nextK0));
             Value c = waits ? e.offset(results, firstLane(p), f32) : results;
             if (packs())
               multiply(e.offset(packed, e.index(lanesOf(k0)), f32),
                        e.index(packedLda), panel, c, block.count, depth,
                        accumulate, next);
             else
               forEachRun(block, slice,
                          [&](Value rowsAt, Value count, Value before) {
                            Value to = e.mul(before, e.index(ldc));
                            multiply(rowsAt, lda, panel, e.offset(c, to, f32),
                                     count, depth, accumulate, next);
                          });
             if (!waits)
               epilogue(block, results, firstLane(p), firstLane(p),
                        lastLane(after));
             return {};
           });
  }
  if (waits && !grid.wholeRows)
    epilogue(block, results, e.index(0), firstLane(block.panel0),
             lastLane(block.panel1));
}

KernelCost ContractionKernel::emit() {
  allocate();
  forEachBlock(e, grid, emitShare(e, grid),
               [&](const ContractionBlock &block) { emitBlock(block); });
  KernelCost cost;
  grid.setTasks(cost, e.target.rowUnit);
  cost.scratch = e.scratchBytes;
  return cost;
}

FailureOr<KernelCost> lowering::emitContraction(KernelEmitter &e) {
  ContractionKernel kernel(e);
  if (failed(kernel.match()))
    return failure();
  if (!kernel.canSplit())
    return kernel.emit();
  // Few rows wait for the weights, which then need not be split. The number of
  // rows of the whole run decides: all its calls do the same.
  constexpr int64_t least = 64;
  ContractionKernel onTiles(e, /*split=*/true);
  if (failed(onTiles.match()))
    return failure();
  Value rows = e.value(kernel.rowCount());
  KernelCost few, many;
  SymExpr before = e.scratchBytes;
  e.when(e.compare(arith::CmpIPredicate::sge, rows, e.index(least)),
         [&] { many = onTiles.emit(); });
  SymExpr most = e.scratchBytes;
  e.scratchBytes = before;
  e.when(e.compare(arith::CmpIPredicate::slt, rows, e.index(least)),
         [&] { few = kernel.emit(); });
  // Both share one piece of scratch.
  e.scratchBytes = SymExpr::max(most, e.scratchBytes);
  SymExpr isMany = SymExpr::min(
      SymExpr::floorDiv(kernel.rowCount(), SymExpr(least)), SymExpr(1));
  auto either = [&](const SymExpr &x, const SymExpr &y) {
    return x + isMany * (y - x);
  };
  few.grain = either(few.grain, many.grain);
  few.passes = either(few.passes, many.passes);
  few.shared = SymExpr::max(few.shared, many.shared);
  few.prepare = either(few.prepare, many.prepare);
  few.finish = either(few.finish, many.finish);
  few.alone = either(few.alone, many.alone);
  few.scratch = e.scratchBytes;
  return few;
}
