//===- Compile.cpp - From a model file to its artifacts -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "joinery/Pipelines/Pipelines.h"
#include "lib/Pipelines/PhaseRunner.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <fcntl.h>
#include <unistd.h>

using namespace mlir;
using namespace joinery;

namespace {
/// Files that are written aside and renamed together at the end; what was not
/// published is removed.
class Publication {
public:
  ~Publication() {
    for (auto &[partial, path] : files)
      llvm::sys::fs::remove(partial);
  }
  /// The path to write what will be `path`.
  std::string add(const std::string &path) {
    std::string partial = path + ".partial-" + std::to_string(::getpid());
    files.push_back({partial, path});
    return partial;
  }
  llvm::Error write(const std::string &path, StringRef bytes) {
    std::string partial = add(path);
    int fd = ::open(partial.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC,
                    0666);
    if (fd < 0)
      return fail("write", path);
    llvm::scope_exit close([&] { ::close(fd); });
    while (!bytes.empty()) {
      ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail("write", path);
      bytes = bytes.drop_front(n);
    }
    if (::fsync(fd))
      return fail("write", path);
    return llvm::Error::success();
  }
  llvm::Error publish() {
    while (!files.empty()) {
      auto [partial, path] = files.back();
      if (::rename(partial.c_str(), path.c_str()))
        return fail("replace", path);
      files.pop_back();
    }
    return llvm::Error::success();
  }

private:
  static llvm::Error fail(StringRef what, const std::string &path) {
    std::error_code error(errno, std::generic_category());
    return llvm::createStringError(error, "can't " + what + " '" + path +
                                              "': " + error.message());
  }
  std::vector<std::pair<std::string, std::string>> files;
};
} // namespace

/// The last part of the prefix as a C identifier.
static std::string modelName(StringRef prefix) {
  std::string name;
  for (char c : llvm::sys::path::filename(prefix))
    name += llvm::isAlnum(c) || c == '_' ? c : '_';
  if (name.empty() || llvm::isDigit(name[0]))
    name = "m_" + name;
  return name;
}

Outcome joinery::compileModel(MLIRContext *context,
                              const CompileOptions &options) {
  Location unknown = UnknownLoc::get(context);
  auto report = [&](llvm::Error error, Outcome outcome) {
    emitError(unknown) << llvm::toString(std::move(error));
    return outcome;
  };
  auto wants = [&](Artifact artifact) {
    return llvm::is_contained(options.artifacts, artifact);
  };
  // An output that can't be written is found before the work is done.
  StringRef directory = llvm::sys::path::parent_path(options.prefix);
  if (!directory.empty())
    if (auto error = llvm::sys::fs::create_directories(directory)) {
      emitError(unknown) << "can't make the output directory '" << directory
                         << "': " << error.message();
      return Outcome::Fault;
    }
  if (::access(directory.empty() ? "." : directory.str().c_str(), W_OK)) {
    emitError(unknown) << "can't write into '"
                       << (directory.empty() ? "." : directory)
                       << "'; choose another prefix with -o";
    return Outcome::Fault;
  }

  PhaseRunner runner(context, options);
  if (failed(runner.run(Phase::Emit)))
    return Outcome::Refused;
  ModelOptions model;
  model.name = modelName(options.prefix);
  model.precision = options.precision;
  model.rename = options.rename;
  model.compiler = "joinery 0.1.0";
  Publication files;

  // The store's content hash goes into the object, so the store comes first.
  std::string store = files.add(options.prefix + ".store");
  auto hash = writeStore(*runner.module, store, model);
  if (!hash)
    return report(hash.takeError(), Outcome::Fault);
  auto program = buildProgram(*runner.module, runner.lowered, *hash, model);
  if (!program)
    return report(program.takeError(), Outcome::Refused);
  if (wants(Artifact::Header)) {
    auto header = buildHeader(*program, model);
    if (!header)
      return report(header.takeError(), Outcome::Refused);
    if (auto error = files.write(options.prefix + ".h", *header))
      return report(std::move(error), Outcome::Fault);
  }
  if (wants(Artifact::MLIR)) {
    std::string text;
    llvm::raw_string_ostream os(text);
    runner.lowered.module->print(os);
    if (auto error = files.write(options.prefix + ".mlir", text))
      return report(std::move(error), Outcome::Fault);
  }
  bool needsCode = wants(Artifact::Object) || wants(Artifact::Shared) ||
                   wants(Artifact::Assembly) || wants(Artifact::LLVMIR);
  if (needsCode) {
    if (failed(lowerToLLVM(*runner.lowered.module)))
      return Outcome::Refused;
    addDescriptor(runner.lowered, *program, model);
    EmitOptions emission;
    emission.name = model.name;
    emission.exports = {descriptorSymbol(model.name),
                        descriptorFunction(model.name)};
    struct Kind {
      Artifact artifact;
      EmitKind kind;
      const char *suffix;
    };
    for (Kind kind : {Kind{Artifact::Assembly, EmitKind::Assembly, ".s"},
                      Kind{Artifact::LLVMIR, EmitKind::LLVMIR, ".ll"},
                      Kind{Artifact::Object, EmitKind::Object, ".o"}}) {
      bool shared = kind.artifact == Artifact::Object && wants(Artifact::Shared);
      if (!wants(kind.artifact) && !shared)
        continue;
      emission.kind = kind.kind;
      auto code = emit(*runner.lowered.module, emission);
      if (!code)
        return report(code.takeError(), Outcome::Fault);
      StringRef bytes(code->data(), code->size());
      if (wants(kind.artifact))
        if (auto error = files.write(options.prefix + kind.suffix, bytes))
          return report(std::move(error), Outcome::Fault);
      if (!shared)
        continue;
      LinkOptions link;
      link.soname = (llvm::sys::path::filename(options.prefix) + ".so").str();
      link.aliases = {
          {"joinery_object", descriptorFunction(model.name)}};
      std::string target = files.add(options.prefix + ".so");
      if (auto error =
              linkShared(llvm::MemoryBufferRef(bytes, model.name), target, link))
        return report(std::move(error), Outcome::Fault);
    }
  }
  if (auto error = files.publish())
    return report(std::move(error), Outcome::Fault);
  return Outcome::Done;
}
