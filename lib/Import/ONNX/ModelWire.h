//===- ModelWire.h - The wire format of a model --------------- -*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_MODELWIRE_H
#define JOINERY_LIB_IMPORT_ONNX_MODELWIRE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace joinery::onnx_import {

/// Copies the serialised ModelProto to `stripped`, leaving out the data of
/// tensors larger than a few bytes; such a tensor's doc_string tells where they
/// are (weightSlice reads it). Original doc_strings of tensors are dropped.
/// Sets `error` if the message is malformed.
void stripWeights(llvm::ArrayRef<char> model, std::string &stripped,
                  std::string &error);

struct WeightSlice {
  uint64_t offset, length;
};
std::optional<WeightSlice> weightSlice(llvm::StringRef docString);

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_MODELWIRE_H
