//===- Difference.h - How far two arrays are apart --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_DIFFERENCE_H
#define JOINERY_TOOL_DIFFERENCE_H

#include "runtime/IO/Npy.h"

#include <cstdint>
#include <vector>

namespace joinery::tool {

struct Difference {
  /// The greatest absolute error, infinite where only one side is finite.
  double most = 0;
  /// The span of the reference, or its largest magnitude if that is more.
  double range = 0;
  /// The least cosine between rows along the last dimension.
  double cosine = 1;
  /// Rows that were compared.
  int64_t rows = 0;

  /// The greatest error as a share of the range.
  double relative() const;
};

/// Compares arrays of the same shape. `keep`, unless empty, says which of the
/// leading indices (all dimensions but the last ones) count.
Difference difference(const runtime::Array &got, const runtime::Array &want,
                      const std::vector<bool> &keep);

} // namespace joinery::tool

#endif // JOINERY_TOOL_DIFFERENCE_H
