//===- Pipelines.h - The phases of a compilation ----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_PIPELINES_PIPELINES_H
#define JOINERY_PIPELINES_PIPELINES_H

#include "joinery/CodeGen/Isa.h"
#include "joinery/Optimize/Passes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace joinery {

/// The phases in their order: the only list of them.
enum class Phase { Import, Optimize, Plan, Fuse, Lower, Emit };

struct PhaseInfo {
  Phase phase;
  const char *name;
  const char *summary;
};
llvm::ArrayRef<PhaseInfo> phases();

enum class Artifact { Object, Shared, Header, Store, Assembly, LLVMIR, MLIR };

struct CompileOptions {
  std::string input;
  /// Files are `prefix`.o, .h, .store, .so …; its last part, as a C identifier,
  /// is the model's name.
  std::string prefix;
  std::vector<std::string> outputs; // kept outputs by name; empty: all
  std::vector<Artifact> artifacts;
  Phase until = Phase::Emit;
  /// Directory that gets the module after each phase; empty: none.
  std::string dumpPhases;
  std::string precision = "f32"; // or "bf16"
  bool keepPadding = false;
  /// Round to f16 and bf16 where the model does, rather than compute in f32.
  bool keepRounding = false;
  /// How the plan shows its layers; only where `optimize` is the last phase.
  LayerForm layers = LayerForm::Inline;
  /// Other names in C for inputs and outputs, by ONNX name.
  std::map<std::string, std::string> rename;
  std::vector<std::string> levels; // instruction-set levels; empty: all
  /// Descriptions to generate code for in place of the known levels'.
  std::vector<Isa> isas;
  /// Called when a phase begins, for progress.
  std::function<void(Phase)> onPhase;
};

/// Why a compilation failed, in the terms of the tools' exit codes.
enum class Outcome { Done = 0, Refused = 1, Usage = 2, Fault = 3 };

/// Registers the phases after `optimize` as passes: --plan, --fuse, --lower.
void registerPhasePasses();

/// Reports a model file that can't be read, which is a fault of the machine or
/// of the path and not of the model.
Outcome checkInput(mlir::MLIRContext *context, const std::string &path);

/// What `--precision=auto` means on this machine: "bf16" where a level
/// multiplies it faster than f32, else "f32".
std::string fastestPrecision();

/// Registers all dialects that compilations need.
void registerDialects(mlir::DialectRegistry &registry);

/// Runs the phases until `options.until`, exclusive of `Emit`, and returns the
/// module as it then is: with rel, pipe or (after `Lower`) LLVM-ready code.
/// Diagnostics go to the context; null on failure.
mlir::OwningOpRef<mlir::ModuleOp> compileToPhase(mlir::MLIRContext *context,
                                                 const CompileOptions &options);

/// Compiles and publishes the artifacts: all of them, or on failure none.
Outcome compileModel(mlir::MLIRContext *context, const CompileOptions &options);

} // namespace joinery

#endif // JOINERY_PIPELINES_PIPELINES_H
