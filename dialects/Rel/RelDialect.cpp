//===- RelDialect.cpp - Registration of the Rel dialect -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace joinery::rel;

#include "dialects/Rel/RelDialect.cpp.inc"
#include "dialects/Rel/RelEnums.cpp.inc"

void RelDialect::initialize() {
  registerTypes();
  addOperations<
#define GET_OP_LIST
#include "dialects/Rel/RelOps.cpp.inc"
      >();
}
