//===- KernelStorage.cpp - Lanes, loads, stores and monoids ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using rel::Monoid;

//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

SymExpr KernelEmitter::futureLane(const SymExpr &bound) {
  atoms["#lane"] = {nullptr, bound, true};
  return SymExpr::symbol("#lane");
}

VectorType KernelEmitter::vectorOf(Type element) {
  return VectorType::get({target.lanes}, element);
}

Value KernelEmitter::broadcast(Value value) {
  if (isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, loc, vectorOf(value.getType()), value);
}

SmallVector<Value> KernelEmitter::laneLoop(
    Value from, Value to, bool whole, std::optional<SymExpr> bound,
    ValueRange carried,
    function_ref<SmallVector<Value>(SymExpr, ValueRange)> body) {
  return loop(from, to, index(target.lanes), carried,
              [&](Value iv, ValueRange carried) {
                SmallVector<Value> next;
                laneVector(iv, whole ? Value() : to, bound, [&](SymExpr lane) {
                  next = body(lane, carried);
                });
                return next;
              });
}

void KernelEmitter::laneVector(Value first, Value end,
                               std::optional<SymExpr> bound,
                               function_ref<void(SymExpr)> body) {
  assert(lane.empty() && "lanes do not nest");
  SmallVector<int64_t> steps;
  for (int64_t i = 0; i < target.lanes; ++i)
    steps.push_back(i);
  Value iota = arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(vectorOf(b.getI64Type()), ArrayRef(steps)));
  std::string number = std::to_string(nextAtom++);
  lane = "#l" + number;
  laneBase = "#b" + number;
  Value keys = arith::AddIOp::create(b, loc, broadcast(first), iota);
  atoms[laneBase] = {first, bound, false};
  atoms[lane] = {keys, bound, true};
  if (end)
    mask = compare(arith::CmpIPredicate::slt, keys, broadcast(end));
  body(SymExpr::symbol(lane));
  lane.clear();
  laneBase.clear();
  mask = nullptr;
}

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

SymExpr lowering::joinDigits(const SymExpr &expr) {
  SymExpr result = expr;
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto &[monomial, coefficient] : result.terms()) {
      for (size_t i = 0; i < monomial.size() && !changed; ++i) {
        const SymExpr::Atom &digit = monomial[i];
        if (digit.kind != SymExpr::Atom::Mod)
          continue;
        // c*rest*(x mod a) + c*rest*a*(x floordiv a) = c*rest*x.
        SymExpr rest(coefficient);
        for (size_t j = 0; j < monomial.size(); ++j)
          if (j != i) {
            SymExpr factor = SymExpr::symbol("?");
            rest = rest * factor.substitute([&](StringRef) {
              return SymExpr::parse(monomial[j].text);
            });
          }
        SymExpr low = rest * SymExpr::mod(*digit.lhs, *digit.rhs);
        SymExpr high =
            rest * *digit.rhs * SymExpr::floorDiv(*digit.lhs, *digit.rhs);
        bool present = !high.terms().empty();
        for (const auto &[m, c] : high.terms()) {
          auto it = result.terms().find(m);
          present &= it != result.terms().end() && it->second == c;
        }
        if (!present)
          continue;
        result = result - low - high + rest * *digit.lhs;
        changed = true;
      }
      if (changed)
        break;
    }
  }
  return result;
}

SymExpr lowering::startOf(const SymExpr &offset, const Keys &keys) {
  return joinDigits(
      offset.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
        if (!symbol.consume_front("#"))
          return std::nullopt;
        auto it = keys.find(symbol.str());
        return it == keys.end() ? SymExpr(0) : it->second;
      }));
}

SymExpr KernelEmitter::storageOffset(rel::RelType type, const Keys &keys) {
  // Horner's scheme over the layout's digits, the slowest first.
  SymExpr offset;
  for (StringRef digit : type.getLayout().getAsValueRange<StringAttr>()) {
    auto [name, block] = digit.split(digit.contains('/') ? '/' : '%');
    SymExpr extent = type.extentOf(name), key = keys.at(name.str());
    int64_t width = 0;
    if (!block.empty()) {
      block.getAsInteger(10, width);
      if (digit.contains('/')) {
        extent = SymExpr::ceilDiv(extent, width);
        key = SymExpr::floorDiv(key, width);
      } else {
        extent = width;
        key = SymExpr::mod(key, width);
      }
    }
    offset = offset * extent + key;
  }
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  return joinDigits(offset.simplify(bounds));
}

/// Within one vector the lane's quotient by a multiple of its length is fixed,
/// and its remainder runs on: both in terms of the vector's first lane.
SymExpr KernelEmitter::laneRelative(const SymExpr &expr) {
  SymExpr result;
  for (const auto &[monomial, coefficient] : expr.terms()) {
    SymExpr product(coefficient);
    for (const SymExpr::Atom &atom : monomial) {
      SymExpr self = *SymExpr::parse(atom.text);
      bool digit = atom.kind == SymExpr::Atom::FloorDiv ||
                   atom.kind == SymExpr::Atom::Mod;
      if (digit && atom.lhs->uses(lane)) {
        auto divisor = atom.rhs->asConst();
        SymExpr base = SymExpr::symbol(laneBase);
        SymExpr rest = *atom.lhs - SymExpr::symbol(lane);
        auto shift = rest.asConst();
        if (divisor && *divisor % target.lanes == 0 && shift &&
            *shift % target.lanes == 0) {
          SymExpr first = base + rest;
          self = atom.kind == SymExpr::Atom::FloorDiv
                     ? SymExpr::floorDiv(first, *divisor)
                     : SymExpr::mod(first, *divisor) +
                           SymExpr::symbol(lane) - base;
        }
      }
      product = product * self;
    }
    result = result + product;
  }
  return result;
}

/// The constant c where expr = c*lane + rest and rest is free of the lane and
/// of other vectors; nothing otherwise.
static std::optional<int64_t>
laneCoefficient(const SymExpr &expr, const std::string &lane,
                llvm::function_ref<bool(const SymExpr &)> varies) {
  int64_t found = 0;
  for (const auto &[monomial, coefficient] : expr.terms()) {
    SymExpr term(coefficient);
    for (const auto &atom : monomial)
      term = term * *SymExpr::parse(atom.text);
    if (!varies(term))
      continue;
    if (monomial.size() != 1 || monomial[0].text != lane)
      return std::nullopt;
    found = coefficient;
  }
  return found;
}

static Type stored(OpBuilder &b, Type element) {
  return element.isInteger(1) ? b.getI8Type() : element;
}

Value KernelEmitter::load(Value pointer, const SymExpr &keyOffset,
                          Type element) {
  Type type = stored(b, element);
  unsigned bytes = std::max(1u, type.getIntOrFloatBitWidth() / 8);
  SymExpr at = lane.empty() ? keyOffset : laneRelative(keyOffset);
  auto varies = [&](const SymExpr &e) { return variesByLane(e); };
  Value loaded;
  if (!variesByLane(at)) {
    loaded = LLVM::LoadOp::create(b, loc, type,
                                  offset(pointer, value(at), type), bytes);
  } else {
    auto coefficient = laneCoefficient(at, lane, varies);
    VectorType vector = vectorOf(type);
    if (!lane.empty() && coefficient == 1) {
      SymExpr first = at - SymExpr::symbol(lane) + SymExpr::symbol(laneBase);
      Value address = offset(pointer, value(first), type);
      if (mask)
        loaded = LLVM::MaskedLoadOp::create(
            b, loc, vector, address, mask,
            arith::ConstantOp::create(b, loc, b.getZeroAttr(vector)),
            b.getI32IntegerAttr(bytes));
      else
        loaded = LLVM::LoadOp::create(b, loc, vector, address, bytes);
    } else {
      auto pointers =
          VectorType::get({target.lanes}, LLVM::LLVMPointerType::get(b.getContext()));
      Value addresses =
          LLVM::GEPOp::create(b, loc, pointers, type, pointer,
                              ArrayRef<LLVM::GEPArg>{value(at)});
      Value all = mask ? mask
                       : Value(arith::ConstantOp::create(
                             b, loc,
                             DenseElementsAttr::get(vectorOf(b.getI1Type()),
                                                    true)));
      loaded = LLVM::masked_gather::create(
          b, loc, vector, addresses, all,
          ValueRange{arith::ConstantOp::create(b, loc, b.getZeroAttr(vector))},
          b.getI32IntegerAttr(bytes));
    }
  }
  if (!element.isInteger(1))
    return loaded;
  Value zero =
      arith::ConstantOp::create(b, loc, b.getZeroAttr(loaded.getType()));
  return compare(arith::CmpIPredicate::ne, loaded, zero);
}

void KernelEmitter::store(Value stored, Value pointer, const SymExpr &keyOffset,
                          Type element) {
  Type type = ::stored(b, element);
  unsigned bytes = std::max(1u, type.getIntOrFloatBitWidth() / 8);
  if (element.isInteger(1)) {
    Type wide = isa<VectorType>(stored.getType()) ? Type(vectorOf(type)) : type;
    stored = arith::ExtUIOp::create(b, loc, wide, stored);
  }
  Type given = getElementTypeOrSelf(stored.getType());
  if (element.isBF16() && given.isF32()) {
    Type narrow =
        isa<VectorType>(stored.getType()) ? Type(vectorOf(type)) : type;
    stored = arith::TruncFOp::create(b, loc, narrow, stored);
  }
  SymExpr at = lane.empty() ? keyOffset : laneRelative(keyOffset);
  if (!variesByLane(at)) {
    LLVM::StoreOp::create(b, loc, stored, offset(pointer, value(at), type),
                          bytes);
    return;
  }
  stored = broadcast(stored);
  auto varies = [&](const SymExpr &e) { return variesByLane(e); };
  if (laneCoefficient(at, lane, varies) == 1) {
    SymExpr first = at - SymExpr::symbol(lane) + SymExpr::symbol(laneBase);
    Value address = offset(pointer, value(first), type);
    if (mask)
      LLVM::MaskedStoreOp::create(b, loc, stored, address, mask,
                                  b.getI32IntegerAttr(bytes));
    else
      LLVM::StoreOp::create(b, loc, stored, address, bytes);
    return;
  }
  auto pointers =
      VectorType::get({target.lanes}, LLVM::LLVMPointerType::get(b.getContext()));
  Value addresses = LLVM::GEPOp::create(b, loc, pointers, type, pointer,
                                        ArrayRef<LLVM::GEPArg>{value(at)});
  Value all =
      mask ? mask
           : Value(arith::ConstantOp::create(
                 b, loc,
                 DenseElementsAttr::get(vectorOf(b.getI1Type()), true)));
  LLVM::masked_scatter::create(b, loc, stored, addresses, all,
                               b.getI32IntegerAttr(bytes));
}

void KernelEmitter::zeroRows(Value rows, Value count, int64_t pitch,
                             int64_t lanes) {
  Type f32 = b.getF32Type();
  Value zeros = broadcast(constant(f32, 0));
  loop(index(0), count, index(1), {},
       [&](Value row, ValueRange) -> SmallVector<Value> {
         Value at = offset(rows, mul(row, index(pitch)), f32);
         for (int64_t lane = 0; lane < lanes; lane += target.lanes)
           LLVM::StoreOp::create(b, loc, zeros, offset(at, index(lane), f32), 4);
         return {};
       });
}

Value KernelEmitter::bufferOf(BlockArgument argument) {
  return buffers.lookup(argument);
}

Value KernelEmitter::allocateElements(const SymExpr &elements) {
  return offset(scratch, value(allocateScratch(elements * SymExpr(4))),
                b.getI8Type());
}

SymExpr KernelEmitter::allocateScratch(const SymExpr &bytes) {
  SymExpr at = scratchBytes;
  // Rounded to cache lines, plus one so that pieces do not share L1 sets.
  scratchBytes =
      scratchBytes +
      SymExpr::ceilDiv(bytes, 64) * SymExpr(64) + SymExpr(64);
  return at;
}

//===----------------------------------------------------------------------===//
// Monoids
//===----------------------------------------------------------------------===//

Value KernelEmitter::constant(Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr;
  if (auto real = dyn_cast<FloatType>(element))
    attr = FloatAttr::get(real, value);
  else
    attr = IntegerAttr::get(element, int64_t(value));
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, loc, attr);
}

Value KernelEmitter::identity(Monoid monoid, Type type) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr;
  bool greatest = monoid == Monoid::Max || monoid == Monoid::ArgMax;
  bool least = monoid == Monoid::Min || monoid == Monoid::ArgMin;
  if (auto real = dyn_cast<FloatType>(element)) {
    llvm::APFloat value = llvm::APFloat::getZero(real.getFloatSemantics());
    if (greatest || least)
      value = llvm::APFloat::getInf(real.getFloatSemantics(), greatest);
    else if (monoid == Monoid::Prod)
      value = llvm::APFloat::getOne(real.getFloatSemantics());
    attr = FloatAttr::get(real, value);
  } else {
    unsigned width = element.getIntOrFloatBitWidth();
    llvm::APInt value(width, 0);
    if (greatest)
      value = llvm::APInt::getSignedMinValue(width);
    else if (least)
      value = llvm::APInt::getSignedMaxValue(width);
    else if (monoid == Monoid::Prod || monoid == Monoid::All)
      value = llvm::APInt(width, 1);
    attr = IntegerAttr::get(element, value);
  }
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, loc, attr);
}

Value KernelEmitter::combine(Monoid monoid, Value x, Value y) {
  bool real = isa<FloatType>(getElementTypeOrSelf(x.getType()));
  switch (monoid) {
  case Monoid::Sum:
    return real ? Value(arith::AddFOp::create(b, loc, x, y))
                : Value(arith::AddIOp::create(b, loc, x, y));
  case Monoid::Prod:
    return real ? Value(arith::MulFOp::create(b, loc, x, y))
                : Value(arith::MulIOp::create(b, loc, x, y));
  case Monoid::Max:
    return real ? Value(arith::MaximumFOp::create(b, loc, x, y))
                : Value(arith::MaxSIOp::create(b, loc, x, y));
  case Monoid::Min:
    return real ? Value(arith::MinimumFOp::create(b, loc, x, y))
                : Value(arith::MinSIOp::create(b, loc, x, y));
  case Monoid::Any:
    return arith::OrIOp::create(b, loc, x, y);
  default:
    return arith::AndIOp::create(b, loc, x, y);
  }
}

Value KernelEmitter::reduceLanes(Monoid monoid, Value vector) {
  // Halves are combined until one lane is left: a fixed tree, so the same bits
  // in every run.
  int64_t width = cast<VectorType>(vector.getType()).getNumElements();
  while (width > 1) {
    width /= 2;
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < width; ++i) {
      low.push_back(i);
      high.push_back(width + i);
    }
    Value x = vector::ShuffleOp::create(b, loc, vector, vector, low);
    Value y = vector::ShuffleOp::create(b, loc, vector, vector, high);
    vector = combine(monoid, x, y);
  }
  return vector::ExtractOp::create(b, loc, vector, ArrayRef<int64_t>{0});
}
