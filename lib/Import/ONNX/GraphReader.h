//===- GraphReader.h - Flattens an ONNX graph ----------------- -*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_GRAPHREADER_H
#define JOINERY_LIB_IMPORT_ONNX_GRAPHREADER_H

#include "Graph.h"
#include "ModelFile.h"
#include "llvm/ADT/MapVector.h"
#include <set>

namespace joinery::onnx_import {

/// How names of a graph or function body are seen from outside.
struct Scope {
  std::shared_ptr<const Scope> parent; // of a subgraph; null for a function
  std::map<std::string, std::string> names;
  std::map<std::string, int64_t> opsets;
  std::map<std::string, const onnx::AttributeProto *> attributes;
  std::string prefix; // of values that the body defines
  std::string path;   // of node names
  int depth = 0;      // of function calls

  const std::string *find(const std::string &name) const;
};

/// An input of the model as it is declared.
struct DeclaredInput {
  std::string name;
  int type = 0;
  struct Extent {
    int64_t value = -1; // or
    std::string symbol; // perhaps empty: unknown
  };
  std::vector<Extent> shape;
  bool hasShape = false;
};

/// Reads the main graph, and on demand the branches of If, into flat lists of
/// nodes. Functions with a body are inlined.
class GraphReader {
public:
  explicit GraphReader(ModelFile &file);
  ~GraphReader();

  /// False, with one sentence in `error`, if the model is malformed.
  bool read(std::string &error);

  std::vector<Node> nodes; // in the order of the file
  std::vector<DeclaredInput> inputs;
  std::vector<std::string> outputs;
  /// The value that an output shows: not its name where a function computes it.
  std::map<std::string, std::string> outputValues;

  /// The constant of that name (an initialiser or a Constant node).
  const onnx::TensorProto *constant(llvm::StringRef name) const;

  /// The nodes of a branch; `outputs` are the names of its results.
  bool expand(const Node &node, const onnx::GraphProto &graph,
              std::vector<Node> &nodes, std::vector<std::string> &outputs,
              std::string &error);
  /// All values that the node reads, those of its subgraphs included.
  std::vector<std::string> reads(const Node &node) const;

private:
  ModelFile &file;
  std::map<std::pair<std::string, std::string>, const onnx::FunctionProto *>
      functions;
  std::map<std::string, const onnx::TensorProto *> constants;
  std::vector<std::unique_ptr<onnx::TensorProto>> owned;
  std::set<std::string> defined;
  size_t total = 0, scopes = 0;
  std::shared_ptr<Scope> mainScope;

  bool readConstant(const Node &node, const std::string &name,
                    std::string &error);
  bool readNode(const onnx::NodeProto &proto,
                const std::shared_ptr<Scope> &scope, std::vector<Node> &out,
                std::string &error);
  bool readBody(const onnx::GraphProto &graph,
                const std::shared_ptr<Scope> &scope, std::vector<Node> &out,
                std::string &error);
  bool call(const Node &node, const onnx::FunctionProto &function,
            const std::shared_ptr<Scope> &scope, std::vector<Node> &out,
            std::string &error);
  void collectReads(const onnx::GraphProto &graph, const Scope &scope,
                    std::vector<std::string> &names) const;
};

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_GRAPHREADER_H
