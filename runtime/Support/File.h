//===- File.h - Files by descriptor -----------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_SUPPORT_FILE_H
#define JOINERY_SUPPORT_FILE_H

#include "joinery/runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace joinery::runtime {

/// Owns a file descriptor.
class Descriptor {
public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(Descriptor &&other) noexcept : fd(other.release()) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return fd; }
  int release() {
    int old = fd;
    fd = -1;
    return old;
  }
  void reset(int newFd = -1);

private:
  int fd = -1;
};

/// Bytes of a huge page.
inline constexpr uint64_t kHugePage = uint64_t(2) << 20;

/// JN_IO (JN_OUT_OF_MEMORY for ENOMEM) with "<what> '<path>': <errno's text>".
Status systemError(const char *what, const std::string &path, int error);

/// Writes everything, at `offset`.
Status writeAt(int fd, const std::string &path, const void *data, size_t bytes,
               uint64_t offset);
/// Cuts the file to its first `bytes`.
Status truncateAt(int fd, const std::string &path, uint64_t bytes);
/// Reads exactly `bytes` at `offset`; the file's end before that is an error.
Status readAt(int fd, const std::string &path, void *data, size_t bytes,
              uint64_t offset);

/// A new file next to a target path, which replaces it when published.
class TemporaryFile {
public:
  TemporaryFile() = default;
  TemporaryFile(const TemporaryFile &) = delete;
  TemporaryFile &operator=(const TemporaryFile &) = delete;
  ~TemporaryFile();

  /// Creates it, with the mode that the process's umask allows.
  Status create(const std::string &target);
  /// Renames it to the target. `durable`: not before its bytes are on the
  /// disk, and with the directory synced, so that a loss of power keeps the old
  /// file or the new one.
  Status publish(bool durable);

  int fd() const { return descriptor.get(); }
  const std::string &path() const { return temporary; }
  const std::string &targetPath() const { return target; }

private:
  Descriptor descriptor;
  std::string target;
  std::string temporary;
};

} // namespace joinery::runtime

#endif // JOINERY_SUPPORT_FILE_H
