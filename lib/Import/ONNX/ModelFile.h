//===- ModelFile.h - Reads a model without its weights -------- -*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights stay in the file: the reader walks the wire format, notes where the
// bytes of each tensor lie, and hands protobuf a message without them. So the
// memory of an import does not grow with the weights.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_MODELFILE_H
#define JOINERY_LIB_IMPORT_ONNX_MODELFILE_H

#include "Graph.h"
#include "llvm/ADT/ArrayRef.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace onnx {
class ModelProto;
}

namespace joinery::onnx_import {

/// A constant tensor: its type, and where its elements are (little-endian,
/// row-major): in a file, or here if they are few or not in that form there.
struct StoredTensor {
  int type = 0;
  std::vector<int64_t> dims;
  std::string file; // empty: in `bytes`
  uint64_t offset = 0, length = 0;
  std::vector<char> bytes;
  int64_t count() const;
};

/// A file mapped for reading.
class MappedFile {
public:
  static std::unique_ptr<MappedFile> open(int descriptor, std::string &error);
  ~MappedFile();
  llvm::ArrayRef<char> bytes() const { return {data, size}; }

private:
  const char *data = nullptr;
  size_t size = 0;
};

class ModelFile {
public:
  /// Null, with one sentence in `error`, if the file is not a readable model.
  static std::unique_ptr<ModelFile> open(const std::string &path,
                                         std::string &error);
  ~ModelFile();

  const onnx::ModelProto &model() const { return *proto; }

  /// Where the elements of `tensor` are, checked against its shape and the
  /// size of the file that holds them.
  std::optional<StoredTensor> locate(const onnx::TensorProto &tensor,
                                     std::string &error);
  /// The elements of a located tensor; valid as long as this object.
  llvm::ArrayRef<char> bytes(const StoredTensor &tensor);

private:
  ModelFile();
  MappedFile *external(const std::string &location, std::string &error);
  bool locateExternal(const onnx::TensorProto &tensor, StoredTensor &result,
                      std::string &error);

  std::string path, directory;
  std::unique_ptr<MappedFile> file;
  std::unique_ptr<onnx::ModelProto> proto;
  std::map<std::string, std::unique_ptr<MappedFile>> externals; // by location
};

/// The size of one element in bytes as ONNX stores it; 0 if it has none.
unsigned elementBytes(int onnxType);

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_MODELFILE_H
