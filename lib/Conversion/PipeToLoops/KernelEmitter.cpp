//===- KernelEmitter.cpp - The function, its scalars and atoms ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "joinery/Interp/Interp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

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
  Workers,
  Phase
};

KernelEmitter::KernelEmitter(
    ModuleOp module, pipe::KernelOp kernel, const Isa &isa, StringRef name,
    const std::map<std::string, int64_t> &symbolNumbers,
    llvm::function_ref<int64_t(Operation *)> checkNumber)
    : b(module.getContext()), loc(kernel.getLoc()), target(isa), kernel(kernel),
      discretizes(discretizesAnything(kernel)), symbolNumbers(symbolNumbers),
      checkNumber(checkNumber) {
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
  phase = field(Phase, b.getI64Type());
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

void KernelEmitter::prefetch(Value address, int64_t level) {
  LLVM::Prefetch::create(b, loc, address, /*rw=*/0, /*hint=*/4 - level,
                         /*cache=*/1);
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

/// x floordiv y or x mod y, where y > 0.
Value KernelEmitter::keyDigit(const SymExpr::Atom &atom, Value x, Value y) {
  bool quotient = atom.kind == SymExpr::Atom::FloorDiv;
  if (atom.lhs->provablyNonNegative([&](StringRef s) { return bound(s); })) {
    // Unsigned division is the cheaper one.
    if (quotient)
      return arith::DivUIOp::create(b, loc, x, y);
    return arith::RemUIOp::create(b, loc, x, y);
  }
  Value rest = arith::RemSIOp::create(b, loc, x, y);
  Value below = compare(arith::CmpIPredicate::slt, rest,
                        constant(rest.getType(), 0));
  if (!quotient)
    return select(below, add(rest, y), rest);
  Value truncated = arith::DivSIOp::create(b, loc, x, y);
  return select(below, sub(truncated, constant(x.getType(), 1)), truncated);
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
        case SymExpr::Atom::FloorDiv:
        case SymExpr::Atom::Mod:
          factor = keyDigit(atom, x, y);
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
