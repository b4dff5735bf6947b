//===- Commands.h - The commands of joinery ---------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_COMMANDS_H
#define JOINERY_TOOL_COMMANDS_H

#include "tools/joinery/Session.h"

#include <string>
#include <vector>

namespace joinery::tool {

struct RunOptions {
  SessionOptions session;
  std::string outputsFile;
  std::vector<std::string> outputFiles; // NAME=FILE
  bool deflate = false;
  std::string offsetsFile;
};
int runCommand(const RunOptions &options);

struct BenchOptions {
  SessionOptions session;
  GenerateOptions generate;
  double seconds = 2;
  bool json = false;
};
int benchCommand(const BenchOptions &options);

int storeList(const std::string &file);
int storeVerify(const std::string &file);

int completionCommand(const std::string &shell);

/// The commands that joinery-compiler carries out.
bool isCompilerCommand(const std::string &command);
/// Becomes joinery-compiler with the same arguments; returns only if that
/// fails.
int forwardToCompiler(char **argv);

} // namespace joinery::tool

#endif // JOINERY_TOOL_COMMANDS_H
