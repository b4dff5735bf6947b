//===- SymExprQuotients.h - Inequalities without floordiv -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_DIALECTS_REL_SYMEXPRQUOTIENTS_H
#define JOINERY_DIALECTS_REL_SYMEXPRQUOTIENTS_H

#include "SymExpr.h"

namespace joinery {

/// What is at least 0 exactly where `expr` is, with the quotients by constants
/// multiplied out that are terms of their own, outermost first: of
/// `((S - 10) floordiv 5) floordiv 4 - 1` remains `S - 30`.
SymExpr withoutQuotients(const SymExpr &expr);

} // namespace joinery

#endif // JOINERY_DIALECTS_REL_SYMEXPRQUOTIENTS_H
