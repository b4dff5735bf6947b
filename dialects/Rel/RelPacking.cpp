//===- RelPacking.cpp - Packed rows ---------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/RelChecks.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// The one column of a relation of i64; null after an error.
static std::optional<Column> oneColumn(Operation *op, RelType type,
                                       StringRef what) {
  if (type.getColumns().size() == 1 && type.getElementType().isInteger(64))
    return type.getColumns()[0];
  op->emitOpError() << what << " has one column and holds i64, unlike " << type;
  return std::nullopt;
}

/// The extents that `sizes` gives to the columns `over`; empty after an error.
static FailureOr<SmallVector<Column>> packedColumns(Operation *op,
                                                    ArrayAttr over,
                                                    ArrayAttr sizes) {
  if (over.empty() || over.size() != sizes.size())
    return op->emitOpError("needs one size for each column that is packed");
  SmallVector<Column> columns;
  for (auto [name, text] : llvm::zip(over.getAsValueRange<StringAttr>(),
                                     sizes.getAsValueRange<StringAttr>())) {
    auto extent = SymExpr::parse(text);
    if (!extent || extent->hasKeys())
      return op->emitOpError() << "the size '" << text
                               << "' is not an expression over symbols";
    if (llvm::any_of(columns, [&](Column c) { return c.getName() == name; }))
      return op->emitOpError() << "packs column '" << name << "' twice";
    columns.push_back(Column(op->getContext(), name, *extent));
  }
  return columns;
}

static SymExpr product(ArrayRef<Column> columns) {
  SymExpr size(1);
  for (Column column : columns)
    size = size * column.getExtent();
  return size;
}

static LogicalResult checkRank(Operation *op, RelType rank, SymExpr keys) {
  auto column = oneColumn(op, rank, "a rank");
  if (!column)
    return failure();
  if (column->getExtent() == keys + SymExpr(1))
    return success();
  auto diag = op->emitOpError() << "a rank of " << keys.str()
                                << " keys has one element more, not "
                                << column->getExtent().str();
  diag.attachNote() << "rank and sizes must speak of the same columns";
  return failure();
}

LogicalResult RankOp::verify() {
  RelType where = getWhere().getType();
  if (!where.getElementType().isInteger(1))
    return emitOpError("ranks a relation of i1, not of ")
           << where.getElementType();
  if (getOver().size() != where.getColumns().size() ||
      llvm::any_of(getOver().getAsValueRange<StringAttr>(),
                   [&](StringRef name) { return !where.has(name); })) {
    auto diag = emitOpError("orders other columns than the operand has");
    diag.attachNote() << "name every column of " << where << " once";
    return failure();
  }
  return checkRank(*this, getType(), product(where.getColumns()));
}

LogicalResult EnumerateOp::verify() {
  if (!oneColumn(*this, getRank().getType(), "a rank"))
    return failure();
  auto column = oneColumn(*this, getType(), "the result");
  if (!column)
    return failure();
  auto symbol = column->getExtent().asSymbol();
  if (symbol && StringRef(*symbol).starts_with("?"))
    return success();
  auto diag = emitOpError("the number of kept keys is known at run time only, "
                          "it is not ")
              << column->getExtent().str();
  diag.attachNote() << "give the result's column a symbol of its own";
  return failure();
}

StringRef PackOp::row() { return getRows().getType().getColumns()[0].getName(); }

SmallVector<SymExpr> PackOp::digits(const SymExpr &flat) {
  SmallVector<SymExpr> digits(getSizes().size());
  SymExpr rest = flat;
  for (size_t i = digits.size(); i-- > 0;) {
    SymExpr size =
        *SymExpr::parse(cast<StringAttr>(getSizes()[i]).getValue());
    digits[i] = i ? SymExpr::mod(rest, size) : rest;
    rest = SymExpr::floorDiv(rest, size);
  }
  return digits;
}

LogicalResult PackOp::verify() {
  auto row = oneColumn(*this, getRows().getType(), "an enumeration");
  auto packed = packedColumns(*this, getOver(), getSizes());
  if (!row || failed(packed))
    return failure();
  RelType input = getInput().getType();
  SmallVector<Column> columns{*row};
  bool any = false;
  for (Column column : input.getColumns()) {
    auto it = llvm::find_if(
        *packed, [&](Column c) { return c.name == column.name; });
    if (it == packed->end()) {
      columns.push_back(column);
      continue;
    }
    any = true;
    if (it->extent != column.extent)
      return emitOpError() << "packs column '" << column.getName()
                           << "' of extent " << column.extent.getValue()
                           << " with the size " << it->extent.getValue();
  }
  if (!any) {
    auto diag = emitOpError("the operand has none of the packed columns");
    diag.attachNote() << "it is the same for every row: use it as it is";
    return failure();
  }
  if (input.has(row->getName()))
    return emitOpError() << "the operand has a column '" << row->getName()
                         << "' already";
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(), input.getElementType());
}

SymExpr UnpackOp::flat(function_ref<SymExpr(StringRef)> keyOf) {
  SymExpr flat;
  for (auto [name, text] :
       llvm::zip(getOver().getAsValueRange<StringAttr>(),
                 getSizes().getAsValueRange<StringAttr>()))
    flat = flat * *SymExpr::parse(text) + keyOf(name);
  return flat;
}

LogicalResult UnpackOp::verify() {
  auto packed = packedColumns(*this, getOver(), getSizes());
  if (failed(packed) ||
      failed(checkRank(*this, getRank().getType(), product(*packed))))
    return failure();
  RelType input = getInput().getType();
  if (!input.has(getRow()))
    return emitOpError() << "the operand has no column '" << getRow() << "'";
  if (getOtherwise().getType() != input.getElementType())
    return emitOpError("the default has another type than the elements");
  SmallVector<Column> columns(*packed);
  for (Column column : input.getColumns()) {
    if (column.getName() == getRow())
      continue;
    if (llvm::any_of(*packed, [&](Column c) { return c.name == column.name; }))
      return emitOpError() << "the operand has a column '" << column.getName()
                           << "' already";
    columns.push_back(column);
  }
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(), input.getElementType());
}
