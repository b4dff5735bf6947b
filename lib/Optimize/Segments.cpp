//===- Segments.cpp - Parts of a plan between single values ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Segments.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

Segments::Kind Segments::kindOf(Value value) const {
  if (auto it = kinds.find(value); it != kinds.end())
    return it->second;
  // Arguments: ids, lengths and masks of integers are keys.
  return typeOf(value).getElementType().isSignlessInteger() ? Kind::Key
                                                            : Kind::Active;
}

void Segments::classify(func::FuncOp function) {
  for (Operation &op : function.getBody().front().without_terminator()) {
    Kind kind = isa<ScanOp>(op) ? Kind::Table : Kind::Extents;
    for (Value operand : op.getOperands())
      kind = std::max(kind, kindOf(operand));
    // What is looked up for an id is data.
    if (kind == Kind::Key && isa<LookupOp>(op) &&
        !typeOf(op.getResult(0)).getElementType().isSignlessInteger())
      kind = Kind::Active;
    kinds[op.getResult(0)] = kind;
  }
}

Segments::Segments(func::FuncOp function) {
  classify(function);
  Operation *end = function.getBody().front().getTerminator();
  // The output that most is computed for comes first: others are by-products.
  SmallVector<std::pair<int64_t, unsigned>> outputs;
  for (auto [i, output] : llvm::enumerate(end->getOperands())) {
    llvm::DenseSet<Value> cone;
    SmallVector<Value> work{output};
    while (!work.empty()) {
      Value value = work.pop_back_val();
      if (!cone.insert(value).second || !value.getDefiningOp())
        continue;
      llvm::append_range(work, value.getDefiningOp()->getOperands());
    }
    outputs.push_back({-int64_t(cone.size()), i});
  }
  llvm::sort(outputs);
  for (auto [size, i] : outputs)
    findChains(end->getOperand(i));
}

void Segments::findChains(Value output) {
  // The activations that the output depends on, renames left out, operands
  // before their users.
  struct Node {
    Value value;
    SmallVector<unsigned> operands;
    llvm::BitVector before; // with itself
    unsigned uses = 0;
    bool closed = false;
  };
  std::vector<Node> nodes;
  llvm::DenseMap<Value, unsigned> numbers;
  auto isNode = [&](Value value) {
    return kindOf(value) == Kind::Active && !covered.contains(value);
  };
  auto visit = [&](auto &self, Value value) -> unsigned {
    if (auto it = numbers.find(value); it != numbers.end())
      return it->second;
    Node node;
    node.value = value;
    if (Operation *op = value.getDefiningOp())
      for (Value operand : op->getOperands()) {
        Value base = peelRenames(operand).base;
        if (isNode(base))
          node.operands.push_back(self(self, base));
      }
    nodes.push_back(std::move(node));
    return numbers[value] = nodes.size() - 1;
  };
  Value base = peelRenames(output).base;
  if (!isNode(base))
    return;
  visit(visit, base);
  for (Node &node : nodes)
    for (unsigned operand : node.operands)
      ++nodes[operand].uses;
  // A node is closed if what lies before it is read by nothing behind it: its
  // operands are all the readers that there are.
  for (auto [i, node] : llvm::enumerate(nodes)) {
    node.before.resize(nodes.size());
    node.before.set(i);
    for (unsigned operand : node.operands)
      node.before |= nodes[operand].before;
    size_t reads = 0, readers = 0;
    for (unsigned other : node.before.set_bits()) {
      reads += nodes[other].operands.size();
      readers += other == i ? 0 : nodes[other].uses;
    }
    node.closed = reads == readers;
  }
  // The closed node before a closed node, if there is just one.
  std::map<unsigned, unsigned> next;
  for (auto [i, node] : llvm::enumerate(nodes)) {
    if (!node.closed)
      continue;
    std::set<unsigned> starts, seen{unsigned(i)};
    SmallVector<unsigned> work(node.operands);
    while (!work.empty()) {
      unsigned other = work.pop_back_val();
      if (!seen.insert(other).second)
        continue;
      if (nodes[other].closed)
        starts.insert(other);
      else
        llvm::append_range(work, nodes[other].operands);
    }
    if (starts.size() == 1)
      next[*starts.begin()] = i;
  }
  std::set<unsigned> inner;
  for (auto [from, to] : next)
    inner.insert(to);
  for (auto [from, to] : next) {
    if (inner.count(from))
      continue;
    SmallVector<Value> chain{nodes[from].value};
    for (auto it = next.find(from); it != next.end(); it = next.find(it->second))
      chain.push_back(nodes[it->second].value);
    chainList.push_back(std::move(chain));
  }
  for (Node &node : nodes)
    covered.insert(node.value);
}

bool Segments::isBoundary(Value value) const {
  // Conditions are arguments of a layer, whatever they are computed from.
  Kind kind = kindOf(value);
  return kind == Kind::Table || kind == Kind::Key ||
         (kind == Kind::Extents &&
          typeOf(value).getElementType().isInteger(1));
}

bool Segments::isClosed(ArrayRef<Operation *> operations, Value root) {
  llvm::SmallDenseSet<Operation *> members(operations.begin(),
                                           operations.end());
  // Renames are not among the operations of a plan.
  auto staysInside = [&](auto &self, Operation *op) -> bool {
    return llvm::all_of(op->getUsers(), [&](Operation *user) {
      if (members.contains(user))
        return true;
      auto rekey = dyn_cast<RekeyOp>(user);
      return rekey && rekey.isRename() && self(self, user);
    });
  };
  return llvm::all_of(operations, [&](Operation *op) {
    return op->getResult(0) == root || staysInside(staysInside, op);
  });
}
