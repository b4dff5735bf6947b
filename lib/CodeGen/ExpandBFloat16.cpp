//===- ExpandBFloat16.cpp - bf16 on processors without it -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rounding is done on the bits, and what only carries a bf16 from one place to
// another carries an i16: for both LLVM may call functions that an object of
// kernels does not have.
//
//===----------------------------------------------------------------------===//

#include "ExpandBFloat16.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace joinery {
namespace {

bool isBF16(Type type) { return getElementTypeOrSelf(type).isBF16(); }

Type shapedLike(Type type, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? Type(vector.clone(element)) : element;
}

/// The bits of a bf16, and what they stand for.
Value bitsOf(OpBuilder &b, Value value) {
  return arith::BitcastOp::create(
      b, value.getLoc(), shapedLike(value.getType(), b.getI16Type()), value);
}
Value fromBits(OpBuilder &b, Value bits) {
  return arith::BitcastOp::create(
      b, bits.getLoc(), shapedLike(bits.getType(), b.getBF16Type()), bits);
}

/// Is the operation's function compiled for processors with the conversion? They
/// round a vector as the bits below do, but for denormals, which are 0 to them.
bool hasConversion(Operation *op) {
  auto vector = dyn_cast<VectorType>(op->getResult(0).getType());
  auto attributes =
      op->getParentOfType<func::FuncOp>()->getAttrOfType<ArrayAttr>(
          "passthrough");
  return vector && vector.getNumElements() == 16 && attributes &&
         llvm::any_of(attributes, [](Attribute attribute) {
           auto pair = dyn_cast<ArrayAttr>(attribute);
           return pair && pair.size() == 2 &&
                  cast<StringAttr>(pair[0]).getValue() == "target-features" &&
                  cast<StringAttr>(pair[1]).getValue().contains("avx512bf16");
         });
}

/// To nearest and to even: half of what is cut off is added, less one unit
/// where the part that stays is even. A NaN stays one.
struct RoundBits : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::TruncFOp op,
                                PatternRewriter &b) const override {
    if (!isBF16(op.getType()) ||
        !getElementTypeOrSelf(op.getIn().getType()).isF32())
      return b.notifyMatchFailure(op, "not from f32 to bf16");
    Location loc = op.getLoc();
    if (hasConversion(op)) {
      b.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
          op, op.getType(),
          b.getStringAttr("llvm.x86.avx512bf16.cvtneps2bf16.512"), op.getIn());
      return success();
    }
    Type type = shapedLike(op.getType(), b.getI32Type());
    auto constant = [&](int32_t value) -> Value {
      TypedAttr attribute = b.getI32IntegerAttr(value);
      if (auto vector = dyn_cast<VectorType>(type))
        attribute = DenseElementsAttr::get(vector, Attribute(attribute));
      return arith::ConstantOp::create(b, loc, attribute);
    };
    Value bits = arith::BitcastOp::create(b, loc, type, op.getIn());
    Value sixteen = constant(16);
    Value odd = arith::AndIOp::create(
        b, loc, arith::ShRUIOp::create(b, loc, bits, sixteen), constant(1));
    Value rounded = arith::AddIOp::create(
        b, loc, bits,
        arith::AddIOp::create(b, loc, odd, constant(0x7FFF)));
    Value quiet = arith::OrIOp::create(b, loc, bits, constant(0x00400000));
    Value isNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO,
                                        op.getIn(), op.getIn());
    Value chosen = arith::SelectOp::create(b, loc, isNaN, quiet, rounded);
    Value upper = arith::ShRUIOp::create(b, loc, chosen, sixteen);
    b.replaceOp(op, fromBits(b, arith::TruncIOp::create(
                                    b, loc,
                                    shapedLike(type, b.getI16Type()), upper)));
    return success();
  }
};

/// A bf16 is the upper half of an f32.
struct WidenBits : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op,
                                PatternRewriter &b) const override {
    Type type = op.getType();
    if (!isBF16(op.getIn().getType()) || !getElementTypeOrSelf(type).isF32())
      return b.notifyMatchFailure(op, "not from bf16 to f32");
    Location loc = op.getLoc();
    Type wide = shapedLike(type, b.getI32Type());
    TypedAttr sixteen = b.getI32IntegerAttr(16);
    if (auto vector = dyn_cast<VectorType>(wide))
      sixteen = DenseElementsAttr::get(vector, Attribute(sixteen));
    Value bits =
        arith::ExtUIOp::create(b, loc, wide, bitsOf(b, op.getIn()));
    bits = arith::ShLIOp::create(
        b, loc, bits, arith::ConstantOp::create(b, loc, sixteen));
    b.replaceOpWithNewOp<arith::BitcastOp>(op, type, bits);
    return success();
  }
};

/// Loads and stores of any kind: the value, or what is stored, is bits.
template <typename Op> struct MoveBits : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &b) const override {
    bool loads = op->getNumResults();
    Type type = loads ? op->getResult(0).getType() : op->getOperand(0).getType();
    if (!isBF16(type))
      return b.notifyMatchFailure(op, "moves no bf16");
    b.setInsertionPointAfter(op);
    b.startOpModification(op);
    if (loads) {
      op->getResult(0).setType(shapedLike(type, b.getI16Type()));
      auto value =
          arith::BitcastOp::create(b, op.getLoc(), type, op->getResult(0));
      b.replaceAllUsesExcept(op->getResult(0), value, value);
    }
    b.setInsertionPoint(op);
    for (OpOperand &operand : op->getOpOperands())
      if (isBF16(operand.get().getType()))
        operand.set(bitsOf(b, operand.get()));
    b.finalizeOpModification(op);
    return success();
  }
};

/// There and back.
struct MeetBits : OpRewritePattern<arith::BitcastOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::BitcastOp op,
                                PatternRewriter &b) const override {
    auto from = op.getIn().getDefiningOp<arith::BitcastOp>();
    if (!from || from.getIn().getType() != op.getType())
      return b.notifyMatchFailure(op, "no cast back");
    b.replaceOp(op, from.getIn());
    return success();
  }
};

struct SelectBits : OpRewritePattern<arith::SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::SelectOp op,
                                PatternRewriter &b) const override {
    if (!isBF16(op.getType()))
      return b.notifyMatchFailure(op, "not of bf16");
    Value chosen = arith::SelectOp::create(b, op.getLoc(), op.getCondition(),
                                           bitsOf(b, op.getTrueValue()),
                                           bitsOf(b, op.getFalseValue()));
    b.replaceOp(op, fromBits(b, chosen));
    return success();
  }
};

struct YieldBits : OpRewritePattern<scf::IfOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(scf::IfOp op,
                                PatternRewriter &b) const override {
    if (!llvm::any_of(op.getResultTypes(), isBF16))
      return b.notifyMatchFailure(op, "yields no bf16");
    SmallVector<Type> types;
    for (Type type : op.getResultTypes())
      types.push_back(isBF16(type) ? shapedLike(type, b.getI16Type()) : type);
    auto carried = scf::IfOp::create(b, op.getLoc(), types, op.getCondition(),
                                     /*addThenBlock=*/false,
                                     /*addElseBlock=*/false);
    for (auto [from, to] : llvm::zip(op->getRegions(), carried->getRegions())) {
      b.inlineRegionBefore(from, to, to.end());
      Operation *yield = to.front().getTerminator();
      b.setInsertionPoint(yield);
      for (OpOperand &operand : yield->getOpOperands())
        if (isBF16(operand.get().getType()))
          b.modifyOpInPlace(yield,
                            [&] { operand.set(bitsOf(b, operand.get())); });
    }
    b.setInsertionPointAfter(carried);
    SmallVector<Value> results(carried.getResults());
    for (auto [result, before] : llvm::zip(results, op.getResultTypes()))
      if (isBF16(before))
        result = fromBits(b, result);
    b.replaceOp(op, results);
    return success();
  }
};

struct ExpandBFloat16Pass
    : PassWrapper<ExpandBFloat16Pass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandBFloat16Pass)
  StringRef getArgument() const final { return "expand-bf16"; }
  StringRef getDescription() const final {
    return "Rewrite conversions and moves of bf16 into those of integers";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<arith::ArithDialect>();
  }
  LogicalResult initialize(MLIRContext *context) final {
    RewritePatternSet set(context);
    set.add<RoundBits, WidenBits, MeetBits, SelectBits, YieldBits,
            MoveBits<LLVM::LoadOp>, MoveBits<LLVM::StoreOp>,
            MoveBits<LLVM::MaskedLoadOp>, MoveBits<LLVM::MaskedStoreOp>,
            MoveBits<LLVM::masked_gather>>(
        context);
    patterns = std::move(set);
    return success();
  }
  void runOnOperation() final {
    bool any = getOperation()
                   .walk([](Operation *op) {
                     return llvm::any_of(op->getOperandTypes(), isBF16) ||
                                    llvm::any_of(op->getResultTypes(), isBF16)
                                ? WalkResult::interrupt()
                                : WalkResult::advance();
                   })
                   .wasInterrupted();
    if (any && failed(applyPatternsGreedily(getOperation(), patterns)))
      signalPassFailure();
  }
  FrozenRewritePatternSet patterns;
};

} // namespace

std::unique_ptr<Pass> createExpandBFloat16Pass() {
  return std::make_unique<ExpandBFloat16Pass>();
}

} // namespace joinery
