//===- Packed.cpp - Packed rows -------------------------------------------===//
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

namespace {
/// For each column of the source: the position of the node's column, or ~i for
/// digit i of the packed row.
std::vector<int> positionsOf(const Node &source, const Node &user,
                             ArrayAttr over) {
  std::vector<int> positions;
  for (const std::string &column : source.columns) {
    auto names = over.getAsValueRange<StringAttr>();
    auto it = llvm::find(names, column);
    positions.push_back(it == names.end()
                            ? user.find(column)
                            : ~int(std::distance(names.begin(), it)));
  }
  return positions;
}

struct PackNode : Node {
  Machine &machine;
  Node *source, *rows;
  std::vector<int> positions;
  std::vector<int64_t> sizes;
  int row = 0;
  Lanes numbers;
  PackNode(Machine &machine) : machine(machine) {}

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = machine.arena.mark();
    rows->evaluate(&keys[row], n, numbers);
    SmallVector<int64_t *> digits;
    for (size_t i = 0; i < sizes.size(); ++i)
      digits.push_back(machine.arena.allocate());
    for (int64_t lane = 0; lane < n; ++lane) {
      int64_t rest = numbers.i()[lane];
      for (size_t i = sizes.size(); i-- > 0; rest /= sizes[i])
        digits[i][lane] = rest % sizes[i];
    }
    SmallVector<Key, 8> own;
    for (int position : positions)
      own.push_back(position < 0 ? Key{0, 0, digits[~position]}
                                 : keys[position]);
    source->evaluate(own.data(), n, out);
    machine.arena.release(mark);
  }
};

struct UnpackNode : Node {
  Machine &machine;
  Node *source;
  std::vector<int64_t> rank;
  std::vector<std::pair<int, int64_t>> digits; // position and size
  std::vector<int> positions;                  // -1: the packed row
  double f = 0;
  int64_t i = 0;
  UnpackNode(Machine &machine) : machine(machine) {}

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = machine.arena.mark();
    int64_t *row = machine.arena.allocate(), *kept = machine.arena.allocate();
    for (int64_t lane = 0; lane < n; ++lane) {
      int64_t flat = 0;
      for (auto [position, size] : digits)
        flat = flat * size + keys[position].at(lane);
      kept[lane] = rank[flat + 1] > rank[flat];
      row[lane] = kept[lane] ? rank[flat] : 0;
    }
    SmallVector<Key, 8> own;
    for (int position : positions)
      own.push_back(position < 0 ? Key{0, 0, row} : keys[position]);
    if (rank.back())
      source->evaluate(own.data(), n, out);
    for (int64_t lane = 0; lane < n; ++lane) {
      if (kept[lane])
        continue;
      if (isFloat())
        out.f()[lane] = f;
      else
        out.i()[lane] = i;
    }
    machine.arena.release(mark);
  }
};

std::vector<int64_t> sizesOf(Machine &machine, ArrayAttr sizes) {
  std::vector<int64_t> values;
  for (StringRef text : sizes.getAsValueRange<StringAttr>())
    values.push_back(machine.evaluate(*SymExpr::parse(text)).value_or(0));
  return values;
}
} // namespace

static FailureOr<std::unique_ptr<Node>> buildRank(Machine &machine,
                                                  rel::RankOp op) {
  FailureOr<Relation> where = machine.materialize(op.getWhere());
  if (failed(where))
    return failure();
  std::vector<int64_t> strides(where->columns.size(), 1), extents, order;
  for (StringRef name : op.getOver().getAsValueRange<StringAttr>()) {
    size_t at = llvm::find(where->columns, name) - where->columns.begin();
    order.push_back(at);
    extents.push_back(where->extents[at]);
  }
  for (size_t i = strides.size(); i-- > 1;)
    strides[i - 1] = strides[i] * where->extents[i];
  Relation rank;
  rank.columns = {op.getType().getColumns()[0].getName().str()};
  auto &values = rank.values.emplace<1>();
  values.push_back(0);
  for (Odometer at(extents); !at.done(); at.next()) {
    int64_t offset = 0;
    for (auto [column, key] : llvm::zip(order, at.at()))
      offset += strides[column] * key;
    values.push_back(values.back() + (std::get<1>(where->values)[offset] != 0));
  }
  rank.extents = {int64_t(values.size())};
  return makeDense(machine, std::move(rank), op.getType().getElementType());
}

static FailureOr<std::unique_ptr<Node>> buildEnumerate(Machine &machine,
                                                       rel::EnumerateOp op) {
  FailureOr<Relation> rank = machine.materialize(op.getRank());
  if (failed(rank))
    return failure();
  auto &counts = std::get<1>(rank->values);
  Relation rows;
  rel::Column column = op.getType().getColumns()[0];
  rows.columns = {column.getName().str()};
  auto &values = rows.values.emplace<1>();
  for (size_t i = 0; i + 1 < counts.size(); ++i)
    if (counts[i + 1] > counts[i])
      values.push_back(i);
  rows.extents = {int64_t(values.size())};
  machine.options.symbols[column.getExtent().asSymbol()->substr(1)] =
      values.size();
  return makeDense(machine, std::move(rows), op.getType().getElementType());
}

FailureOr<std::unique_ptr<Node>>
interp::buildPacked(Machine &machine, Operation *op, ArrayRef<Node *> inputs) {
  if (auto rank = dyn_cast<rel::RankOp>(op))
    return buildRank(machine, rank);
  if (auto rows = dyn_cast<rel::EnumerateOp>(op))
    return buildEnumerate(machine, rows);
  auto type = cast<rel::RelType>(op->getResult(0).getType());
  if (auto pack = dyn_cast<rel::PackOp>(op)) {
    auto node = std::make_unique<PackNode>(machine);
    if (failed(machine.setType(*node, op, type)))
      return failure();
    node->source = inputs[0];
    node->rows = inputs[1];
    node->positions = positionsOf(*inputs[0], *node, pack.getOver());
    node->sizes = sizesOf(machine, pack.getSizes());
    node->row = node->find(pack.row());
    return std::unique_ptr<Node>(std::move(node));
  }
  auto unpack = cast<rel::UnpackOp>(op);
  auto node = std::make_unique<UnpackNode>(machine);
  FailureOr<Relation> rank = machine.materialize(unpack.getRank());
  if (failed(rank) || failed(machine.setType(*node, op, type)))
    return failure();
  node->source = inputs[0];
  node->rank = std::get<1>(rank->values);
  for (auto [name, size] :
       llvm::zip(unpack.getOver().getAsValueRange<StringAttr>(),
                 sizesOf(machine, unpack.getSizes())))
    node->digits.push_back({node->find(name), size});
  for (const std::string &column : inputs[0]->columns)
    node->positions.push_back(
        column == unpack.getRow() ? -1 : node->find(column));
  if (auto real = dyn_cast<FloatAttr>(unpack.getOtherwise()))
    node->f = real.getValueAsDouble();
  else
    node->i = wrapTo(
        cast<IntegerAttr>(unpack.getOtherwise()).getValue().getSExtValue(),
        node->element);
  return std::unique_ptr<Node>(std::move(node));
}
