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

TileOps::TileOps(OpBuilder &b, Location loc)
    : b(b), loc(loc), tile(LLVM::LLVMX86AMXType::get(b.getContext())) {
  auto shape = [&](int64_t value) {
    return arith::ConstantIntOp::create(b, loc, b.getI16Type(), value);
  };
  rows = shape(kTileRows);
  bytes = shape(4 * kTileRows);
}

Value TileOps::call(StringRef name, ValueRange arguments, bool result) {
  auto op = LLVM::CallIntrinsicOp::create(b, loc, result ? tile : Type(),
                                          b.getStringAttr(name), arguments);
  return result ? op.getResult(0) : Value();
}

Value TileOps::load(Value address, Value stride, TileReuse reuse) {
  return call(reuse == TileReuse::Once ? "llvm.x86.tileloaddt164.internal"
                                       : "llvm.x86.tileloadd64.internal",
              {rows, bytes, address, stride});
}

Value TileOps::zeroSums() {
  return call("llvm.x86.tilezero.internal", {rows, bytes});
}

SmallVector<Value> TileOps::startSums(Value accumulate, ValueRange addresses,
                                      Value stride) {
  auto start = scf::IfOp::create(
      b, loc, accumulate,
      [&](OpBuilder &, Location) {
        SmallVector<Value> sums;
        for (Value address : addresses)
          sums.push_back(load(address, stride, TileReuse::Often));
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
              {rows, bytes, bytes, sums, a, panel});
}

void TileOps::storeSums(Value sums, Value address, Value stride) {
  call("llvm.x86.tilestored64.internal", {rows, bytes, address, stride, sums},
       /*result=*/false);
}

} // namespace joinery
