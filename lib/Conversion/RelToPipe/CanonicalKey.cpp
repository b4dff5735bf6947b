//===- CanonicalKey.cpp - Equality of kernels up to names -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/RelToPipe/CanonicalKey.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// Could an operand of the join take the constant's place? Not where more than
/// arithmetic reads it, and conditions that are always true say so.
static bool isLiftable(OpOperand &use) {
  return isa<JoinOp>(use.getOwner()->getParentOp()) &&
         isa<arith::ArithDialect>(use.getOwner()->getDialect()) &&
         !use.get().getType().isInteger(1);
}

namespace {
class KeyPrinter {
public:
  KeyPrinter(llvm::raw_ostream &os, SmallVectorImpl<OpOperand *> &uses)
      : os(os), uses(uses) {}

  void print(pipe::KernelOp kernel) {
    os << kernel.getAlgorithm() << kernel.getDesignAttr() << "\n";
    Block &body = kernel.getBody().front();
    for (BlockArgument argument : body.getArguments())
      define(argument);
    for (Operation &op : body)
      print(op);
  }

private:
  llvm::raw_ostream &os;
  SmallVectorImpl<OpOperand *> &uses;
  std::map<std::string, unsigned> columns;
  llvm::DenseMap<Value, unsigned> values;
  llvm::DenseMap<Type, std::string> scalars;

  std::string column(StringRef name) {
    auto [it, fresh] = columns.try_emplace(name.str(), columns.size());
    return "c" + std::to_string(it->second);
  }

  /// Printing a type takes longer than all else here.
  void scalar(Type type) {
    auto [it, fresh] = scalars.try_emplace(type);
    if (fresh)
      llvm::raw_string_ostream(it->second) << type;
    os << it->second;
  }

  void type(Type type) {
    auto relation = dyn_cast<RelType>(type);
    if (!relation) {
      scalar(type);
      return;
    }
    os << "[";
    for (Column c : relation.getColumns())
      os << column(c.getName()) << ":" << c.extent.getValue() << ",";
    os << "]";
    scalar(relation.getElementType());
    if (!relation.getLayout())
      return;
    os << "<";
    for (StringRef digit : relation.getLayout().getAsValueRange<StringAttr>()) {
      size_t end = digit.find_first_of("/%");
      os << column(digit.take_front(end))
         << (end == StringRef::npos ? "" : digit.substr(end)) << ",";
    }
    os << ">";
  }

  void define(Value value) {
    unsigned number = values.size();
    values[value] = number;
    os << "%" << number << ":";
    type(value.getType());
    os << "\n";
  }

  void names(ArrayAttr list) {
    for (StringRef name : list.getAsValueRange<StringAttr>())
      os << column(name) << ",";
  }

  /// Constants are a part of what reads them: whether two are one, and where
  /// they are, depends on their values.
  void print(OpOperand &operand) {
    auto constant = operand.get().getDefiningOp<arith::ConstantOp>();
    if (!constant) {
      os << values.lookup(operand.get()) << ",";
    } else if (isLiftable(operand)) {
      scalar(constant.getType());
      os << ",";
      uses.push_back(&operand);
    } else {
      os << constant.getValue() << ",";
    }
  }

  void print(Operation &op) {
    if (isa<arith::ConstantOp>(op))
      return;
    os << op.getName() << "(";
    for (OpOperand &operand : op.getOpOperands())
      print(operand);
    os << ")";
    if (auto rekey = dyn_cast<RekeyOp>(op)) {
      // In the order of the input's columns, whatever the order of the text.
      for (Column c : rekey.getInput().getType().getColumns())
        os << column(c.getName()) << "="
           << rekey.sourceKey(c.getName())
                  .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
                    if (!symbol.consume_front("#"))
                      return std::nullopt;
                    return SymExpr::key(column(symbol));
                  })
                  .str()
           << ",";
      os << rekey.getOtherwiseAttr();
    } else if (auto lookup = dyn_cast<LookupOp>(op)) {
      names(lookup.getKeys());
      os << lookup.getProved();
    } else if (auto aggregate = dyn_cast<AggregateOp>(op)) {
      os << stringifyMonoid(aggregate.getMonoid());
      names(aggregate.getOver());
      os << aggregate.getMaskAttr() << aggregate.getFills();
    } else if (auto unite = dyn_cast<UnionOp>(op)) {
      os << column(unite.getColumn()) << unite.getSizes();
    } else if (auto rank = dyn_cast<RankOp>(op)) {
      names(rank.getOver());
    } else if (auto pack = dyn_cast<PackOp>(op)) {
      names(pack.getOver());
      os << pack.getSizes();
    } else if (auto unpack = dyn_cast<UnpackOp>(op)) {
      os << column(unpack.getRow()) << ",";
      names(unpack.getOver());
      os << unpack.getSizes() << unpack.getOtherwise();
    } else if (auto breaker = dyn_cast<MaterializeOp>(op)) {
      os << breaker.getAlgorithm();
    } else {
      os << op.getAttrDictionary();
    }
    os << "{";
    for (Region &region : op.getRegions())
      for (Block &block : region) {
        for (BlockArgument argument : block.getArguments())
          define(argument);
        for (Operation &inner : block)
          print(inner);
      }
    os << "}";
    for (Value result : op.getResults())
      define(result);
  }
};
} // namespace

std::string
joinery::canonicalKey(pipe::KernelOp kernel,
                      SmallVectorImpl<OpOperand *> &uses) {
  std::string text;
  llvm::raw_string_ostream os(text);
  KeyPrinter(os, uses).print(kernel);
  return text;
}
