//===- WindowWriter.h - Large writes to a file ------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Writes a file from front to back in pieces that begin and end at multiples of
// a huge page. File systems with large folios (XFS, ext4 since Linux 6.16) then
// cache the file in huge pages, and programs that map it use them: products that
// stream weights through 4 KiB pages wait for page walks a fifth of their time.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_SUPPORT_WINDOWWRITER_H
#define JOINERY_SUPPORT_WINDOWWRITER_H

#include "runtime/Support/File.h"

#include <cstdint>
#include <string>
#include <vector>

namespace joinery::runtime {

class WindowWriter {
public:
  /// Writes to the descriptor, which is empty and open for reading as well;
  /// messages name `path`.
  void open(int fd, std::string path);

  /// Where the next byte goes.
  uint64_t size() const { return start + window.size(); }
  Status append(const void *data, uint64_t bytes);
  /// Zeros up to `size`.
  Status pad(uint64_t size);
  /// Reads back what was appended.
  Status read(void *data, uint64_t bytes, uint64_t offset) const;
  /// Forgets what was appended from `size` on.
  Status cut(uint64_t size);
  /// Writes what is left. Nothing may be appended after it.
  Status finish();

private:
  int fd = -1;
  std::string path;
  /// What is not written yet: the file from `start` on, a multiple of kHugePage.
  std::vector<char> window;
  uint64_t start = 0;
};

} // namespace joinery::runtime

#endif // JOINERY_SUPPORT_WINDOWWRITER_H
