//===- Rel.h - The relational tensor algebra --------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_DIALECTS_REL_REL_H
#define JOINERY_DIALECTS_REL_REL_H

#include "dialects/Rel/SymExpr.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace joinery::rel {

/// A key column: its name and its extent (the canonical text of a SymExpr).
struct Column {
  mlir::StringAttr name;
  mlir::StringAttr extent;

  Column() = default;
  Column(mlir::StringAttr name, mlir::StringAttr extent)
      : name(name), extent(extent) {}
  Column(mlir::MLIRContext *context, llvm::StringRef name,
         const SymExpr &extent);

  llvm::StringRef getName() const { return name.getValue(); }
  const SymExpr &getExtent() const;
  bool operator==(const Column &other) const {
    return name == other.name && extent == other.extent;
  }
};

inline llvm::hash_code hash_value(const Column &column) {
  return llvm::hash_combine(column.name, column.extent);
}

} // namespace joinery::rel

#include "dialects/Rel/RelDialect.h.inc"
#include "dialects/Rel/RelEnums.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/Rel/RelTypes.h.inc"

#define GET_OP_CLASSES
#include "dialects/Rel/RelOps.h.inc"

#endif // JOINERY_DIALECTS_REL_REL_H
