//===- Nodes.cpp - Relations that are evaluated block by block ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Nodes.h"
#include "Tables.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

namespace {
/// A default or constant in the form in which lanes hold it.
struct Scalar {
  double f = 0;
  int64_t i = 0;
  static Scalar of(Attribute attribute) {
    Scalar scalar;
    if (auto f = dyn_cast_or_null<FloatAttr>(attribute))
      scalar.f = f.getValueAsDouble();
    else if (auto i = dyn_cast_or_null<IntegerAttr>(attribute))
      scalar.i = wrapTo(i.getValue().getSExtValue(), i.getType());
    return scalar;
  }
};

/// Writes the default to the lanes that are not kept.
void fillOutside(const int64_t *kept, int64_t n, const Lanes &out,
                 bool isFloat, Scalar otherwise) {
  for (int64_t i = 0; i < n; ++i) {
    if (kept[i])
      continue;
    if (isFloat)
      out.f()[i] = otherwise.f;
    else
      out.i()[i] = otherwise.i;
  }
}

/// Which of a node's columns an operand's columns are.
struct Operand {
  Node *node;
  std::vector<int> positions;

  Operand(Node *node, const Node &user) : node(node) {
    for (const std::string &column : node->columns)
      positions.push_back(user.find(column));
  }
  void evaluate(const Key *keys, int64_t n, const Lanes &out) const {
    SmallVector<Key, 8> own;
    for (int position : positions)
      own.push_back(keys[position]);
    node->evaluate(own.data(), n, out);
  }
};

class RangeNode : public Node {
  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    for (int64_t i = 0; i < n; ++i)
      out.i()[i] = keys[0].at(i);
  }
};

/// The same relation with its columns in another order.
struct PermuteNode : Node {
  std::optional<Operand> operand;
  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    operand->evaluate(keys, n, out);
  }
};

struct JoinNode : Node {
  std::vector<Operand> operands;
  Bytecode code;
  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    for (auto [i, operand] : llvm::enumerate(operands))
      operand.evaluate(keys, n, code.argument(i));
    const Lanes &result = code.run(n);
    if (isFloat())
      std::copy_n(result.f(), n, out.f());
    else
      std::copy_n(result.i(), n, out.i());
  }
};

struct RekeyNode : Node {
  Machine &machine;
  Node *source = nullptr;
  std::vector<KeyProgram> programs;
  bool hasDefault = false;
  Scalar otherwise;
  RekeyNode(Machine &machine) : machine(machine) {}

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = machine.arena.mark();
    SmallVector<Key, 8> own;
    int64_t *inside = nullptr; // per lane, once some lane is outside
    for (auto [i, program] : llvm::enumerate(programs)) {
      Key key = program.evaluate(keys, n, machine.arena);
      if (!inRange(key, n, source->extents[i])) {
        if (!inside) {
          inside = machine.arena.allocate();
          std::fill_n(inside, n, 1);
        }
        key = clamp(key, n, source->extents[i], inside);
      }
      own.push_back(key);
    }
    bool empty = llvm::is_contained(source->extents, 0);
    if (!empty)
      source->evaluate(own.data(), n, out);
    if (inside && !hasDefault)
      machine.fail(origin, "a source key is out of range");
    if (inside)
      fillOutside(inside, n, out, isFloat(), otherwise);
    machine.arena.release(mark);
  }

private:
  static bool inRange(const Key &key, int64_t n, int64_t extent) {
    if (!key.lanes)
      return key.base >= 0 && key.base < extent && key.at(n - 1) >= 0 &&
             key.at(n - 1) < extent;
    for (int64_t i = 0; i < n; ++i)
      if (key.lanes[i] < 0 || key.lanes[i] >= extent)
        return false;
    return true;
  }
  Key clamp(const Key &key, int64_t n, int64_t extent, int64_t *inside) {
    int64_t *lanes = machine.arena.allocate();
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = key.at(i);
      bool in = at >= 0 && at < extent;
      inside[i] &= in;
      lanes[i] = in ? at : 0;
    }
    return {0, 0, lanes};
  }
};

struct LookupNode : Node {
  Machine &machine;
  Node *source = nullptr;
  std::vector<Operand> indices;
  std::vector<int> origins; // per source column: ~index operand, or position
  Lanes scratch;
  LookupNode(Machine &machine) : machine(machine) {}

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = machine.arena.mark();
    SmallVector<Key, 8> own;
    for (auto [column, from] : llvm::enumerate(origins)) {
      if (from >= 0) {
        own.push_back(keys[from]);
        continue;
      }
      indices[~from].evaluate(keys, n, scratch);
      int64_t *lanes = machine.arena.allocate();
      int64_t extent = source->extents[column];
      for (int64_t i = 0; i < n; ++i) {
        int64_t at = scratch.i()[i];
        at += at < 0 ? extent : 0;
        if (at < 0 || at >= extent) {
          machine.fail(origin, "index " + Twine(scratch.i()[i]) +
                                   " is out of range for column '" +
                                   source->columns[column] + "' of extent " +
                                   Twine(extent));
          at = 0;
        }
        lanes[i] = at;
      }
      own.push_back({0, 0, lanes});
    }
    if (!llvm::is_contained(source->extents, 0))
      source->evaluate(own.data(), n, out);
    machine.arena.release(mark);
  }
};

struct SelectNode : Node {
  std::optional<Operand> input, where;
  Scalar otherwise;
  Lanes scratch;
  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    input->evaluate(keys, n, out);
    where->evaluate(keys, n, scratch);
    fillOutside(scratch.i(), n, out, isFloat(), otherwise);
  }
};

struct UnionNode : Node {
  Machine &machine;
  int column = 0;
  std::vector<Operand> operands;
  std::vector<int64_t> starts; // one more than operands
  Lanes scratch;
  UnionNode(Machine &machine) : machine(machine) {}

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    SmallVector<Key, 8> own(keys, keys + columns.size());
    const Key &key = keys[column];
    for (size_t part = 0; part < operands.size(); ++part) {
      auto holds = [&](int64_t lane) {
        return key.at(lane) >= starts[part] && key.at(lane) < starts[part + 1];
      };
      if (!key.lanes && holds(0) && holds(n - 1)) {
        own[column].base -= starts[part];
        operands[part].evaluate(own.data(), n, out);
        return;
      }
      gather(operands[part], part, keys, n, out, holds);
    }
  }

private:
  /// Evaluates the lanes of one operand, packed, and scatters them.
  template <typename F>
  void gather(const Operand &operand, size_t part, const Key *keys, int64_t n,
              const Lanes &out, F holds) {
    size_t mark = machine.arena.mark();
    int64_t *where = machine.arena.allocate(), count = 0;
    for (int64_t i = 0; i < n; ++i)
      if (holds(i))
        where[count++] = i;
    SmallVector<Key, 8> own;
    for (int c = 0; count && c < static_cast<int>(columns.size()); ++c) {
      int64_t *lanes = machine.arena.allocate();
      for (int64_t i = 0; i < count; ++i)
        lanes[i] = keys[c].at(where[i]) - (c == column ? starts[part] : 0);
      own.push_back({0, 0, lanes});
    }
    if (count)
      operand.evaluate(own.data(), count, scratch);
    for (int64_t i = 0; i < count; ++i)
      if (isFloat())
        out.f()[where[i]] = scratch.f()[i];
      else
        out.i()[where[i]] = scratch.i()[i];
    machine.arena.release(mark);
  }
};
} // namespace

FailureOr<std::unique_ptr<Node>> Machine::build(Operation *op) {
  using Result = FailureOr<std::unique_ptr<Node>>;
  if (auto scan = dyn_cast<rel::ScanOp>(op)) {
    Result node = makeScan(*this, scan);
    if (succeeded(node))
      (*node)->origin = op;
    return node;
  }
  if (auto fold = dyn_cast<rel::AggregateOp>(op)) {
    FailureOr<Relation> relation = aggregate(fold);
    if (mlir::failed(relation))
      return failure();
    return makeDense(*this, std::move(*relation),
                     fold.getType().getElementType());
  }
  SmallVector<Node *> inputs;
  if (op->getDialect()->getNamespace() == "rel")
    for (Value operand : op->getOperands()) {
      FailureOr<Node *> input = node(operand);
      if (mlir::failed(input))
        return failure();
      inputs.push_back(*input);
    }
  // Names and extents first: operands are matched by name.
  auto typed = [&](auto node) -> decltype(node) {
    auto type = cast<rel::RelType>(op->getResult(0).getType());
    return succeeded(setType(*node, op, type)) ? std::move(node) : nullptr;
  };
  auto finish = [](std::unique_ptr<Node> node) -> Result {
    if (!node)
      return failure();
    return node;
  };
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](rel::RangeOp) {
        return finish(typed(std::make_unique<RangeNode>()));
      })
      .Case([&](rel::MaterializeOp) -> Result {
        auto node = typed(std::make_unique<PermuteNode>());
        if (node)
          node->operand.emplace(inputs[0], *node);
        return finish(std::move(node));
      })
      .Case([&](rel::JoinOp join) -> Result {
        auto node = typed(std::make_unique<JoinNode>());
        if (!node)
          return failure();
        auto code =
            Bytecode::compile(join.getBody().front(), options.roundEachStep);
        if (mlir::failed(code))
          return failure();
        node->code = std::move(*code);
        for (Node *input : inputs)
          node->operands.emplace_back(input, *node);
        return finish(std::move(node));
      })
      .Case([&](rel::RekeyOp rekey) -> Result {
        auto node = typed(std::make_unique<RekeyNode>(*this));
        if (!node)
          return failure();
        node->source = inputs[0];
        node->hasDefault = bool(rekey.getOtherwise());
        node->otherwise = Scalar::of(rekey.getOtherwise().value_or(nullptr));
        for (const std::string &column : inputs[0]->columns) {
          auto program = KeyProgram::compile(
              rekey.sourceKey(column),
              [&](StringRef symbol) -> std::optional<SymExpr> {
                auto value = evaluate(SymExpr::symbol(symbol));
                return value ? std::optional<SymExpr>(*value) : std::nullopt;
              },
              [&](StringRef key) { return node->find(key); });
          if (!program)
            return rekey.emitError()
                   << "the key of column '" << column << "' has no value";
          node->programs.push_back(std::move(*program));
        }
        return finish(std::move(node));
      })
      .Case([&](rel::LookupOp lookup) -> Result {
        auto node = typed(std::make_unique<LookupNode>(*this));
        if (!node)
          return failure();
        node->source = inputs[0];
        for (Node *index : ArrayRef(inputs).drop_front())
          node->indices.emplace_back(index, *node);
        for (const std::string &column : inputs[0]->columns) {
          auto keys = lookup.getKeys().getAsValueRange<StringAttr>();
          auto it = llvm::find(keys, column);
          node->origins.push_back(
              it == keys.end()
                  ? node->find(column)
                  : ~static_cast<int>(std::distance(keys.begin(), it)));
        }
        return finish(std::move(node));
      })
      .Case([&](rel::SelectOp select) -> Result {
        auto node = typed(std::make_unique<SelectNode>());
        if (!node)
          return failure();
        node->input.emplace(inputs[0], *node);
        node->where.emplace(inputs[1], *node);
        node->otherwise = Scalar::of(select.getOtherwise());
        return finish(std::move(node));
      })
      .Case([&](rel::UnionOp join) -> Result {
        auto node = typed(std::make_unique<UnionNode>(*this));
        if (!node)
          return failure();
        node->column = node->find(join.getColumn());
        node->starts.push_back(0);
        for (auto [input, size] :
             llvm::zip(inputs, join.getSizes().getAsValueRange<StringAttr>())) {
          auto extent = evaluate(*SymExpr::parse(size));
          if (!extent)
            return join.emitError() << "the size " << size << " has no value";
          node->starts.push_back(node->starts.back() + *extent);
          node->operands.emplace_back(input, *node);
        }
        return finish(std::move(node));
      })
      .Case<rel::RankOp, rel::EnumerateOp, rel::PackOp, rel::UnpackOp>(
          [&](Operation *op) -> Result { return buildPacked(*this, op, inputs); })
      .Default([](Operation *op) -> Result {
        return op->emitError() << "'" << op->getName()
                               << "' has no interpretation";
      });
}
