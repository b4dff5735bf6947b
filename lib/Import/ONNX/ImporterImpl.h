//===- ImporterImpl.h - The state of one import --------------- -*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_IMPORTERIMPL_H
#define JOINERY_LIB_IMPORT_ONNX_IMPORTERIMPL_H

#include "GraphReader.h"
#include "Importer.h"
#include "ModelFile.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <map>
#include <unordered_map>

namespace joinery::onnx_import {

struct Importer::Impl {
  mlir::MLIRContext *context;
  ModelFile &file;
  GraphReader &graph;
  mlir::ModuleOp module;
  mlir::func::FuncOp function;

  Impl(mlir::MLIRContext *context, ModelFile &file, GraphReader &graph,
       mlir::ModuleOp module)
      : context(context), file(file), graph(graph), module(module) {}

  const Node *node = nullptr;
  mlir::LocationAttr location; // of the current node, once asked for
  bool refused = false; // the current node
  std::vector<Refusal> refusals;
  llvm::StringMap<Tensor> values;
  llvm::StringSet<> poisoned; // outputs of refused nodes

  /// The extent of every column; keys range from 0 to it.
  std::unordered_map<std::string, SymExpr> columns;
  llvm::StringMap<unsigned> lastNumber; // of fresh columns, by stem
  std::map<std::string, std::string> symbolHints; // extent text -> column hint
  /// Integer relations that occur in polynomials, by symbol ("#$0").
  struct Opaque {
    mlir::Value relation;
    std::optional<SymExpr> bound; // 0 <= value < bound, if known
  };
  std::map<std::string, Opaque> opaque;
  /// Relations of polynomials and scans of tables, by their text.
  std::map<std::string, mlir::Value> cache;
  llvm::StringSet<> tableNames;

  struct Check {
    std::string kind;
    SymExpr lhs, rhs;
    std::string message;
  };
  std::vector<Check> checks;
  /// At least 0 wherever the checks hold; without quotients.
  std::vector<SymExpr> nonNegative;
  std::map<std::string, SymExpr> upperBounds; // of symbols, exclusive
  std::map<std::string, SymExpr> equalities;  // symbol -> what it equals

  std::optional<SymExpr> bound(llvm::StringRef symbol) const;
  void addNonNegative(const SymExpr &expr);
  void addCheck(llvm::StringRef kind, const SymExpr &lhs, const SymExpr &rhs,
                const llvm::Twine &why);
  /// `relation` read at other keys; see Importer::remap.
  mlir::Value remapValue(Importer &importer, mlir::Value relation,
                         const std::map<std::string, SymExpr> &map);
  /// The same for a polynomial and the relations that occur in it.
  SymExpr remapPoly(Importer &importer, const SymExpr &poly,
                    const std::map<std::string, SymExpr> &map);
  /// A symbol for the values of an integer relation in polynomials.
  SymExpr opaqueSymbol(mlir::Value relation, std::optional<SymExpr> bound);
  /// The columns that the value depends on.
  void keysOf(const SymExpr &poly, std::set<std::string> &names) const;

  /// The tensor of an initialiser or Constant; refuses if it is malformed.
  const Tensor *stored(Importer &importer, llvm::StringRef name);
  void runNodes(Importer &importer, llvm::ArrayRef<Node> nodes);
  void runNode(Importer &importer);
};

/// Drops what a tensor does not need: columns it does not depend on; adds the
/// elements of a one-element polynomial and the reverse.
void normalise(Importer &importer, Tensor &tensor);

/// The tensor seen with other dimensions over the same columns. What depends on
/// the order of the columns stays where that is the same.
Tensor viewOf(Importer &importer, const Tensor &tensor, Dims dims);
/// The tensor at number `k` of its last dimension, such as a component of tuples of
/// indices, without that dimension.
Tensor lastOf(Importer &importer, const Tensor &tensor, int64_t k);
/// A tensor of other elements of a tensor of few: `source` turns a key of the
/// result into the key that it is read from.
Tensor pickElements(Importer &importer, const Tensor &tensor, Dims dims,
                    llvm::function_ref<void(llvm::MutableArrayRef<int64_t>)>
                        source);
/// The tensor with dimensions of the given extents, row-major (Reshape).
mlir::FailureOr<Tensor> reshapeTo(Importer &importer, const Tensor &tensor,
                                  llvm::ArrayRef<SymExpr> extents);
/// Keys start + step * i, i < extent, of dimension `dim`.
Tensor sliceOf(Importer &importer, const Tensor &tensor, unsigned dim,
               const SymExpr &start, int64_t step, const SymExpr &extent);
/// Dimension `dim` of a tensor is read at `index`.
struct DimIndex {
  unsigned dim;
  Tensor index;
};
/// Reads `data` at the given indices, whose columns must differ from all other
/// columns of the data except where both are to be joined. `dims` are the
/// result's dimensions. (IndexingReads.cpp)
mlir::FailureOr<Tensor> readAt(Importer &importer, Tensor data,
                               llvm::ArrayRef<DimIndex> indices, Dims dims);
/// The tensor broadcast to `extents` in the way of Expand.
mlir::FailureOr<Tensor> expandTo(Importer &importer, const Tensor &tensor,
                                 llvm::ArrayRef<SymExpr> extents);
/// Orders the columns of a relation that was just made as the dimensions have
/// them: the order of columns is the default layout.
void orderColumns(mlir::Value relation, llvm::ArrayRef<Dim> dims);
/// The names of all digits, in order.
llvm::SmallVector<std::string> columnsOf(llvm::ArrayRef<Dim> dims);
/// An empty table with a name like `name`.
rel::TableOp createTable(Importer &importer, llvm::StringRef name,
                         rel::RelType type);
/// What a fold of one-element float tensors gives, rounded as the file does.
std::optional<double> foldScalar(Importer &importer);

/// Element `i` of stored bytes as a number; nothing for other types.
std::optional<double> readElement(llvm::ArrayRef<char> bytes, size_t i,
                                  int onnxType);
/// True if 64 bits hold the size in bytes of a tensor with these dimensions.
bool fits(llvm::ArrayRef<Dim> dims);
/// A product of all extents.
SymExpr sizeOf(const Tensor &tensor);
/// An exclusive upper bound of an integer relation that is at least 0.
std::optional<SymExpr> knownBound(mlir::Value relation);

/// Creates @main with the inputs as arguments, and returns from it.
mlir::LogicalResult createArguments(Importer &importer);
mlir::LogicalResult createResults(Importer &importer,
                                  llvm::ArrayRef<std::string> outputs);
/// Erases operations and tables that no result needs.
void eraseDead(Importer &importer);

llvm::ArrayRef<OpEntry> sliceOps();        // LayoutSlices.cpp
llvm::ArrayRef<OpEntry> layoutBorderOps(); // LayoutBorders.cpp
llvm::ArrayRef<OpEntry> resizeOps();       // Resize.cpp
llvm::ArrayRef<OpEntry> scatterOps();      // IndexingScatter.cpp
llvm::ArrayRef<OpEntry> oneHotOps();       // OneHot.cpp

/// The pieces one behind the other along a dimension (Concat).
mlir::FailureOr<Tensor> unite(Importer &importer,
                              llvm::ArrayRef<const Tensor *> pieces,
                              unsigned axis);

/// The registry's row for an operator, or null; `known` tells whether there is
/// one for another opset.
const OpEntry *findOp(llvm::StringRef domain, llvm::StringRef name,
                      int64_t opset, bool &known);

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_IMPORTERIMPL_H
