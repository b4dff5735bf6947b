//===- Compare.h - joinery compare ------------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_COMPARE_H
#define JOINERY_TOOL_COMPARE_H

#include "tools/joinery/Session.h"

#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace joinery::tool {

struct CompareOptions {
  std::vector<std::string> models; // one or two; the first may be a model file
  std::string inputsFile, referenceFile;
  std::string precision = "f32"; // to compile a model file with
  uint32_t threads = 0;
  /// Largest error of an output as a share of its range, and least cosine of a
  /// row; negative: not asked for.
  double maxError = -1, minCosine = -2;
  /// Who computes an output, by its name: "node 'x' (MatMul)".
  std::map<std::string, std::string> producers;
};

/// Adds the command with its options and help.
CLI::App *addCompare(CLI::App &app, CompareOptions &options);

/// True if the first model must be compiled first: it is no compiled prefix.
bool comparesModelFile(const CompareOptions &options);

/// Exactly one reference is named: a second model or arrays. Prints what is
/// wrong otherwise.
bool checkReference(const CompareOptions &options);

/// Runs the compiled models and compares the first's outputs with those of the
/// other or with the reference. Prints a table; 1 if they diverge.
int compareCommand(const CompareOptions &options);

} // namespace joinery::tool

#endif // JOINERY_TOOL_COMPARE_H
