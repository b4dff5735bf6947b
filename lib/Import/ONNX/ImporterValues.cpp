//===- ImporterValues.cpp - Relations of tensors --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

Type Importer::elementType(int onnxType) {
  switch (onnxType) {
  case Float:
    return builder.getF32Type();
  case Double:
    return builder.getF64Type();
  case Float16:
    return builder.getF16Type();
  case BFloat16:
    return builder.getBF16Type();
  case Int64:
    return builder.getI64Type();
  case Int32:
    return builder.getI32Type();
  case Int16:
  case UInt16: // signless: casts and arithmetic tell them apart
    return builder.getIntegerType(16);
  case Int8:
  case UInt8:
    return builder.getIntegerType(8);
  case Bool:
    return builder.getI1Type();
  default:
    return {};
  }
}

//===----------------------------------------------------------------------===//
// Polynomials as relations
//===----------------------------------------------------------------------===//

namespace {
/// Computes a polynomial in i64 from the values of its symbols.
struct PolyBuilder {
  OpBuilder &builder;
  Location loc;
  const std::map<std::string, Value> &symbols;

  Value constant(int64_t value) {
    return arith::ConstantIntOp::create(builder, loc, value, 64);
  }
  Value atom(const SymExpr::Atom &atom) {
    if (atom.kind == SymExpr::Atom::Symbol)
      return symbols.at(atom.text);
    Value a = build(*atom.lhs), b = build(*atom.rhs);
    switch (atom.kind) {
    case SymExpr::Atom::Min:
      return arith::MinSIOp::create(builder, loc, a, b);
    case SymExpr::Atom::Max:
      return arith::MaxSIOp::create(builder, loc, a, b);
    default:
      break;
    }
    Value quotient = arith::FloorDivSIOp::create(builder, loc, a, b);
    if (atom.kind == SymExpr::Atom::FloorDiv)
      return quotient;
    Value whole = arith::MulIOp::create(builder, loc, quotient, b);
    return arith::SubIOp::create(builder, loc, a, whole);
  }
  Value build(const SymExpr &expr) {
    Value sum;
    // Positive terms first, so that a difference reads as one.
    for (bool negative : {false, true})
      for (const auto &[monomial, coefficient] : expr.terms()) {
        if ((coefficient < 0) != negative)
          continue;
        bool subtract = negative && sum;
        int64_t factor = subtract ? -coefficient : coefficient;
        Value term;
        for (const SymExpr::Atom &next : monomial) {
          Value value = atom(next);
          term = term ? arith::MulIOp::create(builder, loc, term, value)
                            .getResult()
                      : value;
        }
        if (!term)
          term = constant(factor);
        else if (factor != 1)
          term = arith::MulIOp::create(builder, loc, term, constant(factor));
        if (!sum)
          sum = term;
        else if (subtract)
          sum = arith::SubIOp::create(builder, loc, sum, term);
        else
          sum = arith::AddIOp::create(builder, loc, sum, term);
      }
    return sum ? sum : constant(0);
  }
};
} // namespace

/// An i64 converted to the element type of a tensor.
static Value convert(OpBuilder &builder, Location loc, Value value, Type type) {
  if (type == value.getType())
    return value;
  if (isa<FloatType>(type))
    return arith::SIToFPOp::create(builder, loc, type, value);
  if (type.isInteger(1)) {
    Value zero = arith::ConstantIntOp::create(builder, loc, 0, 64);
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value,
                                 zero);
  }
  return arith::TruncIOp::create(builder, loc, type, value);
}

static Value constantJoin(Importer &importer, TypedAttr value) {
  return rel::JoinOp::create(
      importer.builder, importer.loc(), ValueRange{}, value.getType(),
      [&](OpBuilder &b, Location loc, ValueRange) -> Value {
        return arith::ConstantOp::create(b, loc, value);
      });
}

static Value polyRelation(Importer &importer, const SymExpr &poly, Type type) {
  Importer::Impl &impl = *importer.impl;
  OpBuilder &builder = importer.builder;
  std::string text;
  llvm::raw_string_ostream(text) << poly.str() << " : " << type;
  if (auto it = impl.cache.find(text); it != impl.cache.end())
    return it->second;
  Location loc = importer.loc();
  auto range = [&](StringRef column) -> Value {
    return rel::RangeOp::create(
        builder, loc,
        RelType::get({Column(impl.context, column,
                             impl.columns.at(column.str()))},
                     builder.getI64Type()));
  };
  Value result;
  if (auto value = poly.asConst()) {
    TypedAttr attr = isa<FloatType>(type)
                         ? TypedAttr(builder.getFloatAttr(type, double(*value)))
                     : type.isInteger(1)
                         ? TypedAttr(builder.getBoolAttr(*value))
                         : TypedAttr(builder.getIntegerAttr(type, *value));
    result = constantJoin(importer, attr);
  } else if (auto symbol = poly.asSymbol();
             symbol && !impl.opaque.count(*symbol) && type.isInteger(64)) {
    StringRef name = StringRef(*symbol).drop_front();
    if ((*symbol)[0] == '#') {
      result = range(name);
    } else {
      // The value of an extent is the last key of a range that is one longer.
      std::string column = importer.newColumn("v", poly + SymExpr(1));
      result = rel::RekeyOp::create(
          builder, loc, RelType::get({}, type), range(column),
          builder.getStrArrayAttr({column}),
          builder.getStrArrayAttr({poly.str()}), TypedAttr());
    }
  } else {
    std::set<std::string> symbols;
    poly.collect(symbols);
    SmallVector<Value> inputs;
    for (const std::string &symbol : symbols) {
      if (auto it = impl.opaque.find(symbol); it != impl.opaque.end())
        inputs.push_back(it->second.relation);
      else
        inputs.push_back(polyRelation(importer, SymExpr::symbol(symbol),
                                      builder.getI64Type()));
    }
    result = rel::JoinOp::create(
        builder, loc, inputs, type,
        [&](OpBuilder &b, Location loc, ValueRange arguments) -> Value {
          std::map<std::string, Value> values;
          for (auto [symbol, argument] : llvm::zip(symbols, arguments)) {
            Value value = argument;
            if (!value.getType().isInteger(64))
              value = arith::ExtSIOp::create(b, loc, b.getI64Type(), value);
            values[symbol] = value;
          }
          PolyBuilder poly64{b, loc, values};
          return convert(b, loc, poly64.build(poly), type);
        });
  }
  impl.cache[text] = result;
  return result;
}

//===----------------------------------------------------------------------===//
// Relations
//===----------------------------------------------------------------------===//

SmallVector<std::string>
joinery::onnx_import::columnsOf(ArrayRef<Dim> dims) {
  SmallVector<std::string> names;
  for (const Dim &dim : dims)
    names.append(dim.columns.begin(), dim.columns.end());
  return names;
}

static Value scan(Importer &importer, rel::TableOp table,
                  ArrayRef<std::string> names) {
  std::string text = "@" + table.getSymName().str();
  for (const std::string &name : names)
    text += " " + name;
  Value &cached = importer.impl->cache[text];
  if (cached)
    return cached;
  RelType stored = cast<RelType>(table.getType());
  SmallVector<Column> columns;
  for (auto [column, name] : llvm::zip_equal(stored.getColumns(), names))
    columns.push_back(Column(
        StringAttr::get(importer.impl->context, name), column.extent));
  cached = rel::ScanOp::create(
      importer.builder, importer.loc(),
      RelType::get(columns, stored.getElementType()), table.getSymName());
  return cached;
}

rel::TableOp
joinery::onnx_import::createTable(Importer &importer, StringRef name,
                                RelType type) {
  Importer::Impl &impl = *importer.impl;
  std::string unique = name.empty() ? "constant" : name.str();
  for (unsigned i = 1; !impl.tableNames.insert(unique).second; ++i)
    unique = (name + "." + Twine(i)).str();
  OpBuilder::InsertionGuard guard(importer.builder);
  importer.builder.setInsertionPoint(impl.function);
  return rel::TableOp::create(importer.builder, importer.loc(), unique, type,
                              StringAttr(), IntegerAttr(), IntegerAttr(),
                              ElementsAttr());
}

Value Importer::relation(const Tensor &tensor) {
  if (tensor.relation)
    return tensor.relation;
  Type type = elementType(tensor.onnxType);
  if (tensor.poly)
    return polyRelation(*this, *tensor.poly, type);
  if (tensor.constant) {
    auto table = cast<rel::TableOp>(tensor.constant);
    if (cast<RelType>(table.getType()).getColumns().empty())
      if (auto value = constantElements(tensor, 1)) {
        if (isa<FloatType>(type)) {
          // Through the element's bits, so that no rounding is added.
          return constantJoin(*this, builder.getFloatAttr(type, (*value)[0]));
        }
        if (!type.isInteger(1))
          return constantJoin(
              *this, builder.getIntegerAttr(type, int64_t((*value)[0])));
        return constantJoin(*this, builder.getBoolAttr((*value)[0] != 0));
      }
    return scan(*this, table, columnsOf(tensor.dims));
  }
  SmallVector<std::string> names = columnsOf(tensor.dims);
  if (tensor.elements && names.size() > 1) {
    // A list in the row-major order of the columns.
    Tensor list = vector(*tensor.elements, tensor.onnxType);
    SymExpr position, stride(1);
    for (const std::string &name : llvm::reverse(names)) {
      position = position + SymExpr::key(name) * stride;
      stride = stride * impl->columns.at(name);
    }
    return impl->remapValue(*this, relation(list),
                            {{list.dims[0].columns[0], position}});
  }
  SmallVector<Value> inputs;
  SmallVector<std::string> sizes;
  std::string column;
  for (const Dim &dim : tensor.dims)
    if (!dim.columns.empty())
      column = dim.columns.back();
  if (tensor.elements) {
    for (const SymExpr &element : *tensor.elements) {
      inputs.push_back(polyRelation(*this, element, type));
      sizes.push_back("1");
    }
  } else {
    assert(!tensor.parts.empty() && "a tensor without a value");
    for (const Tensor &part : tensor.parts) {
      inputs.push_back(relation(part));
      sizes.push_back("1");
    }
  }
  if (inputs.empty()) {
    // No elements: any relation of the type will do.
    auto table = createTable(
        *this, "empty",
        RelType::get({Column(impl->context, column, 0)}, type));
    table.setValueAttr(DenseElementsAttr::get(
        RankedTensorType::get({0}, type), ArrayRef<Attribute>()));
    return scan(*this, table, {column});
  }
  if (inputs.size() == 1)
    return inputs[0];
  SmallVector<Column> columns;
  for (Column c : rel::JoinOp::joinColumns(inputs))
    columns.push_back(c);
  columns.push_back(
      Column(impl->context, column, int64_t(inputs.size())));
  SmallVector<StringRef> texts(sizes.begin(), sizes.end());
  return rel::UnionOp::create(builder, loc(), RelType::get(columns, type),
                              builder.getStringAttr(column), inputs,
                              builder.getStrArrayAttr(texts));
}

//===----------------------------------------------------------------------===//
// Building tensors
//===----------------------------------------------------------------------===//

Tensor Importer::scalar(double value, int onnxType) {
  Tensor tensor;
  tensor.onnxType = onnxType;
  if (isFloat(onnxType)) {
    tensor.relation = constantJoin(
        *this, builder.getFloatAttr(elementType(onnxType), value));
    return tensor;
  }
  return polynomial(int64_t(value), {}, onnxType);
}

Value Importer::extentAsFloat(const SymExpr &extent, Type type) {
  return polyRelation(*this, simplify(extent), type);
}

Tensor Importer::polynomial(const SymExpr &value, Dims dims, int onnxType) {
  Tensor tensor;
  tensor.onnxType = onnxType;
  tensor.dims = std::move(dims);
  tensor.poly = simplify(value);
  normalise(*this, tensor);
  return tensor;
}

Tensor Importer::vector(std::vector<SymExpr> elements, int onnxType,
                        bool isScalar) {
  Tensor tensor;
  tensor.onnxType = onnxType;
  if (!isScalar)
    tensor.dims.push_back(newDim("i", int64_t(elements.size())));
  for (SymExpr &element : elements)
    element = simplify(element);
  tensor.elements = std::move(elements);
  normalise(*this, tensor);
  return tensor;
}
