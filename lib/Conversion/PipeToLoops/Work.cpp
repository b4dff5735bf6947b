//===- Work.cpp - What a run of a kernel computes and moves ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Work.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Contraction.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// The lesser of two numbers of elements; a divisor of the other is less.
static SymExpr least(const SymExpr &a, const SymExpr &b) {
  if (a == b || b.exactDiv(a))
    return a;
  if (a.exactDiv(b))
    return b;
  return SymExpr::min(a, b);
}


static int64_t bytesOf(Type element) {
  return std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8);
}

KernelWork lowering::workOf(pipe::KernelOp kernel, const Isa &level,
                            ArrayRef<Value> without) {
  Block &body = kernel.getBody().front();
  KernelWork work;
  // Elements of each relation that its users need; of an operand, the sum over
  // its views, which see different parts of it.
  llvm::DenseMap<Value, SymExpr> demand;
  auto need = [&](Value value, const SymExpr &elements) {
    if (llvm::is_contained(without, value))
      return;
    SymExpr most = least(elements, cast<RelType>(value.getType()).size());
    auto [it, fresh] = demand.try_emplace(value, most);
    if (fresh)
      return;
    it->second = isa<BlockArgument>(value) ? it->second + most
                                           : SymExpr::max(it->second, most);
  };
  for (Operation &op : llvm::reverse(body)) {
    if (auto yield = dyn_cast<pipe::YieldOp>(op)) {
      auto stored = cast<RelType>(yield.getValue().getType());
      need(yield.getValue(), stored.size());
      continue;
    }
    if (op.getNumResults() != 1 || !demand.count(op.getResult(0)))
      continue;
    SymExpr elements = demand.lookup(op.getResult(0));
    if (auto aggregate = dyn_cast<AggregateOp>(op)) {
      for (Attribute column : aggregate.getOver())
        for (Value input : aggregate.getInputs())
          if (auto type = cast<RelType>(input.getType());
              type.has(cast<StringAttr>(column))) {
            elements = elements * type.extentOf(cast<StringAttr>(column));
            break;
          }
      if (plan::matchContraction(&op) ||
          aggregate.getMonoid() == Monoid::SoftmaxSum)
        work.flops = work.flops + elements * SymExpr(2);
    }
    for (Value operand : op.getOperands())
      need(operand, elements);
  }
  for (BlockArgument argument : body.getArguments()) {
    auto type = cast<RelType>(argument.getType());
    auto it = demand.find(argument);
    SymExpr elements =
        it == demand.end() ? SymExpr(0) : least(it->second, type.size());
    int64_t bytes = isHalf(kernel, level, argument.getArgNumber())
                        ? kHalfBytes
                        : bytesOf(type.getElementType());
    work.bytes.push_back(elements * SymExpr(bytes));
  }
  auto stored = cast<RelType>(
      cast<pipe::YieldOp>(body.getTerminator()).getValue().getType());
  int64_t bytes = hasHalfResult(kernel, level)
                      ? kHalfBytes
                      : bytesOf(stored.getElementType());
  work.bytes.push_back(stored.size() * SymExpr(bytes));
  return work;
}
