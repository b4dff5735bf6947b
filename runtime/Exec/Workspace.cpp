//===- Workspace.cpp - Sharing one block of memory ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Workspace.h"

#include <algorithm>
#include <cstdlib>
#include <sys/mman.h>

namespace joinery::runtime {

bool alignSize(int64_t bytes, uint64_t &aligned) {
  if (bytes < 0 || bytes > INT64_MAX - int64_t(kAlignment))
    return false;
  aligned = (uint64_t(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  return true;
}

void WorkspacePlanner::reserve(size_t count) {
  bySize.reserve(count);
  byOffset.reserve(count);
}

bool WorkspacePlanner::plan(std::vector<Placement> &placements,
                            uint64_t &total) {
  bySize.clear();
  byOffset.clear();
  for (uint32_t i = 0; i < placements.size(); ++i) {
    placements[i].offset = 0;
    if (placements[i].bytes)
      bySize.push_back(i);
  }
  // Ties by number: the plan is the same everywhere.
  std::sort(bySize.begin(), bySize.end(), [&](uint32_t a, uint32_t b) {
    if (placements[a].bytes != placements[b].bytes)
      return placements[a].bytes > placements[b].bytes;
    return a < b;
  });

  total = 0;
  for (uint32_t number : bySize) {
    Placement &item = placements[number];
    uint64_t end = 0;
    uint64_t bestGap = UINT64_MAX;
    uint64_t bestOffset = 0;
    for (uint32_t placed : byOffset) {
      const Placement &other = placements[placed];
      if (other.last < item.first || item.last < other.first)
        continue;
      if (other.offset > end) {
        uint64_t gap = other.offset - end;
        if (gap >= item.bytes && gap < bestGap) {
          bestGap = gap;
          bestOffset = end;
        }
      }
      end = std::max(end, other.offset + other.bytes);
    }
    item.offset = bestGap == UINT64_MAX ? end : bestOffset;
    // All terms are below 2^63, so the sum cannot wrap.
    uint64_t itemEnd = item.offset + item.bytes;
    if (itemEnd > uint64_t(INT64_MAX))
      return false;
    total = std::max(total, itemEnd);
    auto after = std::upper_bound(
        byOffset.begin(), byOffset.end(), number, [&](uint32_t a, uint32_t b) {
          return placements[a].offset < placements[b].offset;
        });
    byOffset.insert(after, number);
  }
  return true;
}

WorkspaceMemory::~WorkspaceMemory() { std::free(base); }

Status WorkspaceMemory::grow(uint64_t wanted) {
  // Large workspaces begin at a huge page and ask for such: kernels walk them
  // in long strides.
  constexpr uint64_t kHugePage = uint64_t(2) << 20;
  bool large = wanted >= 2 * kHugePage;
  uint64_t alignment = large ? kHugePage : kAlignment;
  std::free(base);
  base = nullptr;
  bytes = 0;
  if (wanted == 0)
    return {};
  if (wanted <= uint64_t(INT64_MAX) - alignment) {
    uint64_t size = (wanted + alignment - 1) / alignment * alignment;
    base = std::aligned_alloc(alignment, size);
    if (base) {
      bytes = size;
      if (large)
        ::madvise(base, size, MADV_HUGEPAGE);
      return {};
    }
  }
  return {JN_OUT_OF_MEMORY,
          "no memory for a workspace of " + std::to_string(wanted) + " bytes"};
}

} // namespace joinery::runtime
