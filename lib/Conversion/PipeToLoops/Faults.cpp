//===- Faults.cpp - What kernels report -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// Keeps the fault at the least position (of one check, then of the lesser
/// check): the same one however the tasks are shared between workers.
void KernelEmitter::reportFault(int64_t check, Value bad, Value index,
                                Value position) {
  if (isa<VectorType>(bad.getType())) {
    // The first bad lane speaks for all: positions ascend with the lanes.
    if (mask)
      bad = arith::AndIOp::create(b, loc, bad, mask);
    Type bits = b.getIntegerType(target.lanes);
    Value packed = LLVM::BitcastOp::create(b, loc, bits, bad);
    Value lane = LLVM::CountTrailingZerosOp::create(b, loc, bits, packed, true);
    lane = arith::ExtUIOp::create(b, loc, b.getI64Type(), lane);
    lane = arith::RemUIOp::create(b, loc, lane, this->index(target.lanes));
    index = LLVM::ExtractElementOp::create(b, loc, index, lane);
    if (isa<VectorType>(position.getType()))
      position = LLVM::ExtractElementOp::create(b, loc, position, lane);
    bad = compare(arith::CmpIPredicate::ne, packed,
                  arith::ConstantOp::create(b, loc, b.getIntegerAttr(bits, 0)));
  } else if (mask) {
    // One key for all lanes, none of which may need it.
    Type bits = b.getIntegerType(target.lanes);
    Value any =
        compare(arith::CmpIPredicate::ne,
                LLVM::BitcastOp::create(b, loc, bits, mask),
                arith::ConstantOp::create(b, loc, b.getIntegerAttr(bits, 0)));
    bad = arith::AndIOp::create(b, loc, bad, any);
  }
  auto field = [&](int32_t number) -> Value {
    return LLVM::GEPOp::create(b, loc, faultPointer.getType(), b.getI64Type(),
                               faultPointer, ArrayRef<LLVM::GEPArg>{number});
  };
  when(bad, [&] {
    Value present = LLVM::LoadOp::create(b, loc, b.getI64Type(), field(0));
    Value before = LLVM::LoadOp::create(b, loc, b.getI64Type(), field(2));
    Value none = compare(arith::CmpIPredicate::slt, present, this->index(0));
    Value less = compare(arith::CmpIPredicate::slt, position, before);
    Value tie = arith::AndIOp::create(
        b, loc, compare(arith::CmpIPredicate::eq, position, before),
        compare(arith::CmpIPredicate::slt, this->index(check), present));
    Value first = arith::OrIOp::create(
        b, loc, none, arith::OrIOp::create(b, loc, less, tie));
    when(first, [&] {
      LLVM::StoreOp::create(b, loc, this->index(check), field(0));
      LLVM::StoreOp::create(b, loc, index, field(1));
      LLVM::StoreOp::create(b, loc, position, field(2));
    });
  });
}

SmallVector<Column> lowering::maskRows(AggregateOp op) {
  auto scores = cast<RelType>(op.getInputs()[0].getType());
  SmallVector<Column> rows;
  for (Column column : op.getType().getColumns())
    if (scores.has(column.getName()))
      rows.push_back(column);
  return rows;
}

void KernelEmitter::checkMask(AggregateOp op, Value greatest, Value total,
                              const Keys &keys) {
  bool wide = isa<VectorType>(greatest.getType());
  auto like = [&](Type type) { return wide ? Type(vectorOf(type)) : type; };
  auto compare = [&](arith::CmpFPredicate predicate, Value x,
                     double y) -> Value {
    return arith::CmpFOp::create(b, loc, predicate, x,
                                 constant(x.getType(), y));
  };
  // A row without keys has no weight, one with a NaN no weight that is a
  // number: neither is this fault.
  Value bad = arith::AndIOp::create(
      b, loc,
      compare(arith::CmpFPredicate::OLE, greatest, *op.leastPeak()),
      compare(arith::CmpFPredicate::OGT, total, 0));
  Value real = greatest;
  unsigned width = getElementTypeOrSelf(real.getType()).getIntOrFloatBitWidth();
  if (width < 32)
    real = arith::ExtFOp::create(b, loc, like(b.getF32Type()), real);
  else if (width > 32)
    real = arith::TruncFOp::create(b, loc, like(b.getF32Type()), real);
  Value bits = arith::BitcastOp::create(b, loc, like(b.getI32Type()), real);
  bits = arith::ExtUIOp::create(b, loc, like(b.getI64Type()), bits);
  SymExpr row;
  for (Column column : maskRows(op))
    row = row * column.getExtent() + keys.at(column.getName().str());
  reportFault(checkNumber(op), bad, bits, value(row));
}
