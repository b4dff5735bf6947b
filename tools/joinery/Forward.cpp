//===- Forward.cpp - Commands that need the compiler ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Commands.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>

namespace joinery::tool {

bool isCompilerCommand(const std::string &command) {
  static constexpr const char *kCommands[] = {"compile", "explain", "check",
                                              "support"};
  return std::find(std::begin(kCommands), std::end(kCommands), command) !=
         std::end(kCommands);
}

int forwardToCompiler(char **argv) {
  std::error_code error;
  std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  std::filesystem::path here = self.parent_path();
  for (const char *place : {".", "../lib/joinery"}) {
    std::string program =
        (here / place / "joinery-compiler").lexically_normal();
    if (::access(program.c_str(), X_OK) != 0)
      continue;
    ::execv(program.c_str(), argv);
    return fail(
        {JN_IO, "cannot start '" + program + "': " + std::strerror(errno)});
  }
  return fail(
      {JN_IO, "'" + std::string(argv[1]) +
                  "' needs the program joinery-compiler, which is not "
                  "in '" +
                  here.string() +
                  "'; install Joinery with its compiler, or build the "
                  "target joinery-compiler (JOINERY_BUILD_COMPILER=ON)"});
}

} // namespace joinery::tool
