//===- RelOps.td - The operators of the algebra ------------*- tablegen -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_REL_OPS_TD
#define JOINERY_REL_OPS_TD

include "dialects/Rel/RelDialect.td"
include "dialects/Rel/RelTypes.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Rel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Rel_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Stored relations
//===----------------------------------------------------------------------===//

def Rel_TableOp : Rel_Op<"table", [Symbol]> {
  let summary = "A stored relation of the catalog";
  let description = [{
    Names a constant relation. Its values are the bytes
    `[offset, offset + length)` of `file`, row-major in the order of the type's
    columns, little-endian, or the small `value` itself.

    ```mlir
    rel.table @encoder.0.query : !rel.rel<[k: 768, n: 768] x f32>
        from "model.onnx" at 4096 length 2359296
    rel.table @eps : !rel.rel<[i: 2] x f32> = dense<[0.0, 1.0]> : tensor<2xf32>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<Rel_RelType>:$type,
                       OptionalAttr<StrAttr>:$file,
                       OptionalAttr<I64Attr>:$offset,
                       OptionalAttr<I64Attr>:$length,
                       OptionalAttr<ElementsAttr>:$value);
  let assemblyFormat = [{
    $sym_name `:` $type (`from` $file^ `at` $offset `length` $length)?
    (`=` $value^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Rel_ScanOp : Rel_Op<"scan", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Reads a stored relation";
  let description = [{
    The result has the table's columns in the table's order; their names are
    the reader's choice (a scan may rename).
  }];
  let arguments = (ins FlatSymbolRefAttr:$table);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = "$table `:` type($result) attr-dict";
}

//===----------------------------------------------------------------------===//
// Keys
//===----------------------------------------------------------------------===//

def Rel_RangeOp : Rel_Op<"range", [Pure]> {
  let summary = "A relation whose value is its key";
  let description = [{
    ```mlir
    %positions = rel.range : !rel.rel<[s: ?seq] x i64>
    ```
  }];
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = "`:` type($result) attr-dict";
  let hasVerifier = 1;
}

def Rel_RekeyOp : Rel_Op<"rekey", [Pure]> {
  let summary = "Reads a relation at computed keys";
  let description = [{
    For every column of the input, `map` gives the source key as an expression
    over the result's keys (`#name`), with `+ - * floordiv mod`, integers and
    extents (`?name`). Columns that are not named in the map keep their name.
    Where a source key falls outside the input's extent the result is `else`;
    without `else` every source key must be in range.

    ```mlir
    // splits h into heads; merges them again; reads the first token
    %q = rel.rekey %x [h = "16 * #n + #d"]
        : !rel.rel<[s: ?S, h: 64] x f32> -> !rel.rel<[s: ?S, n: 4, d: 16] x f32>
    %y = rel.rekey %q [n = "#h floordiv 16", d = "#h mod 16"] : ...
    %cls = rel.rekey %x [s = "0"] : ... -> !rel.rel<[h: 64] x f32>
    ```
  }];
  let arguments = (ins Rel_RelType:$input, StrArrayAttr:$sources,
                       StrArrayAttr:$exprs, OptionalAttr<TypedAttrInterface>:$otherwise);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $input custom<KeyMap>($sources, $exprs) (`else` $otherwise^)?
    `:` type($input) `->` type($result) attr-dict
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// The source key of the input's column `name`, over the result's keys.
    SymExpr sourceKey(::llvm::StringRef name);
    /// An expression over the input's keys as one over the result's.
    SymExpr overResult(const SymExpr &expr);
    /// True if the map only renames columns.
    bool isRename();
  }];
}

def Rel_LookupOp : Rel_Op<"lookup", [Pure]> {
  let summary = "A join on computed keys";
  let description = [{
    Result key columns are those of the table without the looked-up ones, and
    those of the indices; equal names are joined. A negative index counts from
    the end. Demanded indices must be in range: `proved` says that they are,
    otherwise the check is made at run time.

    ```mlir
    %e = rel.lookup %table[v = %ids] : (!rel.rel<[v: 30522, h: 384] x f32>,
        !rel.rel<[b: ?B, s: ?S] x i64>) -> !rel.rel<[b: ?B, s: ?S, h: 384] x f32>
    ```
  }];
  let arguments = (ins Rel_RelType:$source, Variadic<Rel_RelType>:$indices,
                       StrArrayAttr:$keys, UnitAttr:$proved);
  let results = (outs Rel_RelType:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Joins and aggregates
//===----------------------------------------------------------------------===//

def Rel_JoinOp : Rel_Op<"join", [Pure, SingleBlock]> {
  let summary = "Natural join; the values are combined by a scalar region";
  let description = [{
    The result's columns are the union of the operands' columns; equal names
    must have equal extents. With one operand it is a map, with none a constant.

    ```mlir
    %p = rel.join %q, %k : (!rel.rel<[s: ?S, d: 64] x f32>,
        !rel.rel<[t: ?S, d: 64] x f32>) -> !rel.rel<[s: ?S, t: ?S, d: 64] x f32> {
    ^bb0(%a: f32, %b: f32):
      %0 = arith.mulf %a, %b : f32
      rel.yield %0 : f32
    }
    ```
  }];
  let arguments = (ins Variadic<Rel_RelType>:$inputs);
  let results = (outs Rel_RelType:$result);
  let regions = (region SizedRegion<1>:$body);
  let builders = [
    OpBuilder<(ins "::mlir::ValueRange":$inputs, "::mlir::Type":$elementType,
      "::llvm::function_ref<::mlir::Value(::mlir::OpBuilder &, ::mlir::Location, ::mlir::ValueRange)>":$body)>
  ];
  let assemblyFormat = [{
    $inputs `:` functional-type($inputs, $result) $body attr-dict
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// The columns of the natural join of `inputs`: in the order of first
    /// appearance.
    static ::llvm::SmallVector<Column> joinColumns(::mlir::ValueRange inputs);
  }];
}

def Rel_YieldOp : Rel_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "The value of a scalar region";
  let arguments = (ins AnyType:$value);
  let assemblyFormat = "$value `:` type($value) attr-dict";
}

def Rel_Sum : I32EnumAttrCase<"Sum", 0, "sum">;
def Rel_Prod : I32EnumAttrCase<"Prod", 1, "prod">;
def Rel_Max : I32EnumAttrCase<"Max", 2, "max">;
def Rel_Min : I32EnumAttrCase<"Min", 3, "min">;
def Rel_Any : I32EnumAttrCase<"Any", 4, "any">;
def Rel_All : I32EnumAttrCase<"All", 5, "all">;
def Rel_ArgMax : I32EnumAttrCase<"ArgMax", 6, "argmax">;
def Rel_ArgMin : I32EnumAttrCase<"ArgMin", 7, "argmin">;
def Rel_SoftmaxSum : I32EnumAttrCase<"SoftmaxSum", 8, "softmax_sum">;
def Rel_Monoid : I32EnumAttr<"Monoid", "A commutative monoid over values and keys", [
    Rel_Sum, Rel_Prod, Rel_Max, Rel_Min, Rel_Any, Rel_All, Rel_ArgMax,
    Rel_ArgMin, Rel_SoftmaxSum]> {
  let cppNamespace = "::joinery::rel";
}

def Rel_AggregateOp : Rel_Op<"aggregate", [Pure]> {
  let summary = "Folds columns with a commutative monoid";
  let description = [{
    `sum prod max min` keep the element type, `any all` fold i1, `argmax argmin`
    give the i64 key (one column; ties: the smallest key). An empty column gives
    the identity (argmax: 0).

    `softmax_sum` is the streaming aggregate over pairs (score, value) with the
    state (m, z, acc): it gives sum(exp(score - m) * value) / z over the folded
    columns, m their greatest score, z = sum(exp(score - m)); 0 where every
    score is -inf (Milakov & Gimelshein 2018, arXiv:1805.02867). Columns of the
    value that the score lacks, and the reverse, are kept.

    `mask = c` remembers that keys are -inf for which the model adds c, or that
    have c instead of their score (`fills`). It is an error where the greatest
    score of the keys that are left is at most c / 2: the others would count.

    ```mlir
    %s = rel.aggregate sum %p over [d]
        : (!rel.rel<[s: ?S, t: ?S, d: 64] x f32>) -> !rel.rel<[s: ?S, t: ?S] x f32>
    ```
  }];
  let arguments = (ins Rel_Monoid:$monoid, Variadic<Rel_RelType>:$inputs,
                       StrArrayAttr:$over, OptionalAttr<F64Attr>:$mask,
                       UnitAttr:$fills);
  let results = (outs Rel_RelType:$result);
  let builders = [
    OpBuilder<(ins "Monoid":$monoid, "::mlir::ValueRange":$inputs,
                   "::llvm::ArrayRef<::llvm::StringRef>":$over)>,
    OpBuilder<(ins "::mlir::Type":$result, "Monoid":$monoid,
                   "::mlir::ValueRange":$inputs, "::mlir::ArrayAttr":$over)>
  ];
  let assemblyFormat = [{
    $monoid $inputs `over` custom<ColumnList>($over)
    `:` functional-type($inputs, $result) attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    bool folds(::llvm::StringRef column);
    /// The greatest score of a row must be greater, if `mask` is set.
    std::optional<double> leastPeak();
    /// What `mask` and `fills` are.
    void copyMask(AggregateOp from);
  }];
}

//===----------------------------------------------------------------------===//
// Supports
//===----------------------------------------------------------------------===//

def Rel_SelectOp : Rel_Op<"select", [Pure]> {
  let summary = "Restricts the support: elsewhere the relation is its default";
  let description = [{
    ```mlir
    %kept = rel.select %scores where %mask else 0xFF800000 : f32 : (...) -> ...
    ```
    The result's columns are the union of the operands' columns.
  }];
  let arguments = (ins Rel_RelType:$input, Rel_RelType:$where,
                       TypedAttrInterface:$otherwise);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $input `where` $where `else` $otherwise
    `:` functional-type(operands, $result) attr-dict
  }];
  let hasVerifier = 1;
}

def Rel_UnionOp : Rel_Op<"union", [Pure]> {
  let summary = "Disjoint union along one column";
  let description = [{
    Operand i holds the keys [o_i, o_i + sizes_i) of the column, where o_i is
    the sum of the sizes before it. An operand that lacks the column is constant
    along it.

    ```mlir
    %x = rel.union over s(%cls, %patches) sizes ["1", "16"]
        : (!rel.rel<[h: 48] x f32>, !rel.rel<[s: 16, h: 48] x f32>)
        -> !rel.rel<[s: 17, h: 48] x f32>
    ```
  }];
  let arguments = (ins StrAttr:$column, Variadic<Rel_RelType>:$inputs,
                       StrArrayAttr:$sizes);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    `over` custom<ColumnName>($column) `(` $inputs `)` `sizes` $sizes
    `:` functional-type($inputs, $result) attr-dict
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Packed rows
//===----------------------------------------------------------------------===//

def Rel_RankOp : Rel_Op<"rank", [Pure]> {
  let summary = "How many keys are kept before each key";
  let description = [{
    The keys of `where` are numbered in lexicographic order of the columns
    `over`; the result at i is the number of kept keys below number i. Its last
    value is the number of all kept keys: key number i is kept if the value at
    i + 1 is greater than that at i.

    ```mlir
    %rank = rel.rank %mask over [b, s]
        : <[b: ?B, s: ?S] x i1> -> <[i: "?B * ?S + 1"] x i64>
    ```
  }];
  let arguments = (ins Rel_RelType:$where, StrArrayAttr:$over);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $where `over` custom<ColumnList>($over)
    `:` type($where) `->` type($result) attr-dict
  }];
  let hasVerifier = 1;
}

def Rel_EnumerateOp : Rel_Op<"enumerate", [Pure]> {
  let summary = "The numbers of the kept keys, in order";
  let description = [{
    The inverse of a rank: at r the number of the kept key with r kept keys
    below it. The extent of the result's column is a symbol of its own: the
    number of kept keys, known when the rank is.

    ```mlir
    %rows = rel.enumerate %rank
        : <[i: "?B * ?S + 1"] x i64> -> <[r: ?rows] x i64>
    ```
  }];
  let arguments = (ins Rel_RelType:$rank);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = "$rank `:` type($rank) `->` type($result) attr-dict";
  let hasVerifier = 1;
}

def Rel_PackOp : Rel_Op<"pack", [Pure]> {
  let summary = "A relation at the kept keys only, one packed row for each";
  let description = [{
    The columns `over`, whose extents are `sizes`, become the one column of
    `rows`: the result at r is the input at the digits of rows(r). The input may
    lack some of the columns.

    ```mlir
    %p = rel.pack %x by %rows over [b, s] sizes ["?B", "?S"]
        : (<[b: ?B, s: ?S, h: 48] x f32>, <[r: ?rows] x i64>)
        -> <[r: ?rows, h: 48] x f32>
    ```
  }];
  let arguments = (ins Rel_RelType:$input, Rel_RelType:$rows,
                       StrArrayAttr:$over, StrArrayAttr:$sizes);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $input `by` $rows `over` custom<ColumnList>($over) `sizes` $sizes
    `:` functional-type(operands, $result) attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The key of each column of `over` that row number `flat` stands for.
    ::llvm::SmallVector<SymExpr> digits(const SymExpr &flat);
    /// The name of the packed column.
    ::llvm::StringRef row();
  }];
}

def Rel_UnpackOp : Rel_Op<"unpack", [Pure]> {
  let summary = "A packed relation at all keys; its default at those dropped";
  let description = [{
    The inverse of a pack: the column `row` becomes the columns `over`, whose
    extents are `sizes`. `rank` says which keys are kept.

    ```mlir
    %x = rel.unpack %p of r by %rank over [b, s] sizes ["?B", "?S"]
        else 0.0 : f32 : (<[r: ?rows, h: 48] x f32>, <[i: "?B * ?S + 1"] x i64>)
        -> <[b: ?B, s: ?S, h: 48] x f32>
    ```
  }];
  let arguments = (ins Rel_RelType:$input, Rel_RelType:$rank, StrAttr:$row,
                       StrArrayAttr:$over, StrArrayAttr:$sizes,
                       TypedAttrInterface:$otherwise);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $input `of` custom<ColumnName>($row) `by` $rank
    `over` custom<ColumnList>($over) `sizes` $sizes `else` $otherwise
    `:` functional-type(operands, $result) attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The number of the key that `keyOf` gives for each column of `over`.
    SymExpr flat(::llvm::function_ref<SymExpr(::llvm::StringRef)> keyOf);
  }];
}

//===----------------------------------------------------------------------===//
// Physical design
//===----------------------------------------------------------------------===//

def Rel_MaterializeOp : Rel_Op<"materialize", [Pure]> {
  let summary = "A pipeline breaker: the relation is stored with this layout";
  let description = [{
    Set by `plan`. The result's type carries the layout; `algorithm` says how
    the pipeline that ends here is executed, and `reason` why (for `explain`).
  }];
  let arguments = (ins Rel_RelType:$input, StrAttr:$algorithm,
                       OptionalAttr<DictionaryAttr>:$design);
  let results = (outs Rel_RelType:$result);
  let assemblyFormat = [{
    $input `by` $algorithm ($design^)? `:` type($input) `->` type($result) attr-dict
  }];
  let hasVerifier = 1;
}

#endif
