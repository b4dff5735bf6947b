//===- KernelEmitter.cpp - Scalars, atoms, lanes and storage --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using rel::Monoid;

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

/// The fields of JnKernelCall (runtime/abi.h), in order, all of 8 bytes.
enum CallField {
  Buffers,
  Symbols,
  Begin,
  End,
  Scratch,
  Fault,
  Counters,
  Shared,
  Workers
};

KernelEmitter::KernelEmitter(
    ModuleOp module, pipe::KernelOp kernel, const Isa &isa, StringRef name,
    const std::map<std::string, int64_t> &symbolNumbers,
    llvm::function_ref<int64_t(Operation *)> checkNumber)
    : b(module.getContext()), loc(kernel.getLoc()), target(isa), kernel(kernel),
      symbolNumbers(symbolNumbers), checkNumber(checkNumber) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  b.setInsertionPointToEnd(module.getBody());
  function = func::FuncOp::create(b, loc, name,
                                  b.getFunctionType({pointer}, {}));
  // Reached through the descriptor only: two models link into one program.
  function.setPrivate();
  b.setInsertionPointToStart(function.addEntryBlock());
  auto field = [&](CallField number, Type type) -> Value {
    Value address = LLVM::GEPOp::create(
        b, loc, pointer, b.getI64Type(), function.getArgument(0),
        ArrayRef<LLVM::GEPArg>{int32_t(number)});
    return LLVM::LoadOp::create(b, loc, type, address);
  };
  buffersPointer = field(Buffers, pointer);
  symbolsPointer = field(Symbols, pointer);
  begin = field(Begin, b.getI64Type());
  end = field(End, b.getI64Type());
  scratch = field(Scratch, pointer);
  faultPointer = field(Fault, pointer);
  countersPointer = field(Counters, pointer);
  shared = field(Shared, pointer);
  workers = field(Workers, b.getI64Type());
  auto loadBuffer = [&](int32_t number) -> Value {
    Value address =
        LLVM::GEPOp::create(b, loc, pointer, pointer, buffersPointer,
                            ArrayRef<LLVM::GEPArg>{number});
    return LLVM::LoadOp::create(b, loc, pointer, address);
  };
  // Operands first, the result last.
  Block &body = kernel.getBody().front();
  for (BlockArgument argument : body.getArguments())
    buffers[argument] = loadBuffer(argument.getArgNumber());
  out = loadBuffer(body.getNumArguments());
  // Symbols are few; all are read here, where they dominate every use.
  for (const auto &[symbol, number] : symbolNumbers) {
    Value address =
        LLVM::GEPOp::create(b, loc, pointer, b.getI64Type(), symbolsPointer,
                            ArrayRef<LLVM::GEPArg>{int32_t(number)});
    symbols["?" + symbol] =
        LLVM::LoadOp::create(b, loc, b.getI64Type(), address);
  }
  scopes.emplace_back();
  atomScopes.emplace_back();
}

func::FuncOp KernelEmitter::finish() {
  func::ReturnOp::create(b, loc);
  return function;
}

void KernelEmitter::count(Value flops, Value bytes) {
  Value values[] = {flops, bytes};
  for (int32_t i : {0, 1}) {
    Value address = LLVM::GEPOp::create(
        b, loc, countersPointer.getType(), b.getI64Type(), countersPointer,
        ArrayRef<LLVM::GEPArg>{i});
    Value before = LLVM::LoadOp::create(b, loc, b.getI64Type(), address);
    LLVM::StoreOp::create(b, loc, add(before, values[i]), address);
  }
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value KernelEmitter::index(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}

static std::optional<int64_t> constantOf(Value value) {
  if (auto op = value.getDefiningOp<arith::ConstantOp>())
    if (auto attr = dyn_cast<IntegerAttr>(op.getValue()))
      return attr.getInt();
  return std::nullopt;
}

Value KernelEmitter::add(Value x, Value y) {
  if (constantOf(x) == 0)
    return y;
  if (constantOf(y) == 0)
    return x;
  return arith::AddIOp::create(b, loc, x, y);
}
Value KernelEmitter::sub(Value x, Value y) {
  if (constantOf(y) == 0)
    return x;
  return arith::SubIOp::create(b, loc, x, y);
}
Value KernelEmitter::mul(Value x, Value y) {
  if (constantOf(x) == 1)
    return y;
  if (constantOf(y) == 1)
    return x;
  if (auto cx = constantOf(x), cy = constantOf(y); cx && cy)
    return index(*cx * *cy);
  return arith::MulIOp::create(b, loc, x, y);
}
Value KernelEmitter::min(Value x, Value y) {
  return arith::MinSIOp::create(b, loc, x, y);
}
Value KernelEmitter::max(Value x, Value y) {
  return arith::MaxSIOp::create(b, loc, x, y);
}
Value KernelEmitter::ceilDiv(Value x, int64_t by) {
  return arith::DivUIOp::create(b, loc, add(x, index(by - 1)), index(by));
}
Value KernelEmitter::ceilDiv(Value x, Value by) {
  return arith::DivUIOp::create(b, loc, add(x, sub(by, index(1))), by);
}
Value KernelEmitter::compare(arith::CmpIPredicate predicate, Value x, Value y) {
  return arith::CmpIOp::create(b, loc, predicate, x, y);
}
Value KernelEmitter::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

Value KernelEmitter::offset(Value pointer, Value elements, Type type) {
  if (constantOf(elements) == 0)
    return pointer;
  if (type.isInteger(1))
    type = b.getI8Type();
  return LLVM::GEPOp::create(b, loc, pointer.getType(), type, pointer,
                             ArrayRef<LLVM::GEPArg>{elements});
}

SmallVector<Value> KernelEmitter::loop(Value from, Value to, Value step,
                                       ValueRange carried, LoopBody body) {
  auto loop = scf::ForOp::create(b, loc, from, to, step, carried);
  OpBuilder::InsertionGuard guard(b);
  Block *block = loop.getBody();
  // The builder ends a loop without carried values itself.
  if (!block->empty() && block->back().hasTrait<OpTrait::IsTerminator>())
    block->back().erase();
  b.setInsertionPointToEnd(block);
  Scope scope(*this);
  atomScopes.emplace_back();
  SmallVector<Value> results =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  atomScopes.pop_back();
  scf::YieldOp::create(b, loc, results);
  return SmallVector<Value>(loop.getResults());
}

void KernelEmitter::when(Value condition, function_ref<void()> body) {
  auto branch =
      scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&branch.getThenRegion().front());
  Scope scope(*this);
  atomScopes.emplace_back();
  body();
  atomScopes.pop_back();
}

//===----------------------------------------------------------------------===//
// Atoms and expressions
//===----------------------------------------------------------------------===//

SymExpr KernelEmitter::atom(Value value, std::optional<SymExpr> bound) {
  if (auto constant = constantOf(value))
    return SymExpr(*constant);
  std::string name = "#v" + std::to_string(nextAtom++);
  atoms[name] = {value, bound, isa<VectorType>(value.getType())};
  return SymExpr::symbol(name);
}

void KernelEmitter::splitRow(const SymExpr &row, ArrayRef<rel::Column> columns,
                             Keys &keys) {
  SymExpr rest = row;
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  for (size_t i = columns.size(); i-- > 0;) {
    SymExpr extent = columns[i].getExtent();
    if (i == 0) {
      keys[columns[i].getName().str()] = rest;
      break;
    }
    keys[columns[i].getName().str()] =
        SymExpr::mod(rest, extent).simplify(bounds);
    rest = SymExpr::floorDiv(rest, extent).simplify(bounds);
  }
}

std::optional<SymExpr> KernelEmitter::bound(StringRef symbol) {
  if (symbol == lane || symbol == laneBase || symbol.starts_with("#")) {
    auto it = atoms.find(symbol.str());
    return it == atoms.end() ? std::nullopt : it->second.bound;
  }
  return std::nullopt;
}

Value KernelEmitter::symbolValue(StringRef symbol) {
  if (symbol.starts_with("?")) {
    auto it = symbols.find(symbol.str());
    assert(it != symbols.end() && "a symbol without a number");
    return it->second;
  }
  auto it = atoms.find(symbol.str());
  assert(it != atoms.end() && "an unknown atom");
  return it->second.value;
}

bool KernelEmitter::variesByLane(const SymExpr &expr) {
  std::set<std::string> used;
  expr.collect(used);
  for (const std::string &symbol : used) {
    auto it = atoms.find(symbol);
    if (it != atoms.end() && it->second.isVector)
      return true;
  }
  return false;
}

Value KernelEmitter::value(const SymExpr &expr) {
  bool vector = variesByLane(expr);
  auto widen = [&](Value v) { return vector ? broadcast(v) : v; };
  Value sum;
  for (const auto &[monomial, coefficient] : expr.terms()) {
    Value product;
    for (const SymExpr::Atom &atom : monomial) {
      Value factor;
      if (atom.kind == SymExpr::Atom::Symbol) {
        factor = widen(symbolValue(atom.text));
      } else {
        Value x = widen(value(*atom.lhs)), y = widen(value(*atom.rhs));
        switch (atom.kind) {
        // Keys are never negative where they are used: unsigned is exact.
        case SymExpr::Atom::FloorDiv:
          factor = arith::DivUIOp::create(b, loc, x, y);
          break;
        case SymExpr::Atom::Mod:
          factor = arith::RemUIOp::create(b, loc, x, y);
          break;
        case SymExpr::Atom::Min:
          factor = arith::MinSIOp::create(b, loc, x, y);
          break;
        default:
          factor = arith::MaxSIOp::create(b, loc, x, y);
        }
      }
      product = product ? mul(product, factor) : factor;
    }
    if (!product)
      product = widen(index(coefficient));
    else if (coefficient != 1)
      product = mul(product, widen(index(coefficient)));
    sum = sum ? add(sum, product) : product;
  }
  return sum ? sum : widen(index(0));
}

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
  assert(lane.empty() && "lanes do not nest");
  SmallVector<int64_t> steps;
  for (int64_t i = 0; i < target.lanes; ++i)
    steps.push_back(i);
  Value iota = arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(vectorOf(b.getI64Type()), ArrayRef(steps)));
  auto results = loop(
      from, to, index(target.lanes), carried, [&](Value iv, ValueRange carried) {
        std::string number = std::to_string(nextAtom++);
        lane = "#l" + number;
        laneBase = "#b" + number;
        Value keys = arith::AddIOp::create(b, loc, broadcast(iv), iota);
        atoms[laneBase] = {iv, bound, false};
        atoms[lane] = {keys, bound, true};
        if (!whole)
          mask = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, keys,
                                       broadcast(to));
        SmallVector<Value> next = body(SymExpr::symbol(lane), carried);
        lane.clear();
        laneBase.clear();
        mask = nullptr;
        return next;
      });
  return results;
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
        extent = SymExpr::floorDiv(extent + SymExpr(width - 1), width);
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
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, loaded, zero);
}

void KernelEmitter::store(Value stored, Value pointer, const SymExpr &keyOffset,
                          Type element) {
  Type type = ::stored(b, element);
  unsigned bytes = std::max(1u, type.getIntOrFloatBitWidth() / 8);
  if (element.isInteger(1)) {
    Type wide = isa<VectorType>(stored.getType()) ? Type(vectorOf(type)) : type;
    stored = arith::ExtUIOp::create(b, loc, wide, stored);
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

Value KernelEmitter::bufferOf(BlockArgument argument) {
  return buffers.lookup(argument);
}

SymExpr KernelEmitter::allocateScratch(const SymExpr &bytes) {
  SymExpr at = scratchBytes;
  // Rounded to cache lines, plus one so that pieces do not share L1 sets.
  scratchBytes =
      scratchBytes +
      SymExpr::floorDiv(bytes + SymExpr(63), 64) * SymExpr(64) + SymExpr(64);
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
