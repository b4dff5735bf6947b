//===- ScanKernel.cpp - Ranks and enumerations of kept keys ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A running count over all keys in order: one task. There are as many keys as
// tokens, so it is not worth more.
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// out[i] = the number of kept keys below i.
static void emitRank(KernelEmitter &e, RankOp rank) {
  RelType where = rank.getWhere().getType();
  SmallVector<Column> columns;
  SymExpr count(1);
  for (StringRef name : rank.getOver().getAsValueRange<StringAttr>()) {
    columns.push_back(where.getColumns()[where.find(name)]);
    count = count * columns.back().getExtent();
  }
  Type i64 = e.b.getI64Type();
  Value last = e.loop(
      e.index(0), e.value(count), e.index(1), ValueRange{e.index(0)},
      [&](Value iv, ValueRange carried) -> SmallVector<Value> {
        e.store(carried[0], e.out, e.atom(iv, count), i64);
        Keys keys;
        e.splitRow(e.atom(iv, count), columns, keys);
        Value kept = e.evaluate(rank.getWhere(), keys);
        return {e.add(carried[0],
                      arith::ExtUIOp::create(e.b, e.loc, i64, kept))};
      })[0];
  e.store(last, e.out, count, i64);
}

/// out[rank[i]] = i. A key that is dropped writes where the next kept one will:
/// there is room, for the buffer holds as many rows as there are keys.
static void emitEnumerate(KernelEmitter &e, EnumerateOp rows) {
  Column column = rows.getRank().getType().getColumns()[0];
  SymExpr count = column.getExtent() - SymExpr(1);
  e.loop(e.index(0), e.value(count), e.index(1), {},
         [&](Value iv, ValueRange) -> SmallVector<Value> {
           Value at = e.evaluate(rows.getRank(), {{column.getName().str(),
                                                   e.atom(iv, count)}});
           e.store(iv, e.out, e.atom(at, count), e.b.getI64Type());
           return {};
         });
}

FailureOr<KernelCost> lowering::emitScan(KernelEmitter &e) {
  Operation *root = rootOf(e).getDefiningOp();
  if (!isa_and_nonnull<RankOp, EnumerateOp>(root))
    return e.kernel.emitError("a scan computes a rank or an enumeration");
  if (auto rank = dyn_cast<RankOp>(root))
    emitRank(e, rank);
  else
    emitEnumerate(e, cast<EnumerateOp>(root));
  KernelCost cost;
  cost.tasks = SymExpr(1);
  cost.scratch = e.scratchBytes;
  return cost;
}
