//===- TileOps.cpp - Operations on tile registers -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/TileOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace joinery {

static constexpr int64_t kTileBytes = 4 * kTileRows;

TileOps::TileOps(OpBuilder &b, Location loc)
    : b(b), loc(loc), tile(LLVM::LLVMX86AMXType::get(b.getContext())) {
  rows = pairs = shape(kTileRows);
  pairBytes = lineBytes = shape(kTileBytes);
}

TileOps::TileOps(OpBuilder &b, Location loc, Value rows, Value pairs)
    : b(b), loc(loc), tile(LLVM::LLVMX86AMXType::get(b.getContext())),
      rows(shape(rows)), pairs(shape(pairs)) {
  Value bytes = arith::ConstantIntOp::create(b, loc, pairs.getType(), 4);
  pairBytes = shape(arith::MulIOp::create(b, loc, pairs, bytes));
  lineBytes = shape(kTileBytes);
}

Value TileOps::shape(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, b.getI16Type(), value);
}

/// LLVM configures the tiles where their shapes are known, which must be before
/// the first of them: a volatile load does not sink to its use.
Value TileOps::shape(Value value) {
  Type i16 = b.getI16Type(), ptr = LLVM::LLVMPointerType::get(b.getContext());
  Value one = arith::ConstantIntOp::create(b, loc, b.getI64Type(), 1);
  Value slot = LLVM::AllocaOp::create(b, loc, ptr, i16, one);
  LLVM::StoreOp::create(b, loc, arith::TruncIOp::create(b, loc, i16, value),
                        slot);
  return LLVM::LoadOp::create(b, loc, i16, slot, /*alignment=*/2,
                              /*isVolatile=*/true);
}

Value TileOps::call(StringRef name, ValueRange arguments, bool result) {
  auto op = LLVM::CallIntrinsicOp::create(b, loc, result ? tile : Type(),
                                          b.getStringAttr(name), arguments);
  return result ? op.getResult(0) : Value();
}

Value TileOps::load(Value rows, Value bytes, Value address, Value stride,
                    TileReuse reuse) {
  return call(reuse == TileReuse::Once ? "llvm.x86.tileloaddt164.internal"
                                       : "llvm.x86.tileloadd64.internal",
              {rows, bytes, address, stride});
}

Value TileOps::loadRows(Value address, Value stride, TileReuse reuse) {
  return load(rows, pairBytes, address, stride, reuse);
}

Value TileOps::loadPanel(Value address, Value stride, TileReuse reuse) {
  return load(pairs, lineBytes, address, stride, reuse);
}

Value TileOps::loadSums(Value address, Value stride) {
  return load(rows, lineBytes, address, stride, TileReuse::Often);
}

Value TileOps::zeroSums() {
  return call("llvm.x86.tilezero.internal", {rows, lineBytes});
}

SmallVector<Value> TileOps::startSums(Value accumulate, ValueRange addresses,
                                      Value stride) {
  auto start = scf::IfOp::create(
      b, loc, accumulate,
      [&](OpBuilder &, Location) {
        SmallVector<Value> sums;
        for (Value address : addresses)
          sums.push_back(loadSums(address, stride));
        scf::YieldOp::create(b, loc, sums);
      },
      [&](OpBuilder &, Location) {
        SmallVector<Value> sums;
        for (size_t i = 0; i < addresses.size(); ++i)
          sums.push_back(zeroSums());
        scf::YieldOp::create(b, loc, sums);
      });
  return SmallVector<Value>(start.getResults());
}

Value TileOps::multiply(Value sums, Value a, Value panel) {
  return call("llvm.x86.tdpbf16ps.internal",
              {rows, lineBytes, pairBytes, sums, a, panel});
}

void TileOps::storeSums(Value sums, Value address, Value stride) {
  call("llvm.x86.tilestored64.internal",
       {rows, lineBytes, address, stride, sums}, /*result=*/false);
}

} // namespace joinery
