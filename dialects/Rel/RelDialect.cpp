//===- RelDialect.cpp - Registration of the Rel dialect -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/RWMutex.h"

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

/// Optimisers ask for the same few extents and keys over and over.
struct RelDialect::Expressions {
  llvm::sys::RWMutex mutex;
  llvm::DenseMap<mlir::StringAttr, std::unique_ptr<joinery::SymExpr>> known;
};

const joinery::SymExpr &RelDialect::expressionOf(mlir::StringAttr text) {
  const joinery::SymExpr *found = findExpression(text);
  assert(found && "not the text of an expression");
  return *found;
}

const joinery::SymExpr *RelDialect::findExpression(mlir::StringAttr text) {
  {
    llvm::sys::ScopedReader lock(expressions->mutex);
    auto it = expressions->known.find(text);
    if (it != expressions->known.end())
      return it->second.get();
  }
  auto parsed = joinery::SymExpr::parse(text.getValue());
  if (!parsed)
    return nullptr;
  llvm::sys::ScopedWriter lock(expressions->mutex);
  auto &entry = expressions->known[text];
  if (!entry)
    entry = std::make_unique<joinery::SymExpr>(std::move(*parsed));
  return entry.get();
}

void RelDialect::initialize() {
  expressions = std::make_shared<Expressions>();
  registerTypes();
  addInterfaces<RelFoldInterface>();
  addOperations<
#define GET_OP_LIST
#include "dialects/Rel/RelOps.cpp.inc"
      >();
}
