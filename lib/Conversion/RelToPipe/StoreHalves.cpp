//===- StoreHalves.cpp - Relations that are only read as bf16 -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A level that multiplies pairs of bf16 rounds the operands of its products. What
// nothing else reads it can as well round where it is stored: the same bits, half
// the bytes. Levels that decode keep such relations in f32, so their type stays,
// and the kernels that write and read them say so in attributes.
//
//===----------------------------------------------------------------------===//

#include "joinery/Conversion/Conversion.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Conversion/RelToPipe/RoundedOperands.h"
#include "lib/Plan/Contraction.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// True if pairs along `columns` are whole lanes of 32 bits: of all strides only
/// that of one of these columns is odd, and it is 1.
static bool holdsLanes(Value value, ArrayRef<Column> columns) {
  plan::View view = plan::storedViewOf(value);
  auto offset = plan::viewOffset(view, cast<RelType>(view.base.getType()));
  auto size = plan::product(columns).asConst();
  if (!offset || !size || *size % kPairDepth)
    return false;
  int64_t odd = 0;
  for (const auto &[monomial, coefficient] : offset->terms()) {
    if (coefficient % kPairDepth == 0)
      continue;
    bool along = monomial.size() == 1 && coefficient == 1 &&
                 llvm::any_of(columns, [&, &monomial = monomial](Column column) {
                   auto extent = column.getExtent().asConst();
                   return monomial[0].text == "#" + column.getName().str() &&
                          extent && *extent % kPairDepth == 0;
                 });
    if (!along || ++odd > 1)
      return false;
  }
  return odd == 1;
}

/// The numbers of the kernel's operands that only its products read.
static llvm::SmallDenseSet<unsigned> halfInputs(pipe::KernelOp kernel) {
  llvm::SmallDenseSet<unsigned> found;
  if (!lowering::multipliesPairs(kernel))
    return found;
  SmallVector<RoundedOperand> operands = roundedOperands(kernel);
  // The views that lead to the products; what else reads one of them reads f32.
  llvm::SmallDenseSet<Operation *> views;
  llvm::DenseSet<std::pair<Value, Operation *>> products;
  for (auto &[value, columns, rows, product] : operands) {
    products.insert({value, product});
    for (Operation *op = value.getDefiningOp();
         isa_and_nonnull<RekeyOp, UnpackOp>(op);
         op = op->getOperand(0).getDefiningOp())
      views.insert(op);
  }
  auto onlyViews = [&](Value value) {
    return llvm::all_of(value.getUsers(), [&](Operation *user) {
      return views.contains(user) || products.contains({value, user});
    });
  };
  for (auto &[value, columns, rows, product] : operands) {
    auto argument = dyn_cast<BlockArgument>(plan::storedBase(value));
    if (argument &&
        cast<RelType>(argument.getType()).getElementType().isF32())
      found.insert(argument.getArgNumber());
  }
  for (auto &[value, columns, rows, product] : operands) {
    auto argument = dyn_cast<BlockArgument>(plan::storedBase(value));
    if (!argument)
      continue;
    bool fits = holdsLanes(value, columns) && onlyViews(argument);
    for (Value at = value; fits && at != argument;
         at = at.getDefiningOp()->getOperand(0))
      fits = onlyViews(at);
    if (!fits)
      found.erase(argument.getArgNumber());
  }
  return found;
}

void joinery::storeHalves(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  SymbolTable table(module);
  auto kernelOf = [&](pipe::RunOp run) {
    return table.lookup<pipe::KernelOp>(run.getKernel());
  };
  // Results and operands of kernels that may be halves in all their runs.
  llvm::SetVector<Operation *> results;
  llvm::DenseMap<Operation *, llvm::SmallDenseSet<unsigned>> inputs;
  for (auto kernel : module.getOps<pipe::KernelOp>()) {
    inputs[kernel] = halfInputs(kernel);
    auto yield = cast<pipe::YieldOp>(kernel.getBody().front().getTerminator());
    auto stored = cast<RelType>(yield.getValue().getType());
    if (lowering::multipliesPairs(kernel) && stored.getElementType().isF32())
      results.insert(kernel);
  }
  // What comes from the border or from a table is stored as it is.
  for (auto run : function.getBody().front().getOps<pipe::RunOp>())
    for (OpOperand &input : run->getOpOperands())
      if (!input.get().getDefiningOp<pipe::RunOp>())
        inputs[kernelOf(run)].erase(input.getOperandNumber());
  // Both ends of a run's result must agree; what one drops the other drops.
  for (bool changed = true; changed;) {
    changed = false;
    for (auto run : function.getBody().front().getOps<pipe::RunOp>()) {
      pipe::KernelOp kernel = kernelOf(run);
      bool half = results.contains(kernel) && !run.getResult().use_empty();
      for (OpOperand &use : run.getResult().getUses()) {
        auto reader = dyn_cast<pipe::RunOp>(use.getOwner());
        half = half && reader &&
               inputs[kernelOf(reader)].contains(use.getOperandNumber());
      }
      if (half)
        continue;
      changed |= results.remove(kernel);
      for (OpOperand &use : run.getResult().getUses())
        if (auto reader = dyn_cast<pipe::RunOp>(use.getOwner()))
          changed |= inputs[kernelOf(reader)].erase(use.getOperandNumber());
    }
  }
  Builder b(module.getContext());
  for (auto kernel : module.getOps<pipe::KernelOp>()) {
    if (results.contains(kernel))
      kernel->setAttr(lowering::kHalfResult, b.getUnitAttr());
    SmallVector<int64_t> numbers(inputs[kernel].begin(), inputs[kernel].end());
    llvm::sort(numbers);
    if (!numbers.empty())
      kernel->setAttr(lowering::kHalfInputs, b.getDenseI64ArrayAttr(numbers));
  }
}
