//===- NpyHeader.h - The header of a .npy file ------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_IO_NPYHEADER_H
#define JOINERY_IO_NPYHEADER_H

#include "runtime/IO/Npy.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace joinery::runtime {

/// Where the bytes of one .npy come from.
class ByteSource {
public:
  virtual ~ByteSource() = default;
  /// Reads exactly `bytes`.
  virtual Status read(void *to, size_t bytes) = 0;
  /// An upper bound of what is left, from sizes that the file proves.
  virtual uint64_t left() const = 0;
};

/// Reads an array; messages begin with `name`.
Status readArray(ByteSource &source, const std::string &name, Array &array);

/// Parses the dictionary of a header. The error is a phrase such as "has a
/// malformed header".
bool parseNpyHeader(std::string_view text, Array &array, bool &fortran,
                    std::string &error);

/// A header of version 1 (or 2 if it is long), padded to 64 bytes; "" for
/// bfloat16.
std::string makeNpyHeader(const Array &array);

} // namespace joinery::runtime

#endif // JOINERY_IO_NPYHEADER_H
