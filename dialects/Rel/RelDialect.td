//===- RelDialect.td - The relational tensor algebra -------*- tablegen -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_REL_DIALECT_TD
#define JOINERY_REL_DIALECT_TD

include "mlir/IR/OpBase.td"

def Rel_Dialect : Dialect {
  let name = "rel";
  let cppNamespace = "::joinery::rel";
  let summary = "Tensors as relations of keyed scalars";
  let description = [{
    A relation is a total function from key tuples (integers) to one scalar.
    Its type names its columns; columns match by name, never by position. A
    contraction exists only as a join followed by an aggregate.

    Models are functions over relations. Argument and result attributes say how
    a relation looks at the border: `rel.name` (the ONNX name), `rel.shape`
    (one extent per ONNX dimension) and `rel.dims` (per ONNX dimension the
    ordered list of columns it consists of; an empty list for a dimension that
    the relation does not depend on).
  }];
  let useDefaultTypePrinterParser = 1;
  let extraClassDeclaration = [{
    /// The expression that an attribute holds the text of: parsed once in a
    /// context, valid as long as that lives. Any thread may ask.
    const SymExpr &expressionOf(::mlir::StringAttr text);
    /// The same for text that may be malformed, for which it is null.
    const SymExpr *findExpression(::mlir::StringAttr text);

  private:
    void registerTypes();
    struct Expressions;
    std::shared_ptr<Expressions> expressions;

  public:
  }];
}

#endif
