//===- ONNX.h - Imports ONNX models into the algebra ------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_IMPORT_ONNX_H
#define JOINERY_IMPORT_ONNX_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include <string>
#include <vector>

namespace joinery {

struct ImportOptions {
  /// What to compute, by ONNX name: outputs, or any other tensor of the graph;
  /// all outputs if empty.
  std::vector<std::string> outputs;
};

/// Reads the model at `path` and returns a module with one function `@main`
/// over relations (see Rel's dialect description for its border attributes).
///
/// Emits one error per node that can't be imported, all of them, at a location
/// that is the node's name, and returns null. Malformed files give one error.
mlir::OwningOpRef<mlir::ModuleOp> importONNX(mlir::MLIRContext *context,
                                             const std::string &path,
                                             const ImportOptions &options);

/// A tensor of the main graph and the node that computes it.
struct ProducedTensor {
  std::string tensor, node, op;
  bool isOutput; // of the model
};
/// Tensors in the order of the graph; an error if the file is malformed.
mlir::FailureOr<std::vector<ProducedTensor>>
producedTensors(mlir::MLIRContext *context, const std::string &path);

/// One row of the support table.
struct SupportedOp {
  std::string domain, name;
  int since, until; // opsets, both included; until 0 = no end
  std::string notes;
};
std::vector<SupportedOp> supportedOps();

} // namespace joinery

#endif // JOINERY_IMPORT_ONNX_H
