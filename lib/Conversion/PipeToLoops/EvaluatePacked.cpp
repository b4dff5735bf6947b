//===- EvaluatePacked.cpp - Packed rows at given keys ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// The number of keys that a rank or an enumeration speaks of.
static SymExpr product(ArrayAttr sizes) {
  SymExpr count(1);
  for (StringRef text : sizes.getAsValueRange<StringAttr>())
    count = count * *SymExpr::parse(text);
  return count;
}

SymExpr KernelEmitter::cachedAtom(const std::string &key,
                                  function_ref<SymExpr()> make) {
  for (auto scope = atomScopes.rbegin(); scope != atomScopes.rend(); ++scope)
    if (auto it = scope->find(key); it != scope->end())
      return it->second;
  SymExpr made = make();
  atomScopes.back()[key] = made;
  return made;
}

Keys KernelEmitter::packedKeys(PackOp op, const Keys &keys) {
  std::string row = op.row().str();
  std::string cached =
      "pack@" + cacheKey(op.getRows(), {{row, keys.at(row)}});
  SymExpr flat = cachedAtom(cached, [&] {
    return atom(evaluate(op.getRows(), {{row, keys.at(row)}}),
                product(op.getSizes()));
  });
  auto bounds = [&](StringRef symbol) { return bound(symbol); };
  Keys source = keys;
  for (auto [name, digit] :
       llvm::zip(op.getOver().getAsValueRange<StringAttr>(), op.digits(flat)))
    source[name.str()] = digit.simplify(bounds);
  return source;
}

std::pair<SymExpr, Value> KernelEmitter::rowOf(UnpackOp op,
                                               const SymExpr &flat) {
  std::string column =
      op.getRank().getType().getColumns()[0].getName().str();
  Value row = evaluate(op.getRank(), {{column, flat}});
  Value next = evaluate(op.getRank(), {{column, flat + SymExpr(1)}});
  std::string cached = "row@" + cacheKey(op.getRank(), {{column, flat}});
  SymExpr key = cachedAtom(cached, [&] {
    return atom(row, op.getInput().getType().extentOf(op.getRow()));
  });
  if (isa<VectorType>(row.getType()) || isa<VectorType>(next.getType())) {
    row = broadcast(row);
    next = broadcast(next);
  }
  return {key, compare(arith::CmpIPredicate::sgt, next, row)};
}

Value KernelEmitter::evaluateUnpack(UnpackOp op, const Keys &keys) {
  SymExpr flat =
      op.flat([&](StringRef name) { return keys.at(name.str()); });
  auto [row, kept] = rowOf(op, flat);
  Keys source = keys;
  source[op.getRow().str()] = row;
  Value otherwise = arith::ConstantOp::create(b, loc, op.getOtherwise());
  return guarded(kept, otherwise,
                 [&] { return evaluate(op.getInput(), source); });
}
