//===- Tensor.h - The caller's tensors --------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_TENSOR_H
#define JOINERY_EXEC_TENSOR_H

#include "runtime/Exec/Program.h"

namespace joinery::runtime {

inline constexpr int kMaxRank = 32;

/// "float32[8,128]"
std::string describe(const DLTensor &tensor);

/// What must be done to an input before kernels can read it.
struct InputAccess {
  /// Elements, and bytes as the model's type.
  int64_t elements = 0;
  int64_t bytes = 0;
  /// It must be copied: strided, unaligned or of another integer type.
  bool copy = false;
  DType given = DType::F32;
};

/// Checks an input's device, type, rank and extents, not its data. Data that is
/// null counts as aligned.
Status inspectInput(const Border &border, const DLTensor &tensor,
                    InputAccess &access);

/// Data may be null only if there are no elements.
Status requireData(const char *kind, const Border &border,
                   const DLTensor &tensor, int64_t elements);

/// Copies an input to row-major memory of the model's type. Fails if a value
/// does not fit.
Status copyInput(const Border &border, const DLTensor &tensor,
                 const InputAccess &access, void *to);

/// Checks that an output is writable as it is: device, type, rank, compactness,
/// alignment. `capacity` gets the bytes that its shape has room for.
Status inspectOutput(const Border &border, const DLTensor &tensor,
                     int64_t &capacity);

/// Finds the first element that is neither 0 nor 1 of row-major data; false if
/// there is none.
bool findNonBinary(DType dtype, const void *data, int64_t elements,
                   int64_t &position, std::string &value);

} // namespace joinery::runtime

#endif // JOINERY_EXEC_TENSOR_H
