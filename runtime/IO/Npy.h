//===- Npy.h - NumPy's .npy and .npz files ----------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads versions 1 to 3 of the .npy format, little-endian, of the types f2, f4,
// f8, i1, i2, i4, i8, u1 and b1. Files are not trusted: no size that a header
// claims is allocated before the file proves long enough for it.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_IO_NPY_H
#define JOINERY_IO_NPY_H

#include "joinery/runtime/Status.h"
#include "runtime/Exec/Program.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace joinery::runtime {

/// A row-major array with memory of its own, 64-byte aligned.
class Array {
public:
  DType dtype = DType::F32;
  std::vector<int64_t> shape;

  /// Allocates for dtype and shape. Errors: JN_OUT_OF_MEMORY, or
  /// JN_INVALID_INPUT for extents whose product leaves 63 bits.
  Status allocate();
  /// Elements times element size, for a shape that `allocate` took.
  int64_t bytes() const;
  int64_t elements() const;

  char *data() const { return memory.get(); }
  /// Points into this array.
  DLTensor view();

private:
  std::unique_ptr<char, void (*)(void *)> memory{nullptr, std::free};
};

/// The same values in f32 where `array` holds bfloat16, which NumPy lacks.
/// Errors: JN_OUT_OF_MEMORY.
Status widenBFloat16(Array &array);

Status readNpy(const std::string &path, Array &array);
/// Writes atomically. bfloat16, which NumPy lacks, is refused.
Status writeNpy(const std::string &path, const Array &array);

/// An open .npz archive, stored or deflated.
class NpzReader {
public:
  NpzReader();
  ~NpzReader();
  NpzReader(const NpzReader &) = delete;
  NpzReader &operator=(const NpzReader &) = delete;

  Status open(const std::string &path);
  /// The arrays' names, without ".npy", in the archive's order.
  const std::vector<std::string> &names() const { return members; }
  Status read(size_t number, Array &array) const;

private:
  struct Archive;
  std::unique_ptr<Archive> archive;
  std::vector<std::string> members;
};

using NamedArray = std::pair<std::string, const Array *>;

/// Writes atomically; `deflate` compresses as numpy.savez_compressed does.
Status writeNpz(const std::string &path, const std::vector<NamedArray> &arrays,
                bool deflate);

} // namespace joinery::runtime

#endif // JOINERY_IO_NPY_H
