//===- Evaluate.cpp - The value of a relation at given keys ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "joinery/Interp/Interp.h"
#include "lib/Plan/Contraction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

static RelType typeOf(Value relation) {
  return cast<RelType>(relation.getType());
}

std::string KernelEmitter::cacheKey(Value relation, const Keys &keys) {
  std::string text =
      std::to_string(reinterpret_cast<uintptr_t>(relation.getAsOpaquePointer()));
  for (Column column : typeOf(relation).getColumns())
    text += "|" + keys.at(column.getName().str()).str();
  return text;
}

Value KernelEmitter::evaluate(Value relation, const Keys &keys) {
  std::string key = cacheKey(relation, keys);
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
    if (auto it = scope->find(key); it != scope->end())
      return it->second;
  Value result = evaluateUncached(relation, keys);
  scopes.back()[key] = result;
  return result;
}

Value KernelEmitter::evaluateUncached(Value relation, const Keys &keys) {
  if (auto it = overrides.find(relation.getAsOpaquePointer());
      it != overrides.end())
    return it->second(keys);
  if (auto argument = dyn_cast<BlockArgument>(relation)) {
    RelType type = typeOf(argument);
    return load(bufferOf(argument), storageOffset(type, keys),
                type.getElementType());
  }
  Operation *op = relation.getDefiningOp();
  if (auto range = dyn_cast<RangeOp>(op))
    return value(keys.at(range.getType().getColumns()[0].getName().str()));
  if (auto join = dyn_cast<JoinOp>(op))
    return evaluateJoin(join, keys);
  if (auto rekey = dyn_cast<RekeyOp>(op))
    return evaluateRekey(rekey, keys);
  if (auto lookup = dyn_cast<LookupOp>(op))
    return evaluateLookup(lookup, keys);
  if (auto aggregate = dyn_cast<AggregateOp>(op))
    return aggregate.getMonoid() == Monoid::SoftmaxSum
               ? evaluateSoftmaxSum(aggregate, keys)
               : evaluateAggregate(aggregate, keys);
  if (auto select = dyn_cast<SelectOp>(op)) {
    Value where = evaluate(select.getWhere(), keys);
    Value inside = evaluate(select.getInput(), keys);
    Value outside = arith::ConstantOp::create(b, loc, select.getOtherwise());
    if (isa<VectorType>(where.getType()) || isa<VectorType>(inside.getType())) {
      where = broadcast(where);
      inside = broadcast(inside);
      outside = broadcast(outside);
    }
    return arith::SelectOp::create(b, loc, where, inside, outside);
  }
  if (auto pack = dyn_cast<PackOp>(op))
    return evaluate(pack.getInput(), packedKeys(pack, keys));
  if (auto unpack = dyn_cast<UnpackOp>(op))
    return evaluateUnpack(unpack, keys);
  return evaluateUnion(cast<UnionOp>(op), keys);
}

//===----------------------------------------------------------------------===//
// join, rekey
//===----------------------------------------------------------------------===//

/// Integer division traps on 0 and on overflow; data, and lanes past the end,
/// must not. x / 0 is x, x mod 0 is 0; x / -1 wraps, x mod -1 is 0.
Value KernelEmitter::safeDivision(Operation *division) {
  Value x = division->getOperand(0), y = division->getOperand(1);
  bool isSigned = isa<arith::DivSIOp, arith::RemSIOp>(division);
  bool remainder = isa<arith::RemSIOp, arith::RemUIOp>(division);
  b.setInsertionPoint(division);
  auto equals = [&](double value) -> Value {
    return compare(arith::CmpIPredicate::eq, y, constant(y.getType(), value));
  };
  Value zero = equals(0), minusOne = isSigned ? equals(-1) : Value();
  Value special =
      minusOne ? Value(arith::OrIOp::create(b, loc, zero, minusOne)) : zero;
  division->setOperand(1, arith::SelectOp::create(
                              b, loc, special, constant(y.getType(), 1), y));
  b.setInsertionPointAfter(division);
  Value result = division->getResult(0);
  if (remainder || !minusOne)
    return result;
  Value negated =
      arith::SubIOp::create(b, loc, constant(x.getType(), 0), x);
  return arith::SelectOp::create(b, loc, minusOne, negated, result);
}

/// x floordiv y: the quotient, one less if it was rounded up.
Value KernelEmitter::floorDivision(Operation *division) {
  Value x = division->getOperand(0), y = division->getOperand(1);
  Operation *truncated = arith::DivSIOp::create(b, loc, x, y);
  division->erase();
  Value quotient = safeDivision(truncated);
  b.setInsertionPointAfterValue(quotient);
  Value rest = arith::SubIOp::create(b, loc, x,
                                     arith::MulIOp::create(b, loc, quotient, y));
  Value zero = constant(x.getType(), 0);
  Value inexact = compare(arith::CmpIPredicate::ne, rest, zero);
  Value signs = compare(arith::CmpIPredicate::slt,
                        arith::XOrIOp::create(b, loc, rest, y), zero);
  Value less = arith::SubIOp::create(b, loc, quotient, constant(x.getType(), 1));
  return arith::SelectOp::create(
      b, loc, arith::AndIOp::create(b, loc, inexact, signs), less, quotient);
}

Value KernelEmitter::evaluateJoin(JoinOp op, const Keys &keys) {
  Block &body = op.getBody().front();
  llvm::DenseMap<Value, Value> mapped;
  for (auto [argument, input] :
       llvm::zip(body.getArguments(), op.getInputs()))
    mapped[argument] = evaluate(input, keys);
  for (Operation &scalar : body.without_terminator()) {
    SmallVector<Value> operands;
    bool vector = false;
    for (Value operand : scalar.getOperands()) {
      operands.push_back(mapped.lookup(operand));
      vector |= isa<VectorType>(operands.back().getType());
    }
    SmallVector<Type> types(scalar.getResultTypes());
    if (vector) {
      for (Value &operand : operands)
        operand = broadcast(operand);
      for (Type &type : types)
        type = vectorOf(type);
    }
    OperationState state(loc, scalar.getName(), operands, types,
                         scalar.getAttrs());
    state.propertiesAttr = scalar.getPropertiesAsAttribute();
    Operation *clone = b.create(state);
    // A product and the sum that takes it may be one instruction, if it has no last
    // bit that decides.
    if (auto fast = dyn_cast<arith::ArithFastMathInterface>(clone))
      if (isa<arith::AddFOp, arith::SubFOp, arith::MulFOp>(clone) &&
          !(discretizes && isDiscretized(&scalar)))
        clone->setAttr(fast.getFastMathAttrName(),
                       arith::FastMathFlagsAttr::get(
                           b.getContext(), arith::FastMathFlags::contract));
    if (isa<arith::DivSIOp, arith::RemSIOp, arith::DivUIOp, arith::RemUIOp>(
            clone)) {
      mapped[scalar.getResult(0)] = safeDivision(clone);
      continue;
    }
    if (isa<arith::FloorDivSIOp>(clone)) {
      mapped[scalar.getResult(0)] = floorDivision(clone);
      continue;
    }
    for (auto [from, to] :
         llvm::zip(scalar.getResults(), clone->getResults()))
      mapped[from] = to;
  }
  return mapped.lookup(cast<rel::YieldOp>(body.getTerminator()).getValue());
}

Keys KernelEmitter::rekeyed(RekeyOp op, const Keys &keys) {
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  Keys source;
  for (Column column : op.getInput().getType().getColumns())
    source[column.getName().str()] = joinDigits(
        op.sourceKey(column.getName())
            .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
              if (!symbol.consume_front("#"))
                return std::nullopt;
              return keys.at(symbol.str());
            })
            .simplify(bounds));
  return source;
}

Value KernelEmitter::inRange(const SymExpr &key, const SymExpr &extent) {
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  bool low = key.provablyNonNegative(bounds);
  bool high = key.provablyLess(extent, bounds);
  if (low && high)
    return nullptr;
  Value k = value(key), e = value(extent);
  if (isa<VectorType>(k.getType()))
    e = broadcast(e);
  // Negative keys are great unsigned ones.
  return compare(arith::CmpIPredicate::ult, k, e);
}

Value KernelEmitter::guarded(Value condition, Value otherwise,
                             function_ref<Value()> body) {
  if (isa<VectorType>(condition.getType())) {
    Value saved = mask;
    mask = mask ? Value(arith::AndIOp::create(b, loc, mask, condition))
                : condition;
    Value inside;
    {
      Scope scope(*this);
      atomScopes.emplace_back();
      inside = broadcast(body());
      atomScopes.pop_back();
    }
    mask = saved;
    return arith::SelectOp::create(b, loc, condition, inside,
                                   broadcast(otherwise));
  }
  // The type is known only after the body is built: build it aside.
  Block aside;
  OpBuilder::InsertPoint here = b.saveInsertionPoint();
  b.setInsertionPointToStart(&aside);
  Value inside;
  {
    Scope scope(*this);
    atomScopes.emplace_back();
    inside = body();
    atomScopes.pop_back();
  }
  b.restoreInsertionPoint(here);
  bool vector = isa<VectorType>(inside.getType());
  if (vector)
    otherwise = broadcast(otherwise);
  auto branches = scf::IfOp::create(b, loc, TypeRange{inside.getType()},
                                    condition, /*withElseRegion=*/true);
  Block *taken = &branches.getThenRegion().front();
  taken->getOperations().splice(taken->begin(), aside.getOperations());
  b.setInsertionPointToEnd(taken);
  scf::YieldOp::create(b, loc, inside);
  b.setInsertionPointToEnd(&branches.getElseRegion().front());
  scf::YieldOp::create(b, loc, otherwise);
  b.setInsertionPointAfter(branches);
  return branches.getResult(0);
}

Value KernelEmitter::evaluateRekey(RekeyOp op, const Keys &keys) {
  Keys source = rekeyed(op, keys);
  // Conditions on a whole vector are branches, around those on its lanes: what
  // they guard is not even loaded.
  Value whole, lanes;
  if (op.getOtherwise())
    for (Column column : op.getInput().getType().getColumns())
      if (Value within =
              inRange(source.at(column.getName().str()), column.getExtent())) {
        Value &condition = isa<VectorType>(within.getType()) ? lanes : whole;
        condition = condition ? Value(arith::AndIOp::create(b, loc, condition,
                                                            within))
                              : within;
      }
  std::function<Value()> read = [&] { return evaluate(op.getInput(), source); };
  auto guard = [&](Value condition, const std::function<Value()> &body) {
    Value otherwise = arith::ConstantOp::create(b, loc, *op.getOtherwise());
    return guarded(condition, otherwise, body);
  };
  if (!lanes)
    return whole ? guard(whole, read) : read();
  if (!whole)
    return guard(lanes, read);
  return guard(whole, [&] { return guard(lanes, read); });
}

//===----------------------------------------------------------------------===//
// lookup
//===----------------------------------------------------------------------===//

/// Where an index is among all of its relation: in the stored array that it is
/// read from, if it is a view of one.
SymExpr KernelEmitter::positionOf(Value index, const Keys &keys) {
  plan::View view = plan::viewOf(index);
  RelType type = cast<RelType>(index.getType());
  Keys source;
  for (auto &[name, key] : view.keys)
    source[name] = key.substitute([&](StringRef symbol) {
      bool isKey = symbol.consume_front("#");
      auto it = keys.find(symbol.str());
      return isKey && it != keys.end() ? std::optional(it->second)
                                       : std::nullopt;
    });
  if (isa<BlockArgument>(view.base))
    return storageOffset(cast<RelType>(view.base.getType()), source);
  if (auto pack = view.base.getDefiningOp<PackOp>())
    return positionOf(pack.getInput(), packedKeys(pack, source));
  SymExpr position;
  for (Column column : type.getColumns())
    position =
        position * column.getExtent() + keys.at(column.getName().str());
  return position;
}

SymExpr KernelEmitter::lookupKey(LookupOp op, StringRef name, Value index,
                                 const Keys &keys) {
  std::string cached = name.str() + "@" + cacheKey(index, keys) + "@" +
                       std::to_string(uintptr_t(op.getOperation()));
  return cachedAtom(cached, [&] {
    SymExpr extent = op.getSource().getType().extentOf(name);
    Value key = evaluate(index, keys);
    bool vector = isa<VectorType>(key.getType());
    auto widen = [&](Value v) { return vector ? broadcast(v) : v; };
    if (getElementTypeOrSelf(key.getType()).getIntOrFloatBitWidth() < 64)
      key = arith::ExtSIOp::create(
          b, loc, vector ? Type(vectorOf(b.getI64Type())) : b.getI64Type(), key);
    Value zero = widen(this->index(0)), count = widen(value(extent));
    // A negative index counts from the end.
    Value negative = compare(arith::CmpIPredicate::slt, key, zero);
    Value wrapped = arith::SelectOp::create(
        b, loc, negative, arith::AddIOp::create(b, loc, key, count), key);
    if (!op.getProved()) {
      Value bad = compare(arith::CmpIPredicate::uge, wrapped, count);
      reportFault(checkNumber(op), bad, key, value(positionOf(index, keys)));
      wrapped = arith::SelectOp::create(b, loc, bad, zero, wrapped);
    }
    return atom(wrapped, extent);
  });
}

Value KernelEmitter::evaluateLookup(LookupOp op, const Keys &keys) {
  // The table's other columns keep their keys; a looked-up column may have the
  // name of an index column, whose key it must not take.
  Keys source = keys;
  for (auto [name, index] : llvm::zip(
           op.getKeys().getAsValueRange<StringAttr>(), op.getIndices()))
    source[name.str()] = lookupKey(op, name, index, keys);
  return evaluate(op.getSource(), source);
}

//===----------------------------------------------------------------------===//
// Hoisting
//===----------------------------------------------------------------------===//

void KernelEmitter::hoist(Value relation, const Keys &keys) {
  if (overrides.count(relation.getAsOpaquePointer()) ||
      isa<BlockArgument>(relation))
    return;
  // Keys of the lane are marked by an expression with the symbol "#lane".
  bool varies = false;
  for (Column column : typeOf(relation).getColumns())
    varies |= keys.at(column.getName().str()).uses("#lane");
  Operation *op = relation.getDefiningOp();
  if (!varies) {
    if (!isa<RangeOp>(op))
      evaluate(relation, keys);
    return;
  }
  if (isa<JoinOp, SelectOp>(op)) {
    for (Value operand : op->getOperands())
      hoist(operand, keys);
  } else if (auto rekey = dyn_cast<RekeyOp>(op)) {
    // What is read only where a key is in range must stay behind its guard.
    if (!rekey.getOtherwise())
      hoist(rekey.getInput(), rekeyed(rekey, keys));
  } else if (auto lookup = dyn_cast<LookupOp>(op)) {
    for (auto [name, index] :
         llvm::zip(lookup.getKeys().getAsValueRange<StringAttr>(),
                   lookup.getIndices())) {
      bool fixed = true;
      for (Column column : typeOf(index).getColumns())
        fixed &= !keys.at(column.getName().str()).uses("#lane");
      if (fixed)
        lookupKey(lookup, name, index, keys);
      else
        hoist(index, keys);
    }
  } else if (auto unionOp = dyn_cast<UnionOp>(op)) {
    if (auto [part, inner] = onlyPart(unionOp, keys); part)
      hoist(part, inner);
  } else if (auto pack = dyn_cast<PackOp>(op)) {
    if (!keys.at(pack.row().str()).uses("#lane"))
      hoist(pack.getInput(), packedKeys(pack, keys));
  } else if (auto unpack = dyn_cast<UnpackOp>(op)) {
    SymExpr flat = unpack.flat(
        [&](StringRef name) { return keys.at(name.str()); });
    if (!flat.uses("#lane"))
      rowOf(unpack, flat);
  }
}
