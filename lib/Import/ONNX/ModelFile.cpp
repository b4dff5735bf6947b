//===- ModelFile.cpp - Reads a model without its weights ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "ModelWire.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace joinery::onnx_import;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Mapping
//===----------------------------------------------------------------------===//

std::unique_ptr<MappedFile> MappedFile::open(int descriptor,
                                             std::string &error) {
  struct stat status;
  if (fstat(descriptor, &status)) {
    error = std::strerror(errno);
    return nullptr;
  }
  if (!S_ISREG(status.st_mode)) {
    error = "not a regular file";
    return nullptr;
  }
  auto file = std::unique_ptr<MappedFile>(new MappedFile);
  file->size = status.st_size;
  if (!file->size)
    return file;
  void *data = mmap(nullptr, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) {
    error = std::strerror(errno);
    return nullptr;
  }
  file->data = static_cast<const char *>(data);
  return file;
}

MappedFile::~MappedFile() {
  if (data)
    munmap(const_cast<char *>(data), size);
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

ModelFile::ModelFile() = default;
ModelFile::~ModelFile() = default;

std::unique_ptr<ModelFile> ModelFile::open(const std::string &path,
                                           std::string &error) {
  std::unique_ptr<ModelFile> model(new ModelFile);
  model->path = path;
  model->directory = llvm::sys::path::parent_path(path).str();
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    error = "cannot open '" + path + "': " + std::strerror(errno);
    return nullptr;
  }
  model->file = MappedFile::open(descriptor, error);
  ::close(descriptor);
  if (!model->file) {
    error = "cannot read '" + path + "': " + error;
    return nullptr;
  }
  auto bytes = model->file->bytes();
  std::string stripped;
  if (bytes.empty())
    error = "the file is empty";
  else
    stripWeights(bytes, stripped, error);
  if (!error.empty()) {
    error = "'" + path + "' is not an ONNX model: " + error;
    return nullptr;
  }
  model->proto = std::make_unique<onnx::ModelProto>();
  google::protobuf::io::ArrayInputStream stream(stripped.data(),
                                                stripped.size());
  google::protobuf::io::CodedInputStream input(&stream);
  input.SetRecursionLimit(100);
  if (!model->proto->ParseFromCodedStream(&input) ||
      !input.ConsumedEntireMessage()) {
    error = "'" + path + "' is not an ONNX model: a field is malformed";
    return nullptr;
  }
  if (!model->proto->has_graph()) {
    error = "'" + path + "' is not an ONNX model: it has no graph";
    return nullptr;
  }
  return model;
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

unsigned joinery::onnx_import::elementBytes(int onnxType) {
  switch (onnxType) {
  case Bool:
  case Int8:
  case UInt8:
    return 1;
  case Int16:
  case UInt16:
  case Float16:
  case BFloat16:
    return 2;
  case Float:
  case Int32:
  case UInt32:
    return 4;
  case Double:
  case Int64:
  case UInt64:
    return 8;
  default:
    return 0;
  }
}

int64_t StoredTensor::count() const {
  int64_t product = 1;
  for (int64_t dim : dims)
    product *= dim;
  return product;
}

/// Appends the elements of a repeated field, each as `T`.
template <typename T, typename Field>
static void append(std::vector<char> &bytes, const Field &field) {
  bytes.reserve(bytes.size() + sizeof(T) * field.size());
  for (auto element : field) {
    T value = static_cast<T>(element);
    const char *raw = reinterpret_cast<const char *>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof(T));
  }
}

/// The elements from the field that ONNX prescribes for the type.
static void appendTyped(std::vector<char> &bytes,
                        const onnx::TensorProto &tensor) {
  switch (tensor.data_type()) {
  case Float:
    return append<float>(bytes, tensor.float_data());
  case Double:
    return append<double>(bytes, tensor.double_data());
  case Int64:
    return append<int64_t>(bytes, tensor.int64_data());
  case UInt32:
    return append<uint32_t>(bytes, tensor.uint64_data());
  case UInt64:
    return append<uint64_t>(bytes, tensor.uint64_data());
  case Int32:
    return append<int32_t>(bytes, tensor.int32_data());
  case Int16:
  case UInt16:
  case Float16:
  case BFloat16:
    return append<uint16_t>(bytes, tensor.int32_data());
  default:
    return append<uint8_t>(bytes, tensor.int32_data());
  }
}

std::optional<StoredTensor> ModelFile::locate(const onnx::TensorProto &tensor,
                                              std::string &error) {
  StoredTensor result;
  result.type = tensor.data_type();
  auto fail = [&](const llvm::Twine &text) {
    error = ("tensor '" + tensor.name() + "' " + text).str();
    return std::nullopt;
  };
  unsigned width = elementBytes(result.type);
  if (!width)
    return fail("has elements of type " +
                dataTypeName(result.type) + ", which has no relation");
  if (tensor.has_segment())
    return fail("is stored in segments, which is not supported");
  if (tensor.dims_size() > 64)
    return fail("has more than 64 dimensions");
  int64_t total = width;
  for (int64_t dim : tensor.dims()) {
    result.dims.push_back(dim);
    if (dim < 0)
      return fail("has a negative dimension");
  }
  for (int64_t dim : tensor.dims())
    if (llvm::MulOverflow(total, dim, total))
      return fail("is too large: its size overflows");
  result.length = total;
  auto wrongSize = [&](uint64_t actual) {
    return fail("has " + std::to_string(actual) + " bytes of data, its shape " +
                "needs " + std::to_string(total));
  };

  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    if (!locateExternal(tensor, result, error))
      return std::nullopt;
    return result;
  }
  if (auto slice = weightSlice(tensor.doc_string())) {
    if (slice->length != uint64_t(total))
      return wrongSize(slice->length);
    result.file = path;
    result.offset = slice->offset;
    return result;
  }
  if (tensor.has_raw_data())
    result.bytes.assign(tensor.raw_data().begin(), tensor.raw_data().end());
  else
    appendTyped(result.bytes, tensor);
  if (result.bytes.size() != uint64_t(total))
    return wrongSize(result.bytes.size());
  return result;
}

MappedFile *ModelFile::external(const std::string &location,
                                std::string &error) {
  if (auto it = externals.find(location); it != externals.end())
    return it->second.get();
  int parent = ::open(directory.empty() ? "." : directory.c_str(),
                      O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) {
    error = std::strerror(errno);
    return nullptr;
  }
  // The kernel resolves below the model's folder, without links.
  struct open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  int descriptor = syscall(SYS_openat2, parent, location.c_str(), &how,
                           sizeof(how));
  if (descriptor < 0 && errno == ENOSYS)
    // An old kernel or sandbox: only a plain name of the folder is safe.
    descriptor = location.find('/') == std::string::npos
                     ? ::openat(parent, location.c_str(),
                                O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
                     : -1;
  int failure = errno;
  ::close(parent);
  if (descriptor < 0) {
    error = failure == ELOOP ? "it is a symbolic link"
                             : std::strerror(failure);
    return nullptr;
  }
  struct stat status;
  if (!fstat(descriptor, &status) && status.st_nlink > 1) {
    error = "it is a hard link";
    ::close(descriptor);
    return nullptr;
  }
  auto mapped = MappedFile::open(descriptor, error);
  ::close(descriptor);
  return (externals[location] = std::move(mapped)).get();
}

bool ModelFile::locateExternal(const onnx::TensorProto &tensor,
                               StoredTensor &result, std::string &error) {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  auto fail = [&](const llvm::Twine &text) {
    error = ("the external data of tensor '" + tensor.name() + "' " + text)
                .str();
    return false;
  };
  for (const auto &entry : tensor.external_data()) {
    uint64_t number = 0;
    if (entry.key() == "location") {
      location = entry.value();
    } else if (entry.key() == "offset" || entry.key() == "length") {
      if (StringRef(entry.value()).getAsInteger(10, number))
        return fail("has " + entry.key() + " '" + entry.value() +
                    "', which is not a number");
      if (entry.key() == "offset")
        offset = number;
      else
        length = number;
    } // "checksum" is optional and of the whole file; the store has its own.
  }
  if (location.empty())
    return fail("has no location");
  if (location[0] == '/' || location.find('\0') != std::string::npos ||
      llvm::is_contained(llvm::split(location, '/'), StringRef("..")))
    return fail("is at '" + location +
                "', outside the model's folder; put it beside the model");
  std::string reason;
  MappedFile *mapped = external(location, reason);
  if (!mapped)
    return fail("cannot be read from '" + location + "': " + reason);
  if (length && *length != result.length)
    return fail("has " + std::to_string(*length) + " bytes, its shape needs " +
                std::to_string(result.length));
  uint64_t size = mapped->bytes().size();
  if (offset > size || size - offset < result.length)
    return fail("lies outside '" + location + "': bytes " +
                std::to_string(offset) + " to " +
                std::to_string(offset + result.length) + " of " +
                std::to_string(size));
  llvm::SmallString<128> full(directory);
  llvm::sys::path::append(full, location);
  result.file = full.str().str();
  result.offset = offset;
  return true;
}

llvm::ArrayRef<char> ModelFile::bytes(const StoredTensor &tensor) {
  if (tensor.file.empty())
    return tensor.bytes;
  if (tensor.file == path)
    return file->bytes().slice(tensor.offset, tensor.length);
  for (auto &[location, mapped] : externals) {
    llvm::SmallString<128> full(directory);
    llvm::sys::path::append(full, location);
    if (mapped && full == tensor.file)
      return mapped->bytes().slice(tensor.offset, tensor.length);
  }
  return {};
}
