//===- Interp.cpp - Evaluates relations directly --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Interp/Interp.h"
#include "Nodes.h"
#include "llvm/ADT/DenseMap.h"

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

int64_t Relation::size() const {
  int64_t product = 1;
  for (int64_t extent : extents)
    product *= extent;
  return product;
}

/// The number of keys at which `user` asks for its operands, as an expression.
static SymExpr demandedKeys(Operation *user) {
  SmallVector<rel::Column> columns;
  if (isa<rel::AggregateOp>(user))
    columns = rel::JoinOp::joinColumns(user->getOperands());
  else if (user->getNumResults())
    if (auto type = dyn_cast<rel::RelType>(user->getResult(0).getType()))
      columns.assign(type.getColumns().begin(), type.getColumns().end());
  SymExpr product(1);
  for (rel::Column column : columns)
    product = product * column.getExtent();
  return product;
}

/// Values that are evaluated on demand: views, and results that one user asks
/// for once per key. All others are computed once and kept.
static bool isOnDemand(Operation *op) {
  if (isa<rel::ScanOp, rel::RangeOp, rel::RekeyOp, rel::MaterializeOp>(op) ||
      op->getNumOperands() == 0)
    return true;
  if (!isa<rel::JoinOp, rel::SelectOp, rel::LookupOp, rel::UnionOp>(op) ||
      !op->hasOneUse())
    return false;
  Operation *user = *op->user_begin();
  if (auto fold = dyn_cast<rel::AggregateOp>(user))
    if (fold.getMonoid() == rel::Monoid::SoftmaxSum)
      return false; // reads its operands twice
  if (!isa<rel::AggregateOp, rel::JoinOp, rel::SelectOp>(user))
    return false;
  auto type = cast<rel::RelType>(op->getResult(0).getType());
  return demandedKeys(user) == type.size();
}

/// Symbols that are the extent of an argument's column get its value.
static LogicalResult bindSymbols(func::FuncOp function,
                                 ArrayRef<Relation> arguments,
                                 InterpOptions &options) {
  if (arguments.size() != function.getNumArguments())
    return function.emitError()
           << "has " << function.getNumArguments() << " arguments, not "
           << arguments.size();
  for (auto [argument, relation] :
       llvm::zip(function.getArguments(), arguments)) {
    auto type = cast<rel::RelType>(argument.getType());
    if (relation.columns.size() != type.getColumns().size() ||
        relation.isFloat() != isa<FloatType>(type.getElementType()))
      return function.emitError()
             << "argument " << argument.getArgNumber() << " is not a " << type;
    for (auto [name, extent] :
         llvm::zip(relation.columns, relation.extents)) {
      if (!type.has(name))
        return function.emitError() << "argument " << argument.getArgNumber()
                                    << " has no column '" << name << "'";
      if (auto symbol = type.extentOf(name).asSymbol())
        options.symbols.try_emplace(symbol->substr(1), extent);
    }
  }
  return success();
}

/// Every argument's extents must be those that the symbols give.
static LogicalResult checkExtents(func::FuncOp function,
                                  ArrayRef<Relation> arguments,
                                  Machine &machine) {
  for (auto [argument, relation] :
       llvm::zip(function.getArguments(), arguments)) {
    auto type = cast<rel::RelType>(argument.getType());
    for (auto [name, extent] :
         llvm::zip(relation.columns, relation.extents))
      if (auto expected = machine.evaluate(type.extentOf(name));
          expected != extent)
        return function.emitError()
               << "argument " << argument.getArgNumber() << " has " << extent
               << " keys in column '" << name << "', not "
               << type.extentOf(name).str();
    size_t held = relation.isFloat() ? std::get<0>(relation.values).size()
                                     : std::get<1>(relation.values).size();
    if (held != static_cast<size_t>(relation.size()))
      return function.emitError() << "argument " << argument.getArgNumber()
                                  << " has " << held << " values";
  }
  return success();
}

/// Executes a call with its operands' values.
static LogicalResult runCall(func::CallOp call, Machine &machine) {
  auto callee =
      SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr());
  if (!callee || callee.isExternal())
    return call.emitError() << "there is no function " << call.getCalleeAttr();
  SmallVector<Relation> arguments;
  for (auto [operand, argument] :
       llvm::zip(call.getOperands(), callee.getArguments())) {
    FailureOr<Relation> relation = machine.materialize(operand);
    if (failed(relation))
      return failure();
    // A function names the columns of its arguments itself.
    auto type = cast<rel::RelType>(argument.getType());
    for (auto [name, column] : llvm::zip(relation->columns, type.getColumns()))
      name = column.getName().str();
    arguments.push_back(std::move(*relation));
  }
  auto results = interpret(callee, arguments, machine.options);
  if (failed(results))
    return failure();
  for (auto [result, relation] : llvm::zip(call.getResults(), *results)) {
    auto type = cast<rel::RelType>(result.getType());
    for (auto [name, column] : llvm::zip(relation.columns, type.getColumns()))
      name = column.getName().str();
    machine.bind(result, std::move(relation));
  }
  return success();
}

static void roundRelation(Relation &relation, Type element) {
  if (auto *values = std::get_if<0>(&relation.values))
    roundLanes(values->data(), values->size(), element);
}

FailureOr<std::vector<Relation>>
joinery::interpret(func::FuncOp function, ArrayRef<Relation> arguments,
                   const InterpOptions &given) {
  InterpOptions options = given;
  if (function.isExternal())
    return function.emitError("has no body");
  if (failed(bindSymbols(function, arguments, options)))
    return failure();
  Machine machine(options);
  if (failed(checkExtents(function, arguments, machine)))
    return failure();
  for (auto [argument, relation] :
       llvm::zip(function.getArguments(), arguments))
    machine.bind(argument, relation);
  std::vector<Relation> results;
  for (Operation &op : function.getBody().front()) {
    if (auto ret = dyn_cast<func::ReturnOp>(op)) {
      for (Value value : ret.getOperands()) {
        FailureOr<Relation> relation = machine.materialize(value);
        if (failed(relation))
          return failure();
        roundRelation(*relation,
                      cast<rel::RelType>(value.getType()).getElementType());
        results.push_back(std::move(*relation));
      }
      return results;
    }
    if (auto call = dyn_cast<func::CallOp>(op)) {
      if (failed(runCall(call, machine)))
        return failure();
      continue;
    }
    if (op.getNumResults() != 1 || op.use_empty() || isOnDemand(&op))
      continue;
    if (isa<rel::AggregateOp, rel::RankOp, rel::EnumerateOp>(op)) { // stored by nature
      if (failed(machine.node(op.getResult(0))))
        return failure();
      continue;
    }
    FailureOr<Relation> relation = machine.materialize(op.getResult(0));
    if (failed(relation))
      return failure();
    machine.bind(op.getResult(0), std::move(*relation));
  }
  return function.emitError("has no return");
}

FailureOr<Relation> joinery::interpretConstant(Value value,
                                               const InterpOptions &options) {
  Machine machine(options);
  FailureOr<Relation> relation = machine.materialize(value);
  if (succeeded(relation))
    roundRelation(*relation,
                  cast<rel::RelType>(value.getType()).getElementType());
  return relation;
}

bool joinery::dependsOnTablesOnly(Value value) {
  llvm::SmallDenseSet<Value> seen;
  SmallVector<Value> work{value};
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    Operation *op = next.getDefiningOp();
    auto type = dyn_cast<rel::RelType>(next.getType());
    if (!op || !type || !type.isStatic() ||
        !isa_and_nonnull<rel::RelDialect>(op->getDialect()))
      return false;
    if (auto rekey = dyn_cast<rel::RekeyOp>(op))
      for (StringRef expr : rekey.getExprs().getAsValueRange<StringAttr>())
        if (expr.contains('?'))
          return false;
    if (auto join = dyn_cast<rel::UnionOp>(op))
      for (StringRef size : join.getSizes().getAsValueRange<StringAttr>())
        if (size.contains('?'))
          return false;
    llvm::append_range(work, op->getOperands());
  }
  return true;
}
