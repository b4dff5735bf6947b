//===- CanonicalScalar.cpp - Regions with their terms in order ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CanonicalForm.h"
#include "joinery/Interp/Interp.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

uint64_t optimize::colorOfText(StringRef text) {
  return llvm::xxh3_64bits(text);
}

/// What an operation computes, apart from its operands.
static std::string textOf(Operation *op) {
  std::string text = op->getName().getStringRef().str();
  llvm::raw_string_ostream os(text);
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    os << ' ' << constant.getValue();
  else if (auto compare = dyn_cast<arith::CmpIOp>(op))
    os << ' ' << arith::stringifyCmpIPredicate(compare.getPredicate());
  else if (auto compare = dyn_cast<arith::CmpFOp>(op))
    os << ' ' << arith::stringifyCmpFPredicate(compare.getPredicate());
  else
    os << ' ' << op->getResult(0).getType();
  return text;
}

/// Sums and products may be taken in any order: integers and conditions
/// always, floats where no rounding or comparison sees the difference.
bool CanonicalScalar::isNary(Operation *op) {
  auto [it, inserted] = nary.try_emplace(op, false);
  if (!inserted)
    return it->second;
  if (isa<arith::AddIOp, arith::MulIOp, arith::AndIOp, arith::OrIOp,
          arith::MaxSIOp, arith::MinSIOp, arith::MaximumFOp,
          arith::MinimumFOp>(op))
    it->second = true;
  else if (isa<arith::AddFOp, arith::MulFOp>(op))
    it->second = op->getResult(0).getType().getIntOrFloatBitWidth() >= 32 &&
                 !isDiscretized(op);
  return it->second;
}

void CanonicalScalar::terms(Value value, Operation *of,
                            SmallVectorImpl<Value> &out) {
  Operation *op = value.getDefiningOp();
  if (op && op->getName() == of->getName() && isNary(op) &&
      (op == of || op->hasOneUse())) {
    for (Value operand : op->getOperands())
      terms(operand, of, out);
    return;
  }
  out.push_back(value);
}

SmallVector<Value> CanonicalScalar::orderedOperands(Operation *op) {
  SmallVector<Value> operands;
  if (isNary(op))
    terms(op->getResult(0), op, operands);
  else
    operands.assign(op->operand_begin(), op->operand_end());
  if (!isNary(op) && !op->hasTrait<OpTrait::IsCommutative>())
    return operands;
  // Constants are last, as the laws have them.
  SmallVector<std::tuple<bool, Color, unsigned>> keys;
  for (auto [i, operand] : llvm::enumerate(operands))
    keys.push_back(
        {matchPattern(operand, m_Constant()), colors.lookup(operand), i});
  llvm::sort(keys);
  SmallVector<Value> ordered;
  for (auto [constant, color, i] : keys)
    ordered.push_back(operands[i]);
  return ordered;
}

CanonicalScalar::Color CanonicalScalar::colorOf(Value value) {
  if (auto it = colors.find(value); it != colors.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  if (isNary(op)) {
    SmallVector<Value> all;
    terms(value, op, all);
    for (Value term : all)
      colorOf(term);
  } else {
    for (Value operand : op->getOperands())
      colorOf(operand);
  }
  Color color = colorOfText(textOf(op));
  for (Value operand : orderedOperands(op))
    color = mixColors(color, colors.lookup(operand));
  return colors[value] = color;
}

CanonicalScalar::Color CanonicalScalar::color(ArrayRef<Color> operands) {
  colors.clear();
  for (auto [argument, color] :
       llvm::zip(join.getBody().front().getArguments(), operands))
    colors[argument] = color;
  return colorOf(yieldOf(join));
}

SmallVector<CanonicalScalar::Color> CanonicalScalar::roles() {
  received.clear();
  Block &block = join.getBody().front();
  received[yieldOf(join)] = 1;
  for (Operation &op : llvm::reverse(block.without_terminator())) {
    // What is part of a greater sum sends nothing of its own.
    auto it = received.find(op.getResult(0));
    if (it == received.end())
      continue;
    bool ordered = !isNary(&op) && !op.hasTrait<OpTrait::IsCommutative>();
    Color role = mixColors(it->second, colors.lookup(op.getResult(0)));
    for (auto [i, operand] : llvm::enumerate(orderedOperands(&op)))
      received[operand] += mixColors(role, ordered ? i + 1 : 0);
  }
  SmallVector<Color> result;
  for (BlockArgument argument : block.getArguments())
    result.push_back(received.lookup(argument));
  return result;
}

Value CanonicalScalar::build(OpBuilder &builder, ValueRange arguments) {
  llvm::DenseMap<Value, Value> built;
  for (auto [argument, value] :
       llvm::zip(join.getBody().front().getArguments(), arguments))
    built[argument] = value;
  auto make = [&](auto &self, Value value) -> Value {
    if (Value known = built.lookup(value))
      return known;
    Operation *op = value.getDefiningOp();
    SmallVector<Value> operands;
    for (Value operand : orderedOperands(op))
      operands.push_back(self(self, operand));
    Operation *last = nullptr;
    auto clone = [&](ValueRange values) {
      last = builder.clone(*op);
      last->setOperands(values);
      return last->getResult(0);
    };
    if (!isNary(op))
      return built[value] = clone(operands);
    Value result = operands[0];
    for (Value next : ArrayRef(operands).drop_front())
      result = clone({result, next});
    return built[value] = result;
  };
  return make(make, yieldOf(join));
}

void CanonicalScalar::print(llvm::raw_ostream &os,
                            ArrayRef<unsigned> numbers) {
  llvm::DenseMap<Value, unsigned> printed;
  auto show = [&](auto &self, Value value) -> void {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      os << '$' << numbers[argument.getArgNumber()];
      return;
    }
    auto [it, inserted] = printed.try_emplace(value, printed.size());
    if (!inserted) {
      os << '%' << it->second;
      return;
    }
    Operation *op = value.getDefiningOp();
    os << textOf(op) << '(';
    for (Value operand : orderedOperands(op)) {
      self(self, operand);
      os << ',';
    }
    os << ')';
  };
  show(show, yieldOf(join));
}
