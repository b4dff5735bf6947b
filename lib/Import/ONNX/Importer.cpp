//===- Importer.cpp - Runs the nodes of a graph ---------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "joinery/Import/ONNX.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

//===----------------------------------------------------------------------===//
// Diagnostics
//===----------------------------------------------------------------------===//

LogicalResult Importer::refuse(const Twine &reason) {
  impl->refused = true;
  Refusal refusal;
  refusal.reason = reason.str();
  if (impl->node) {
    refusal.node = impl->node->name().str();
    refusal.op = impl->node->op().str();
    refusal.domain = impl->node->domain().str();
    refusal.opset = impl->node->opset();
    // One node, one line: its first reason.
    if (!impl->refusals.empty() && impl->refusals.back().node == refusal.node)
      return failure();
  }
  impl->refusals.push_back(std::move(refusal));
  return failure();
}

Location Importer::loc() {
  if (!impl->node)
    return UnknownLoc::get(impl->context);
  if (!impl->location)
    impl->location =
        NameLoc::get(StringAttr::get(impl->context, impl->node->name()));
  return Location(impl->location);
}

//===----------------------------------------------------------------------===//
// Values of the current node
//===----------------------------------------------------------------------===//

const Node &Importer::node() { return *impl->node; }

const Tensor *Importer::input(unsigned i) {
  StringRef name = impl->node->inputName(i);
  if (name.empty())
    return nullptr;
  if (auto it = impl->values.find(name); it != impl->values.end())
    return &it->second;
  return impl->stored(*this, name);
}

void Importer::setOutput(unsigned i, Tensor tensor) {
  StringRef name = impl->node->outputName(i);
  if (name.empty())
    return;
  normalise(*this, tensor);
  bool valid = fits(tensor.dims) && (!tensor.poly || tensor.poly->isValid());
  if (tensor.elements)
    for (const SymExpr &element : *tensor.elements)
      valid &= element.isValid();
  if (!valid)
    (void)refuse("output '" + name + "' has sizes or values that leave 64 bits");
  // A column that no dimension has would join with nothing: wrong, and slow.
  if (tensor.relation) {
    SmallVector<std::string> known = columnsOf(tensor.dims);
    if (!llvm::all_of(
            cast<rel::RelType>(tensor.relation.getType()).getColumns(),
            [&](rel::Column column) {
              return llvm::is_contained(known, column.getName());
            }))
      (void)refuse("output '" + name + "' has a key that none of its "
                   "dimensions has: a defect of the importer, please report it");
  }
  impl->values[name] = std::move(tensor);
}

bool joinery::onnx_import::fits(ArrayRef<Dim> dims) {
  // Room for the bytes of an element, and for a table of differences.
  SymExpr bytes(16);
  for (const Dim &dim : dims)
    if (dim.extent.isConst(0))
      return true;
  for (const Dim &dim : dims)
    bytes = bytes * dim.extent;
  return bytes.isValid();
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

/// The inputs that an operator can't do without, a bit each: one, unless it is
/// listed here. Importers take them for granted.
static uint64_t requiredInputs(const Node &node) {
  static const llvm::StringMap<uint64_t> required = [] {
    llvm::StringMap<uint64_t> all;
    for (const char *op :
         {"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "CastLike",
          "Conv", "CumSum", "Div", "Equal", "Expand", "Gather",
          "GatherElements", "GatherND", "Gemm", "Greater", "GreaterOrEqual",
          "LayerNormalization", "Less", "LessOrEqual", "MatMul", "Mod", "Mul",
          "Or", "PRelu", "Pow", "RMSNormalization", "Reshape",
          "SimplifiedLayerNormalization", "Sub", "Tile", "Xor",
          "com.microsoft.Attention", "com.microsoft.BiasGelu",
          "com.microsoft.FusedGemm", "com.microsoft.FusedMatMul",
          "com.microsoft.SimplifiedLayerNormalization",
          "com.microsoft.TransposeMatMul"})
      all[op] = 0b11;
    for (const char *op :
         {"Attention", "GroupNormalization", "InstanceNormalization", "OneHot",
          "Range", "RotaryEmbedding", "ScatterElements", "ScatterND", "Where",
          "com.microsoft.SkipLayerNormalization",
          "com.microsoft.SkipSimplifiedLayerNormalization"})
      all[op] = 0b111;
    all["BatchNormalization"] = 0b11111;
    all["com.microsoft.RotaryEmbedding"] = 0b1111;
    all["com.microsoft.EmbedLayerNormalization"] = 0b1101101;
    all["Constant"] = 0;
    // Of any number of operands each must be there.
    for (const char *op : {"Concat", "Einsum", "Max", "Mean", "Min", "Sum"})
      all[op] = ~uint64_t(0);
    return all;
  }();
  std::string name = node.op().str();
  if (!node.domain().empty())
    name = node.domain().str() + "." + name;
  if (node.domain().empty() && node.op() == "Slice")
    return node.opset() < 10 ? 0b1 : 0b111;
  if (node.domain().empty() && node.op() == "Reshape" && node.opset() < 5)
    return 0b1;
  auto it = required.find(name);
  uint64_t bits = it == required.end() ? 0b1 : it->second;
  unsigned count = std::clamp(node.numInputs(), 1u, 63u);
  return bits == ~uint64_t(0) ? (uint64_t(1) << count) - 1 : bits;
}

void Importer::Impl::runNode(Importer &importer) {
  bool known = false;
  const OpEntry *entry =
      findOp(node->domain(), node->op(), node->opset(), known);
  if (!entry) {
    if (known)
      (void)importer.refuse("this version of the operator is not supported");
    else
      (void)importer.refuse("the operator is not supported");
    return;
  }
  for (uint64_t bits = requiredInputs(*node), i = 0; bits; bits >>= 1, ++i)
    if ((bits & 1) && !node->hasInput(i)) {
      (void)importer.refuse("input " + Twine(i) + " is required");
      return;
    }
  // Touch the inputs: a malformed constant refuses here, once.
  for (unsigned i = 0; i < node->numInputs(); ++i)
    if (node->hasInput(i) && !importer.input(i)) {
      if (!refused)
        (void)importer.refuse("input '" + node->inputName(i) +
                              "' is not computed");
      return;
    }
  if (succeeded(evaluateSymbolically(importer)) || refused)
    return;
  for (unsigned i = 0; i < node->numInputs() && !entry->takesUnsigned; ++i) {
    if (node->hasInput(i) && isUnsigned(importer.input(i)->onnxType)) {
      (void)importer.refuse("unsigned elements are not supported (input '" +
                            node->inputName(i) + "')");
      return;
    }
  }
  if (failed(entry->import(importer))) {
    if (!refused)
      (void)importer.refuse("its inputs have a form that is not supported");
    return;
  }
  auto output = values.find(node->outputName(0));
  if (output != values.end() && isFloat(output->second.onnxType))
    if (auto number = foldScalar(importer))
      output->second.number = number;
}

void Importer::Impl::runNodes(Importer &importer, ArrayRef<Node> nodes) {
  for (const Node &next : nodes) {
    const Node *outer = node;
    bool outerRefused = refused;
    node = &next;
    location = {};
    refused = false;
    bool skip = llvm::any_of(graph.reads(next), [&](const std::string &name) {
      return poisoned.contains(name);
    });
    if (!skip)
      runNode(importer);
    for (unsigned i = 0; i < next.numOutputs(); ++i)
      if (next.hasOutput(i) && (skip || refused))
        poisoned.insert(next.outputName(i));
    node = outer;
    location = {};
    refused = outerRefused;
  }
}

/// The nodes that the kept outputs depend on, in the order of the graph.
static std::vector<Node> liveNodes(GraphReader &graph,
                                   ArrayRef<std::string> outputs) {
  llvm::StringSet<> live;
  for (const std::string &output : outputs)
    live.insert(graph.outputValues.at(output));
  std::vector<Node> nodes;
  for (Node &node : llvm::reverse(graph.nodes)) {
    bool needed = false;
    for (unsigned i = 0; i < node.numOutputs(); ++i)
      needed |= node.hasOutput(i) && live.contains(node.outputName(i));
    if (!needed)
      continue;
    for (const std::string &name : graph.reads(node))
      live.insert(name);
    nodes.push_back(std::move(node));
  }
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

//===----------------------------------------------------------------------===//
// The import
//===----------------------------------------------------------------------===//

static void emitRefusals(Importer &importer) {
  MLIRContext *context = importer.impl->context;
  for (const Refusal &refusal : importer.impl->refusals) {
    if (refusal.node.empty()) {
      emitError(UnknownLoc::get(context)) << refusal.reason;
      continue;
    }
    auto diag = emitError(NameLoc::get(StringAttr::get(context, refusal.node)));
    diag << "node '" << refusal.node << "' (";
    if (!refusal.domain.empty())
      diag << refusal.domain << "::";
    diag << refusal.op << ", opset " << refusal.opset
         << "): " << refusal.reason;
  }
}

FailureOr<std::vector<ProducedTensor>>
joinery::producedTensors(MLIRContext *context, const std::string &path) {
  std::string error;
  auto file = ModelFile::open(path, error);
  std::optional<GraphReader> graph;
  if (file)
    graph.emplace(*file);
  if (!file || !graph->read(error))
    return emitError(FileLineColLoc::get(context, path, 0, 0)) << error;
  std::vector<ProducedTensor> tensors;
  for (const Node &node : graph->nodes)
    for (unsigned i = 0; i < node.numOutputs(); ++i)
      if (node.hasOutput(i))
        tensors.push_back(
            {node.outputName(i).str(), node.name().str(), node.op().str(),
             llvm::is_contained(graph->outputs, node.outputName(i))});
  // An output that a function's body computes has a name of its own.
  for (const auto &[output, value] : graph->outputValues) {
    auto it = llvm::find_if(
        tensors, [&](const ProducedTensor &t) { return t.tensor == value; });
    if (output != value && it != tensors.end())
      tensors.insert(std::next(it), {output, it->node, it->op, true});
  }
  return tensors;
}

/// Sizes are polynomials with coefficients of 64 bits from here on: products on
/// the way, too, must have some.
static LogicalResult checkSizes(func::FuncOp function) {
  WalkResult found = function.walk([](Operation *op) -> WalkResult {
    for (Type result : op->getResultTypes()) {
      auto type = dyn_cast<rel::RelType>(result);
      SmallVector<Dim> dims;
      if (type)
        for (rel::Column column : type.getColumns())
          dims.push_back({column.getExtent(), {}});
      if (!type || fits(dims))
        continue;
      auto name = dyn_cast<NameLoc>(op->getLoc());
      emitError(op->getLoc())
          << "node '" << (name ? name.getName().getValue() : "")
          << "': a relation has more elements than 64 bits count";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return failure(found.wasInterrupted());
}

OwningOpRef<ModuleOp> joinery::importONNX(MLIRContext *context,
                                          const std::string &path,
                                          const ImportOptions &options) {
  context->loadDialect<rel::RelDialect, func::FuncDialect, arith::ArithDialect,
                       math::MathDialect>();
  Location fileLoc = FileLineColLoc::get(context, path, 0, 0);
  std::string error;
  auto file = ModelFile::open(path, error);
  if (!file) {
    emitError(fileLoc) << error;
    return nullptr;
  }
  GraphReader graph(*file);
  if (!graph.read(error)) {
    emitError(fileLoc) << "'" << path << "' is malformed: " << error;
    return nullptr;
  }
  std::vector<std::string> outputs = options.outputs;
  if (outputs.empty())
    outputs = graph.outputs;
  llvm::StringSet<> produced;
  for (const Node &node : graph.nodes)
    for (unsigned i = 0; i < node.numOutputs(); ++i)
      if (node.hasOutput(i))
        produced.insert(node.outputName(i));
  for (const std::string &output : outputs)
    if (!llvm::is_contained(graph.outputs, output)) {
      if (produced.contains(output)) {
        graph.outputValues[output] = output;
        continue;
      }
      auto diag = emitError(fileLoc) << "the model has no output '" << output
                                     << "'";
      diag.attachNote() << "its outputs are: "
                        << llvm::join(graph.outputs, ", ");
      return nullptr;
    }

  OwningOpRef<ModuleOp> module = ModuleOp::create(fileLoc);
  Importer importer(context);
  Importer::Impl impl(context, *file, graph, *module);
  importer.impl = &impl;
  std::vector<Node> nodes = liveNodes(graph, outputs);
  if (succeeded(createArguments(importer))) {
    impl.runNodes(importer, nodes);
    if (impl.refusals.empty())
      (void)createResults(importer, outputs);
  }
  if (!impl.refusals.empty()) {
    emitRefusals(importer);
    return nullptr;
  }
  eraseDead(importer);
  if (failed(checkSizes(impl.function)))
    return nullptr;
  if (failed(verify(*module)))
    return nullptr;
  return module;
}
