//===- Generate.cpp - Inputs for a benchmark ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

namespace joinery::tool {

namespace {
/// The same numbers from the same seed on every machine (splitmix64).
class Random {
public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t bits() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return double((bits() >> 11) + 1) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2 * std::log(uniform())) *
           std::cos(6.283185307179586 * uniform());
  }
  int64_t below(int64_t limit) {
    return int64_t(bits() % uint64_t(std::max<int64_t>(1, limit)));
  }

private:
  uint64_t state;
};
} // namespace

/// Real lengths as they occur in text: lognormal around 0.38 of the maximum,
/// and one row of the maximum.
static std::vector<int64_t> makeLengths(int64_t rows, int64_t longest,
                                        bool ragged, Random &random) {
  std::vector<int64_t> lengths(size_t(rows), longest);
  for (int64_t i = 1; ragged && i < rows; ++i) {
    double length = 0.38 * double(longest) * std::exp(0.5 * random.normal());
    lengths[size_t(i)] =
        std::clamp(int64_t(std::lround(length)), int64_t(1), longest);
  }
  return lengths;
}

static void store(Array &array, int64_t index, double value) {
  auto put = [&](auto typed) {
    std::memcpy(array.data() + index * int64_t(sizeof(typed)), &typed,
                sizeof(typed));
  };
  switch (array.dtype) {
  case runtime::DType::F32:
    return put(float(value));
  case runtime::DType::F64:
    return put(value);
  case runtime::DType::F16:
    // Only 0 and 1 are ever stored in half precision.
    return put(uint16_t(value == 0 ? 0 : 0x3c00));
  case runtime::DType::BF16:
    return put(uint16_t(value == 0 ? 0 : 0x3f80));
  case runtime::DType::I16:
    return put(int16_t(value));
  case runtime::DType::I32:
    return put(int32_t(value));
  case runtime::DType::I64:
    return put(int64_t(value));
  default:
    return put(int8_t(value));
  }
}

static bool isFloat(runtime::DType dtype) {
  return dtype <= runtime::DType::BF16;
}

/// Integers below this are in range for the input: the least limit of its
/// checks, or of those that name no input.
static int64_t integerLimit(const Model &model, int32_t input) {
  int64_t own = INT64_MAX, any = INT64_MAX;
  for (uint32_t i = 0; i < jn_model_check_count(model.get()); ++i) {
    jn_check_info check = {};
    check.size = sizeof(check);
    if (jn_model_check(model.get(), i, &check, nullptr) != JN_OK ||
        !check.has_range)
      continue;
    if (check.input == input)
      own = std::min(own, check.high);
    else if (check.input < 0)
      any = std::min(any, check.high);
  }
  int64_t limit = own != INT64_MAX ? own : any != INT64_MAX ? any : 2;
  return std::min<int64_t>(limit, 1000);
}

static bool isMask(const Model &model, int32_t input) {
  if (jn_model_mask_input(model.get()) == input)
    return true;
  for (uint32_t i = 0; i < jn_model_check_count(model.get()); ++i) {
    jn_check_info check = {};
    check.size = sizeof(check);
    if (jn_model_check(model.get(), i, &check, nullptr) == JN_OK &&
        check.kind == JN_CHECK_BINARY && check.input == input)
      return true;
  }
  return false;
}

/// The first symbolic dimension is the batch, the second the sequence; others
/// must be named.
static Status chooseExtents(const Model &model, const GenerateOptions &options,
                            std::map<std::string, int64_t> &extents) {
  for (const std::string &text : options.dims) {
    std::string name, value;
    splitAssignment(text, name, value);
    extents[name] = std::atoll(value.c_str());
  }
  size_t symbolic = 0;
  for (uint32_t i = 0; i < jn_model_input_count(model.get()); ++i) {
    jn_tensor_info info = inputInfo(model, i);
    for (int32_t dim = 0; dim < info.rank; ++dim) {
      std::string name = info.dims[dim].name;
      if (info.dims[dim].value >= 0 || extents.count(name))
        continue;
      int64_t extent = symbolic == 0   ? options.batch
                       : symbolic == 1 ? options.seq
                                       : 0;
      if (extent == 0)
        return {
            JN_INVALID_ARGUMENT,
            "dimension '" + name + "' of input '" + std::string(info.name) +
                "' has no size; give --inputs, --batch and --seq, or --dim " +
                name + "=SIZE"};
      extents[name] = extent;
      ++symbolic;
    }
  }
  return {};
}

Status generateInputs(const Model &model, const GenerateOptions &options,
                      std::vector<Array> &inputs) {
  std::map<std::string, int64_t> extents;
  JN_TRY(chooseExtents(model, options, extents));
  uint32_t count = jn_model_input_count(model.get());
  inputs.clear();
  inputs.resize(count);
  Random random(options.seed);
  std::vector<int64_t> lengths;
  for (uint32_t i = 0; i < count; ++i) {
    jn_tensor_info info = inputInfo(model, i);
    Array &array = inputs[i];
    array.dtype = dtypeOf(info);
    for (int32_t dim = 0; dim < info.rank; ++dim)
      array.shape.push_back(info.dims[dim].value >= 0
                                ? info.dims[dim].value
                                : extents[info.dims[dim].name]);
    JN_TRY(array.allocate());
    int64_t elements = array.elements();
    if (isMask(model, int32_t(i))) {
      int64_t width = array.shape.empty() ? 1 : array.shape.back();
      int64_t rows = width ? elements / width : 0;
      // All masks have the same lengths.
      if (int64_t(lengths.size()) != rows)
        lengths = makeLengths(rows, width, options.ragged, random);
      for (int64_t j = 0; j < elements; ++j)
        store(array, j,
              j % width < std::min(lengths[size_t(j / width)], width));
      continue;
    }
    bool wide = array.dtype == runtime::DType::F32 ||
                array.dtype == runtime::DType::F64;
    int64_t limit = array.dtype == runtime::DType::Bool
                        ? 2
                        : integerLimit(model, int32_t(i));
    for (int64_t j = 0; j < elements; ++j)
      store(array, j,
            wide                   ? random.normal()
            : isFloat(array.dtype) ? double(random.below(2))
                                   : double(random.below(limit)));
  }
  return {};
}

} // namespace joinery::tool
