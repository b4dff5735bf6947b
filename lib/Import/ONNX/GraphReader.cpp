//===- GraphReader.cpp - Flattens an ONNX graph ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GraphReader.h"
#include "onnx/onnx_pb.h"

using namespace joinery::onnx_import;
using llvm::StringRef;

/// More nodes than any encoder has: functions that call each other twice grow
/// without bound.
static constexpr size_t maxNodes = 1 << 20;
static constexpr int maxCallDepth = 32;

static std::string domainOf(const std::string &domain) {
  return domain == "ai.onnx" ? std::string() : domain;
}

const std::string *Scope::find(const std::string &name) const {
  for (const Scope *scope = this; scope; scope = scope->parent.get())
    if (auto it = scope->names.find(name); it != scope->names.end())
      return &it->second;
  return nullptr;
}

GraphReader::GraphReader(ModelFile &file) : file(file) {}
GraphReader::~GraphReader() = default;

const onnx::TensorProto *GraphReader::constant(StringRef name) const {
  auto it = constants.find(name.str());
  return it == constants.end() ? nullptr : it->second;
}

//===----------------------------------------------------------------------===//
// The main graph
//===----------------------------------------------------------------------===//

bool GraphReader::read(std::string &error) {
  const onnx::ModelProto &model = file.model();
  for (const auto &function : model.functions())
    functions[{domainOf(function.domain()), function.name()}] = &function;
  mainScope = std::make_shared<Scope>();
  for (const auto &import : model.opset_import())
    mainScope->opsets[domainOf(import.domain())] = import.version();
  const onnx::GraphProto &graph = model.graph();
  if (graph.sparse_initializer_size()) {
    error = "the model has sparse initialisers, which are not supported";
    return false;
  }
  // An initialiser that is also an input is the default of that input: a
  // constant.
  std::set<std::string> initialisers;
  for (const auto &tensor : graph.initializer())
    initialisers.insert(tensor.name());
  for (const auto &input : graph.input()) {
    if (initialisers.count(input.name()))
      continue;
    DeclaredInput declared;
    declared.name = input.name();
    if (input.name().empty()) {
      error = "an input has no name";
      return false;
    }
    if (!input.has_type() || !input.type().has_tensor_type()) {
      error = "input '" + input.name() + "' is not a tensor";
      return false;
    }
    const auto &type = input.type().tensor_type();
    declared.type = type.elem_type();
    declared.hasShape = type.has_shape();
    for (const auto &dim : type.shape().dim()) {
      DeclaredInput::Extent extent;
      if (dim.has_dim_value()) {
        extent.value = dim.dim_value();
        // Some exporters write 0 or -1 for "unknown".
        if (extent.value <= 0)
          extent.value = -1;
      } else {
        extent.symbol = dim.dim_param();
      }
      declared.shape.push_back(extent);
    }
    if (!defined.insert(input.name()).second) {
      error = "input '" + input.name() + "' is declared twice";
      return false;
    }
    mainScope->names[input.name()] = input.name();
    inputs.push_back(std::move(declared));
  }
  if (!readBody(graph, mainScope, nodes, error))
    return false;
  for (const auto &output : graph.output()) {
    const std::string *name = mainScope->find(output.name());
    if (!name) {
      error = "output '" + output.name() + "' is computed by no node";
      return false;
    }
    outputs.push_back(output.name());
    outputValues[output.name()] = *name;
  }
  if (outputs.empty()) {
    error = "the graph has no outputs";
    return false;
  }
  return true;
}

bool GraphReader::readBody(const onnx::GraphProto &graph,
                           const std::shared_ptr<Scope> &scope,
                           std::vector<Node> &out, std::string &error) {
  for (const auto &tensor : graph.initializer()) {
    if (tensor.name().empty()) {
      error = "an initialiser has no name";
      return false;
    }
    std::string name = scope->prefix + tensor.name();
    if (!defined.insert(name).second) {
      error = "value '" + name + "' is defined twice";
      return false;
    }
    scope->names[tensor.name()] = name;
    constants[name] = &tensor;
  }
  for (const auto &node : graph.node())
    if (!readNode(node, scope, out, error))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

bool GraphReader::readNode(const onnx::NodeProto &proto,
                           const std::shared_ptr<Scope> &scope,
                           std::vector<Node> &out, std::string &error) {
  if (++total > maxNodes) {
    error = "the model has more than a million nodes";
    return false;
  }
  Node node;
  node.proto = &proto;
  node.domain_ = domainOf(proto.domain());
  node.scope = scope;
  node.name_ = !proto.name().empty() ? proto.name()
               : proto.output_size() ? proto.output(0)
                                     : proto.op_type();
  if (!scope->path.empty())
    node.name_ = scope->path + "/" + node.name_;
  if (proto.op_type().empty()) {
    error = "node '" + node.name_ + "' has no operator";
    return false;
  }
  if (auto it = scope->opsets.find(node.domain_); it != scope->opsets.end())
    node.opset_ = it->second;
  else
    node.opset_ = node.domain_.empty() ? 0 : 1;
  for (const std::string &input : proto.input()) {
    if (input.empty()) {
      node.inputs_.emplace_back();
      continue;
    }
    const std::string *name = scope->find(input);
    if (!name) {
      error = "node '" + node.name_ + "' (" + proto.op_type() + ") reads '" +
              input + "', which nothing computes before it (the graph is "
                      "cyclic or not sorted)";
      return false;
    }
    node.inputs_.push_back(*name);
  }
  for (const auto &attribute : proto.attribute()) {
    if (attribute.ref_attr_name().empty())
      continue;
    // An attribute that the caller leaves out is absent here, too.
    auto it = scope->attributes.find(attribute.ref_attr_name());
    node.resolved[attribute.name()] =
        it == scope->attributes.end() ? nullptr : it->second;
  }
  auto function = functions.find({node.domain_, proto.op_type()});
  bool inlined = function != functions.end();
  for (const std::string &output : proto.output()) {
    if (output.empty()) {
      node.outputs_.emplace_back();
      continue;
    }
    std::string name = scope->prefix + output;
    if (!inlined && !defined.insert(name).second) {
      error = "value '" + name + "' is defined twice";
      return false;
    }
    node.outputs_.push_back(name);
  }
  if (inlined)
    return call(node, *function->second, scope, out, error);
  for (int i = 0; i < proto.output_size(); ++i)
    if (!proto.output(i).empty())
      scope->names[proto.output(i)] = node.outputs_[i];
  if (proto.op_type() == "Constant" && node.domain_.empty() &&
      node.outputs_.size() == 1)
    return readConstant(node, node.outputs_[0], error);
  out.push_back(std::move(node));
  return true;
}

bool GraphReader::readConstant(const Node &node, const std::string &name,
                               std::string &error) {
  if (const auto *value = node.attribute("value")) {
    constants[name] = &value->t();
    return true;
  }
  auto tensor = std::make_unique<onnx::TensorProto>();
  tensor->set_name(name);
  if (const auto *value = node.attribute("value_float")) {
    tensor->set_data_type(Float);
    tensor->add_float_data(value->f());
  } else if (const auto *value = node.attribute("value_int")) {
    tensor->set_data_type(Int64);
    tensor->add_int64_data(value->i());
  } else if (const auto *value = node.attribute("value_floats")) {
    tensor->set_data_type(Float);
    tensor->add_dims(value->floats_size());
    *tensor->mutable_float_data() = value->floats();
  } else if (const auto *value = node.attribute("value_ints")) {
    tensor->set_data_type(Int64);
    tensor->add_dims(value->ints_size());
    *tensor->mutable_int64_data() = value->ints();
  } else {
    error = "node '" + node.name().str() +
            "' (Constant) has a value of a kind that is not supported";
    return false;
  }
  constants[name] = tensor.get();
  owned.push_back(std::move(tensor));
  return true;
}

//===----------------------------------------------------------------------===//
// Functions and subgraphs
//===----------------------------------------------------------------------===//

bool GraphReader::call(const Node &node, const onnx::FunctionProto &function,
                       const std::shared_ptr<Scope> &scope,
                       std::vector<Node> &out, std::string &error) {
  auto inner = std::make_shared<Scope>();
  inner->depth = scope->depth + 1;
  if (inner->depth > maxCallDepth) {
    error = "function '" + function.name() + "' calls itself (at node '" +
            node.name().str() + "')";
    return false;
  }
  inner->path = node.name().str();
  inner->prefix = "%" + std::to_string(++scopes) + "/";
  inner->opsets = scope->opsets;
  for (const auto &import : function.opset_import())
    inner->opsets[domainOf(import.domain())] = import.version();
  if (node.numInputs() > size_t(function.input_size())) {
    error = "node '" + node.name().str() + "' passes " +
            std::to_string(node.numInputs()) + " values to function '" +
            function.name() + "', which takes " +
            std::to_string(function.input_size());
    return false;
  }
  for (int i = 0; i < function.input_size(); ++i)
    inner->names[function.input(i)] = node.inputName(i).str();
  for (const std::string &name : function.attribute())
    if (const auto *value = node.attribute(name))
      inner->attributes[name] = value;
  for (const auto &proto : function.node())
    if (!readNode(proto, inner, out, error))
      return false;
  const onnx::NodeProto &proto = *node.proto;
  for (int i = 0; i < proto.output_size(); ++i) {
    if (proto.output(i).empty())
      continue;
    const std::string *name =
        i < function.output_size() ? inner->find(function.output(i)) : nullptr;
    if (!name) {
      error = "output '" + proto.output(i) + "' of function '" +
              function.name() + "' is computed by no node";
      return false;
    }
    scope->names[proto.output(i)] = *name;
  }
  return true;
}

bool GraphReader::expand(const Node &node, const onnx::GraphProto &graph,
                         std::vector<Node> &nodes,
                         std::vector<std::string> &outputs,
                         std::string &error) {
  auto scope = std::make_shared<Scope>();
  scope->parent = node.scope;
  scope->opsets = node.scope->opsets;
  scope->attributes = node.scope->attributes;
  scope->depth = node.scope->depth + 1;
  scope->path = node.name().str();
  scope->prefix = "%" + std::to_string(++scopes) + "/";
  if (scope->depth > maxCallDepth) {
    error = "graphs are nested too deeply";
    return false;
  }
  if (!readBody(graph, scope, nodes, error))
    return false;
  for (const auto &output : graph.output()) {
    const std::string *name = scope->find(output.name());
    if (!name) {
      error = "output '" + output.name() + "' is computed by no node";
      return false;
    }
    outputs.push_back(*name);
  }
  return true;
}

void GraphReader::collectReads(const onnx::GraphProto &graph,
                               const Scope &scope,
                               std::vector<std::string> &names) const {
  // Names that the subgraph defines itself are looked up in vain, harmlessly.
  auto read = [&](const std::string &name) {
    if (const std::string *outer = scope.find(name))
      names.push_back(*outer);
  };
  for (const auto &node : graph.node()) {
    for (const std::string &input : node.input())
      read(input);
    for (const auto &attribute : node.attribute())
      if (attribute.has_g())
        collectReads(attribute.g(), scope, names);
  }
  for (const auto &output : graph.output())
    read(output.name());
}

std::vector<std::string> GraphReader::reads(const Node &node) const {
  std::vector<std::string> names;
  for (const std::string &input : node.inputs_)
    if (!input.empty())
      names.push_back(input);
  for (const auto &attribute : node.proto->attribute())
    if (attribute.has_g())
      collectReads(attribute.g(), *node.scope, names);
  return names;
}
