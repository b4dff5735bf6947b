//===- Workspace.h - Sharing one block of memory ----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_WORKSPACE_H
#define JOINERY_EXEC_WORKSPACE_H

#include "joinery/runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace joinery::runtime {

/// Every offset in a workspace, and its base, are multiples of this.
inline constexpr uint64_t kAlignment = 64;

/// Rounds up to the alignment; false if that leaves 63 bits.
bool alignSize(int64_t bytes, uint64_t &aligned);

/// Memory that is needed from step `first` to step `last`, both included.
struct Placement {
  uint64_t bytes = 0; // a multiple of kAlignment
  int32_t first = 0;
  int32_t last = 0;
  uint64_t offset = 0;
};

/// Greedy by size (Pisarchyk and Lee 2020, arXiv:2001.03288, algorithm 3):
/// the largest first, each into the smallest gap that fits between those that
/// live at the same time.
class WorkspacePlanner {
public:
  /// Allocates what plans of up to `count` placements need.
  void reserve(size_t count);
  /// Sets all offsets, and `total` to the end of the last. Allocates nothing
  /// within what was reserved. False if the total leaves 63 bits.
  bool plan(std::vector<Placement> &placements, uint64_t &total);

private:
  std::vector<uint32_t> bySize;
  std::vector<uint32_t> byOffset;
};

/// A workspace that the library owns.
class WorkspaceMemory {
public:
  WorkspaceMemory() = default;
  ~WorkspaceMemory();
  WorkspaceMemory(const WorkspaceMemory &) = delete;
  WorkspaceMemory &operator=(const WorkspaceMemory &) = delete;

  /// Replaces it by one of at least `bytes` bytes; contents are lost.
  Status grow(uint64_t bytes);
  void *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  void *base = nullptr;
  uint64_t bytes = 0;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_WORKSPACE_H
