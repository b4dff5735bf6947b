//===- Importer.h - What the operator importers share -----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An ONNX tensor becomes a relation and a view of it: for each ONNX dimension
// the ordered columns that it consists of. Transpose, Unsqueeze, Expand and
// most Reshapes change only the view. Integer tensors that depend on shapes and
// keys alone are kept as polynomials and never become relations unless a value
// of the model reads them.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_IMPORTER_H
#define JOINERY_LIB_IMPORT_ONNX_IMPORTER_H

#include "Graph.h"
#include "dialects/Rel/Rel.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallVector.h"
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace joinery::onnx_import {

/// One ONNX dimension. Its columns are digits, the slowest first; their extents
/// multiply to `extent`. Without columns the relation is constant along the
/// dimension (extent 1, or broadcast by Expand). The relation may lack single
/// digits, too: it is constant along them. Within one import a column name has
/// one extent, whichever relation it occurs in.
struct Dim {
  SymExpr extent;
  llvm::SmallVector<std::string, 2> columns;
};
using Dims = llvm::SmallVector<Dim, 4>;

/// What is known of one ONNX tensor. At least one of `relation`, `elements`,
/// `poly`, `constant` and `parts` is set; Importer::relation() gives the
/// relation of any.
struct Tensor {
  int onnxType = 0; // onnx::TensorProto::DataType
  Dims dims;
  mlir::Value relation;
  /// Every element in row-major order, over symbols (shape tensors).
  std::optional<std::vector<SymExpr>> elements;
  /// The element at the keys of the columns in `dims`, over keys and symbols
  /// (index grids, position ids). Integer and bool tensors only.
  std::optional<SymExpr> poly;
  /// A stored tensor (initialiser or Constant): its rel.table.
  mlir::Operation *constant = nullptr;
  /// The value of a one-element tensor of floats that constants alone decide:
  /// exporters compute sizes with floats, too.
  std::optional<double> number;
  /// A stack of tensors along the last dimension, one per index (the index
  /// tuples of GatherND). They have the other dimensions of this tensor.
  std::vector<Tensor> parts;

  int64_t rank() const { return dims.size(); }
};

/// Why a node can't be imported; collected over the whole graph.
struct Refusal {
  std::string node, op, domain, reason;
  int64_t opset = 0;
};

/// The state of one import, and the vocabulary of the operator importers. All
/// functions that can refuse return failure after `refuse`.
class Importer {
public:
  mlir::OpBuilder builder;

  //===--- Diagnostics ----------------------------------------------------===//
  /// Records that the current node can't be imported; always returns failure.
  mlir::LogicalResult refuse(const llvm::Twine &reason);
  /// The location of the current node (its ONNX name).
  mlir::Location loc();

  //===--- Values of the current node -------------------------------------===//
  const Node &node();
  /// Input i of the current node; null if it is absent ("").
  const Tensor *input(unsigned i);
  void setOutput(unsigned i, Tensor tensor);

  //===--- Knowledge about values -----------------------------------------===//
  /// The tensor as a relation (scans a table, evaluates a polynomial with
  /// rel.range and rel.join, makes a union or table of elements).
  mlir::Value relation(const Tensor &tensor);
  /// The elements of a small constant tensor as doubles, or nothing. Reads at
  /// most `limit` elements.
  std::optional<std::vector<double>> constantElements(const Tensor &tensor,
                                                      size_t limit = 4096);
  /// The elements as expressions over symbols (shape tensors and constants).
  std::optional<std::vector<SymExpr>> symbolicElements(const Tensor &tensor);
  /// The element type of the relation for an ONNX type; null if unsupported.
  mlir::Type elementType(int onnxType);

  //===--- Obligations (become facts of the signature) --------------------===//
  /// a == b (or a <= b) must hold; proved now, or checked before every run.
  /// Fails (with refuse) if it is provably false.
  mlir::LogicalResult requireEqual(const SymExpr &a, const SymExpr &b,
                                   const llvm::Twine &why);
  mlir::LogicalResult requireAtMost(const SymExpr &a, const SymExpr &b,
                                    const llvm::Twine &why);
  /// Written as what it says of sizes: of `128 - S` it asks that S <= 128.
  mlir::LogicalResult requireNonNegative(const SymExpr &expr,
                                         const llvm::Twine &why);

  //===--- Columns --------------------------------------------------------===//
  /// A column name that no relation has so far; `hint` is its start.
  std::string freshColumn(llvm::StringRef hint);
  /// The extent of a column of the tensor.
  SymExpr columnExtent(const Tensor &tensor, llvm::StringRef column);
  /// The tensor with its columns renamed (relation, poly and dims).
  Tensor rename(const Tensor &tensor,
                const std::vector<std::pair<std::string, std::string>> &map);
  /// The tensor with dimension `i` in terms of the digits `columns` with the
  /// given extents (refines or merges its present digits by a rekey where it
  /// must). Fails without refusing if the extents do not multiply up.
  mlir::FailureOr<Tensor> withDigits(const Tensor &tensor, unsigned i,
                                     llvm::ArrayRef<std::string> columns,
                                     llvm::ArrayRef<SymExpr> extents);
  /// Dimension `i` as at most one column (merges digits by a rekey).
  Tensor withOneColumn(const Tensor &tensor, unsigned i);

  /// Aligns operands of an element-wise operator by ONNX broadcasting: the
  /// dimensions of the result and the operands renamed to its columns, so that
  /// rel.join matches them. One value on two different axes gets fresh columns.
  struct Aligned {
    Dims dims;
    llvm::SmallVector<Tensor, 4> tensors;
  };
  mlir::FailureOr<Aligned> broadcast(llvm::ArrayRef<const Tensor *> operands);

  /// The tensor with other keys: `map` gives, for columns of the tensor, the
  /// source key as an expression over the keys of the columns in `dims` (which
  /// become the dimensions). Other columns stay. Every source key must be in
  /// range. A purely renamed stored tensor stays stored.
  Tensor remap(const Tensor &tensor, const std::map<std::string, SymExpr> &map,
               Dims dims);
  /// Registers a new column with its extent; returns its name.
  std::string newColumn(llvm::StringRef hint, const SymExpr &extent);
  /// A dimension of the extent with a fresh column (none if it is 1).
  Dim newDim(llvm::StringRef hint, const SymExpr &extent);

  //===--- Expressions ----------------------------------------------------===//
  /// Simplifies by the extents of columns and the obligations so far.
  SymExpr simplify(const SymExpr &expr);
  /// Proved for all keys and symbols that pass the border's checks.
  bool isNonNegative(const SymExpr &expr);
  bool isLess(const SymExpr &a, const SymExpr &b);
  /// An integer or bool tensor whose element is `value` at the keys of `dims`.
  Tensor polynomial(const SymExpr &value, Dims dims, int onnxType);
  /// A vector (a scalar if `isScalar`) of expressions over symbols.
  Tensor vector(std::vector<SymExpr> elements, int onnxType,
                bool isScalar = false);

  //===--- Attributes and small inputs ------------------------------------===//
  /// `axis` counted from the front; refuses where it is out of range.
  mlir::FailureOr<int64_t> axisOf(int64_t axis, int64_t rank);
  /// Input `i` as integers known now; refuses (naming `what`) if it is not.
  mlir::FailureOr<std::vector<int64_t>> constantInts(unsigned i,
                                                     llvm::StringRef what);
  /// The axes of the node: input `i` from opset `inputSince` on, the attribute
  /// "axes" before; normalised and sorted. Empty if there are none.
  mlir::FailureOr<std::vector<int64_t>> axes(unsigned i, int64_t inputSince,
                                             int64_t rank);

  //===--- Building -------------------------------------------------------===//
  using Scalar = std::function<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                           mlir::ValueRange)>;
  /// Broadcasts, joins and gives the result its dimensions. `body` computes
  /// one element; `onnxType` is the result's type.
  mlir::FailureOr<Tensor> map(llvm::ArrayRef<const Tensor *> operands,
                              int onnxType, const Scalar &body);
  /// A scalar constant of the given ONNX type.
  Tensor scalar(double value, int onnxType);
  /// sum over `k` of a*b, where shared column names are joined and `k` folded.
  mlir::Value contract(mlir::Value a, mlir::Value b,
                       llvm::ArrayRef<std::string> k);
  /// rel.aggregate over all columns of the given dimensions of the tensor; the
  /// dimensions stay with extent 1 if `keepDims`. Sums over dimensions without
  /// columns are multiplied by the extent.
  mlir::FailureOr<Tensor> reduce(rel::Monoid monoid, const Tensor &tensor,
                                 llvm::ArrayRef<int64_t> axes, bool keepDims);
  /// x as f32 or another float type; extents as a float relation (for means).
  mlir::Value extentAsFloat(const SymExpr &extent, mlir::Type type);

  struct Impl;
  Impl *impl;

  explicit Importer(mlir::MLIRContext *context) : builder(context) {}
};

/// Evaluates the current node over symbols and keys, if all its inputs allow
/// it; fails without refusing otherwise.
mlir::LogicalResult evaluateSymbolically(Importer &importer);

//===----------------------------------------------------------------------===//
// The registry
//===----------------------------------------------------------------------===//

/// One row of the support table: the registry is its only source.
struct OpEntry {
  const char *domain; // "" or "com.microsoft"
  const char *name;
  int since, until; // opsets, both included; until 0 = no end
  mlir::LogicalResult (*import)(Importer &);
  const char *notes; // sub-cases that are refused, for the table
  /// It tells unsigned numbers from signed ones, or only moves them. Relations are
  /// signless: any other operator would take 255 for -1.
  bool takesUnsigned = false;
};

/// The entries of each category file.
llvm::ArrayRef<OpEntry> elementwiseOps();  // Elementwise.cpp
llvm::ArrayRef<OpEntry> reductionOps();    // Reduction.cpp
llvm::ArrayRef<OpEntry> contractionOps();  // Contraction.cpp
llvm::ArrayRef<OpEntry> normalizationOps(); // Normalization.cpp
llvm::ArrayRef<OpEntry> attentionOps();    // Attention.cpp
llvm::ArrayRef<OpEntry> contribOps();      // Contrib.cpp
llvm::ArrayRef<OpEntry> shapeOps();        // Shape.cpp
llvm::ArrayRef<OpEntry> layoutOps();       // Layout.cpp
llvm::ArrayRef<OpEntry> indexingOps();     // Indexing.cpp
llvm::ArrayRef<OpEntry> quantizationOps(); // Quantization.cpp

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_IMPORTER_H
