//===- Tables.h - Stored relations as nodes ---------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_INTERP_TABLES_H
#define JOINERY_LIB_INTERP_TABLES_H

#include "Nodes.h"

namespace joinery::interp {

/// A relation held in memory.
std::unique_ptr<Node> makeDense(Machine &machine, Relation relation,
                                mlir::Type element);

/// A table's bytes in place, or the elements of its attribute.
mlir::FailureOr<std::unique_ptr<Node>> makeScan(Machine &machine,
                                                rel::ScanOp scan);

} // namespace joinery::interp

#endif // JOINERY_LIB_INTERP_TABLES_H
