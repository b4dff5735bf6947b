//===- RelTypes.td - The relation type ---------------------*- tablegen -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_REL_TYPES_TD
#define JOINERY_REL_TYPES_TD

include "dialects/Rel/RelDialect.td"
include "mlir/IR/AttrTypeBase.td"

def Rel_RelType : TypeDef<Rel_Dialect, "Rel"> {
  let mnemonic = "rel";
  let summary = "A relation: named key columns and one scalar payload";
  let description = [{
    ```
    !rel.rel<[b: ?batch, s: ?seq, h: 384] x f32>
    !rel.rel<[s: "?seq + 1"] x i64>
    !rel.rel<[k: 768, n: 3072] x f32, ["n/48", "k", "n%48"]>
    !rel.rel<[k: 768, n: 3072] x bf16, ["n/48", "k/2", "n%48", "k%2"]>
    ```
    An extent is an integer, a symbol (`?name`), or a quoted polynomial over
    symbols. The order of columns is the order of the default storage layout and
    carries no meaning otherwise. After `plan` a materialised relation also has
    a physical layout: the digits of its columns from the slowest to the fastest
    varying, where `n/48` is the number of the 48-wide panel and `n%48` the lane
    in it; panels are zero-padded. A column is one digit or two such. The last
    example holds pairs along `k`: the two bf16 of one 32-bit lane.
  }];
  let parameters = (ins
    ArrayRefParameter<"Column">:$columns,
    "::mlir::Type":$elementType,
    OptionalParameter<"::mlir::ArrayAttr">:$layout);
  let builders = [
    TypeBuilderWithInferredContext<(ins "::llvm::ArrayRef<Column>":$columns,
                                        "::mlir::Type":$elementType), [{
      return $_get(elementType.getContext(), columns, elementType,
                   ::mlir::ArrayAttr());
    }]>
  ];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The position of the column named `name`, or -1.
    int64_t find(::llvm::StringRef name) const;
    bool has(::llvm::StringRef name) const { return find(name) >= 0; }
    /// The extent of the column named `name`, which must exist.
    const SymExpr &extentOf(::llvm::StringRef name) const;
    /// The same relation type with other columns (and no layout).
    RelType withColumns(::llvm::ArrayRef<Column> columns) const;
    RelType withElementType(::mlir::Type type) const;
    RelType withLayout(::mlir::ArrayAttr layout) const;
    /// True if every extent is a number.
    bool isStatic() const;
    /// The product of all extents.
    SymExpr size() const;
  }];
}

#endif
