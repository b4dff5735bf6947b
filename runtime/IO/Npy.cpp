//===- Npy.cpp - NumPy's .npy and .npz files ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/IO/Npy.h"

#include "runtime/IO/NpyHeader.h"
#include "runtime/Support/File.h"

#include <algorithm>
#include <cstring>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

namespace joinery::runtime {

Status Array::allocate() {
  int64_t bytes = int64_t(dtypeBytes(dtype));
  bool empty = false, overflow = false;
  for (int64_t extent : shape) {
    empty |= extent == 0;
    overflow |= extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes);
  }
  if (empty)
    bytes = 0;
  else if (overflow || bytes > INT64_MAX - 64)
    return {JN_INVALID_INPUT, "an array is larger than memory"};
  size_t size = std::max<size_t>(64, (size_t(bytes) + 63) / 64 * 64);
  memory.reset(static_cast<char *>(std::aligned_alloc(64, size)));
  if (!memory)
    return {JN_OUT_OF_MEMORY,
            "no memory for an array of " + std::to_string(bytes) + " bytes"};
  return {};
}

int64_t Array::elements() const {
  int64_t count = 1;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    return 0;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

int64_t Array::bytes() const { return elements() * int64_t(dtypeBytes(dtype)); }

DLTensor Array::view() {
  DLTensor tensor = {};
  tensor.data = memory.get();
  tensor.device = {kDLCPU, 0};
  tensor.ndim = int(shape.size());
  tensor.dtype = dtypeToDLPack(dtype);
  tensor.shape = shape.data();
  return tensor;
}

namespace {
class FileSource : public ByteSource {
public:
  FileSource(int fd, const std::string &path, uint64_t size)
      : fd(fd), path(path), size(size) {}
  Status read(void *to, size_t bytes) override {
    JN_TRY(readAt(fd, path, to, bytes, offset));
    offset += bytes;
    return {};
  }
  uint64_t left() const override { return size - offset; }

private:
  int fd;
  const std::string &path;
  uint64_t size;
  uint64_t offset = 0;
};

class ZipSource : public ByteSource {
public:
  ZipSource(zip_file_t *file, const std::string &name, uint64_t size)
      : file(file), name(name), size(size) {}
  Status read(void *to, size_t bytes) override {
    char *next = static_cast<char *>(to);
    for (size_t done = 0; done < bytes;) {
      zip_int64_t n = zip_fread(file, next + done, bytes - done);
      if (n < 0)
        return {JN_INVALID_INPUT,
                name + " is damaged: " +
                    zip_error_strerror(zip_file_get_error(file))};
      if (n == 0)
        return {JN_INVALID_INPUT, name + " is shorter than the archive says"};
      done += size_t(n);
    }
    offset += bytes;
    return {};
  }
  uint64_t left() const override { return size - offset; }

private:
  zip_file_t *file;
  const std::string &name;
  uint64_t size;
  uint64_t offset = 0;
};
} // namespace

Status readNpy(const std::string &path, Array &array) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info;
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0)
    return systemError("cannot open", path, errno);
  if (!S_ISREG(info.st_mode))
    return {JN_INVALID_INPUT, "'" + path + "' is not a regular file"};
  FileSource source(fd.get(), path, uint64_t(info.st_size));
  return readArray(source, "'" + path + "'", array);
}

Status widenBFloat16(Array &array) {
  if (array.dtype != DType::BF16)
    return {};
  Array wide;
  wide.shape = array.shape;
  JN_TRY(wide.allocate());
  for (int64_t i = 0; i < wide.elements(); ++i) {
    uint16_t upper;
    std::memcpy(&upper, array.data() + i * 2, sizeof(upper));
    uint32_t bits = uint32_t(upper) << 16;
    std::memcpy(wide.data() + i * 4, &bits, sizeof(bits));
  }
  array = std::move(wide);
  return {};
}

static Status unwritable(const std::string &name) {
  return {JN_INVALID_INPUT, name + " cannot be written: NumPy has no bfloat16"};
}

Status writeNpy(const std::string &path, const Array &array) {
  std::string header = makeNpyHeader(array);
  if (header.empty())
    return unwritable("'" + path + "'");
  TemporaryFile file;
  JN_TRY(file.create(path));
  JN_TRY(writeAt(file.fd(), path, header.data(), header.size(), 0));
  JN_TRY(writeAt(file.fd(), path, array.data(), size_t(array.bytes()),
                 header.size()));
  return file.publish(/*durable=*/false);
}

struct NpzReader::Archive {
  std::string path;
  uint64_t fileBytes = 0;
  zip_t *zip = nullptr;
  ~Archive() {
    if (zip)
      zip_discard(zip);
  }
};

NpzReader::NpzReader() = default;
NpzReader::~NpzReader() = default;

Status NpzReader::open(const std::string &path) {
  archive = std::make_unique<Archive>();
  archive->path = path;
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    return systemError("cannot open", path, errno);
  archive->fileBytes = uint64_t(info.st_size);
  int code = 0;
  archive->zip = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (!archive->zip) {
    if (code == ZIP_ER_OPEN || code == ZIP_ER_READ)
      return systemError("cannot open", path, errno);
    if (code == ZIP_ER_MEMORY)
      return systemError("cannot open", path, ENOMEM);
    return {JN_INVALID_INPUT, "'" + path +
                                  "' is not an archive of arrays "
                                  "(.npz), or is damaged"};
  }
  zip_int64_t count = zip_get_num_entries(archive->zip, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char *raw = zip_get_name(archive->zip, zip_uint64_t(i), 0);
    std::string name = raw ? raw : "";
    if (name.ends_with(".npy"))
      name.resize(name.size() - 4);
    members.push_back(name);
  }
  return {};
}

Status NpzReader::read(size_t number, Array &array) const {
  std::string name = "'" + members[number] + "' in '" + archive->path + "'";
  auto bad = [&](const std::string &what) -> Status {
    return {JN_INVALID_INPUT, name + " " + what};
  };
  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_stat_index(archive->zip, number, 0, &info) != 0 ||
      !(info.valid & ZIP_STAT_SIZE) || !(info.valid & ZIP_STAT_COMP_SIZE))
    return bad("cannot be read");
  // Deflate shrinks at most 1032 times: a larger claim is a lie.
  if (info.comp_size > archive->fileBytes ||
      info.size / 1032 > info.comp_size + 64)
    return bad("claims an impossible size");
  std::unique_ptr<zip_file_t, int (*)(zip_file_t *)> file(
      zip_fopen_index(archive->zip, number, 0), zip_fclose);
  if (!file)
    return bad(std::string("cannot be read: ") + zip_strerror(archive->zip));
  ZipSource source(file.get(), name, info.size);
  JN_TRY(readArray(source, name, array));
  // The checksum is compared at the member's end only.
  char rest[4096];
  zip_int64_t n;
  while ((n = zip_fread(file.get(), rest, sizeof(rest))) > 0) {
  }
  if (n < 0)
    return bad(std::string("is damaged: ") +
               zip_error_strerror(zip_file_get_error(file.get())));
  return {};
}

Status writeNpz(const std::string &path, const std::vector<NamedArray> &arrays,
                bool deflate) {
  // libzip writes a temporary file of its own and renames it; the directory
  // must be writable, which it finds out only at the end.
  int code = 0;
  zip_t *zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!zip)
    return systemError("cannot write", path, errno ? errno : EIO);
  std::unique_ptr<zip_t, void (*)(zip_t *)> owner(zip, zip_discard);
  auto failed = [&]() -> Status {
    int error = zip_error_code_system(zip_get_error(zip));
    if (error)
      return systemError("cannot write", path, error);
    return {JN_IO, "cannot write '" + path + "': " + zip_strerror(zip)};
  };
  std::vector<std::string> headers(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Array &array = *arrays[i].second;
    headers[i] = makeNpyHeader(array);
    if (headers[i].empty())
      return unwritable("'" + arrays[i].first + "'");
    zip_buffer_fragment_t parts[2] = {
        {reinterpret_cast<zip_uint8_t *>(headers[i].data()), headers[i].size()},
        {reinterpret_cast<zip_uint8_t *>(array.data()),
         zip_uint64_t(array.bytes())}};
    zip_source_t *source =
        zip_source_buffer_fragment(zip, parts, array.bytes() ? 2 : 1, 0);
    if (!source)
      return failed();
    zip_int64_t index =
        zip_file_add(zip, (arrays[i].first + ".npy").c_str(), source,
                     ZIP_FL_ENC_UTF_8 | ZIP_FL_OVERWRITE);
    if (index < 0) {
      zip_source_free(source);
      return failed();
    }
    // The same arrays give the same bytes: 1980 is where ZIP's time begins.
    constexpr zip_uint16_t kDate = (1 << 5) | 1;
    if (zip_set_file_compression(zip, zip_uint64_t(index),
                                 deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE,
                                 0) != 0 ||
        zip_file_set_dostime(zip, zip_uint64_t(index), 0, kDate, 0) != 0)
      return failed();
  }
  if (zip_close(zip) != 0)
    return failed();
  (void)owner.release();
  return {};
}

} // namespace joinery::runtime
