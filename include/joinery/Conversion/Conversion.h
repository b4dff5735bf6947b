//===- Conversion.h - From plans to loops -----------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CONVERSION_CONVERSION_H
#define JOINERY_CONVERSION_CONVERSION_H

#include "dialects/Pipe/Pipe.h"
#include "dialects/Rel/SymExpr.h"
#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Support/LLVM.h"
#include <map>
#include <string>
#include <vector>

namespace joinery {

/// The ONNX node that a location names, or "".
std::string nodeName(mlir::Location loc);

/// The attribute of a pipe.run that names the node whose mask its kernel checks.
inline constexpr llvm::StringLiteral kMaskNode = "pipe.mask_node";

/// Turns the planned function into kernels and their runs: every
/// rel.materialize becomes a pipe.run, but those of tables. Kernels that are
/// equal up to the names of columns and to constants are one: constants that not
/// all of its runs share are tables, which the runs pass.
mlir::LogicalResult fusePipelines(mlir::ModuleOp module);

/// Marks what only products of bf16 read, for levels that have those: they store
/// it in bf16.
void storeHalves(mlir::ModuleOp module);

/// Marks what of it levels with tiles store in blocks of columns.
void blockHalves(mlir::ModuleOp module);

/// An extent that a run of the fused function decides: the number of rows that
/// its rank keeps.
struct DefinedSymbol {
  std::string symbol; // without its prefix
  SymExpr bound;      // the greatest value, and its place in the rank
  pipe::RunOp run;
};
/// In the order of the runs.
llvm::SmallVector<DefinedSymbol> definedSymbols(mlir::func::FuncOp function);

/// A kernel as the program sees it; expressions are over symbols (`?name`).
struct LoweredKernel {
  std::string function; // its name in the lowered module
  SymExpr tasks, scratch;
  /// The fewest tasks of a call where there are as many, and the bytes that
  /// workers share beside their counters.
  SymExpr grain, shared;
  /// The most workers that find enough to do; tasks of the phases before and
  /// after its own, 0 where it has none, and the fewest tasks for each worker
  /// that need no phases.
  SymExpr workers, prepare, finish, alone;
  /// How often all workers together read a table from end to end.
  SymExpr passes;
  /// Multiplications and additions of contractions, and bytes moved: the most.
  SymExpr flops, bytes;
  /// The same for each operand, the result last, but what the kernel counts
  /// while it runs (JnCounters).
  SymExpr fixedFlops;
  std::vector<SymExpr> fixedBytes;
};

/// An obligation that kernels check while they run.
struct KernelCheck {
  std::string message;
  SymExpr limit; // indices must lie in [-limit, limit)
  /// The kernel and the number of its operand that the indices come from, or -1.
  std::string kernel;
  int64_t operand = -1;
  /// The check is that of a mask: the extents that number the rows of scores.
  bool isMask = false;
  std::vector<SymExpr> rows;
};

/// The kernels of one instruction-set level, in the order of pipe.kernel ops.
struct LoweredLevel {
  const Isa *isa;
  std::vector<LoweredKernel> kernels;
};

struct LoweredModule {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<std::string> symbols;
  std::vector<KernelCheck> checks;
  std::vector<LoweredLevel> levels;
};

/// Lowers every pipe.kernel of `module` for every level in `isas` into functions
/// of a new module. Check numbers begin at `firstCheck`. Errors are emitted.
mlir::FailureOr<LoweredModule> lowerKernels(mlir::ModuleOp module,
                                            llvm::ArrayRef<const Isa *> isas,
                                            int64_t firstCheck);

} // namespace joinery

#endif // JOINERY_CONVERSION_CONVERSION_H
