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
// An epilogue that looks at one column at a time runs after each panel instead,
// while the panel's results are in the level-1 cache.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "joinery/runtime/abi.h"
#include "lib/Conversion/PipeToLoops/ContractionShare.h"
#include "lib/Plan/Contraction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// True if an aggregate lies between the root and the contraction, so that the
/// epilogue needs whole rows.
static bool needsWholeRows(Value value, Operation *contraction) {
  Operation *op = value.getDefiningOp();
  if (!op || op == contraction)
    return false;
  if (isa<AggregateOp>(op))
    return true;
  return llvm::any_of(op->getOperands(), [&](Value operand) {
    return needsWholeRows(operand, contraction);
  });
}

static bool hasPanels(Value value) {
  Value base = plan::tableViewOf(value).base;
  auto type = cast<RelType>(base.getType());
  return isa<BlockArgument>(base) && type.getLayout().size() >= 2 &&
         cast<StringAttr>(type.getLayout()[0]).getValue().contains('/');
}

bool lowering::multipliesPairs(pipe::KernelOp kernel) {
  if (auto design = kernel.getDesign();
      design && design->contains("products") &&
      kernel.getAlgorithm() == "attention")
    return true;
  if (kernel.getAlgorithm() != "contraction")
    return false;
  return llvm::any_of(kernel.getBody().front().getOps<AggregateOp>(),
                      [](AggregateOp op) {
    auto match = plan::matchContraction(op);
    if (!match)
      return false;
    return llvm::any_of(ArrayRef{match->left, match->right}, [](Value side) {
      Value base = plan::tableViewOf(side).base;
      return hasPanels(side) &&
             cast<RelType>(base.getType()).getElementType().isBF16();
    });
  });
}

/// Rows and bytes of results that may wait for other workers. With more rows each
/// worker has several blocks of its own anyway.
static constexpr int64_t kSharedRows = 1024, kSharedBytes = 4 << 20;

/// What the plan chose for the level, or for all of them.
static int64_t designValue(KernelEmitter &e, StringRef name) {
  auto design = e.kernel.getDesign();
  if (!design)
    return 0;
  auto attr = design->getAs<IntegerAttr>(e.target.name + "_" + name.str());
  if (!attr)
    attr = design->getAs<IntegerAttr>(name);
  return attr ? attr.getInt() : 0;
}

FailureOr<KernelCost> lowering::emitContraction(KernelEmitter &e) {
  std::optional<plan::Contraction> match;
  for (Operation &op : e.kernel.getBody().front())
    if (auto found = plan::matchContraction(&op)) {
      if (hasPanels(found->left)) {
        std::swap(found->left, found->right);
        std::swap(found->leftFree, found->rightFree);
      }
      if (hasPanels(found->right))
        match = found;
    }
  if (!match)
    return e.kernel.emitError("there is no contraction with panels");
  plan::View left = plan::viewOf(match->left);
  plan::View right = plan::tableViewOf(match->right);
  auto leftStored = cast<RelType>(left.base.getType());
  auto panels = cast<RelType>(right.base.getType());
  if (!isa<BlockArgument>(left.base))
    return e.kernel.emitError("the rows are not stored");
  auto leftOffset = plan::viewOffset(left, leftStored);
  SmallVector<Column> rows = match->leftFree, ks = match->k,
                      ns = match->rightFree;
  if (!leftOffset)
    return e.kernel.emitError("the rows have a blocked layout");
  auto rowStride = plan::chain(*leftOffset, rows);
  auto kStride = plan::chain(*leftOffset, ks);
  if (!rowStride || !kStride || !kStride->isConst(1))
    return e.kernel.emitError("the rows are not laid out for a contraction");
  SymExpr start = leftOffset->substitute(
      [](StringRef symbol) -> std::optional<SymExpr> {
        return symbol.starts_with("#") ? std::optional<SymExpr>(0)
                                       : std::nullopt;
      });

  // The panel's one column j, in terms of the result's columns n.
  StringRef first = cast<StringAttr>(panels.getLayout()[0]).getValue();
  auto [jName, widthText] = first.split('/');
  int64_t width = 48;
  widthText.getAsInteger(10, width);
  int64_t n = *panels.extentOf(jName).asConst();
  auto nStride = plan::chain(right.keys.at(jName.str()), ns);
  if (!ns.empty() && (!nStride || !nStride->isConst(1)))
    return e.kernel.emitError("the panels do not follow the result's columns");
  SymExpr rowCount(1), kCount(1);
  for (Column column : rows)
    rowCount = rowCount * column.getExtent();
  for (Column column : ks)
    kCount = kCount * column.getExtent();
  int64_t k = *kCount.asConst();

  int64_t panelCount = llvm::divideCeil(n, width);
  // Lanes of 32 bits along k in a panel.
  bool pairs = panels.getElementType().isBF16();
  auto lanesOf = [&](int64_t depth) {
    return pairs ? llvm::divideCeil(depth, kPairDepth) : depth;
  };
  Operands operands = pairs ? pairOperands(e.target) : Operands::F32;
  bool packs = operands == Operands::Pairs;
  int64_t rowBlock = designValue(e, "rows");
  int64_t slice = designValue(e, "slice");
  if (rowBlock <= 0 || slice <= 0 || (slice < k && slice % kPairDepth))
    return e.kernel.emitError("the plan gives no block of rows or slice of k");
  Value root = rootOf(e);
  bool sliced = slice < k;
  ContractionGrid grid;
  grid.rows = rowCount;
  grid.panels = panelCount;
  grid.rowBlock = rowBlock = llvm::alignTo(rowBlock, e.target.rowUnit);
  grid.wholeRows = needsWholeRows(root, match->aggregate);
  grid.packs = packs;
  // Results of all panels wait for the last slice, or for the epilogue.
  bool waits = sliced || grid.wholeRows;
  int64_t ldc = waits ? panelCount * width : width;
  grid.rowBytes = ldc * 4;
  grid.sharedRows = std::min(kSharedRows, kSharedBytes / grid.rowBytes);

  SymExpr scratchAt = e.allocateScratch(rowBlock * ldc * 4);
  Type f32 = e.b.getF32Type();
  Value tile = e.offset(e.scratch, e.value(scratchAt), e.b.getI8Type());
  Value sharedTile = e.offset(
      e.shared, e.index(JN_SHARED_COUNTERS * 8), e.b.getI8Type());
  Value a = e.offset(e.bufferOf(cast<BlockArgument>(left.base)),
                     e.value(start), f32);
  Value w = e.bufferOf(cast<BlockArgument>(right.base));
  Value lda = e.value(rowStride->isConst(0) ? SymExpr(k) : *rowStride);
  auto module = cast<ModuleOp>(e.function->getParentOp());
  auto gemm = getOrCreateGemm(module, e.target, width, operands);
  // Rows that are rounded once for all panels: whole vectors of pairs, and one
  // more, so that rows do not share level-1 sets.
  int64_t packedLda = llvm::alignTo(lanesOf(k), 16) + 16;
  Value packed;
  if (packs)
    packed = e.offset(e.scratch,
                      e.value(e.allocateScratch(rowBlock * packedLda * 4)),
                      e.b.getI8Type());

  // A panel that is decoded once for all rows of the block.
  bool decodes =
      operands == Operands::DecodedPairs && e.target.decodeRows > 0;
  Value decoded;
  if (decodes)
    decoded = e.offset(
        e.scratch,
        e.value(e.allocateScratch(lanesOf(slice < k ? slice : k) * kPairDepth *
                                  width * 4)),
        e.b.getI8Type());
  auto multiply = [&](Value rowsAt, Value stride, Value panel, Value c,
                      Value count, int64_t depth, Value accumulate,
                      Value next) {
    OpBuilder::InsertionGuard guard(e.b);
    Value width64 = e.index(width), rowDepth = e.index(depth);
    if (decodes) {
      Value many = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge,
                                         count, e.index(e.target.decodeRows));
      auto branches =
          scf::IfOp::create(e.b, e.loc, many, /*withElseRegion=*/true);
      e.b.setInsertionPointToStart(&branches.getThenRegion().front());
      func::CallOp::create(
          e.b, e.loc, getOrCreateDecodePairs(module, e.target),
          ValueRange{panel, decoded, width64, e.index(lanesOf(depth))});
      Value none = LLVM::ZeroOp::create(e.b, e.loc, panel.getType());
      func::CallOp::create(e.b, e.loc, getOrCreateGemm(module, e.target, width),
                           ValueRange{rowsAt, stride, decoded, width64, c,
                                      e.index(ldc), count, rowDepth, accumulate,
                                      none});
      e.b.setInsertionPointToStart(&branches.getElseRegion().front());
    }
    func::CallOp::create(e.b, e.loc, gemm,
                         ValueRange{rowsAt, stride, panel, width64, c,
                                    e.index(ldc), count,
                                    e.index(packs ? lanesOf(depth) : depth),
                                    accumulate, next});
  };

  // The epilogue over lanes [from, to) of a block whose results are at `tile`,
  // beginning with lane `shift`.
  auto epilogue = [&](const ContractionBlock &block, Value tile, Value shift,
                      Value from, Value to) {
    e.loop(e.index(0), block.count, e.index(1), {},
           [&](Value r, ValueRange) -> SmallVector<Value> {
             Keys keys;
             e.splitRow(e.atom(e.add(block.row0, r), rowCount), rows, keys);
             SymExpr local = e.atom(e.mul(r, e.index(ldc)), std::nullopt);
             SymExpr before = e.atom(shift, SymExpr(n));
             e.overrides[match->aggregate.getResult().getAsOpaquePointer()] =
                 [&, local, before](const Keys &at) {
                   SymExpr lane;
                   for (Column column : ns)
                     lane = lane * column.getExtent() +
                            at.at(column.getName().str());
                   return e.load(tile, joinDigits(local + lane - before), f32);
                 };
             emitLanes(e, root, keys, ns, from, to, n % e.target.lanes == 0);
             e.overrides.clear();
             return {};
           });
  };
  auto firstLane = [&](Value panel) { return e.mul(panel, e.index(width)); };
  auto lastLane = [&](Value panel) {
    return e.min(firstLane(panel), e.index(n));
  };

  ContractionShare share = emitShare(e, grid);
  forEachBlock(e, grid, share, [&](const ContractionBlock &block) {
    Value rowsAt = e.offset(a, e.mul(block.row0, lda), f32), stride = lda;
    if (packs) {
      func::CallOp::create(e.b, e.loc, getOrCreatePackPairs(module, e.target),
                           ValueRange{rowsAt, lda, block.count, e.index(k),
                                      packed, e.index(packedLda)});
      rowsAt = packed;
      stride = e.index(packedLda);
    }
    Value results = tile, complete;
    if (grid.wholeRows) {
      complete = e.compare(arith::CmpIPredicate::eq,
                           e.sub(block.panel1, block.panel0),
                           e.index(panelCount));
      results = e.select(
          complete, tile,
          e.offset(sharedTile, e.mul(block.row0, e.index(ldc)), f32));
    }
    for (int64_t k0 = 0; k0 < k; k0 += slice) {
      int64_t depth = std::min(slice, k - k0);
      Value accumulate = arith::ConstantOp::create(
          e.b, e.loc, e.b.getBoolAttr(k0 > 0));
      Value slicedRows =
          e.offset(rowsAt, e.index(packs ? lanesOf(k0) : k0), f32);
      int64_t nextK0 = k0 + depth < k ? k0 + depth : 0;
      auto panelAt = [&](Value number, int64_t k0) {
        return e.offset(w,
                        e.add(e.mul(number, e.index(lanesOf(k) * width)),
                              e.index(lanesOf(k0) * width)),
                        f32);
      };
      e.loop(block.panel0, block.panel1, e.index(1), {},
             [&](Value p, ValueRange) -> SmallVector<Value> {
        Value panel = panelAt(p, k0), after = e.add(p, e.index(1));
        // The panel after a slice's last one is the first of the next slice, or
        // probably of the worker's next call. The very last takes its own: any
        // valid address will do.
        Value first =
            nextK0 ? block.panel0 : e.min(after, e.index(panelCount - 1));
        Value next = e.select(
            e.compare(arith::CmpIPredicate::slt, after, block.panel1),
            panelAt(after, k0), panelAt(first, nextK0));
        Value c = waits ? e.offset(results, firstLane(p), f32) : results;
        multiply(slicedRows, stride, panel, c, block.count, depth, accumulate,
                 next);
        if (!waits)
          epilogue(block, results, firstLane(p), firstLane(p),
                   lastLane(after));
        return {};
      });
    }
    if (grid.wholeRows)
      e.when(emitArrival(e, grid, block, complete), [&] {
        epilogue(block, results, e.index(0), e.index(0), e.index(n));
      });
    else if (waits)
      epilogue(block, results, e.index(0), firstLane(block.panel0),
               lastLane(block.panel1));
  });

  KernelCost cost;
  grid.setTasks(cost, e.target.rowUnit);
  cost.scratch = e.scratchBytes;
  return cost;
}
