//===- Fuse.cpp - Pipelines become kernels --------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Conversion/Conversion.h"
#include "lib/Conversion/RelToPipe/CanonicalKey.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// The operations between `breaker` and the stored values that it depends on,
/// in program order, and those stored values.
static void collectPipeline(MaterializeOp breaker,
                            SmallVectorImpl<Operation *> &ops,
                            llvm::SetVector<Value> &leaves) {
  llvm::SmallDenseSet<Operation *> seen;
  SmallVector<Operation *> work{breaker};
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    if (!seen.insert(op).second)
      continue;
    ops.push_back(op);
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (producer && !isa<MaterializeOp, pipe::RunOp>(producer))
        work.push_back(producer);
    }
  }
  llvm::sort(ops, [](Operation *a, Operation *b) {
    return a->isBeforeInBlock(b);
  });
  for (Operation *op : ops)
    for (Value operand : op->getOperands())
      if (!seen.contains(operand.getDefiningOp()))
        leaves.insert(operand);
}

/// The node of the softmax that the operation is a part of: its weighted sum is
/// named outside, the softmax itself inside (see StreamSoftmax).
static std::string softmaxNode(Location loc) {
  auto name = dyn_cast<NameLoc>(loc);
  std::string inner = name ? nodeName(name.getChildLoc()) : "";
  return inner.empty() ? nodeName(loc) : inner;
}

namespace {
/// A kernel and the runs of it, each with its constants where the kernel uses some.
struct SharedKernel {
  pipe::KernelOp kernel;
  SmallVector<OpOperand *> uses;
  SmallVector<pipe::RunOp> runs;
  SmallVector<SmallVector<TypedAttr>> values;
};
} // namespace

/// A constant that is not the same in all runs is an argument: layers of a
/// quantised model differ in their scales and zero points.
static void passConstants(SharedKernel &shared) {
  OpBuilder b(shared.kernel.getContext());
  Block &body = shared.kernel.getBody().front();
  // Constants that are equal in each run are one argument.
  std::map<SmallVector<const void *>, Value> arguments;
  for (auto [i, use] : llvm::enumerate(shared.uses)) {
    SmallVector<const void *> key;
    for (const auto &values : shared.values)
      key.push_back(values[i].getAsOpaquePointer());
    if (llvm::all_equal(key))
      continue;
    Operation *constant = use->get().getDefiningOp();
    Location loc = constant->getLoc();
    Type element = use->get().getType();
    Value &argument = arguments[key];
    if (!argument) {
      RelType scalar =
          RelType::get({}, element).withLayout(b.getArrayAttr({}));
      argument = body.addArgument(scalar, loc);
      for (auto [run, values] : llvm::zip(shared.runs, shared.values)) {
        b.setInsertionPoint(run);
        Value value = JoinOp::create(
            b, loc, ValueRange{}, element,
            [&](OpBuilder &inner, Location, ValueRange) -> Value {
              return arith::ConstantOp::create(inner, loc, values[i]);
            });
        value = MaterializeOp::create(b, loc, scalar, value,
                                      b.getStringAttr("table"),
                                      DictionaryAttr());
        run.getInputsMutable().append(value);
      }
    }
    auto join = cast<JoinOp>(use->getOwner()->getParentOp());
    auto known = llvm::find(join.getInputs(), argument);
    unsigned operand = known - join.getInputs().begin();
    if (known == join.getInputs().end()) {
      join.getInputsMutable().append(argument);
      join.getBody().addArgument(element, loc);
    }
    use->set(join.getBody().getArgument(operand));
    if (constant->use_empty())
      constant->erase();
  }
}

LogicalResult joinery::fusePipelines(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  if (!function)
    return module.emitError("there is no function @main to fuse");
  OpBuilder b(module.getContext());
  std::map<std::string, unsigned> numbers;
  std::vector<SharedKernel> kernels;
  SmallVector<MaterializeOp> breakers;
  for (Operation &op : function.getBody().front())
    if (auto breaker = dyn_cast<MaterializeOp>(op);
        breaker && breaker.getAlgorithm() != "table")
      breakers.push_back(breaker);
  for (MaterializeOp breaker : breakers) {
    SmallVector<Operation *> ops;
    llvm::SetVector<Value> leaves;
    collectPipeline(breaker, ops, leaves);
    b.setInsertionPoint(function);
    std::string name = "k" + std::to_string(kernels.size());
    auto kernel = pipe::KernelOp::create(
        b, breaker.getLoc(), name, breaker.getAlgorithm(),
        breaker.getDesignAttr());
    Block *body = b.createBlock(&kernel.getBody());
    IRMapping mapping;
    for (Value leaf : leaves)
      mapping.map(leaf, body->addArgument(leaf.getType(), leaf.getLoc()));
    b.setInsertionPointToEnd(body);
    for (Operation *op : ops)
      b.clone(*op, mapping);
    pipe::YieldOp::create(b, breaker.getLoc(),
                          mapping.lookup(breaker.getResult()));
    SmallVector<OpOperand *> uses;
    auto [it, fresh] =
        numbers.try_emplace(canonicalKey(kernel, uses), kernels.size());
    SmallVector<TypedAttr> values;
    for (OpOperand *use : uses)
      values.push_back(use->get().getDefiningOp<arith::ConstantOp>().getValue());
    if (fresh)
      kernels.push_back({kernel, uses, {}, {}});
    else
      kernel.erase();
    SharedKernel &shared = kernels[it->second];
    b.setInsertionPoint(breaker);
    auto run = pipe::RunOp::create(b, breaker.getLoc(), breaker.getType(),
                                   shared.kernel.getSymName(),
                                   leaves.getArrayRef());
    shared.runs.push_back(run);
    shared.values.push_back(std::move(values));
    // Layers share the kernel and its check, not the node.
    for (Operation *op : ops)
      if (auto fold = dyn_cast<AggregateOp>(op); fold && fold.getMask())
        run->setAttr(kMaskNode, b.getStringAttr(softmaxNode(op->getLoc())));
    breaker.replaceAllUsesWith(run.getResult());
    breaker.erase();
  }
  for (SharedKernel &shared : kernels)
    passConstants(shared);
  // What was only read inside pipelines is dead now.
  for (Operation &op : llvm::make_early_inc_range(
           llvm::reverse(function.getBody().front())))
    if (op.getNumResults() && op.use_empty() && !isa<pipe::RunOp>(op))
      op.erase();
  return success();
}

llvm::SmallVector<DefinedSymbol> joinery::definedSymbols(func::FuncOp function) {
  SymbolTableCollection tables;
  llvm::DenseMap<Value, std::string> enumerated;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>()) {
    auto kernel = tables.lookupNearestSymbolFrom<pipe::KernelOp>(
        run, run.getKernelAttr());
    auto yield = cast<pipe::YieldOp>(kernel.getBody().front().getTerminator());
    auto stored = yield.getValue().getDefiningOp<MaterializeOp>();
    if (!stored || !stored.getInput().getDefiningOp<EnumerateOp>())
      continue;
    auto type = cast<RelType>(run.getType());
    enumerated[run.getInputs()[0]] =
        type.getColumns()[0].getExtent().asSymbol()->substr(1);
  }
  SmallVector<DefinedSymbol> symbols;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>())
    if (auto it = enumerated.find(run.getResult()); it != enumerated.end()) {
      auto rank = cast<RelType>(run.getType());
      symbols.push_back(
          {it->second, rank.getColumns()[0].getExtent() - SymExpr(1), run});
    }
  return symbols;
}
