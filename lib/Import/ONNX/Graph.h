//===- Graph.h - Nodes of an ONNX graph -------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A graph is read into a flat list of nodes: functions are inlined, value names
// are unique, attributes that refer to a function's attributes are resolved.
// This header hides protobuf from the operator importers.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_GRAPH_H
#define JOINERY_LIB_IMPORT_ONNX_GRAPH_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/StringMap.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onnx {
class AttributeProto;
class FunctionProto;
class GraphProto;
class NodeProto;
class TensorProto;
} // namespace onnx

namespace joinery::onnx_import {

/// ONNX element types (TensorProto.DataType).
enum DataType : int {
  Undefined = 0,
  Float = 1,
  UInt8 = 2,
  Int8 = 3,
  UInt16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  String = 8,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  UInt32 = 12,
  UInt64 = 13,
  BFloat16 = 16,
};
bool isFloat(int onnxType);
bool isInteger(int onnxType); // signed or unsigned, not bool
bool isUnsigned(int onnxType);
/// "float", "int64" …, as ONNX spells them.
llvm::StringRef dataTypeName(int onnxType);

/// One node, with its attributes. Names are unique over the whole model.
class Node {
public:
  /// The ONNX name, or the name of the first output of a nameless node.
  llvm::StringRef name() const { return name_; }
  llvm::StringRef op() const;
  /// "" for the default domain (also where the file says "ai.onnx").
  llvm::StringRef domain() const { return domain_; }
  int64_t opset() const { return opset_; }

  unsigned numInputs() const { return inputs_.size(); }
  unsigned numOutputs() const { return outputs_.size(); }
  /// The value's name; "" if it is absent.
  llvm::StringRef inputName(unsigned i) const {
    return i < inputs_.size() ? llvm::StringRef(inputs_[i]) : "";
  }
  llvm::StringRef outputName(unsigned i) const {
    return i < outputs_.size() ? llvm::StringRef(outputs_[i]) : "";
  }
  bool hasInput(unsigned i) const { return !inputName(i).empty(); }
  /// The output is named, that is, somebody may read it.
  bool hasOutput(unsigned i) const { return !outputName(i).empty(); }

  bool hasAttr(llvm::StringRef name) const { return attribute(name); }
  int64_t getInt(llvm::StringRef name, int64_t otherwise) const;
  double getFloat(llvm::StringRef name, double otherwise) const;
  std::string getString(llvm::StringRef name, llvm::StringRef otherwise) const;
  /// Empty if absent.
  std::vector<int64_t> getInts(llvm::StringRef name) const;
  std::vector<double> getFloats(llvm::StringRef name) const;
  std::vector<std::string> getStrings(llvm::StringRef name) const;
  const onnx::AttributeProto *attribute(llvm::StringRef name) const;

private:
  friend class GraphReader;
  const onnx::NodeProto *proto = nullptr;
  std::string name_, domain_;
  int64_t opset_ = 0;
  std::vector<std::string> inputs_, outputs_;
  /// Attributes of a function's call that this node refers to.
  std::map<std::string, const onnx::AttributeProto *> resolved;
  std::shared_ptr<const struct Scope> scope; // for subgraphs
};

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_GRAPH_H
