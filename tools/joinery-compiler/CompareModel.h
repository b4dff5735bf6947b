//===- CompareModel.h - joinery compare of an ONNX file ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_COMPAREMODEL_H
#define JOINERY_TOOL_COMPAREMODEL_H

#include "joinery/Pipelines/Pipelines.h"
#include "tools/joinery/Compare.h"

namespace joinery::tool {

/// Compiles the model file so that it keeps every tensor that the reference
/// has, compares them in the order of the graph, and gives the exit code.
int compareModelFile(mlir::MLIRContext *context, CompileOptions compile,
                     CompareOptions options);

} // namespace joinery::tool

#endif // JOINERY_TOOL_COMPAREMODEL_H
