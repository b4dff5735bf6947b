//===- RelOps.cpp - Verifiers, parsers and printers -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/RelChecks.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

//===----------------------------------------------------------------------===//
// Custom directives
//===----------------------------------------------------------------------===//

/// `[` (name `=` string),* `]`
static ParseResult parseKeyMap(OpAsmParser &parser, ArrayAttr &sources,
                               ArrayAttr &exprs) {
  SmallVector<Attribute> names, texts;
  auto parseEntry = [&]() -> ParseResult {
    std::string name, text;
    if (parser.parseKeywordOrString(&name) || parser.parseEqual() ||
        parser.parseString(&text))
      return failure();
    names.push_back(parser.getBuilder().getStringAttr(name));
    texts.push_back(parser.getBuilder().getStringAttr(text));
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseEntry))
    return failure();
  sources = parser.getBuilder().getArrayAttr(names);
  exprs = parser.getBuilder().getArrayAttr(texts);
  return success();
}

static void printKeyMap(OpAsmPrinter &printer, Operation *, ArrayAttr sources,
                        ArrayAttr exprs) {
  printer << "[";
  llvm::interleaveComma(llvm::zip(sources, exprs), printer, [&](auto entry) {
    printer.printKeywordOrString(
        cast<StringAttr>(std::get<0>(entry)).getValue());
    printer << " = " << std::get<1>(entry);
  });
  printer << "]";
}

static ParseResult parseColumnList(OpAsmParser &parser, ArrayAttr &columns) {
  SmallVector<Attribute> names;
  auto parseEntry = [&]() -> ParseResult {
    std::string name;
    if (parser.parseKeywordOrString(&name))
      return failure();
    names.push_back(parser.getBuilder().getStringAttr(name));
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseEntry))
    return failure();
  columns = parser.getBuilder().getArrayAttr(names);
  return success();
}

static void printColumnList(OpAsmPrinter &printer, Operation *,
                            ArrayAttr columns) {
  printer << "[";
  llvm::interleaveComma(columns.getAsValueRange<StringAttr>(), printer,
                        [&](StringRef s) { printer.printKeywordOrString(s); });
  printer << "]";
}

static ParseResult parseColumnName(OpAsmParser &parser, StringAttr &column) {
  std::string name;
  if (parser.parseKeywordOrString(&name))
    return failure();
  column = parser.getBuilder().getStringAttr(name);
  return success();
}

static void printColumnName(OpAsmPrinter &printer, Operation *,
                            StringAttr column) {
  printer.printKeywordOrString(column.getValue());
}

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

LogicalResult rel::addColumns(Operation *op, SmallVectorImpl<Column> &columns,
                                RelType type) {
  for (Column column : type.getColumns()) {
    auto it = llvm::find_if(columns,
                            [&](Column c) { return c.name == column.name; });
    if (it == columns.end()) {
      columns.push_back(column);
      continue;
    }
    if (it->extent == column.extent)
      continue;
    auto diag = op->emitOpError()
                << "joins column '" << column.getName() << "' of extent "
                << it->extent.getValue() << " with one of extent "
                << column.extent.getValue();
    diag.attachNote() << "rename one of them with rel.rekey, or slice it to "
                         "the other's extent";
    return failure();
  }
  return success();
}

LogicalResult rel::checkColumns(Operation *op, RelType result,
                                  ArrayRef<Column> expected) {
  for (Column column : expected) {
    if (llvm::is_contained(result.getColumns(), column))
      continue;
    auto diag = op->emitOpError() << "the result lacks column '"
                                  << column.getName() << "' of extent "
                                  << column.extent.getValue();
    diag.attachNote() << "fold it away with rel.aggregate, or add it to the "
                         "result's type";
    return failure();
  }
  for (Column column : result.getColumns()) {
    if (llvm::is_contained(expected, column))
      continue;
    auto diag = op->emitOpError() << "the result has column '"
                                  << column.getName()
                                  << "', which no operand has";
    diag.attachNote() << "a relation that is constant along a column lacks it; "
                         "remove it from the result's type";
    return failure();
  }
  return success();
}

LogicalResult rel::checkElement(Operation *op, RelType result, Type type) {
  if (result.getElementType() == type)
    return success();
  return op->emitOpError() << "the result holds " << result.getElementType()
                           << " where " << type << " is computed";
}

//===----------------------------------------------------------------------===//
// table, scan, range
//===----------------------------------------------------------------------===//

LogicalResult TableOp::verify() {
  RelType type = cast<RelType>(getType());
  if (!type.isStatic())
    return emitOpError("a stored relation has static extents");
  if (bool(getFile()) == bool(getValue()))
    return emitOpError("needs either a file slice or a value");
  if (auto value = getValue()) {
    if (value->getElementType() != type.getElementType() ||
        value->getNumElements() != *type.size().asConst())
      return emitOpError("the value does not fit the type");
    return success();
  }
  if (!getOffset() || !getLength() || *getOffset() < 0 || *getLength() < 0)
    return emitOpError("a file slice needs an offset and a length");
  unsigned bits = type.getElementType().getIntOrFloatBitWidth();
  int64_t expected;
  if (llvm::MulOverflow(*type.size().asConst(), int64_t((bits + 7) / 8),
                        expected) ||
      uint64_t(expected) != *getLength())
    return emitOpError("the slice has ")
           << *getLength() << " bytes, the type needs " << expected;
  return success();
}

LogicalResult ScanOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto table = symbolTable.lookupNearestSymbolFrom<TableOp>(*this,
                                                            getTableAttr());
  if (!table)
    return emitOpError() << "there is no table " << getTableAttr();
  RelType stored = cast<RelType>(table.getType()), read = getResult().getType();
  bool same = stored.getElementType() == read.getElementType() &&
              stored.getColumns().size() == read.getColumns().size();
  for (size_t i = 0; same && i < read.getColumns().size(); ++i)
    same = stored.getColumns()[i].extent == read.getColumns()[i].extent;
  if (same)
    return success();
  auto diag = emitOpError() << "reads " << read << " from a table of type "
                            << stored;
  diag.attachNote(table.getLoc()) << "a scan may only rename the columns";
  return failure();
}

LogicalResult RangeOp::verify() {
  if (getType().getColumns().size() != 1 ||
      !getType().getElementType().isInteger(64))
    return emitOpError("the result has one column and holds i64");
  return success();
}

//===----------------------------------------------------------------------===//
// join
//===----------------------------------------------------------------------===//

SmallVector<Column> JoinOp::joinColumns(ValueRange inputs) {
  SmallVector<Column> columns;
  for (Value input : inputs)
    for (Column column : cast<RelType>(input.getType()).getColumns())
      if (llvm::none_of(columns,
                        [&](Column c) { return c.name == column.name; }))
        columns.push_back(column);
  return columns;
}

void JoinOp::build(
    OpBuilder &builder, OperationState &state, ValueRange inputs,
    Type elementType,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  state.addOperands(inputs);
  state.addTypes(RelType::get(joinColumns(inputs), elementType));
  Region *region = state.addRegion();
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> types;
  for (Value input : inputs)
    types.push_back(cast<RelType>(input.getType()).getElementType());
  SmallVector<Location> locs(types.size(), state.location);
  Block *block = builder.createBlock(region, {}, types, locs);
  Value result = body(builder, state.location, block->getArguments());
  YieldOp::create(builder, state.location, result);
}

LogicalResult JoinOp::verify() {
  SmallVector<Column> columns;
  for (Value input : getInputs())
    if (failed(addColumns(*this, columns, cast<RelType>(input.getType()))))
      return failure();
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  Block &block = getBody().front();
  if (block.getNumArguments() != getInputs().size())
    return emitOpError("the region has ")
           << block.getNumArguments() << " arguments for "
           << getInputs().size() << " operands";
  for (auto [argument, input] :
       llvm::zip(block.getArguments(), getInputs()))
    if (argument.getType() !=
        cast<RelType>(input.getType()).getElementType())
      return emitOpError("the region's arguments have other types than the "
                         "operands' elements");
  for (Operation &op : block.without_terminator())
    if (!op.getDialect() ||
        (op.getDialect()->getNamespace() != "arith" &&
         op.getDialect()->getNamespace() != "math"))
      return emitOpError("the region may hold only arith and math, not ")
             << op.getName();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError("the region ends in rel.yield");
  return checkElement(*this, getType(), yield.getValue().getType());
}

//===----------------------------------------------------------------------===//
// aggregate
//===----------------------------------------------------------------------===//

static Type aggregateType(Monoid monoid, ValueRange inputs) {
  if (monoid == Monoid::ArgMax || monoid == Monoid::ArgMin)
    return IntegerType::get(inputs[0].getContext(), 64);
  return cast<RelType>(inputs.back().getType()).getElementType();
}

void AggregateOp::build(OpBuilder &builder, OperationState &state,
                        Monoid monoid, ValueRange inputs,
                        ArrayRef<StringRef> over) {
  SmallVector<Column> columns;
  for (Column column : JoinOp::joinColumns(inputs))
    if (!llvm::is_contained(over, column.getName()))
      columns.push_back(column);
  build(builder, state,
        RelType::get(columns, aggregateType(monoid, inputs)), monoid, inputs,
        builder.getStrArrayAttr(over));
}

void AggregateOp::build(OpBuilder &builder, OperationState &state, Type result,
                        Monoid monoid, ValueRange inputs, ArrayAttr over) {
  build(builder, state, result, monoid, inputs, over, FloatAttr());
}

bool AggregateOp::folds(StringRef column) {
  return llvm::is_contained(getOver().getAsValueRange<StringAttr>(), column);
}

std::optional<double> AggregateOp::leastPeak() {
  if (auto mask = getMaskAttr())
    return mask.getValueAsDouble() / 2;
  return std::nullopt;
}

void AggregateOp::copyMask(AggregateOp from) {
  setMaskAttr(from.getMaskAttr());
  setFillsAttr(from.getFillsAttr());
}

LogicalResult AggregateOp::verify() {
  size_t arity = getMonoid() == Monoid::SoftmaxSum ? 2 : 1;
  if (getInputs().size() != arity)
    return emitOpError("needs ") << arity << " operand(s)";
  SmallVector<Column> columns;
  for (Value input : getInputs())
    if (failed(addColumns(*this, columns, cast<RelType>(input.getType()))))
      return failure();
  if (getOver().empty())
    return emitOpError("folds no column");
  if (auto mask = getMaskAttr()) {
    if (getMonoid() != Monoid::SoftmaxSum)
      return emitOpError("has a mask, which is softmax_sum's only");
    if (!mask.getValue().isFinite() || !mask.getValue().isNegative())
      return emitOpError("has a mask that is no negative number");
  }
  bool keyed =
      getMonoid() == Monoid::ArgMax || getMonoid() == Monoid::ArgMin;
  if (keyed && getOver().size() != 1)
    return emitOpError("gives the key of one column, not of several");
  for (StringRef name : getOver().getAsValueRange<StringAttr>()) {
    auto it = llvm::find_if(
        columns, [&](Column c) { return c.getName() == name; });
    if (it == columns.end()) {
      auto diag = emitOpError()
                  << "folds column '" << name << "', which the operand lacks";
      diag.attachNote() << "a relation that lacks a column is constant along "
                           "it: multiply a sum by the extent instead";
      return failure();
    }
    columns.erase(it);
  }
  if (getMonoid() == Monoid::Any || getMonoid() == Monoid::All)
    if (!getType().getElementType().isInteger(1))
      return emitOpError("folds i1, not ") << getType().getElementType();
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(),
                      aggregateType(getMonoid(), getInputs()));
}

//===----------------------------------------------------------------------===//
// select, union, materialize
//===----------------------------------------------------------------------===//

LogicalResult SelectOp::verify() {
  if (!getWhere().getType().getElementType().isInteger(1))
    return emitOpError("the support is a relation of i1, not of ")
           << getWhere().getType().getElementType();
  Type element = getInput().getType().getElementType();
  if (getOtherwise().getType() != element)
    return emitOpError("the default has another type than the elements");
  SmallVector<Column> columns;
  for (Value operand : getOperands())
    if (failed(addColumns(*this, columns, cast<RelType>(operand.getType()))))
      return failure();
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(), element);
}

LogicalResult UnionOp::verify() {
  if (getInputs().empty() || getSizes().size() != getInputs().size())
    return emitOpError("needs one size per operand");
  SymExpr total;
  SmallVector<Column> columns;
  Type element = cast<RelType>(getInputs()[0].getType()).getElementType();
  for (auto [input, size] :
       llvm::zip(getInputs(), getSizes().getAsValueRange<StringAttr>())) {
    RelType type = cast<RelType>(input.getType());
    auto extent = SymExpr::parse(size);
    if (!extent || extent->hasKeys())
      return emitOpError() << "the size '" << size
                           << "' is not an expression over symbols";
    total = total + *extent;
    if (type.has(getColumn()) && type.extentOf(getColumn()) != *extent)
      return emitOpError() << "an operand has "
                           << type.extentOf(getColumn()).str()
                           << " keys where its size says " << size;
    SmallVector<Column> others;
    for (Column column : type.getColumns())
      if (column.name != getColumnAttr())
        others.push_back(column);
    if (type.getElementType() != element)
      return emitOpError("the operands hold different elements");
    if (failed(addColumns(*this, columns, type.withColumns(others))))
      return failure();
  }
  columns.push_back(Column(getContext(), getColumn(), total));
  if (failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(), element);
}

LogicalResult MaterializeOp::verify() {
  if (!getType().getLayout())
    return emitOpError("the result's type has no layout");
  if (failed(checkColumns(*this, getType(),
                          getInput().getType().getColumns())))
    return failure();
  return checkElement(*this, getType(),
                      getInput().getType().getElementType());
}

#define GET_OP_CLASSES
#include "dialects/Rel/RelOps.cpp.inc"
