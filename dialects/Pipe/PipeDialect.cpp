//===- PipeDialect.cpp - The Pipe dialect ---------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Pipe/Pipe.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::pipe;

#include "dialects/Pipe/PipeDialect.cpp.inc"

void PipeDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Pipe/PipeOps.cpp.inc"
      >();
}

LogicalResult KernelOp::verify() {
  Block &block = getBody().front();
  for (BlockArgument argument : block.getArguments()) {
    auto type = dyn_cast<rel::RelType>(argument.getType());
    if (!type || !type.getLayout())
      return emitOpError("operand ")
             << argument.getArgNumber() << " is not a stored relation";
  }
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield || !yield.getValue().getType().getLayout())
    return emitOpError("ends in pipe.yield of a relation with a layout");
  return success();
}

LogicalResult RunOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto kernel =
      symbolTable.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError() << "there is no kernel " << getKernelAttr();
  if (kernel.getBody().getNumArguments() != getInputs().size())
    return emitOpError("passes ")
           << getInputs().size() << " relations to a kernel of "
           << kernel.getBody().getNumArguments();
  return success();
}

#define GET_OP_CLASSES
#include "dialects/Pipe/PipeOps.cpp.inc"
