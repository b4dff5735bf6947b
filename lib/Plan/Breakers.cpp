//===- Breakers.cpp - Where pipelines end ---------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Breakers.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

static bool sameColumns(RelType a, RelType b) {
  return a.getColumns().size() == b.getColumns().size() &&
         llvm::all_of(a.getColumns(),
                      [&](Column c) { return b.has(c.getName()); });
}

Breakers::Breakers(func::FuncOp function) : function(function) {
  constants = constantValues(function);
  numberOps();
  findCores();
  // A core's operands are read many times: they are stored.
  for (auto [op, algorithm] : cores) {
    if (algorithm == Breaker::Contract) {
      // Rows out of an unpacked relation are copied, not all of it.
      Value left = contractionOf(op)->left, base = viewOf(left).base;
      auto unpack = base.getDefiningOp<UnpackOp>();
      store(unpack ? left : base);
      if (unpack)
        store(viewOf(unpack.getInput()).base);
      continue;
    }
    if (algorithm == Breaker::Multiply) {
      auto form = matchProduct(op);
      for (Value operand : {form->left, form->right})
        store(storedBase(operand));
      continue;
    }
    Attention form = *attentionOf(op);
    for (Value operand : {form.query, form.key, form.weighted}) {
      Value base = storedBase(operand);
      attended.insert(base);
      store(base);
    }
  }
  for (auto [op, algorithm] : cores) {
    Value root = grow(op)->getResult(0);
    stored[root] = Breaker{algorithm, op};
  }
  for (Operation &op : function.getBody().front())
    if (isa<RankOp, EnumerateOp>(op))
      stored[op.getResult(0)] = Breaker{Breaker::Scan, nullptr};
  for (Value result :
       function.getBody().front().getTerminator()->getOperands())
    store(result);
  findInnermost();
  storeShared();
  findInnermost(); // of what that has stored
}

void Breakers::store(Value value) {
  if (isa<BlockArgument>(value) || isConstant(value))
    return;
  stored.insert({value, Breaker{}});
}

std::optional<Contraction> Breakers::contractionOf(Operation *op) const {
  auto match = matchContraction(op);
  if (!match)
    return std::nullopt;
  if (isConstant(match->left) && !isConstant(match->right))
    match->swapSides();
  return match;
}

std::optional<Attention> Breakers::attentionOf(Operation *op) const {
  return matchAttention(op, [&](Value value) { return isConstant(value); });
}

void Breakers::findCores() {
  for (Operation &op : function.getBody().front()) {
    if (op.getNumResults() != 1 || isConstant(op.getResult(0)))
      continue;
    if (auto form = attentionOf(&op)) {
      cores[&op] = Breaker::Attend;
      findStreamed(*form);
      continue;
    }
    auto match = contractionOf(&op);
    if (!match || !isConstant(match->right) || isConstant(match->left) ||
        match->rightFree.empty() || !match->batch.empty())
      continue;
    cores[&op] = Breaker::Contract;
    products.insert(match->join);
  }
  for (Operation &op : function.getBody().front()) {
    if (op.getNumResults() != 1 || isConstant(op.getResult(0)) ||
        cores.count(&op))
      continue;
    auto match = matchProduct(&op);
    if (!match || isStreamedOnly(&op))
      continue;
    cores[&op] = Breaker::Multiply;
    products.insert(match->join);
  }
}

SmallVector<Operation *> Breakers::sharedWay(Operation *softmax) const {
  auto &way = streamed.find(softmax)->second;
  SmallVector<Operation *> ops;
  bool shared = false;
  for (Operation *op : way) {
    if (op == softmax)
      continue;
    ops.push_back(op);
    shared |= llvm::any_of(op->getUsers(), [&](Operation *user) {
      return !way.contains(user);
    });
  }
  if (!shared)
    return {};
  llvm::sort(ops, [](Operation *a, Operation *b) {
    return a->isBeforeInBlock(b);
  });
  return ops;
}

bool Breakers::isStreamedOnly(Operation *product) const {
  bool found = false;
  for (auto &[softmax, way] : streamed) {
    if (!way.contains(product))
      continue;
    found = true;
    for (Operation *op : way)
      if (op != softmax && llvm::any_of(op->getUsers(), [&](Operation *user) {
            return !streams(op->getResult(0), user);
          }))
        return false;
  }
  return found;
}

void Breakers::findStreamed(Attention form) {
  // Key by key, as the form has it: joins and selections.
  llvm::SetVector<Operation *> slice;
  slice.insert(form.softmax.getInputs()[0].getDefiningOp());
  for (size_t i = 0; i < slice.size(); ++i)
    if (isa<JoinOp, SelectOp>(slice[i]))
      for (Value operand : slice[i]->getOperands())
        if (Operation *op = operand.getDefiningOp())
          slice.insert(op);
  SmallVector<Operation *> ordered = slice.takeVector();
  llvm::sort(ordered, [&](Operation *x, Operation *y) {
    return order.lookup(x) < order.lookup(y);
  });
  llvm::DenseSet<Operation *> way{form.scores.join, form.scores.aggregate};
  for (Operation *op : ordered)
    if (llvm::any_of(op->getOperands(), [&](Value operand) {
          return way.contains(operand.getDefiningOp());
        }))
      way.insert(op);
  way.insert(form.softmax);
  streamed[form.softmax] = std::move(way);
}

bool Breakers::streams(Value value, Operation *user) const {
  // The softmax_sum ends the way; what reads it is no part.
  Operation *op = value.getDefiningOp();
  return cores.lookup(op) != Breaker::Attend &&
         llvm::any_of(streamed, [&](auto &entry) {
           return entry.second.contains(op) && entry.second.contains(user);
         });
}

void Breakers::numberOps() {
  Block &block = function.getBody().front();
  unsigned number = 0;
  for (Operation &op : block)
    order[&op] = number++;
  // Cooper, Harvey and Kennedy's intersection, in one sweep since the graph
  // has no cycles.
  for (Operation &op : llvm::reverse(block)) {
    Operation *common = nullptr;
    for (Operation *user : op.getUsers()) {
      while (user->getBlock() != &block)
        user = user->getParentOp();
      if (!common) {
        common = user;
        continue;
      }
      Operation *a = common, *b = user;
      while (a != b) {
        if (order[a] < order[b])
          a = postDominator[a];
        else
          b = postDominator[b];
      }
      common = a;
    }
    postDominator[&op] = common ? common : block.getTerminator();
  }
}

Operation *Breakers::topOf(Operation *core) {
  if (cores.lookup(core) != Breaker::Attend || !core->hasOneUse())
    return core;
  auto pack = dyn_cast<PackOp>(*core->user_begin());
  return pack ? pack : core;
}

/// May `op` be part of the epilogue of a core whose results are a `tile`: is it
/// local to its rows, with one value for each element or each row? Statistics of
/// rows need `wholeRows`.
bool Breakers::allowed(Operation *op, RelType tile, RelType row,
                       bool wholeRows) {
  if (op->getNumResults() != 1 || products.contains(op) || cores.count(op))
    return false;
  RelType result = typeOf(op->getResult(0));
  bool wide = sameColumns(result, tile), narrow = sameColumns(result, row);
  if (isa<JoinOp, SelectOp>(op))
    return wide || narrow;
  if (auto aggregate = dyn_cast<AggregateOp>(op))
    return wholeRows && narrow && aggregate.getMonoid() != Monoid::SoftmaxSum;
  return false;
}

/// Does the pipeline of another core compute `op`, or end in it? Of several that
/// meet, the last one goes on: those before it are stored. Products, which have
/// the simpler epilogues, grow last and give way to the others.
bool Breakers::meetsOther(Operation *op, Operation *core) const {
  if (auto it = stored.find(op->getResult(0));
      it != stored.end() && it->second.core)
    return true;
  SmallVector<Operation *> work{op};
  llvm::SmallDenseSet<Operation *> seen;
  while (!work.empty())
    for (Value operand : work.pop_back_val()->getOperands()) {
      Operation *next = operand.getDefiningOp();
      if (!next || next == core || stored.count(operand) ||
          !seen.insert(next).second)
        continue;
      if (auto other = cores.find(next); other != cores.end()) {
        if (other->second != Breaker::Multiply ||
            cores.lookup(core) == Breaker::Multiply)
          return true;
        continue;
      }
      work.push_back(next);
    }
  return false;
}

/// The last value that the pipeline of `core` can compute: the farthest
/// post-dominator such that all between is local to rows.
Operation *Breakers::grow(Operation *core) {
  Operation *top = topOf(core), *root = top;
  RelType tile = typeOf(top->getResult(0));
  Breaker::Algorithm algorithm = cores.lookup(core);
  // A product's epilogue runs panel by panel.
  bool wholeRows = algorithm != Breaker::Multiply;
  SmallVector<Column> lanes =
      algorithm == Breaker::Contract   ? contractionOf(core)->rightFree
      : algorithm == Breaker::Multiply ? matchProduct(core)->rightFree
                                       : attentionOf(core)->d;
  SmallVector<Column> rows;
  for (Column column : tile.getColumns())
    if (!llvm::is_contained(lanes, column))
      rows.push_back(column);
  RelType row = tile.withColumns(rows);
  for (Operation *next = postDominator[top];
       next && next->getNumResults() == 1; next = postDominator[next]) {
    if (stored.count(root->getResult(0)))
      break; // needed as it is by another core
    if (meetsOther(next, core))
      break;
    SmallVector<Operation *> work{root};
    llvm::SmallDenseSet<Operation *> seen;
    bool fits = true;
    while (!work.empty() && fits)
      for (Operation *user : work.pop_back_val()->getUsers()) {
        if (!seen.insert(user).second)
          continue;
        fits &= allowed(user, tile, row, wholeRows) &&
                (user == next || !stored.count(user->getResult(0)));
        if (user != next && fits)
          work.push_back(user);
      }
    if (!fits)
      break;
    root = next;
  }
  // The stored value has the core's columns: statistics alone do not end it.
  return sameColumns(typeOf(root->getResult(0)), tile) ? root : top;
}

/// A rough count of scalar operations to compute one element.
int64_t Breakers::work(Value value, int depth) {
  Operation *op = value.getDefiningOp();
  if (!op || isConstant(value) || depth > 32)
    return 1;
  int64_t total = 0;
  if (auto join = dyn_cast<JoinOp>(op)) {
    for (Operation &scalar : join.getBody().front())
      total += isa<math::MathDialect>(scalar.getDialect()) ? 16 : 1;
  } else if (isa<LookupOp>(op)) {
    total += 8;
  } else if (isa<AggregateOp>(op)) {
    total += 64;
  }
  for (Value operand : op->getOperands())
    if (!stored.count(operand))
      total += work(operand, depth + 1);
  return total;
}

/// Values that several pipelines or several iterations of one would compute
/// again, and that cost more than a store and a load, are stored.
void Breakers::storeShared() {
  constexpr int64_t worth = 16;
  for (bool changed = true; changed;) {
    changed = false;
    llvm::MapVector<Value, llvm::SmallDenseSet<Value>> readers;
    SmallVector<std::pair<Value, Breaker>> roots(stored.begin(), stored.end());
    for (auto &[root, breaker] : roots) {
      // The iteration space of the pipeline: every value in it is computed
      // once per row or once per element of the root, or it is stored.
      RelType rootType = typeOf(root);
      SmallVector<Value> work{root};
      llvm::SmallDenseSet<Value> seen;
      while (!work.empty()) {
        Value value = work.pop_back_val();
        Operation *op = value.getDefiningOp();
        if (!op || isConstant(value) || !seen.insert(value).second)
          continue;
        if (value != root && stored.count(value))
          continue;
        bool streams = breaker.algorithm == Breaker::Attend &&
                       value != root && streamed[breaker.core].contains(op);
        if (value != root && !streams)
          readers[value].insert(root);
        if (auto aggregate = dyn_cast<AggregateOp>(op);
            aggregate && value != root && op != breaker.core && !streams) {
          RelType type = aggregate.getType();
          size_t kept = llvm::count_if(rootType.getColumns(), [&](Column c) {
            return type.has(c.getName());
          });
          bool element = kept == rootType.getColumns().size() &&
                         type.getColumns().size() == kept;
          bool row = kept + 1 >= rootType.getColumns().size() &&
                     kept == type.getColumns().size() &&
                     !variesByLane(root, type);
          if (breaker.core) {
            RelType tile = typeOf(topOf(breaker.core)->getResult(0));
            row |= llvm::all_of(type.getColumns(), [&](Column c) {
                     return tile.has(c.getName());
                   }) && aggregate->isBeforeInBlock(root.getDefiningOp()) &&
                   breaker.core->isBeforeInBlock(aggregate);
          }
          if (!element && !row) {
            stored.insert({value, Breaker{}});
            changed = true;
            continue;
          }
        }
        if (isa<RekeyOp, PackOp, UnpackOp>(op)) {
          Value input = op->getOperand(0);
          if (!isConstant(input) && input.getDefiningOp() &&
              input.getDefiningOp() != breaker.core && !stored.count(input) &&
              this->work(input) >= worth) {
            stored.insert({input, Breaker{}});
            changed = true;
            continue;
          }
        }
        llvm::append_range(work, op->getOperands());
      }
    }
    for (auto &[value, roots] : readers)
      if (roots.size() > 1 && !stored.count(value) &&
          !isa<RekeyOp>(value.getDefiningOp()) &&
          !products.contains(value.getDefiningOp()) &&
          this->work(value) >= worth) {
        stored.insert({value, Breaker{}});
        changed = true;
        break;
      }
  }
}
