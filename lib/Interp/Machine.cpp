//===- Machine.cpp - Nodes of values, and what they evaluate to -----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Nodes.h"
#include "Tables.h"

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

Node::~Node() = default;

int64_t Node::size() const {
  int64_t product = 1;
  for (int64_t extent : extents)
    product *= extent;
  return product;
}

int Node::find(StringRef column) const {
  auto it = llvm::find(columns, column);
  return it == columns.end() ? -1 : it - columns.begin();
}

Odometer::Odometer(std::vector<int64_t> extents)
    : extents(std::move(extents)), position(this->extents.size(), 0),
      finished(llvm::is_contained(this->extents, 0)) {}

void Odometer::next() {
  for (size_t i = extents.size(); i--;) {
    if (++position[i] < extents[i])
      return;
    position[i] = 0;
  }
  finished = true;
}

Machine::~Machine() = default;

void Machine::fail(Operation *op, const Twine &text) {
  if (failed)
    return;
  failed = op;
  message = text.str();
}

LogicalResult Machine::check() {
  if (!failed)
    return success();
  Operation *op = failed;
  failed = nullptr;
  return op->emitError() << message;
}

std::optional<int64_t> Machine::evaluate(const SymExpr &expr) const {
  return expr.evaluate([&](StringRef symbol) -> std::optional<int64_t> {
    auto it = options.symbols.find(symbol.drop_front().str());
    if (symbol[0] != '?' || it == options.symbols.end())
      return std::nullopt;
    return it->second;
  });
}

LogicalResult Machine::setType(Node &node, Operation *origin,
                               rel::RelType type) {
  node.origin = origin;
  node.element = type.getElementType();
  for (rel::Column column : type.getColumns()) {
    auto extent = evaluate(column.getExtent());
    if (!extent || *extent < 0)
      return origin->emitError()
             << "the extent " << column.extent.getValue() << " of column '"
             << column.getName() << "' has no value";
    node.columns.push_back(column.getName().str());
    node.extents.push_back(*extent);
  }
  return success();
}

FailureOr<Node *> Machine::node(Value value) {
  auto it = nodes.find(value);
  if (it != nodes.end())
    return it->second.get();
  Operation *op = value.getDefiningOp();
  if (!op)
    return emitError(value.getLoc(), "an argument has no value"), failure();
  FailureOr<std::unique_ptr<Node>> built = build(op);
  if (mlir::failed(built))
    return failure();
  return (nodes[value] = std::move(*built)).get();
}

void Machine::bind(Value value, Relation relation) {
  Type element = cast<rel::RelType>(value.getType()).getElementType();
  auto node = makeDense(*this, std::move(relation), element);
  node->origin = value.getDefiningOp();
  nodes[value] = std::move(node);
}

FailureOr<Relation> Machine::materialize(Value value) {
  FailureOr<Node *> found = node(value);
  if (mlir::failed(found))
    return failure();
  Node &node = **found;
  Relation relation;
  relation.columns = node.columns;
  relation.extents = node.extents;
  int64_t size = 1;
  for (int64_t extent : node.extents)
    if (llvm::MulOverflow(size, extent, size) || size > options.limit)
      return emitError(value.getLoc()) << "the relation has more than "
                                       << options.limit << " elements";
  if (node.isFloat())
    relation.values.emplace<0>(size);
  else
    relation.values.emplace<1>(size);
  // Lanes run along the last column; the others count.
  std::vector<int64_t> outer = node.extents;
  int64_t width = 1;
  if (!outer.empty()) {
    width = outer.back();
    outer.pop_back();
  }
  Lanes lanes;
  int64_t written = 0;
  for (Odometer at(outer); !at.done(); at.next())
    for (int64_t lane = 0; lane < width; lane += blockLanes) {
      int64_t n = std::min(blockLanes, width - lane);
      SmallVector<Key, 8> keys;
      for (int64_t key : at.at())
        keys.push_back({key, 0, nullptr});
      if (!node.extents.empty())
        keys.push_back({lane, 1, nullptr});
      node.evaluate(keys.data(), n, lanes);
      if (node.isFloat())
        std::copy_n(lanes.f(), n, std::get<0>(relation.values).data() + written);
      else
        std::copy_n(lanes.i(), n, std::get<1>(relation.values).data() + written);
      written += n;
    }
  if (mlir::failed(check()))
    return failure();
  return relation;
}
