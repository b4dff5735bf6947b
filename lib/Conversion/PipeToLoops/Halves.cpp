//===- Halves.cpp - Relations that a level stores in bf16 -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Halves.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

bool lowering::isHalf(pipe::KernelOp kernel, const Isa &isa, int64_t input) {
  auto numbers = kernel->getAttrOfType<DenseI64ArrayAttr>(kHalfInputs);
  return isa.dotBF16 && numbers &&
         llvm::is_contained(numbers.asArrayRef(), input);
}

bool lowering::hasHalfResult(pipe::KernelOp kernel, const Isa &isa) {
  return isa.dotBF16 && kernel->hasAttr(kHalfResult);
}

int64_t lowering::blockedColumns(pipe::KernelOp kernel, const Isa &isa,
                                 int64_t input) {
  auto columns = kernel->getAttrOfType<DenseI64ArrayAttr>(kBlockedInputs);
  return isa.tiles && columns ? columns[input] : 0;
}

SymExpr ColumnBlocks::offset(const SymExpr &plain) const {
  auto [row, column] = plain.splitBy(columns);
  return column * rows + row * SymExpr(kBlockColumns);
}

SymExpr ColumnBlocks::stride(const SymExpr &plain) const {
  return plain.splitBy(columns).first * SymExpr(kBlockColumns);
}

/// How many of the layout's digits are the `columns` of a row; 0 if none are.
static size_t rowDigits(RelType type, int64_t columns) {
  int64_t size = 1;
  ArrayRef<Attribute> layout = type.getLayout().getValue();
  for (size_t count = 1; count <= layout.size(); ++count) {
    StringRef digit = cast<StringAttr>(layout[layout.size() - count]);
    auto extent = type.has(digit) ? type.extentOf(digit).asConst() : std::nullopt;
    if (!extent || *extent <= 0 || size > columns / *extent ||
        (count == 1 && *extent % kBlockColumns))
      return 0;
    size *= *extent;
    if (size == columns)
      return count;
  }
  return 0;
}

std::optional<ColumnBlocks> lowering::columnBlocks(RelType type,
                                                   int64_t columns) {
  size_t count = rowDigits(type, columns);
  if (!count)
    return std::nullopt;
  ColumnBlocks blocks{columns, 1};
  for (Attribute digit : type.getLayout().getValue().drop_back(count)) {
    auto name = cast<StringAttr>(digit);
    if (!type.has(name))
      return std::nullopt;
    blocks.rows = blocks.rows * type.extentOf(name);
  }
  return blocks;
}

ColumnBlocks lowering::blocksOf(pipe::KernelOp kernel, const Isa &isa,
                                BlockArgument operand) {
  int64_t columns = blockedColumns(kernel, isa, operand.getArgNumber());
  if (!columns)
    return {};
  return *columnBlocks(cast<RelType>(operand.getType()), columns);
}

RelType lowering::storedAt(pipe::KernelOp kernel, const Isa &isa,
                           RelType type) {
  if (!hasHalfResult(kernel, isa))
    return type;
  Builder b(type.getContext());
  SmallVector<Attribute> layout(type.getLayout().getValue());
  auto columns = kernel->getAttrOfType<IntegerAttr>(kBlockedResult);
  if (columns && isa.tiles) {
    // The blocks come first, the columns of one last.
    size_t count = rowDigits(type, columns.getInt());
    std::rotate(layout.begin(), layout.end() - count, layout.end());
    StringRef last = cast<StringAttr>(layout[count - 1]);
    std::string width = std::to_string(kBlockColumns);
    layout.push_back(b.getStringAttr(last + "%" + width));
    layout[count - 1] = b.getStringAttr(last + "/" + width);
  }
  return RelType::get(type.getContext(), type.getColumns(), b.getBF16Type(),
                      b.getArrayAttr(layout));
}
