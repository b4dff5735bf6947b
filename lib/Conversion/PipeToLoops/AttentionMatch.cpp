//===- AttentionMatch.cpp - The form that the attention kernel takes ------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

LogicalResult Attention::operand(Value relation, ArrayRef<Column> inner,
                                 AttentionOperand &out) {
  auto packed = plan::packedViewOf(relation);
  plan::View view = packed ? packed->view : plan::viewOf(relation);
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
  out.half = isHalf(e.kernel, e.target, argument.getArgNumber());
  out.blocks = blocksOf(e.kernel, e.target, argument);
  out.offset = *offset;
  if (packed) {
    out.unpack = packed->unpack;
    out.over = packed->over;
  }
  return success();
}

/// The strides of rows, packed or not.
LogicalResult Attention::matchRows() {
  if (failed(operand(form.query, form.scores.k, q)) ||
      failed(operand(form.key, q.inner, k)) ||
      failed(operand(form.weighted, form.d, v)))
    return failure();
  if (q.inner != k.inner)
    return e.kernel.emitError("queries and keys order their columns "
                              "differently");
  if (form.softmax->hasOneUse())
    pack = dyn_cast<PackOp>(*form.softmax->user_begin());
  if (bool(k.unpack) != bool(v.unpack) || bool(q.unpack) != bool(pack))
    return e.kernel.emitError("some operands are packed and others are not");
  if (pack) {
    // Other columns of the queries (heads that share keys) are other tasks.
    llvm::SmallVector<Column> rows;
    for (Column column : form.s)
      (column.getName() == q.over.back() ? rows : form.outer).push_back(column);
    form.s = rows;
    if (form.s.size() != 1 ||
        !llvm::equal(q.over, pack.getOver().getAsValueRange<StringAttr>()))
      return e.kernel.emitError("the packed rows are not those of the queries");
  }
  if (k.unpack && (form.t.size() != 1 || k.over != v.over ||
                   k.over.back() != form.t[0].getName()))
    return e.kernel.emitError("keys and values are packed differently");
  if (k.unpack && form.needsKeyNumbers(k.unpack.getRank()) &&
      !(pack && q.unpack.getRank() == k.unpack.getRank()))
    return e.kernel.emitError("the numbers of the packed keys are not known");
  // Puts the columns into the order in which the rows lie.
  auto rowStride = [&](AttentionOperand &operand,
                       llvm::SmallVectorImpl<Column> &columns) {
    return operand.unpack
               ? plan::strideOf(operand.offset, operand.unpack.getRow())
               : plan::chain(operand.offset, columns);
  };
  auto queryStride = rowStride(q, form.s);
  auto keyStride = rowStride(k, form.t);
  llvm::SmallVector<Column> valueRows(form.t);
  auto valueStride = rowStride(v, valueRows);
  if (valueRows != form.t)
    return e.kernel.emitError("keys and values order their rows differently");
  if (!queryStride || !keyStride || !valueStride)
    return e.kernel.emitError("an operand's rows have no stride");
  q.stride = *queryStride;
  k.stride = *keyStride;
  v.stride = *valueStride;
  for (AttentionOperand *operand : {&q, &k, &v})
    if (operand->blocks) {
      operand->offset = operand->blocks.offset(operand->offset);
      operand->stride = operand->blocks.stride(operand->stride);
    }
  return success();
}

static bool isConstantTrue(Value value) {
  auto join = value.getDefiningOp<JoinOp>();
  if (!join)
    return false;
  auto yield = cast<rel::YieldOp>(join.getBody().front().getTerminator());
  auto constant = yield.getValue().getDefiningOp<arith::ConstantOp>();
  auto truth = constant ? dyn_cast<IntegerAttr>(constant.getValue())
                        : IntegerAttr();
  return truth && truth.getType().isInteger(1) && !truth.getValue().isZero();
}

/// Packed keys are those that their selection keeps: it needs no list.
void Attention::findListSelects() {
  for (SelectOp select : form.keySelects) {
    auto where = select.getWhere().getDefiningOp<UnpackOp>();
    if (k.unpack && where && where.getRank() == k.unpack.getRank() &&
        isConstantTrue(where.getInput()))
      continue;
    listSelects.push_back(select);
  }
}

LogicalResult Attention::match() {
  for (Operation &op : e.kernel.getBody().front())
    if (auto found =
            plan::matchAttention(&op, [](Value) { return false; }))
      form = *found;
  if (!form.softmax)
    return e.kernel.emitError("there is no attention in the kernel");
  if (failed(matchRows()))
    return failure();
  findListSelects();
  form.d = v.inner;
  for (Column column : form.scores.k)
    depthCount *= *column.getExtent().asConst();
  for (Column column : form.d)
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
  pairs = e.target.dotBF16 && multipliesPairs(e.kernel);
  depthLanes = pairs ? llvm::divideCeil(depthCount, kPairDepth) : depthCount;
  paddedDepth =
      usesTiles() ? llvm::alignTo(depthLanes, kTileRows) : depthLanes;
  scoreLanes = keyBlock;
  sumLanes = valueLanes = paddedWidth;
  if (!pairs)
    return success();
  if (usesTiles()) {
    queryBlock = llvm::alignTo(queryBlock, 2 * kTileRows);
    // The scores of a block stay in the level-1 cache; blocks of keys are whole
    // panels and whole steps.
    keyBlock = std::min<int64_t>(keyBlock, 288);
    scoreLanes = oddLines(keyBlock);
    sumLanes = valueLanes = oddLines(paddedWidth);
  }
  rowLanes = oddLines(paddedDepth);
  weightLanes = oddLines(keyBlock / kPairDepth);
  return success();
}
