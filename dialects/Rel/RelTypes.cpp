//===- RelTypes.cpp - The relation type -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

#define GET_TYPEDEF_CLASSES
#include "dialects/Rel/RelTypes.cpp.inc"

void RelDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Rel/RelTypes.cpp.inc"
      >();
}

Column::Column(MLIRContext *context, StringRef name, const SymExpr &extent)
    : name(StringAttr::get(context, name)),
      extent(StringAttr::get(context, extent.str())) {}

const SymExpr &Column::getExtent() const {
  // The verifier admits only canonical text.
  return extent.getContext()->getLoadedDialect<RelDialect>()->expressionOf(
      extent);
}

int64_t RelType::find(StringRef name) const {
  for (auto [i, column] : llvm::enumerate(getColumns()))
    if (column.getName() == name)
      return i;
  return -1;
}

const SymExpr &RelType::extentOf(StringRef name) const {
  return getColumns()[find(name)].getExtent();
}

RelType RelType::withColumns(ArrayRef<Column> columns) const {
  return RelType::get(columns, getElementType());
}

RelType RelType::withElementType(Type type) const {
  return RelType::get(getContext(), getColumns(), type, getLayout());
}

RelType RelType::withLayout(ArrayAttr layout) const {
  return RelType::get(getContext(), getColumns(), getElementType(), layout);
}

bool RelType::isStatic() const {
  return llvm::all_of(getColumns(),
                      [](Column c) { return c.getExtent().isConst(); });
}

SymExpr RelType::size() const {
  SymExpr product(1);
  for (Column column : getColumns())
    product = product * column.getExtent();
  return product;
}

/// Every column is one digit, or the two digits of one block: a layout says
/// where each element is.
static LogicalResult
verifyLayout(function_ref<InFlightDiagnostic()> emitError,
             ArrayRef<Column> columns, ArrayAttr layout) {
  llvm::StringMap<SmallVector<StringRef, 2>> digits;
  for (Attribute digit : layout) {
    auto text = dyn_cast<StringAttr>(digit);
    StringRef name =
        text ? text.getValue().split('/').first.split('%').first : "";
    if (!llvm::any_of(columns, [&](Column c) { return c.getName() == name; }))
      return emitError() << "the layout names " << digit
                         << ", which is no digit of a column";
    StringRef block = text.getValue().drop_front(name.size());
    int64_t size;
    if (!block.empty() &&
        (block.drop_front().getAsInteger(10, size) || size <= 0))
      return emitError() << "the layout's digit " << digit
                         << " is not of the form c, c/A or c%A";
    digits[name].push_back(block);
  }
  for (Column column : columns) {
    auto &blocks = digits[column.getName()];
    bool whole = blocks.size() == 1 && blocks[0].empty();
    bool split = blocks.size() == 2 && !blocks[0].empty() &&
                 !blocks[1].empty() && blocks[0][0] != blocks[1][0] &&
                 blocks[0].drop_front() == blocks[1].drop_front();
    if (!whole && !split)
      return emitError() << "the layout must have column '" << column.getName()
                         << "' as one digit, or as '" << column.getName()
                         << "/A' and '" << column.getName() << "%A'";
  }
  return success();
}

LogicalResult RelType::verify(function_ref<InFlightDiagnostic()> emitError,
                              ArrayRef<Column> columns, Type elementType,
                              ArrayAttr layout) {
  if (!elementType.isIntOrFloat())
    return emitError() << "a relation holds integers or floats, not "
                       << elementType;
  llvm::SmallDenseSet<StringAttr> names;
  for (Column column : columns) {
    if (column.getName().empty())
      return emitError() << "a column needs a name";
    if (!names.insert(column.name).second)
      return emitError() << "column '" << column.getName()
                         << "' occurs twice; rename one with rel.rekey";
    auto extent = SymExpr::parse(column.extent.getValue());
    if (extent && !extent->isValid())
      return emitError() << "the extent of column '" << column.getName()
                         << "' leaves 64 bits";
    if (!extent || extent->hasKeys())
      return emitError() << "the extent '" << column.extent.getValue()
                         << "' of column '" << column.getName()
                         << "' is not an expression over symbols";
    if (extent->str() != column.extent.getValue())
      return emitError() << "the extent of column '" << column.getName()
                         << "' is not in canonical form: write '"
                         << extent->str() << "'";
    if (extent->asConst().value_or(0) < 0)
      return emitError() << "column '" << column.getName()
                         << "' has a negative extent";
  }
  return layout ? verifyLayout(emitError, columns, layout) : success();
}

/// column-list ::= `[` (name `:` (integer | `?` name | string)),* `]`
Type RelType::parse(AsmParser &parser) {
  SmallVector<Column> columns;
  MLIRContext *context = parser.getContext();
  auto parseColumn = [&]() -> ParseResult {
    std::string name, symbol;
    int64_t value;
    if (parser.parseKeywordOrString(&name) || parser.parseColon())
      return failure();
    SMLoc loc = parser.getCurrentLocation();
    std::string text;
    OptionalParseResult integer = parser.parseOptionalInteger(value);
    if (integer.has_value()) {
      if (failed(*integer))
        return failure();
      text = std::to_string(value);
    } else if (succeeded(parser.parseOptionalQuestion())) {
      if (parser.parseKeywordOrString(&symbol))
        return failure();
      text = "?" + symbol;
    } else {
      if (parser.parseString(&text))
        return failure();
      auto extent = SymExpr::parse(text);
      if (!extent)
        return parser.emitError(loc, "expected an expression over symbols");
      text = extent->str();
    }
    columns.push_back(
        {StringAttr::get(context, name), StringAttr::get(context, text)});
    return success();
  };
  Type elementType;
  ArrayAttr layout;
  if (parser.parseLess() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     parseColumn) ||
      parser.parseKeyword("x") || parser.parseType(elementType))
    return {};
  if (succeeded(parser.parseOptionalComma()) && parser.parseAttribute(layout))
    return {};
  if (parser.parseGreater())
    return {};
  return getChecked(
      [&] { return parser.emitError(parser.getNameLoc()); }, context, columns,
      elementType, layout);
}

void RelType::print(AsmPrinter &printer) const {
  printer << "<[";
  llvm::interleaveComma(getColumns(), printer, [&](Column column) {
    printer.printKeywordOrString(column.getName());
    printer << ": ";
    SymExpr extent = column.getExtent();
    if (extent.isConst() || extent.asSymbol())
      printer << column.extent.getValue();
    else
      printer << column.extent;
  });
  printer << "] x " << getElementType();
  if (getLayout())
    printer << ", " << getLayout();
  printer << ">";
}
