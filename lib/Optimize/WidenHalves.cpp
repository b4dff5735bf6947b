//===- WidenHalves.cpp - 16-bit floats are computed in f32 ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A policy, no law: the roundings of a model in f16 or bf16 are dropped. Tables,
// inputs and outputs keep their types, everything between them is f32.
//
//===----------------------------------------------------------------------===//

#include "Laws.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_WIDENHALVES
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

static bool isHalf(Type type) { return type.isF16() || type.isBF16(); }

static bool isHalfRelation(Type type) {
  auto relation = dyn_cast<RelType>(type);
  return relation && isHalf(relation.getElementType());
}

static Type widened(Type type) {
  auto wide = Float32Type::get(type.getContext());
  if (isHalf(type))
    return wide;
  if (isHalfRelation(type))
    return cast<RelType>(type).withElementType(wide);
  return type;
}

static Attribute widened(Attribute attribute) {
  auto value = dyn_cast<FloatAttr>(attribute);
  if (!value || !isHalf(value.getType()))
    return attribute;
  APFloat wide = value.getValue();
  bool loses;
  wide.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &loses);
  return FloatAttr::get(Float32Type::get(attribute.getContext()), wide);
}

namespace {
class Widening {
public:
  explicit Widening(func::FuncOp function)
      : function(function), b(function.getContext()) {}

  /// How many relations are computed in f32 now.
  unsigned run();

private:
  void source(Value value);
  void sink(Operation *op);
  void scalar(Operation *op);
  Value cast(Value value, Type element);

  func::FuncOp function;
  OpBuilder b;
};
} // namespace

Value Widening::cast(Value value, Type element) {
  return JoinOp::create(
      b, value.getLoc(), value, element,
      [&](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
        if (isHalf(element))
          return arith::TruncFOp::create(inner, loc, element, arguments[0]);
        return arith::ExtFOp::create(inner, loc, element, arguments[0]);
      });
}

/// Readers of what is stored or given in half precision get its f32 form.
void Widening::source(Value value) {
  if (value.use_empty())
    return;
  Value wide = cast(value, b.getF32Type());
  value.replaceAllUsesExcept(wide, wide.getDefiningOp());
}

/// What is returned keeps the type that the model gives it.
void Widening::sink(Operation *op) {
  auto types = function.getResultTypes();
  b.setInsertionPoint(op);
  for (OpOperand &operand : op->getOpOperands()) {
    Type type = types[operand.getOperandNumber()];
    if (isHalfRelation(type) && operand.get().getType() != type)
      operand.set(
          cast(operand.get(), mlir::cast<RelType>(type).getElementType()));
  }
}

/// One operation of a join's region.
void Widening::scalar(Operation *op) {
  if (isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    Value from = op->getOperand(0), to = op->getResult(0);
    Type type = widened(to.getType());
    if (type == from.getType()) {
      to.replaceAllUsesWith(from);
      op->erase();
      return;
    }
    // f64 to f16 is f64 to f32 now, and f16 to f64 f32 to f64.
    if (type != to.getType())
      to.setType(type);
    return;
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    constant.setValueAttr(
        mlir::cast<TypedAttr>(widened(Attribute(constant.getValue()))));
  for (Value result : op->getResults())
    result.setType(widened(result.getType()));
}

unsigned Widening::run() {
  unsigned count = 0;
  b.setInsertionPointToStart(&function.getBody().front());
  for (BlockArgument argument : function.getArguments())
    if (isHalfRelation(argument.getType()))
      source(argument);
  for (Operation &op :
       llvm::make_early_inc_range(function.getBody().front().getOperations())) {
    if (isa<func::ReturnOp>(op)) {
      sink(&op);
      continue;
    }
    if (auto join = dyn_cast<JoinOp>(op)) {
      Block &body = join.getBody().front();
      for (auto [argument, input] :
           llvm::zip(body.getArguments(), join.getInputs()))
        argument.setType(
            mlir::cast<RelType>(input.getType()).getElementType());
      for (Operation &inner : llvm::make_early_inc_range(body))
        scalar(&inner);
      // The casts that this makes around a table stay.
      Type element = yieldOf(join).getType();
      join.getResult().setType(join.getType().withElementType(element));
      continue;
    }
    if (op.getNumResults() != 1 || !isHalfRelation(op.getResult(0).getType()))
      continue;
    ++count;
    if (isa<ScanOp>(op)) {
      b.setInsertionPointAfter(&op);
      source(op.getResult(0));
      continue;
    }
    for (NamedAttribute attribute : op.getAttrs())
      op.setAttr(attribute.getName(), widened(attribute.getValue()));
    op.getResult(0).setType(widened(op.getResult(0).getType()));
  }
  return count;
}

/// The first operation that computes in bf16.
static Operation *findBF16(ModuleOp module) {
  Operation *found = nullptr;
  module.walk([&](Operation *op) {
    bool computes = !isa<ScanOp, LookupOp, RekeyOp>(op) &&
                    llvm::any_of(op->getResultTypes(), [](Type type) {
                      auto relation = dyn_cast<RelType>(type);
                      return relation && relation.getElementType().isBF16();
                    });
    found = computes ? op : nullptr;
    return computes ? WalkResult::interrupt() : WalkResult::advance();
  });
  return found;
}

namespace {
struct WidenHalves : optimize::impl::WidenHalvesBase<WidenHalves> {
  using WidenHalvesBase::WidenHalvesBase;
  void runOnOperation() override {
    if (keep) {
      if (Operation *op = findBF16(getOperation())) {
        emitError(op->getLoc(),
                  "its value is rounded to bf16, which no level of "
                  "instructions computes in; leave out --rounding=keep");
        signalPassFailure();
      }
      return;
    }
    for (func::FuncOp function : getOperation().getOps<func::FuncOp>())
      if (!function.isDeclaration())
        numWidened += Widening(function).run();
  }
};
} // namespace
