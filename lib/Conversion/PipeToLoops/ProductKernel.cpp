//===- ProductKernel.cpp - Contractions of what a run computes ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// for each key of the columns that both sides have, each run of rows, each block
// of its rows (tasks)
//   for each panel of the right side's rows, the lanes
//     for each key of the outer folded columns (taps of a convolution)
//       pack the panel: lanes by inner folded columns, transposed
//       micro-kernel into a tile of scratch
//     for each row of the tile: the epilogue, store
// Packing costs one pass over the panel for a block of rows.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Contraction.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

namespace {
/// One side: where its elements lie, and the distance of two of its rows.
struct Factor {
  Value pointer;
  SymExpr offset, stride;
  SmallVector<Column> outer, free, unit;
};

class ProductKernel {
public:
  explicit ProductKernel(KernelEmitter &e) : e(e) {}
  LogicalResult match();
  KernelCost emit();

private:
  LogicalResult match(Value relation, ArrayRef<Column> free, Factor &out);
  void emitTask(Value task);
  void multiply(const Keys &keys, Value row0, Value count, Value lane0,
                Value lanes);

  /// Rows of a task, and lanes of a panel at most: a tile stays in a level-2
  /// cache beside its panel.
  static constexpr int64_t rowBlock = 192, mostLanes = 48;

  KernelEmitter &e;
  plan::Contraction form;
  Factor left, right;
  SmallVector<Column> tasks;        // each with blocks of rows
  SmallVector<Column> outer, inner; // the folded columns
  int64_t width = mostLanes;
  SymExpr rows, laneCount, depth, blocks;
  Value tile, panel;
};
} // namespace

LogicalResult ProductKernel::match(Value relation, ArrayRef<Column> free,
                                   Factor &out) {
  plan::View view = plan::viewOf(relation);
  auto argument = dyn_cast<BlockArgument>(view.base);
  auto offset = argument ? plan::viewOffset(
                               view, cast<RelType>(argument.getType()))
                         : std::nullopt;
  if (!offset)
    return e.kernel.emitError("a side of the product is not stored");
  auto runs = plan::rowRuns(*offset, free);
  if (!runs)
    return e.kernel.emitError("the rows of the product have no stride");
  out.outer = runs->outer;
  out.free = runs->inner;
  out.pointer = e.bufferOf(argument);
  out.offset = *offset;
  out.stride = runs->stride;
  out.unit = plan::unitColumns(*offset, form.k);
  return success();
}

LogicalResult ProductKernel::match() {
  std::optional<plan::Contraction> found;
  for (Operation &op : e.kernel.getBody().front())
    if (auto product = plan::matchProduct(&op))
      found = product;
  if (!found)
    return e.kernel.emitError("there is no product in the kernel");
  form = *found;
  if (failed(match(form.left, form.leftFree, left)) ||
      failed(match(form.right, form.rightFree, right)))
    return failure();
  if (!right.outer.empty())
    return e.kernel.emitError("the lanes of the product come in runs");
  tasks = form.batch;
  llvm::append_range(tasks, left.outer);
  inner = left.unit.size() < right.unit.size() ? left.unit : right.unit;
  for (const Factor *side : {&left, &right})
    if (ArrayRef(side->unit).take_back(inner.size()) != ArrayRef(inner))
      return e.kernel.emitError("the sides of the product order their columns "
                                "differently");
  for (Column column : form.k)
    if (!llvm::is_contained(inner, column))
      outer.push_back(column);
  if (inner.empty() || !plan::product(outer).asConst())
    return e.kernel.emitError("the product folds no run of elements");
  return success();
}

/// The tile: `count` rows from row0 by `lanes` lanes from lane0.
void ProductKernel::multiply(const Keys &keys, Value row0, Value count,
                             Value lane0, Value lanes) {
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  auto module = cast<ModuleOp>(e.function->getParentOp());
  auto gemm = getOrCreateGemm(module, e.target, width);
  auto transpose = getOrCreateTranspose(module, e.target);
  Value none = LLVM::ZeroOp::create(b, e.loc, e.scratch.getType());
  SymExpr steps = plan::product(outer);
  e.loop(e.index(0), e.value(steps), e.index(1), {},
         [&](Value step, ValueRange) -> SmallVector<Value> {
           Keys here = keys;
           e.splitRow(e.atom(step, steps), outer, here);
           auto rowsOf = [&](const Factor &side, Value first) {
             Value start = e.offset(side.pointer,
                                    e.value(startOf(side.offset, here)), f32);
             return e.offset(start, e.mul(first, e.value(side.stride)), f32);
           };
           func::CallOp::create(
               b, e.loc, transpose,
               ValueRange{rowsOf(right, lane0), e.value(right.stride), none,
                          lanes, e.value(depth), panel, e.index(width)});
           Value accumulate = e.compare(arith::CmpIPredicate::sgt, step,
                                        e.index(0));
           func::CallOp::create(
               b, e.loc, gemm,
               ValueRange{rowsOf(left, row0), e.value(left.stride), panel,
                          e.index(width), tile, e.index(width), count,
                          e.value(depth), accumulate, none, e.index(0)});
           return {};
         });
}

void ProductKernel::emitTask(Value task) {
  Value count = e.value(blocks);
  Value number = arith::DivUIOp::create(e.b, e.loc, task, count);
  Value row0 = e.mul(arith::RemUIOp::create(e.b, e.loc, task, count),
                     e.index(rowBlock));
  Value rowCount = e.min(e.sub(e.value(rows), row0), e.index(rowBlock));
  Keys keys;
  e.splitRow(e.atom(number, plan::product(tasks)), tasks, keys);
  e.loop(e.index(0), e.value(laneCount), e.index(width), {},
         [&](Value lane0, ValueRange) -> SmallVector<Value> {
           Value lanes = e.min(e.sub(e.value(laneCount), lane0),
                               e.index(width));
           multiply(keys, row0, rowCount, lane0, lanes);
           emitTile(e,
                    {form.aggregate, tile, width, lane0, left.free, right.free},
                    keys, row0, rowCount, {lane0, e.add(lane0, lanes)});
           return {};
         });
}

KernelCost ProductKernel::emit() {
  rows = plan::product(left.free);
  laneCount = plan::product(right.free);
  depth = plan::product(inner);
  blocks = SymExpr::ceilDiv(rows, rowBlock);
  if (auto few = laneCount.asConst(); few && *few < mostLanes)
    width = llvm::alignTo(*few, 16);
  tile = e.allocateElements(llvm::alignTo(rowBlock, e.target.mr) * width);
  panel = e.allocateElements(depth * SymExpr(width));
  e.loop(e.begin, e.end, e.index(1), {},
         [&](Value task, ValueRange) -> SmallVector<Value> {
           emitTask(task);
           return {};
         });
  KernelCost cost;
  cost.tasks = plan::product(tasks) * blocks;
  cost.scratch = e.scratchBytes;
  return cost;
}

FailureOr<KernelCost> lowering::emitProduct(KernelEmitter &e) {
  ProductKernel kernel(e);
  if (failed(kernel.match()))
    return failure();
  return kernel.emit();
}
