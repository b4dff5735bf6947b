//===- RoundedOperands.cpp - What products of bf16 read -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/RelToPipe/RoundedOperands.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Plan/Attention.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

SmallVector<RoundedOperand> joinery::roundedOperands(pipe::KernelOp kernel) {
  SmallVector<RoundedOperand> operands;
  for (Operation &op : kernel.getBody().front()) {
    if (kernel.getAlgorithm() == "attention") {
      if (auto form = plan::matchAttention(&op, [](Value) { return false; }))
        operands = {
            {form->query, form->scores.k, form->s, form->scores.join},
            {form->key, form->scores.k, form->t, form->scores.join},
            {form->weighted, form->d, form->t, form->softmax}};
    } else if (auto match = plan::matchContraction(&op)) {
      if (lowering::hasPanels(match->left))
        match->swapSides();
      if (!lowering::hasPanels(match->right))
        continue;
      Value panels = plan::tableViewOf(match->right).base;
      operands.clear();
      if (cast<RelType>(panels.getType()).getElementType().isBF16())
        operands.push_back(
            {match->left, match->k, match->leftFree, match->join});
    }
  }
  return operands;
}
