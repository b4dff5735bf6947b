//===- Border.cpp - The signature of an imported model --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

/// A symbol's name in expressions: letters, digits and underscores.
static std::string sanitise(StringRef name) {
  std::string result;
  for (char c : name)
    result += llvm::isAlnum(c) || c == '_' ? c : '_';
  return result.empty() || llvm::isDigit(result[0]) ? "d" + result : result;
}

static Attribute shapeAttr(Importer &importer, const Dims &dims) {
  SmallVector<Attribute> extents;
  for (const Dim &dim : dims)
    extents.push_back(importer.builder.getStringAttr(dim.extent.str()));
  return importer.builder.getArrayAttr(extents);
}

static Attribute dimsAttr(Importer &importer, const Dims &dims) {
  SmallVector<Attribute> lists;
  for (const Dim &dim : dims) {
    SmallVector<StringRef> names(dim.columns.begin(), dim.columns.end());
    lists.push_back(importer.builder.getStrArrayAttr(names));
  }
  return importer.builder.getArrayAttr(lists);
}

static NamedAttrList borderAttrs(Importer &importer, StringRef name,
                                 const Tensor &tensor) {
  NamedAttrList attrs;
  attrs.set("rel.name", importer.builder.getStringAttr(name));
  attrs.set("rel.shape", shapeAttr(importer, tensor.dims));
  attrs.set("rel.dims", dimsAttr(importer, tensor.dims));
  attrs.set("rel.onnx_type",
            importer.builder.getI64IntegerAttr(tensor.onnxType));
  if (isUnsigned(tensor.onnxType)) // relations are signless
    attrs.set("rel.unsigned", importer.builder.getUnitAttr());
  return attrs;
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// The extent of a declared dimension: equal dim_params are one symbol, an
/// unnamed one is a symbol of its own.
static SymExpr declaredExtent(std::map<std::string, std::string> &symbols,
                              std::set<std::string> &used,
                              const DeclaredInput &input, size_t i) {
  const DeclaredInput::Extent &extent = input.shape[i];
  if (extent.value >= 0)
    return extent.value;
  auto unique = [&](std::string name) {
    std::string stem = name;
    for (unsigned k = 1; !used.insert(name).second; ++k)
      name = stem + "_" + std::to_string(k);
    return name;
  };
  if (extent.symbol.empty())
    return SymExpr::extent(
        unique(sanitise(input.name) + "_" + std::to_string(i)));
  std::string &name = symbols[extent.symbol];
  if (name.empty())
    name = unique(sanitise(extent.symbol));
  return SymExpr::extent(name);
}

/// A short column name for a symbol: its first letter, if no other has it.
static void nameSymbol(Importer &importer, const SymExpr &extent) {
  auto &hints = importer.impl->symbolHints;
  if (hints.count(extent.str()))
    return;
  std::string name = extent.asSymbol()->substr(1);
  StringRef letters = StringRef(name).ltrim("_0123456789");
  std::string letter = letters.take_front(1).lower();
  for (const auto &[text, hint] : hints)
    if (hint == letter)
      letter = StringRef(name).rtrim("0123456789").str();
  hints[extent.str()] = letter.empty() ? "d" : letter;
}

LogicalResult joinery::onnx_import::createArguments(Importer &importer) {
  Importer::Impl &impl = *importer.impl;
  std::map<std::string, std::string> symbols;
  std::set<std::string> used;
  std::map<std::string, std::string> columnOf; // extent -> column
  std::vector<Tensor> tensors;
  SmallVector<Type> types;
  SmallVector<Location> locs;
  for (const DeclaredInput &input : impl.graph.inputs) {
    auto refuse = [&](const Twine &reason) {
      return importer.refuse("input '" + input.name + "' " + reason);
    };
    Tensor tensor;
    tensor.onnxType = input.type;
    Type type = importer.elementType(input.type);
    if (!type)
      return refuse("has elements of type " + dataTypeName(input.type) +
                    ", which has no relation");
    if (!input.hasShape)
      return refuse("has no declared shape: its rank is needed");
    SmallVector<Column> columns;
    std::set<std::string> own;
    for (size_t i = 0; i < input.shape.size(); ++i) {
      SymExpr extent = declaredExtent(symbols, used, input, i);
      Dim dim{extent, {}};
      if (extent.asSymbol())
        nameSymbol(importer, extent);
      if (!extent.isConst(1)) {
        // Inputs share the column of a symbol: names say what is joined, and
        // most joins then need no renaming.
        std::string &shared = columnOf[extent.str()];
        if (shared.empty() || extent.isConst() || own.count(shared))
          shared = importer.newColumn(
              i + 1 == input.shape.size() ? "h" : "c", extent);
        own.insert(shared);
        dim.columns.push_back(shared);
        columns.push_back(Column(impl.context, shared, extent));
      }
      tensor.dims.push_back(dim);
    }
    if (!fits(tensor.dims))
      return refuse("has more elements than 64 bits count");
    types.push_back(RelType::get(columns, type));
    locs.push_back(NameLoc::get(StringAttr::get(impl.context, input.name)));
    tensors.push_back(std::move(tensor));
  }
  OpBuilder &builder = importer.builder;
  builder.setInsertionPointToEnd(impl.module.getBody());
  impl.function = func::FuncOp::create(
      builder, impl.module.getLoc(), "main",
      builder.getFunctionType(types, {}));
  impl.tableNames.insert("main");
  Block *entry = impl.function.addEntryBlock();
  for (auto [i, tensor] : llvm::enumerate(tensors)) {
    const std::string &name = impl.graph.inputs[i].name;
    entry->getArgument(i).setLoc(locs[i]);
    tensor.relation = entry->getArgument(i);
    impl.function.setArgAttrs(i, borderAttrs(importer, name, tensor)
                                     .getDictionary(impl.context));
    impl.values[name] = std::move(tensor);
  }
  builder.setInsertionPointToEnd(entry);
  return success();
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// A symbolic extent, or one that is written from columns, needs its column at
/// the border too: a result may be constant along it, which an empty list says.
LogicalResult
joinery::onnx_import::createResults(Importer &importer,
                                    ArrayRef<std::string> outputs) {
  Importer::Impl &impl = *importer.impl;
  SmallVector<Value> results;
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attrs;
  for (const std::string &output : outputs) {
    const std::string &value = impl.graph.outputValues.at(output);
    auto it = impl.values.find(value);
    const Tensor *tensor = it != impl.values.end()
                               ? &it->second
                               : impl.stored(importer, value);
    if (!tensor) {
      return importer.refuse("output '" + output + "' is not computed");
    }
    if (!importer.elementType(tensor->onnxType))
      return importer.refuse("output '" + output + "' has elements of type " +
                             dataTypeName(tensor->onnxType));
    Tensor result = *tensor;
    result.relation = importer.relation(result);
    // Extents by the facts that are known now.
    for (Dim &dim : result.dims)
      if (dim.columns.empty())
        dim.extent = importer.simplify(dim.extent);
    results.push_back(result.relation);
    types.push_back(result.relation.getType());
    attrs.push_back(
        borderAttrs(importer, output, result).getDictionary(impl.context));
  }
  OpBuilder &builder = importer.builder;
  func::ReturnOp::create(builder, impl.module.getLoc(), results);
  impl.function.setType(builder.getFunctionType(
      impl.function.getFunctionType().getInputs(), types));
  for (auto [i, attr] : llvm::enumerate(attrs))
    impl.function.setResultAttrs(i, attr);
  SmallVector<Attribute> checks;
  for (const Importer::Impl::Check &check : impl.checks)
    checks.push_back(builder.getDictionaryAttr({
        builder.getNamedAttr("kind", builder.getStringAttr(check.kind)),
        builder.getNamedAttr("lhs", builder.getStringAttr(check.lhs.str())),
        builder.getNamedAttr("rhs", builder.getStringAttr(check.rhs.str())),
        builder.getNamedAttr("message", builder.getStringAttr(check.message)),
    }));
  if (!checks.empty())
    impl.function->setAttr("rel.checks", builder.getArrayAttr(checks));
  return success();
}

void joinery::onnx_import::eraseDead(Importer &importer) {
  Importer::Impl &impl = *importer.impl;
  Block &block = impl.function.getBody().front();
  llvm::StringSet<> read;
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    if (isa<func::ReturnOp>(op))
      continue;
    if (op.use_empty())
      op.erase();
    else if (auto scan = dyn_cast<rel::ScanOp>(op))
      read.insert(scan.getTable());
  }
  for (auto table : llvm::make_early_inc_range(
           impl.module.getOps<rel::TableOp>()))
    if (!read.contains(table.getSymName()))
      table.erase();
}
