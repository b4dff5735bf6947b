//===- SplitTerms.cpp - f32 as a sum of three bf16 ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/SplitTerms.h"
#include "MicroKernelBuilder.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace joinery {

SmallVector<Value> splitTerms(OpBuilder &b, Location loc, Value x) {
  auto wide = cast<VectorType>(x.getType());
  auto narrow = VectorType::get(wide.getShape(), b.getBF16Type());
  SmallVector<Value> terms;
  for (int64_t i = 0; i < kTerms; ++i) {
    Value term = arith::TruncFOp::create(b, loc, narrow, x);
    terms.push_back(term);
    if (i + 1 == kTerms)
      break;
    x = arith::SubFOp::create(b, loc, x,
                              arith::ExtFOp::create(b, loc, wide, term));
  }
  return terms;
}

func::FuncOp getOrCreateSplitRows(ModuleOp module, const Isa &isa) {
  std::string name = "jn_split_f32_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  KernelBuilder k(module, isa, name);
  auto func = k.begin({k.ptr, k.i64, k.i64, k.i64, k.ptr, k.i64, k.i64});
  Value src = func.getArgument(0), ld = func.getArgument(1),
        rows = func.getArgument(2), cols = func.getArgument(3),
        dst = func.getArgument(4), ldd = func.getArgument(5),
        plane = func.getArgument(6);
  auto loop = [&](Value to, int64_t step, function_ref<void(Value)> body) {
    auto each = scf::ForOp::create(k.b, k.constant(0), to, k.constant(step));
    OpBuilder::InsertionGuard guard(k.b);
    k.b.setInsertionPointToStart(each.getBody());
    body(each.getInductionVar());
  };
  loop(rows, 1, [&](Value row) {
    Value from = k.at(src, k.mul(row, ld)), to = k.at(dst, k.mul(row, ldd));
    loop(cols, isa.lanes, [&](Value column) {
      Value x = k.loadVector(k.at(from, column));
      Value place = k.at(to, k.div(column, k.constant(kPairDepth)));
      for (Value term : splitTerms(k.b, k.b.getLoc(), x)) {
        k.store(term, place);
        place = k.at(place, plane);
      }
    });
  });
  k.finish();
  return func;
}

} // namespace joinery
