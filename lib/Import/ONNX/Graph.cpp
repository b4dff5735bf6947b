//===- Graph.cpp - Nodes of an ONNX graph ---------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Graph.h"
#include "onnx/onnx_pb.h"

using namespace joinery::onnx_import;
using llvm::StringRef;

bool joinery::onnx_import::isFloat(int onnxType) {
  return onnxType == Float || onnxType == Double || onnxType == Float16 ||
         onnxType == BFloat16;
}

bool joinery::onnx_import::isUnsigned(int onnxType) {
  return onnxType == UInt8 || onnxType == UInt16 || onnxType == UInt32 ||
         onnxType == UInt64;
}

bool joinery::onnx_import::isInteger(int onnxType) {
  return isUnsigned(onnxType) || onnxType == Int8 || onnxType == Int16 ||
         onnxType == Int32 || onnxType == Int64;
}

StringRef joinery::onnx_import::dataTypeName(int onnxType) {
  static const char *const names[] = {
      "undefined", "float",  "uint8",   "int8",   "uint16", "int16",
      "int32",     "int64",  "string",  "bool",   "float16", "double",
      "uint32",    "uint64", "complex64", "complex128", "bfloat16"};
  return onnxType >= 0 && onnxType < int(std::size(names)) ? names[onnxType]
                                                           : "unknown";
}

StringRef Node::op() const { return proto->op_type(); }

const onnx::AttributeProto *Node::attribute(StringRef name) const {
  if (auto it = resolved.find(name.str()); it != resolved.end())
    return it->second;
  for (const auto &attribute : proto->attribute())
    if (StringRef(attribute.name()) == name &&
        attribute.ref_attr_name().empty())
      return &attribute;
  return nullptr;
}

int64_t Node::getInt(StringRef name, int64_t otherwise) const {
  const auto *attr = attribute(name);
  return attr ? attr->i() : otherwise;
}

double Node::getFloat(StringRef name, double otherwise) const {
  const auto *attr = attribute(name);
  return attr ? attr->f() : otherwise;
}

std::string Node::getString(StringRef name, StringRef otherwise) const {
  const auto *attr = attribute(name);
  return attr ? attr->s() : otherwise.str();
}

std::vector<int64_t> Node::getInts(StringRef name) const {
  const auto *attr = attribute(name);
  if (!attr)
    return {};
  return {attr->ints().begin(), attr->ints().end()};
}

std::vector<double> Node::getFloats(StringRef name) const {
  const auto *attr = attribute(name);
  if (!attr)
    return {};
  return {attr->floats().begin(), attr->floats().end()};
}

std::vector<std::string> Node::getStrings(StringRef name) const {
  const auto *attr = attribute(name);
  if (!attr)
    return {};
  return {attr->strings().begin(), attr->strings().end()};
}
