//===- File.cpp - Files by descriptor -------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Support/File.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <random>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace joinery::runtime {

// Linux transfers at most 2^31 - 4096 bytes per call.
static constexpr size_t kTransfer = size_t(1) << 30;

void Descriptor::reset(int newFd) {
  if (fd >= 0)
    ::close(fd);
  fd = newFd;
}

Status systemError(const char *what, const std::string &path, int error) {
  return {error == ENOMEM ? JN_OUT_OF_MEMORY : JN_IO,
          std::string(what) + " '" + path +
              "': " + std::generic_category().message(error)};
}

Status writeAt(int fd, const std::string &path, const void *data, size_t bytes,
               uint64_t offset) {
  const char *next = static_cast<const char *>(data);
  while (bytes) {
    ssize_t n = ::pwrite(fd, next, std::min(bytes, kTransfer), off_t(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return systemError("cannot write", path, n < 0 ? errno : ENOSPC);
    next += n;
    bytes -= size_t(n);
    offset += uint64_t(n);
  }
  return {};
}

Status truncateAt(int fd, const std::string &path, uint64_t bytes) {
  int result;
  do
    result = ::ftruncate(fd, off_t(bytes));
  while (result != 0 && errno == EINTR);
  return result == 0 ? Status{} : systemError("cannot cut", path, errno);
}

Status readAt(int fd, const std::string &path, void *data, size_t bytes,
              uint64_t offset) {
  char *next = static_cast<char *>(data);
  while (bytes) {
    ssize_t n = ::pread(fd, next, std::min(bytes, kTransfer), off_t(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return systemError("cannot read", path, errno);
    if (n == 0)
      return {JN_IO, "cannot read '" + path + "': it became shorter meanwhile"};
    next += n;
    bytes -= size_t(n);
    offset += uint64_t(n);
  }
  return {};
}

static std::string directoryOf(const std::string &path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos)
    return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

TemporaryFile::~TemporaryFile() {
  if (!temporary.empty())
    ::unlink(temporary.c_str());
}

Status TemporaryFile::create(const std::string &path) {
  target = path;
  // mkstemp would give mode 0600 whatever the umask is.
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string name = target + ".tmp-";
    for (int i = 0; i < 8; ++i)
      name += kDigits[random() % 36];
    int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      descriptor.reset(fd);
      temporary = name;
      return {};
    }
    if (errno != EEXIST)
      return systemError("cannot create", target, errno);
  }
  return systemError("cannot create", target, EEXIST);
}

Status TemporaryFile::publish(bool durable) {
  if (durable && ::fsync(fd()) != 0)
    return systemError("cannot write", target, errno);
  // Closing may report a write that failed late (NFS).
  if (::close(descriptor.release()) != 0 && errno != EINTR)
    return systemError("cannot write", target, errno);
  if (::rename(temporary.c_str(), target.c_str()) != 0)
    return systemError("cannot replace", target, errno);
  temporary.clear();
  if (!durable)
    return {};
  Descriptor directory(
      ::open(directoryOf(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0)
    return systemError("cannot open the directory of", target, errno);
  // Some file systems refuse to sync directories: the rename has happened.
  if (::fsync(directory.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return systemError("cannot sync the directory of", target, errno);
  return {};
}

} // namespace joinery::runtime
