//===- RelKeyOps.cpp - Operators that read at other keys ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/RelChecks.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

SymExpr RekeyOp::sourceKey(StringRef name) {
  for (auto [source, expr] : llvm::zip(getSources(), getExprs()))
    if (cast<StringAttr>(source).getValue() == name)
      return cast<RelDialect>((*this)->getDialect())
          ->expressionOf(cast<StringAttr>(expr));
  return SymExpr::key(name);
}

SymExpr RekeyOp::overResult(const SymExpr &expr) {
  RelType result = getType();
  auto bounds = [&](StringRef symbol) -> std::optional<SymExpr> {
    if (symbol.consume_front("#") && result.has(symbol))
      return result.extentOf(symbol);
    return std::nullopt;
  };
  return expr
      .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
        if (!symbol.consume_front("#"))
          return std::nullopt;
        return sourceKey(symbol);
      })
      .simplify(bounds);
}

bool RekeyOp::isRename() {
  std::set<std::string> used;
  for (Column column : getInput().getType().getColumns()) {
    auto symbol = sourceKey(column.getName()).asSymbol();
    if (!symbol || !used.insert(*symbol).second)
      return false;
    StringRef key = StringRef(*symbol).drop_front();
    if (getType().find(key) < 0 ||
        getType().extentOf(key) != column.getExtent())
      return false;
  }
  return used.size() == getType().getColumns().size();
}

LogicalResult RekeyOp::verify() {
  RelType input = getInput().getType(), result = getType();
  if (getSources().size() != getExprs().size())
    return emitOpError("needs one expression per source column");
  std::set<std::string> used;
  llvm::SmallDenseSet<StringRef> mapped;
  auto *dialect = cast<RelDialect>((*this)->getDialect());
  for (auto [source, text] :
       llvm::zip(getSources().getAsValueRange<StringAttr>(),
                 getExprs().getAsRange<StringAttr>())) {
    if (!input.has(source))
      return emitOpError() << "maps column '" << source
                           << "', which the input lacks";
    if (!mapped.insert(source).second)
      return emitOpError() << "maps column '" << source << "' twice";
    const SymExpr *expr = dialect->findExpression(text);
    if (!expr)
      return emitOpError() << "'" << text.getValue()
                           << "' is not a key expression";
    expr->collect(used);
  }
  for (Column column : input.getColumns())
    if (!mapped.contains(column.getName()))
      used.insert(("#" + column.name.getValue()).str());
  for (const std::string &symbol : used) {
    if (symbol[0] != '#' || result.has(StringRef(symbol).drop_front()))
      continue;
    auto diag = emitOpError() << "the map uses key '" << symbol
                              << "', which the result lacks";
    diag.attachNote() << "name a column of the result, or map the input's "
                         "column to a constant";
    return failure();
  }
  for (Column column : result.getColumns())
    if (!used.count(("#" + column.name.getValue()).str())) {
      auto diag = emitOpError() << "the result has column '"
                                << column.getName()
                                << "', which the map does not use";
      diag.attachNote() << "a relation that is constant along a column lacks "
                           "it; remove it from the result's type";
      return failure();
    }
  if (getOtherwise() && getOtherwise()->getType() != input.getElementType())
    return emitOpError("the default has another type than the elements");
  return checkElement(*this, result, input.getElementType());
}

LogicalResult LookupOp::verify() {
  RelType source = getSource().getType();
  if (getKeys().size() != getIndices().size() || getKeys().empty())
    return emitOpError("needs one index relation per looked-up column");
  llvm::SmallDenseSet<StringRef> keys;
  for (StringRef key : getKeys().getAsValueRange<StringAttr>()) {
    if (!source.has(key))
      return emitOpError() << "looks up column '" << key
                           << "', which the table lacks";
    if (!keys.insert(key).second)
      return emitOpError() << "looks up column '" << key << "' twice";
  }
  SmallVector<Column> columns;
  for (Value index : getIndices()) {
    RelType type = cast<RelType>(index.getType());
    if (!type.getElementType().isSignlessInteger())
      return emitOpError("an index relation holds integers, not ")
             << type.getElementType();
    if (failed(addColumns(*this, columns, type)))
      return failure();
  }
  SmallVector<Column> kept;
  for (Column column : source.getColumns())
    if (!keys.contains(column.getName()))
      kept.push_back(column);
  if (failed(addColumns(*this, columns, source.withColumns(kept))) ||
      failed(checkColumns(*this, getType(), columns)))
    return failure();
  return checkElement(*this, getType(), source.getElementType());
}

/// `rel.lookup %table[v = %ids, ...] (proved)? : functional-type attr-dict`
ParseResult LookupOp::parse(OpAsmParser &parser, OperationState &result) {
  OpAsmParser::UnresolvedOperand source;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Attribute> keys;
  auto parseEntry = [&]() -> ParseResult {
    std::string key;
    if (parser.parseKeywordOrString(&key) || parser.parseEqual())
      return failure();
    keys.push_back(parser.getBuilder().getStringAttr(key));
    return parser.parseOperand(operands.emplace_back());
  };
  FunctionType type;
  if (parser.parseOperand(source) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseEntry))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("proved")))
    result.addAttribute("proved", parser.getBuilder().getUnitAttr());
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseColonType(type) ||
      parser.parseOptionalAttrDict(result.attributes))
    return failure();
  operands.insert(operands.begin(), source);
  result.addAttribute("keys", parser.getBuilder().getArrayAttr(keys));
  result.addTypes(type.getResults());
  return parser.resolveOperands(operands, type.getInputs(), loc,
                                result.operands);
}

void LookupOp::print(OpAsmPrinter &printer) {
  printer << " " << getSource() << "[";
  llvm::interleaveComma(llvm::zip(getKeys(), getIndices()), printer,
                        [&](auto entry) {
                          printer.printKeywordOrString(
                              cast<StringAttr>(std::get<0>(entry)).getValue());
                          printer << " = " << std::get<1>(entry);
                        });
  printer << "]";
  if (getProved())
    printer << " proved";
  printer << " : ";
  printer.printFunctionalType(getOperation());
  printer.printOptionalAttrDict((*this)->getAttrs(),
                                {"keys", "proved"});
}
