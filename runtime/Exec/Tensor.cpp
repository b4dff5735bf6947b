//===- Tensor.cpp - The caller's tensors ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace joinery::runtime {

// DLPack 0.8 and later have a code for booleans.
static constexpr uint8_t kDLPackBool = 6;

static bool typeOf(const DLTensor &tensor, DType &dtype) {
  if (tensor.dtype.lanes != 1)
    return false;
  if (tensor.dtype.code == kDLPackBool && tensor.dtype.bits == 8) {
    dtype = DType::Bool;
    return true;
  }
  for (size_t i = 0; i < kDTypes; ++i) {
    DLDataType known = dtypeToDLPack(DType(i));
    if (known.code == tensor.dtype.code && known.bits == tensor.dtype.bits) {
      dtype = DType(i);
      return true;
    }
  }
  return false;
}

std::string describe(const DLTensor &tensor) {
  DType dtype;
  std::string text = typeOf(tensor, dtype)
                         ? dtypeName(dtype)
                         : "type code " + std::to_string(tensor.dtype.code) +
                               " of " + std::to_string(tensor.dtype.bits) +
                               " bits";
  text += "[";
  for (int i = 0; tensor.shape && i < std::min(tensor.ndim, kMaxRank); ++i)
    text += (i ? "," : "") + std::to_string(tensor.shape[i]);
  return text + "]";
}

static std::string nameOf(const char *kind, const Border &border) {
  return std::string(kind) + " '" + border.name + "'";
}

static Status refuse(const char *kind, const Border &border,
                     const std::string &what) {
  return {JN_INVALID_INPUT, nameOf(kind, border) + " " + what};
}

static Status inspect(const char *kind, const Border &border,
                      const DLTensor &tensor, int64_t &elements) {
  if (tensor.device.device_type != kDLCPU &&
      tensor.device.device_type != kDLCUDAHost)
    return refuse(kind, border, "is not in the CPU's memory; copy it there");
  if (tensor.ndim < 0 || size_t(tensor.ndim) != border.dims.size())
    return refuse(kind, border,
                  "has " + std::to_string(tensor.ndim) +
                      " dimensions, the model has " +
                      std::to_string(border.dims.size()));
  if (tensor.ndim > 0 && !tensor.shape)
    return {JN_INVALID_ARGUMENT, nameOf(kind, border) + " has no shape"};
  elements = 1;
  bool overflow = false, empty = false;
  for (int i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0)
      return refuse(kind, border, "has a negative extent: " + describe(tensor));
    empty |= tensor.shape[i] == 0;
    overflow |= __builtin_mul_overflow(elements, tensor.shape[i], &elements);
  }
  if (empty)
    elements = 0;
  else if (overflow || elements > std::numeric_limits<int64_t>::max() / 16)
    return refuse(kind, border, "is larger than memory: " + describe(tensor));
  return {};
}

/// Row-major without gaps; extents of 1 may have any stride.
static bool isCompact(const DLTensor &tensor) {
  if (!tensor.strides)
    return true;
  int64_t stride = 1;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    if (tensor.shape[i] == 0)
      return true;
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride)
      return false;
    stride *= tensor.shape[i];
  }
  return true;
}

static const char *dataOf(const DLTensor &tensor) {
  return static_cast<const char *>(tensor.data) + tensor.byte_offset;
}

static bool isAligned(const DLTensor &tensor, DType dtype) {
  return !tensor.data ||
         reinterpret_cast<uintptr_t>(dataOf(tensor)) % dtypeBytes(dtype) == 0;
}

Status inspectInput(const Border &border, const DLTensor &tensor,
                    InputAccess &access) {
  DType given;
  bool known = typeOf(tensor, given);
  DType want = border.dtype;
  bool bytesForBool = known && want == DType::Bool && dtypeBytes(given) == 1 &&
                      (given == DType::U8 || given == DType::Bool);
  if (bytesForBool)
    given = DType::Bool;
  bool convert = known && ((given == DType::I32 && want == DType::I64) ||
                           (given == DType::I64 && want == DType::I32));
  if (!known || (given != want && !convert))
    return refuse("input", border,
                  "is " + describe(tensor) + ", the model takes " +
                      dtypeName(want));
  JN_TRY(inspect("input", border, tensor, access.elements));
  access.given = given;
  access.bytes = access.elements * int64_t(dtypeBytes(want));
  access.copy = access.elements != 0 &&
                (convert || !isCompact(tensor) || !isAligned(tensor, given));
  return {};
}

Status requireData(const char *kind, const Border &border,
                   const DLTensor &tensor, int64_t elements) {
  if (elements != 0 && !tensor.data)
    return {JN_INVALID_ARGUMENT, nameOf(kind, border) + " has no data"};
  return {};
}

Status inspectOutput(const Border &border, const DLTensor &tensor,
                     int64_t &capacity) {
  DType given;
  if (!typeOf(tensor, given) ||
      (given != border.dtype &&
       !(border.dtype == DType::Bool && given == DType::U8)))
    return refuse("output", border,
                  "is " + describe(tensor) + ", the model gives " +
                      dtypeName(border.dtype));
  int64_t elements;
  JN_TRY(inspect("output", border, tensor, elements));
  if (!isCompact(tensor))
    return refuse("output", border,
                  "is strided; give row-major memory without gaps");
  if (!isAligned(tensor, given))
    return refuse("output", border, "is not aligned to its elements");
  capacity = elements * int64_t(dtypeBytes(given));
  return {};
}

/// Copies one row of the innermost dimension.
using CopyRow = bool (*)(const char *from, int64_t strideBytes, int64_t count,
                         char *to);

template <typename From, typename To>
static bool copyRow(const char *from, int64_t strideBytes, int64_t count,
                    char *to) {
  for (int64_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * strideBytes, sizeof(From));
    if constexpr (sizeof(From) > sizeof(To))
      if (value < std::numeric_limits<To>::min() ||
          value > std::numeric_limits<To>::max())
        return false;
    To converted = To(value);
    std::memcpy(to + i * int64_t(sizeof(To)), &converted, sizeof(To));
  }
  return true;
}

static CopyRow rowCopier(DType given, DType want) {
  if (given == DType::I32 && want == DType::I64)
    return copyRow<int32_t, int64_t>;
  if (given == DType::I64 && want == DType::I32)
    return copyRow<int64_t, int32_t>;
  switch (dtypeBytes(want)) {
  case 1:
    return copyRow<uint8_t, uint8_t>;
  case 2:
    return copyRow<uint16_t, uint16_t>;
  case 4:
    return copyRow<uint32_t, uint32_t>;
  default:
    return copyRow<uint64_t, uint64_t>;
  }
}

Status copyInput(const Border &border, const DLTensor &tensor,
                 const InputAccess &access, void *to) {
  CopyRow copier = rowCopier(access.given, border.dtype);
  int64_t fromBytes = int64_t(dtypeBytes(access.given));
  int64_t toBytes = int64_t(dtypeBytes(border.dtype));
  int rank = tensor.ndim;
  bool compact = isCompact(tensor);
  // A compact tensor is one row; a scalar is one, too.
  int64_t row = compact ? access.elements : tensor.shape[rank - 1];
  int64_t rowStride = (compact ? 1 : tensor.strides[rank - 1]) * fromBytes;
  int64_t index[kMaxRank] = {};
  const char *from = dataOf(tensor);
  char *next = static_cast<char *>(to);
  for (int64_t done = 0; done < access.elements; done += row) {
    if (!copier(from, rowStride, row, next))
      return refuse("input", border,
                    std::string("has a value that ") + dtypeName(border.dtype) +
                        " cannot hold");
    next += row * toBytes;
    for (int i = compact ? -1 : rank - 2; i >= 0; --i) {
      from += tensor.strides[i] * fromBytes;
      if (++index[i] < tensor.shape[i])
        break;
      from -= tensor.shape[i] * tensor.strides[i] * fromBytes;
      index[i] = 0;
    }
  }
  return {};
}

template <typename T>
static bool findIn(const void *data, int64_t elements, int64_t &position,
                   std::string &value) {
  const T *values = static_cast<const T *>(data);
  auto binary = [](T v) { return v == T(0) || v == T(1); };
  // Whole blocks without a branch, so that the compiler can use vectors.
  constexpr int64_t kBlock = 1024;
  for (int64_t begin = 0; begin < elements; begin += kBlock) {
    int64_t end = std::min(elements, begin + kBlock);
    bool good = true;
    for (int64_t i = begin; i < end; ++i)
      good &= binary(values[i]);
    if (good)
      continue;
    position = std::find_if_not(values + begin, values + end, binary) - values;
    value = std::to_string(values[position]);
    return true;
  }
  return false;
}

bool findNonBinary(DType dtype, const void *data, int64_t elements,
                   int64_t &position, std::string &value) {
  switch (dtype) {
  case DType::F32:
    return findIn<float>(data, elements, position, value);
  case DType::F64:
    return findIn<double>(data, elements, position, value);
  case DType::I8:
    return findIn<int8_t>(data, elements, position, value);
  case DType::U8:
  case DType::Bool:
    return findIn<uint8_t>(data, elements, position, value);
  case DType::I16:
    return findIn<int16_t>(data, elements, position, value);
  case DType::I32:
    return findIn<int32_t>(data, elements, position, value);
  case DType::I64:
    return findIn<int64_t>(data, elements, position, value);
  case DType::F16:
  case DType::BF16: {
    const auto *bits = static_cast<const uint16_t *>(data);
    uint16_t one = dtype == DType::F16 ? 0x3c00 : 0x3f80;
    for (int64_t i = 0; i < elements; ++i)
      if ((bits[i] & 0x7fff) != 0 && bits[i] != one) {
        position = i;
        value = "of bits " + std::to_string(bits[i]);
        return true;
      }
    return false;
  }
  }
  return false;
}

} // namespace joinery::runtime
