//===- DType.cpp - Element types ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Program.h"

namespace joinery::runtime {

namespace {
struct Facts {
  const char *name;
  uint8_t code;
  uint8_t bits;
};
} // namespace

// In DType's order. DLPack before 0.8 has no boolean: they are bytes.
static constexpr Facts kFacts[kDTypes] = {
    {"float32", kDLFloat, 32}, {"float64", kDLFloat, 64},
    {"float16", kDLFloat, 16}, {"bfloat16", kDLBfloat, 16},
    {"int8", kDLInt, 8},       {"uint8", kDLUInt, 8},
    {"int16", kDLInt, 16},     {"int32", kDLInt, 32},
    {"int64", kDLInt, 64},     {"bool", kDLUInt, 8},
};

size_t dtypeBytes(DType dtype) { return kFacts[size_t(dtype)].bits / 8; }

const char *dtypeName(DType dtype) { return kFacts[size_t(dtype)].name; }

DLDataType dtypeToDLPack(DType dtype) {
  return {kFacts[size_t(dtype)].code, kFacts[size_t(dtype)].bits, 1};
}

} // namespace joinery::runtime
