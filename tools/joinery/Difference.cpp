//===- Difference.cpp - How far two arrays are apart ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Difference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace joinery::tool {

using runtime::Array;
using runtime::DType;

template <typename T> static double elementAs(const char *data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * int64_t(sizeof(T)), sizeof(T));
  return double(value);
}

static double element(const Array &array, int64_t i) {
  const char *data = array.data();
  switch (array.dtype) {
  case DType::F32:
    return elementAs<float>(data, i);
  case DType::F64:
    return elementAs<double>(data, i);
  case DType::F16:
    return elementAs<_Float16>(data, i);
  case DType::BF16: {
    uint32_t bits = uint32_t(elementAs<uint16_t>(data, i)) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  case DType::I8:
    return elementAs<int8_t>(data, i);
  case DType::I16:
    return elementAs<int16_t>(data, i);
  case DType::I32:
    return elementAs<int32_t>(data, i);
  case DType::I64:
    return elementAs<int64_t>(data, i);
  case DType::U8:
  case DType::Bool:
    break;
  }
  return elementAs<uint8_t>(data, i);
}

double Difference::relative() const {
  if (most == 0)
    return 0;
  return range > 0 ? most / range : std::numeric_limits<double>::infinity();
}

Difference difference(const Array &got, const Array &want,
                      const std::vector<bool> &keep) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Difference result;
  int64_t width = want.shape.empty() ? 1 : want.shape.back();
  int64_t rows = width ? want.elements() / width : 0;
  double low = infinity, high = -infinity;
  for (int64_t row = 0; row < rows; ++row) {
    if (!keep.empty() && !keep[size_t(row * int64_t(keep.size()) / rows)])
      continue;
    ++result.rows;
    double product = 0, gotNorm = 0, wantNorm = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      double x = element(got, i), y = element(want, i);
      if (!std::isfinite(x) || !std::isfinite(y)) {
        bool same = x == y || (std::isnan(x) && std::isnan(y));
        result.most = same ? result.most : infinity;
        continue;
      }
      result.most = std::max(result.most, std::fabs(x - y));
      low = std::min(low, y);
      high = std::max(high, y);
      product += x * y;
      gotNorm += x * x;
      wantNorm += y * y;
    }
    // Rows of zeros have no direction: they agree with each other only.
    double norms = std::sqrt(gotNorm) * std::sqrt(wantNorm);
    double cosine = norms > 0             ? product / norms
                    : gotNorm == wantNorm ? 1
                                          : 0;
    result.cosine = std::min(result.cosine, cosine);
  }
  if (low <= high)
    result.range =
        std::max({high - low, std::fabs(low), std::fabs(high)});
  return result;
}

} // namespace joinery::tool
