//===- ContractionMatch.cpp - Recognising products with panels ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/runtime/abi.h"
#include "lib/Conversion/PipeToLoops/Contraction.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// Rows and bytes of results that may wait for other workers. With more rows each
/// worker has several blocks of its own anyway.
static constexpr int64_t kSharedRows = 1024, kSharedBytes = 4 << 20;

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

/// What the only chain of joins makes of a contraction, key by key, before anything
/// else looks at it: null if that is the contraction itself.
static Value joinedSums(AggregateOp contraction) {
  auto keysOf = [](Value value) {
    std::set<StringRef> names;
    for (Column column : cast<RelType>(value.getType()).getColumns())
      names.insert(column.getName());
    return names;
  };
  Value sums = contraction.getResult(), joined = sums;
  while (joined.hasOneUse()) {
    auto join = dyn_cast<JoinOp>(*joined.user_begin());
    if (!join || keysOf(join.getResult()) != keysOf(sums) ||
        !join.getType().getElementType().isF32())
      break;
    joined = join.getResult();
  }
  return joined == sums ? Value() : joined;
}

bool lowering::hasPanels(Value value) {
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

bool lowering::hasOwnCode(pipe::KernelOp kernel, const Isa &isa) {
  if (multipliesPairs(kernel))
    return isa.dotBF16;
  if (kernel.getAlgorithm() != "contraction" || !isa.tiles)
    return false;
  return llvm::any_of(
      kernel.getBody().front().getOps<AggregateOp>(), [](AggregateOp op) {
        auto match = plan::matchContraction(op);
        return match && (hasPanels(match->left) || hasPanels(match->right)) &&
               *plan::product(match->k).asConst() % (kPairDepth * kTileRows) == 0;
      });
}

/// Finds what is joined to the sums, up to `value`, that is stored row by row.
void ContractionKernel::findBeside(Value value) {
  if (auto join = value.getDefiningOp<JoinOp>()) {
    for (Value input : join.getInputs())
      findBeside(input);
    return;
  }
  plan::View view = plan::viewOf(value);
  auto argument = dyn_cast<BlockArgument>(view.base);
  auto type = cast<RelType>(value.getType());
  bool perRow = llvm::all_of(rows, [&](Column column) {
    return type.has(column.getName());
  });
  if (!argument || !perRow || rows.empty())
    return;
  if (auto offset = plan::viewOffset(view, cast<RelType>(view.base.getType())))
    beside.push_back({argument, *offset});
}

/// What the plan chose for the level, or for all of them.
static int64_t designValue(KernelEmitter &e, StringRef level, StringRef name) {
  auto design = e.kernel.getDesign();
  if (!design)
    return 0;
  auto attr = design->getAs<IntegerAttr>((level + "_" + name).str());
  if (!attr)
    attr = design->getAs<IntegerAttr>(name);
  return attr ? attr.getInt() : 0;
}

LogicalResult ContractionKernel::match() {
  std::optional<plan::Contraction> found;
  for (Operation &op : e.kernel.getBody().front())
    if (auto match = plan::matchContraction(&op)) {
      if (hasPanels(match->left))
        match->swapSides();
      if (hasPanels(match->right))
        found = match;
    }
  if (!found)
    return e.kernel.emitError("there is no contraction with panels");
  form = *found;
  ns = form.rightFree;
  root = rootOf(e);
  if (failed(matchRows()) || failed(matchPanels()))
    return failure();
  return chooseBlocks();
}

LogicalResult ContractionKernel::matchRows() {
  plan::View left = plan::viewOf(form.left);
  rowsBuffer = dyn_cast<BlockArgument>(left.base);
  if (!rowsBuffer)
    return e.kernel.emitError("the rows are not stored");
  half = isHalf(e.kernel, e.target, rowsBuffer.getArgNumber());
  auto offset = plan::viewOffset(left, cast<RelType>(left.base.getType()));
  if (!offset)
    return e.kernel.emitError("the rows have a blocked layout");
  auto walk = plan::walkContraction(*offset, form.leftFree, form.k);
  if (!walk)
    return e.kernel.emitError("the rows are not laid out for a contraction");
  rowsOffset = *offset;
  runs = walk->rows;
  folds = walk->folds;
  k = *plan::product(form.k).asConst();
  if (runs.inner.empty()) // one row
    runs.stride = SymExpr(k);
  blocks = blocksOf(e.kernel, e.target, rowsBuffer);
  if (blocks) {
    rowsOffset = blocks.offset(rowsOffset);
    runs.stride = runs.inner.empty() ? SymExpr(kBlockColumns)
                                     : blocks.stride(runs.stride);
  }
  rows = runs.outer;
  llvm::append_range(rows, runs.inner);
  grid.rows = plan::product(rows);
  return success();
}

LogicalResult ContractionKernel::matchPanels() {
  plan::View right = plan::tableViewOf(form.right);
  panelsBuffer = cast<BlockArgument>(right.base);
  auto type = cast<RelType>(right.base.getType());
  // The panel's one column j, in terms of the result's columns n.
  StringRef first = cast<StringAttr>(type.getLayout()[0]).getValue();
  auto [name, widthText] = first.split('/');
  width = kPanelWidth;
  widthText.getAsInteger(10, width);
  n = *type.extentOf(name).asConst();
  grid.columns = n;
  grid.panels = llvm::divideCeil(n, width);
  auto stride = plan::chain(right.keys.at(name.str()), ns);
  if (!ns.empty() && (!stride || !stride->isConst(1)))
    return e.kernel.emitError("the panels do not follow the result's columns");
  if (type.getElementType().isBF16())
    operands = pairOperands(e.target);
  return success();
}

LogicalResult ContractionKernel::chooseBlocks() {
  // What does not multiply on tiles does as the level below.
  bool below = canSplit() && !split && !e.target.base.empty();
  StringRef level = below ? e.target.base : e.target.name;
  int64_t rowBlock = designValue(e, level, "rows");
  int64_t slice = designValue(e, level, "slice");
  if (rowBlock <= 0 || slice <= 0 || (slice < k && slice % kPairDepth))
    return e.kernel.emitError("the plan gives no block of rows or slice of k");
  grid.rowBlock = llvm::alignTo(rowBlock, e.target.rowUnit);
  grid.wholeRows = needsWholeRows(root, form.aggregate);
  grid.packs = packs() || split;
  // Tiles take whole steps, whatever other levels do.
  if ((packs() || split) && e.target.tiles)
    slice = llvm::alignTo(slice, kPairDepth * kTileRows);
  chooseSlices(slice);
  if (blocks && !readsInPlace())
    return e.kernel.emitError("rows in blocks are for tiles alone");
  waits = slices.size() > 1 || grid.wholeRows;
  ldc = waits ? grid.panels * width : width;
  if (usesTiles() && grid.wholeRows)
    ready = joinedSums(form.aggregate);
  if (usesTiles() && (!waits || ready))
    findBeside(ready ? ready : root);
  bool readyRows = ready && slices.size() == 1; // no sums to go on with: no tiles
  if (readyRows)
    ldc = oddLines(ldc);
  grid.rowBytes = ldc * 4;
  if (split || (usesTiles() && waits && !readyRows)) {
    // Tiles of one row of them do not share level-1 sets.
    tilePitch = 2 * kTileRows * kTileRows + kRowPadding;
    tileRowPitch = (waits ? grid.panels * width / kTileRows : 2) * tilePitch;
    grid.rowBytes = llvm::divideCeil(tileRowPitch * 4, 2 * kTileRows);
  }
  grid.sharedRows = std::min(kSharedRows, kSharedBytes / grid.rowBytes) /
                    e.target.rowUnit * e.target.rowUnit;
  return success();
}

Keys ContractionKernel::runAt(int64_t k0) const {
  Keys keys;
  int64_t number = k0 / *plan::product(folds.inner).asConst();
  for (Column column : llvm::reverse(folds.outer)) {
    int64_t extent = *column.getExtent().asConst();
    keys[column.getName().str()] = SymExpr(number % extent);
    number /= extent;
  }
  return keys;
}

void ContractionKernel::chooseSlices(int64_t most) {
  int64_t run = usesTiles() ? k : *plan::product(folds.inner).asConst();
  for (int64_t first = 0; first < k; first += run)
    for (int64_t k0 = 0; k0 < run; k0 += most)
      slices.push_back({first + k0, std::min(most, run - k0), runAt(first)});
}
