//===- EvaluateAggregate.cpp - The value of an aggregate ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// Two units, four cycles until a sum can go on.
static constexpr int64_t kMostChains = 4;

Value KernelEmitter::evaluateAggregate(AggregateOp op, const Keys &keys) {
  Value input = op.getInputs()[0];
  RelType type = cast<RelType>(input.getType());
  Type element = type.getElementType();
  Monoid monoid = op.getMonoid();
  bool keyed = monoid == Monoid::ArgMax || monoid == Monoid::ArgMin;
  SmallVector<Column> over;
  for (Column column : type.getColumns())
    if (op.folds(column.getName()))
      over.push_back(column);
  // Does the result vary by lane? Then the folded columns are scalar loops.
  bool wide = false;
  for (Column column : op.getType().getColumns())
    wide |= variesByLane(keys.at(column.getName().str()));
  bool ownLane = !inLane() && !keyed;

  SmallVector<Value> init;
  Type accumulator =
      wide || ownLane ? Type(vectorOf(element)) : element;
  // Each step of a chain waits for the one before: several of them, if all lanes
  // and vectors are there.
  int64_t chains = 1;
  auto size = over.empty() ? std::nullopt : over.back().getExtent().asConst();
  if (ownLane && size)
    while (chains < kMostChains && *size % (2 * chains * target.lanes) == 0)
      chains *= 2;
  init.assign(chains, identity(monoid, accumulator));
  if (keyed)
    init.push_back(constant(
        wide ? Type(vectorOf(b.getI64Type())) : b.getI64Type(), 0));

  Keys inner = keys;
  std::function<SmallVector<Value>(size_t, ValueRange)> nest =
      [&](size_t depth, ValueRange carried) -> SmallVector<Value> {
    if (depth == over.size()) {
      Value x = evaluate(input, inner);
      if (wide || ownLane)
        x = broadcast(x);
      if (!keyed) {
        if (ownLane && mask)
          x = arith::SelectOp::create(b, loc, mask, x,
                                      identity(monoid, accumulator));
        return {combine(monoid, carried[0], x)};
      }
      Value key = value(inner.at(over[0].getName().str()));
      if (wide)
        key = broadcast(key);
      // Strictly better only, so that ties keep the smallest key.
      bool max = monoid == Monoid::ArgMax;
      Value better =
          isa<FloatType>(element)
              ? Value(arith::CmpFOp::create(b, loc,
                                            max ? arith::CmpFPredicate::OGT
                                                : arith::CmpFPredicate::OLT,
                                            x, carried[0]))
              : Value(arith::CmpIOp::create(b, loc,
                                            max ? arith::CmpIPredicate::sgt
                                                : arith::CmpIPredicate::slt,
                                            x, carried[0]));
      return {arith::SelectOp::create(b, loc, better, x, carried[0]),
              arith::SelectOp::create(b, loc, better, key, carried[1])};
    }
    Column column = over[depth];
    SymExpr extent = column.getExtent();
    if (ownLane && depth + 1 == over.size()) {
      bool whole = size && *size % target.lanes == 0;
      if (chains > 1)
        return loop(
            index(0), index(*size), index(chains * target.lanes), carried,
            [&](Value iv, ValueRange carried) {
              SmallVector<Value> next;
              for (int64_t i = 0; i < chains; ++i)
                laneVector(add(iv, index(i * target.lanes)), {}, extent,
                           [&](SymExpr lane) {
                             inner[column.getName().str()] = lane;
                             next.append(nest(depth + 1, carried[i]));
                           });
              return next;
            });
      return laneLoop(index(0), value(extent), whole, extent, carried,
                      [&](SymExpr lane, ValueRange carried) {
                        inner[column.getName().str()] = lane;
                        return nest(depth + 1, carried);
                      });
    }
    return loop(index(0), value(extent), index(1), carried,
                [&](Value iv, ValueRange carried) {
                  inner[column.getName().str()] = atom(iv, extent);
                  return nest(depth + 1, carried);
                });
  };
  SmallVector<Value> results = nest(0, init);
  if (keyed)
    return results[1];
  if (!ownLane)
    return results[0];
  // Neighbours first, so that the order is the same whatever makes them.
  while (results.size() > 1) {
    SmallVector<Value> halves;
    for (size_t i = 0; i < results.size(); i += 2)
      halves.push_back(combine(monoid, results[i], results[i + 1]));
    results = halves;
  }
  return reduceLanes(monoid, results[0]);
}

/// The definition in two passes, for where the streaming kernel does not apply.
Value KernelEmitter::evaluateSoftmaxSum(AggregateOp op, const Keys &keys) {
  Value scores = op.getInputs()[0], values = op.getInputs()[1];
  Type element = op.getType().getElementType();
  SmallVector<Column> over;
  for (Column column : JoinOp::joinColumns(op.getInputs()))
    if (op.folds(column.getName()))
      over.push_back(column);
  bool wide = false;
  for (Column column : op.getType().getColumns())
    wide |= variesByLane(keys.at(column.getName().str()));
  Type type = wide ? Type(vectorOf(element)) : element;
  auto widen = [&](Value v) { return wide ? broadcast(v) : v; };
  Keys inner = keys;
  std::function<SmallVector<Value>(
      size_t, ValueRange, function_ref<SmallVector<Value>(ValueRange)>)>
      nest = [&](size_t depth, ValueRange carried,
                 function_ref<SmallVector<Value>(ValueRange)> body)
      -> SmallVector<Value> {
    if (depth == over.size())
      return body(carried);
    SymExpr extent = over[depth].getExtent();
    return loop(index(0), value(extent), index(1), carried,
                [&](Value iv, ValueRange carried) {
                  inner[over[depth].getName().str()] = atom(iv, extent);
                  return nest(depth + 1, carried, body);
                });
  };
  Value lowest = widen(constant(
      element, -static_cast<double>(std::numeric_limits<float>::max())));
  Value greatest = nest(0, ValueRange{lowest}, [&](ValueRange carried) {
    return SmallVector<Value>{combine(
        Monoid::Max, carried[0], widen(evaluate(scores, inner)))};
  })[0];
  Value zero = constant(type, 0);
  auto sums = nest(0, ValueRange{zero, zero}, [&](ValueRange carried) {
    Value weight = math::ExpOp::create(
        b, loc,
        arith::SubFOp::create(b, loc, widen(evaluate(scores, inner)),
                              greatest));
    Value term = arith::MulFOp::create(b, loc, weight,
                                       widen(evaluate(values, inner)));
    return SmallVector<Value>{combine(Monoid::Sum, carried[0], weight),
                              combine(Monoid::Sum, carried[1], term)};
  });
  if (op.getMask())
    checkMask(op, greatest, sums[0], keys);
  Value empty = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ,
                                      sums[0], zero);
  Value quotient = arith::DivFOp::create(b, loc, sums[1], sums[0]);
  return arith::SelectOp::create(b, loc, empty, zero, quotient);
}
