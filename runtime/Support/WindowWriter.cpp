//===- WindowWriter.cpp - Large writes to a file --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Support/WindowWriter.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace joinery::runtime {

/// Bytes of a write.
static constexpr uint64_t kWindow = 4 * kHugePage;

void WindowWriter::open(int descriptor, std::string name) {
  fd = descriptor;
  path = std::move(name);
  window.reserve(kWindow);
}

Status WindowWriter::append(const void *data, uint64_t bytes) {
  const char *next = static_cast<const char *>(data);
  while (bytes) {
    uint64_t part = std::min(bytes, kWindow - window.size());
    window.insert(window.end(), next, next + part);
    next += part;
    bytes -= part;
    if (window.size() < kWindow)
      continue;
    JN_TRY(writeAt(fd, path, window.data(), window.size(), start));
    start += window.size();
    window.clear();
  }
  return {};
}

Status WindowWriter::pad(uint64_t size) {
  static constexpr char zeros[4096] = {};
  while (this->size() < size)
    JN_TRY(append(zeros, std::min<uint64_t>(sizeof(zeros), size - this->size())));
  return {};
}

Status WindowWriter::read(void *data, uint64_t bytes, uint64_t offset) const {
  char *next = static_cast<char *>(data);
  if (offset < start) {
    uint64_t written = std::min(bytes, start - offset);
    JN_TRY(readAt(fd, path, next, written, offset));
    next += written;
    offset += written;
    bytes -= written;
  }
  if (bytes)
    std::memcpy(next, window.data() + (offset - start), bytes);
  return {};
}

Status WindowWriter::cut(uint64_t size) {
  if (size >= start) {
    window.resize(size - start);
    return {};
  }
  // The huge page that is cut is written again as a whole.
  uint64_t whole = size / kHugePage * kHugePage;
  std::vector<char> kept(size - whole);
  JN_TRY(readAt(fd, path, kept.data(), kept.size(), whole));
  JN_TRY(truncateAt(fd, path, whole));
  window.assign(kept.begin(), kept.end());
  start = whole;
  return {};
}

Status WindowWriter::finish() {
  JN_TRY(writeAt(fd, path, window.data(), window.size(), start));
  start += window.size();
  window.clear();
  return {};
}

} // namespace joinery::runtime
