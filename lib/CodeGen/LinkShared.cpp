//===- LinkShared.cpp - Links a generated object in process ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

namespace joinery {

static Error makeError(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

Error linkShared(MemoryBufferRef object, StringRef soPath,
                 const LinkOptions &options) {
  // The linker reads files only.
  SmallString<128> objectPath;
  int fd;
  if (std::error_code error =
          sys::fs::createTemporaryFile("joinery", "o", fd, objectPath))
    return makeError("can't create a temporary file for the linker: " +
                     error.message());
  FileRemover remover(objectPath);
  {
    raw_fd_ostream os(fd, /*shouldClose=*/true);
    os << object.getBuffer();
    os.close();
    if (os.has_error()) {
      std::error_code error = os.error();
      os.clear_error();
      return makeError("can't write " + objectPath + ": " + error.message());
    }
  }

  std::vector<std::string> args = {"ld.lld",
                                   "-shared",
                                   "-z",
                                   "defs",
                                   "-z",
                                   "relro",
                                   "-z",
                                   "now",
                                   "-z",
                                   "noexecstack",
                                   "--hash-style=gnu",
                                   "--threads=1",
                                   "--build-id=fast"};
  if (!options.soname.empty())
    args.push_back("-soname=" + options.soname);
  for (const auto &[alias, symbol] : options.aliases)
    args.push_back("--defsym=" + alias + "=" + symbol);
  args.insert(args.end(), {"-o", soPath.str(), objectPath.str().str()});
  std::vector<const char *> argv;
  for (const std::string &arg : args)
    argv.push_back(arg.c_str());

  // The linker keeps its state in globals; once it crashed they can't be used.
  static std::mutex mutex;
  static bool usable = true;
  std::lock_guard<std::mutex> lock(mutex);
  if (!usable)
    return makeError("the linker crashed before and can't run again");
  std::string output;
  raw_string_ostream os(output);
  lld::Result result =
      lld::lldMain(argv, os, os, {{lld::Gnu, &lld::elf::link}});
  usable = result.canRunAgain;
  if (result.retCode != 0)
    return makeError("linking " + soPath +
                     " failed: " + StringRef(output).trim());
  return Error::success();
}

} // namespace joinery
