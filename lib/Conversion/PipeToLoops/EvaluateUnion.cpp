//===- EvaluateUnion.cpp - The value of a union ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A union is evaluated part by part under conditions on its key, or as the only
// part that the key can lie in. So the lane's loop is split where the parts of
// unions over the lane end: statistics of a part leave its loop, and nothing is
// computed for other parts.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

namespace {
struct Part {
  Value input;
  SymExpr first, extent;
};
} // namespace

static SmallVector<Part> partsOf(UnionOp op) {
  SmallVector<Part> parts;
  SymExpr first;
  for (auto [input, size] : llvm::zip(
           op.getInputs(), op.getSizes().getAsValueRange<StringAttr>())) {
    parts.push_back({input, first, *SymExpr::parse(size)});
    first = first + parts.back().extent;
  }
  return parts;
}

std::pair<Value, Keys> KernelEmitter::onlyPart(UnionOp op, const Keys &keys) {
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  std::string column = op.getColumn().str();
  for (const Part &part : partsOf(op)) {
    SymExpr key = (keys.at(column) - part.first).simplify(bounds);
    if (!key.provablyNonNegative(bounds) ||
        !key.provablyLess(part.extent, bounds))
      continue;
    Keys inner = keys;
    inner[column] = key;
    return {part.input, inner};
  }
  return {};
}

Value KernelEmitter::evaluateUnion(UnionOp op, const Keys &keys) {
  if (auto [part, inner] = onlyPart(op, keys); part)
    return evaluate(part, inner);
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  std::string column = op.getColumn().str();
  Value result = arith::ConstantOp::create(
      b, loc, b.getZeroAttr(op.getType().getElementType()));
  SmallVector<Part> parts = partsOf(op);
  for (const Part &part : llvm::reverse(parts)) {
    Keys inner = keys;
    SymExpr shifted = (keys.at(column) - part.first).simplify(bounds);
    inner[column] = shifted;
    auto read = [&] { return evaluate(part.input, inner); };
    Value within = inRange(shifted, part.extent);
    result = within ? guarded(within, result, read) : read();
  }
  return result;
}

void KernelEmitter::findPartEnds(Value relation, const Keys &keys,
                                 std::set<int64_t> &ends) {
  Operation *op = relation.getDefiningOp();
  if (!op || overrides.count(relation.getAsOpaquePointer()))
    return;
  if (isa<JoinOp, SelectOp>(op)) {
    for (Value operand : op->getOperands())
      findPartEnds(operand, keys, ends);
  } else if (auto rekey = dyn_cast<RekeyOp>(op)) {
    findPartEnds(rekey.getInput(), rekeyed(rekey, keys), ends);
  } else if (auto unionOp = dyn_cast<UnionOp>(op)) {
    std::string column = unionOp.getColumn().str();
    for (const Part &part : partsOf(unionOp)) {
      Keys inner = keys;
      inner[column] = keys.at(column) - part.first;
      if (auto shift = (SymExpr::symbol("#lane") - inner[column]).asConst())
        ends.insert(*shift);
      findPartEnds(part.input, inner, ends);
    }
  }
}

std::set<int64_t> KernelEmitter::partEnds(Value relation, const Keys &keys,
                                          int64_t lanes) {
  std::set<int64_t> ends;
  findPartEnds(relation, keys, ends);
  ends.erase(ends.begin(), ends.upper_bound(0));
  ends.erase(ends.lower_bound(lanes), ends.end());
  ends.insert(lanes);
  return ends;
}
