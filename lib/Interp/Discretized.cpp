//===- Discretized.cpp - Scalars whose last bit decides -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Interp/Interp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/SetVector.h"

using namespace joinery;
using namespace mlir;

/// The scalars that read the values of `relation`: arguments of the regions of
/// its users, also through operators that only move values.
static void collectReaders(Value relation, llvm::SetVector<Value> &work) {
  for (OpOperand &use : relation.getUses()) {
    Operation *user = use.getOwner();
    if (auto join = dyn_cast<rel::JoinOp>(user))
      work.insert(join.getBody().front().getArgument(use.getOperandNumber()));
    else if (isa<rel::RekeyOp, rel::UnionOp, rel::MaterializeOp>(user) ||
             (isa<rel::SelectOp, rel::LookupOp>(user) &&
              use.getOperandNumber() == 0))
      work.insert(user->getResult(0));
    // Aggregates reassociate by nature: what follows them is not exact.
  }
}

bool joinery::discretizes(Operation *op) {
  return isa<arith::CmpFOp, arith::FPToSIOp, arith::FPToUIOp, arith::RemFOp,
             math::FloorOp, math::CeilOp, math::RoundOp, math::RoundEvenOp,
             math::TruncOp>(op);
}

bool joinery::discretizesAnything(Operation *root) {
  return root
      ->walk([](Operation *op) {
        return discretizes(op) ? WalkResult::interrupt()
                               : WalkResult::advance();
      })
      .wasInterrupted();
}

bool joinery::isDiscretized(Operation *op) {
  if (op->getNumResults() != 1 ||
      !isa<FloatType>(op->getResult(0).getType()))
    return false;
  llvm::SetVector<Value> work;
  work.insert(op->getResult(0));
  for (unsigned i = 0; i < work.size(); ++i) {
    Value value = work[i];
    if (isa<rel::RelType>(value.getType())) {
      collectReaders(value, work);
      continue;
    }
    for (Operation *user : value.getUsers()) {
      if (discretizes(user))
        return true;
      if (isa<rel::YieldOp>(user))
        work.insert(user->getParentOp()->getResult(0));
      else if (user->getNumResults() == 1 &&
               isa<FloatType>(user->getResult(0).getType()))
        work.insert(user->getResult(0));
    }
  }
  return false;
}
