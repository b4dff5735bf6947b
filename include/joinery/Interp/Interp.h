//===- Interp.h - Evaluates relations directly ------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The meaning of the algebra, executed: every operator by its definition, with
// no plan. It folds constants, lays out weights and is the reference that
// `compare` and the tests hold plans against. It is not fast.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_INTERP_INTERP_H
#define JOINERY_INTERP_INTERP_H

#include "dialects/Rel/Rel.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Support/LLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace joinery {

/// A relation's values, row-major in the order of `columns`. Floats are held as
/// double, integers and i1 as int64.
struct Relation {
  std::vector<std::string> columns;
  std::vector<int64_t> extents;
  std::variant<std::vector<double>, std::vector<int64_t>> values;

  int64_t size() const;
  bool isFloat() const { return values.index() == 0; }
};

/// The bindings of an evaluation.
struct InterpOptions {
  /// Values of the symbols, by name without the `?`.
  std::map<std::string, int64_t> symbols;
  /// Refuses relations with more elements than this.
  int64_t limit = int64_t(1) << 31;
  /// Rounds to the element type after every scalar operation, as a run does;
  /// without it floats are computed in double and rounded once at the end
  /// (those that are discretized are always rounded).
  bool roundEachStep = false;
};

/// The tables of a module for several evaluations: each is found once by its
/// name and each file is mapped once. The module keeps its tables meanwhile.
class TableReader {
public:
  TableReader();
  ~TableReader();
  /// The table that a scan reads; an error at the scan if there is none.
  mlir::FailureOr<rel::TableOp> find(rel::ScanOp scan);
  /// The bytes of a table that is part of a file.
  mlir::FailureOr<llvm::StringRef> slice(rel::TableOp table);

private:
  unsigned lookups = 0;
  mlir::SymbolTableCollection symbols;
  std::map<std::string, std::unique_ptr<llvm::MemoryBuffer>> files;
};

/// Evaluates `@main` of `module` (or the function) on relations for its
/// arguments. Errors are emitted at the operation and give failure.
mlir::FailureOr<std::vector<Relation>>
interpret(mlir::func::FuncOp function, llvm::ArrayRef<Relation> arguments,
          const InterpOptions &options);

/// Evaluates one value that depends on tables only.
mlir::FailureOr<Relation> interpretConstant(mlir::Value value,
                                            const InterpOptions &options);

/// True if a comparison, a rounding or a cast to an integer reads the scalar
/// `op` computes, in its region or behind further joins. There the last bit
/// decides: such scalars are rounded step by step and never reassociated.
bool isDiscretized(mlir::Operation *op);

/// True for comparisons and roundings of floats and casts of them to integers.
bool discretizes(mlir::Operation *op);
/// Is there such an operation inside `root`?
bool discretizesAnything(mlir::Operation *root);

/// True if `value` depends on tables only, not on arguments or symbols.
bool dependsOnTablesOnly(mlir::Value value);

/// The values of `value`, which depends on tables only, as bytes in the given
/// physical layout (see RelType; padded lanes are zero), written piece by piece
/// to `sink` so that memory stays bounded by a few blocks where the value is
/// a view of one table.
mlir::LogicalResult
packConstant(mlir::Value value, rel::RelType stored, TableReader &tables,
             llvm::function_ref<mlir::LogicalResult(llvm::ArrayRef<char>)> sink);

} // namespace joinery

#endif // JOINERY_INTERP_INTERP_H
