//===- LoopCost.cpp - What the operations of loops take -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/LoopCost.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;

/// Registers that a value of the type takes; 0 if it is a scalar.
static double registersOf(Type type, const plan::Target &target) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return 0;
  int64_t bits = vector.getNumElements();
  if (!vector.getElementType().isIntOrFloat())
    bits *= 64; // addresses
  else if (!vector.getElementType().isInteger(1))
    bits *= vector.getElementType().getIntOrFloatBitWidth();
  return double(llvm::divideCeil(bits, 32 * target.isa.lanes));
}

/// The widest of an operation's operands and results.
static double widthOf(Operation *op, const plan::Target &target) {
  double most = 0;
  for (Value value : op->getOperands())
    most = std::max(most, registersOf(value.getType(), target));
  for (Value value : op->getResults())
    most = std::max(most, registersOf(value.getType(), target));
  return most;
}

static double divisionOf(Operation *op, const plan::Target &target) {
  auto vector = dyn_cast<VectorType>(op->getResult(0).getType());
  double lanes = vector ? double(vector.getNumElements()) : 1;
  APInt by;
  if (!matchPattern(op->getOperand(1), m_ConstantInt(&by)))
    return lanes * target.scalarDivide;
  // A shift, or a product with the inverse, which 64-bit lanes do one by one.
  if (!llvm::isPowerOf2_64(by.getZExtValue()))
    return lanes * 4 * target.scalar;
  return vector ? registersOf(vector, target) / target.simple : target.scalar;
}

/// True for a sum with a product, which are one operation.
static bool isFused(Operation *op) {
  auto single = [](Value value) {
    return value.hasOneUse() && value.getDefiningOp<arith::MulFOp>();
  };
  return isa<arith::AddFOp, arith::SubFOp>(op) &&
         llvm::any_of(op->getOperands(), single);
}

/// Of an operation on tile registers.
static UnitCost costOf(LLVM::CallIntrinsicOp op, const plan::Target &target) {
  UnitCost cost;
  StringRef name = op.getIntrin();
  if (name.contains("tdpbf16ps"))
    cost.tiles = target.tileProduct;
  else if (name.contains("tileloaddt1"))
    cost.tileMoves = target.tileStream;
  else if (name.contains("tileloadd"))
    cost.tileMoves = target.tileLoad;
  else if (name.contains("tilestored"))
    cost.tileMoves = target.tileStore, cost.apart = target.tileTurn;
  return cost;
}

UnitCost lowering::costOf(Operation *op, const plan::Target &target) {
  UnitCost cost;
  if (auto intrinsic = dyn_cast<LLVM::CallIntrinsicOp>(op))
    return ::costOf(intrinsic, target);
  double width = widthOf(op, target);
  auto whole = [&](double each) {
    cost.arithmetic = std::max(width, 1.0) * each;
    cost.issue = cost.arithmetic;
  };
  if (isa<arith::ConstantOp, LLVM::GEPOp, LLVM::BitcastOp, LLVM::InlineAsmOp,
          LLVM::ZeroOp>(op) || isFused(op) ||
      op->hasTrait<OpTrait::IsTerminator>())
    return cost;
  if (isa<LLVM::LoadOp, LLVM::MaskedLoadOp>(op)) {
    cost.load = std::max(width, 1.0) / target.loads;
  } else if (isa<LLVM::StoreOp, LLVM::MaskedStoreOp>(op)) {
    cost.store = std::max(width, 1.0) / target.stores;
  } else if (isa<LLVM::masked_gather>(op)) {
    auto vector = cast<VectorType>(op->getResult(0).getType());
    cost.load = double(vector.getNumElements()) * target.gather;
  } else if (isa<arith::DivSIOp, arith::RemSIOp, arith::DivUIOp,
                 arith::RemUIOp>(op)) {
    cost.divider = divisionOf(op, target);
  } else if (isa<arith::DivFOp>(op)) {
    cost.divider = width ? width * target.divide : target.scalar * 6;
  } else if (isa<math::SqrtOp, math::RsqrtOp>(op)) {
    cost.divider = width ? width * target.root : target.scalarMath / 2;
  } else if (isa<math::ExpOp>(op)) {
    width ? whole(target.exp) : void(cost.apart = target.scalarMath);
  } else if (isa<math::ErfOp>(op)) {
    width ? whole(target.erf) : void(cost.apart = target.scalarMath);
  } else if (op->getName().getDialectNamespace() == "math") {
    width ? whole(target.tanh) : void(cost.apart = target.scalarMath);
  } else if (isa<vector::ExtractOp>(op)) {
    // The end of a reduction across lanes.
    cost.apart = target.reduceLanes;
  } else if (width) {
    bool wideProduct =
        isa<arith::MulIOp>(op) &&
        cast<VectorType>(op->getResult(0).getType()).getElementTypeBitWidth() >
            32;
    whole((wideProduct ? 3 : 1) / target.simple);
  } else {
    cost.issue = target.scalar / 2;
  }
  cost.issue += (cost.load + cost.store) / 2;
  return cost;
}

static double latencyOf(Operation *op, const plan::Target &target) {
  if (isa<arith::ConstantOp, vector::BroadcastOp, LLVM::GEPOp>(op))
    return 0;
  if (!widthOf(op, target))
    return 1;
  return target.reduceLatency;
}

double lowering::chainOf(Block &body, const plan::Target &target) {
  double longest = 0;
  for (BlockArgument carried : body.getArguments().drop_front()) {
    llvm::DenseMap<Value, double> depth;
    depth[carried] = 0;
    for (Operation &op : body.without_terminator()) {
      double most = -1;
      for (Value operand : op.getOperands())
        if (auto it = depth.find(operand); it != depth.end())
          most = std::max(most, it->second);
      if (most >= 0 && !op.getNumRegions())
        for (Value result : op.getResults())
          depth[result] = most + latencyOf(&op, target);
    }
    Value next = body.getTerminator()->getOperand(carried.getArgNumber() - 1);
    if (auto it = depth.find(next); it != depth.end())
      longest = std::max(longest, it->second);
  }
  return longest;
}
