//===- CompareModel.cpp - joinery compare of an ONNX file -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery-compiler/CompareModel.h"
#include "joinery/Import/ONNX.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace joinery::tool {

/// The names in the reference, and which of them hold floats.
static Status referenceNames(const std::string &path,
                             std::map<std::string, bool> &names) {
  runtime::NpzReader reader;
  JN_TRY(reader.open(path));
  for (size_t i = 0; i < reader.names().size(); ++i) {
    Array array;
    JN_TRY(reader.read(i, array));
    names[reader.names()[i]] = array.dtype <= runtime::DType::BF16;
  }
  return {};
}

int compareModelFile(mlir::MLIRContext *context, CompileOptions compile,
                     CompareOptions options) {
  if (!checkReference(options))
    return Usage;
  if (!options.referenceFile.empty()) {
    std::map<std::string, bool> names;
    if (Status status = referenceNames(options.referenceFile, names);
        !status.ok())
      return fail(status);
    auto tensors = producedTensors(context, compile.input);
    if (failed(tensors))
      return Unservable;
    size_t left = names.size();
    for (const ProducedTensor &tensor : *tensors) {
      auto it = names.find(tensor.tensor);
      if (it == names.end())
        continue;
      --left;
      // Integers inside the graph are mostly shapes, which are not computed.
      if (!tensor.isOutput && !it->second)
        continue;
      compile.outputs.push_back(tensor.tensor);
      options.producers[tensor.tensor] =
          "node '" + tensor.node + "' (" + tensor.op + ")";
    }
    if (compile.outputs.empty())
      return fail({JN_INVALID_INPUT, "'" + options.referenceFile +
                                         "' has no tensor of the model"});
    if (left)
      llvm::errs() << "joinery: note: " << left
                   << " arrays of the reference are no computed tensors of the "
                      "model\n";
  }
  // References come from runtimes that compute padding.
  compile.keepPadding = !options.referenceFile.empty();
  llvm::SmallString<128> directory;
  if (auto error =
          llvm::sys::fs::createUniqueDirectory("joinery-compare", directory))
    return fail({JN_IO, "can't make a temporary directory: " + error.message()});
  llvm::scope_exit remove(
      [&] { (void)llvm::sys::fs::remove_directories(directory); });
  compile.prefix = (directory + "/model").str();
  compile.artifacts = {Artifact::Shared};
  if (Outcome outcome = compileModel(context, compile);
      outcome != Outcome::Done)
    return int(outcome);
  options.models[0] = compile.prefix;
  return compareCommand(options);
}

} // namespace joinery::tool
