//===- RelDialect.cpp - Registration of the Rel dialect -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace joinery::rel;

namespace {
/// Constants that folding makes in a scalar region stay in it: a region reads
/// nothing from outside.
struct RelFoldInterface : mlir::DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(mlir::Region *region) const override {
    return mlir::isa<JoinOp>(region->getParentOp());
  }
};
} // namespace

#include "dialects/Rel/RelDialect.cpp.inc"
#include "dialects/Rel/RelEnums.cpp.inc"

void RelDialect::initialize() {
  registerTypes();
  addInterfaces<RelFoldInterface>();
  addOperations<
#define GET_OP_LIST
#include "dialects/Rel/RelOps.cpp.inc"
      >();
}
