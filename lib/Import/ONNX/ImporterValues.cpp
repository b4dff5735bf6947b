//===- ImporterValues.cpp - Relations of tensors --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

/// Integer constants up to this size are searched for an affine form.
static constexpr int64_t affineLimit = 1 << 22;
/// Constants up to this size are kept as elements.
static constexpr int64_t elementsLimit = 1024;

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
    return builder.getIntegerType(16);
  case Int8:
  case UInt8: // signless: casts and arithmetic tell them apart
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

/// The names of all digits of the tensor, in order.
static SmallVector<std::string> columnsOf(const Tensor &tensor) {
  SmallVector<std::string> names;
  for (const Dim &dim : tensor.dims)
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

static rel::TableOp createTable(Importer &importer, StringRef name,
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
    return scan(*this, table, columnsOf(tensor));
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
// Constants
//===----------------------------------------------------------------------===//

/// Element `i` of stored bytes; `Int` for integers, double for floats.
static int64_t readInt(ArrayRef<char> bytes, size_t i, int type) {
  const char *at = bytes.data() + i * elementBytes(type);
  using namespace llvm::support::endian;
  switch (type) {
  case Bool:
    return *at != 0;
  case UInt8:
    return static_cast<unsigned char>(*at);
  case Int8:
    return static_cast<signed char>(*at);
  case Int16:
    return read16le(at) - ((read16le(at) & 0x8000) ? 0x10000 : 0);
  case UInt16:
    return read16le(at);
  case Int32:
    return static_cast<int32_t>(read32le(at));
  case UInt32:
    return read32le(at);
  default:
    return static_cast<int64_t>(read64le(at));
  }
}

static llvm::APFloat readFloat(ArrayRef<char> bytes, size_t i, int type) {
  const char *at = bytes.data() + i * elementBytes(type);
  using namespace llvm::support::endian;
  switch (type) {
  case Float16:
    return llvm::APFloat(llvm::APFloat::IEEEhalf(),
                         llvm::APInt(16, read16le(at)));
  case BFloat16:
    return llvm::APFloat(llvm::APFloat::BFloat(),
                         llvm::APInt(16, read16le(at)));
  case Double:
    return llvm::APFloat(llvm::APFloat::IEEEdouble(),
                         llvm::APInt(64, read64le(at)));
  default:
    return llvm::APFloat(llvm::APFloat::IEEEsingle(),
                         llvm::APInt(32, read32le(at)));
  }
}

std::optional<double> joinery::onnx_import::readElement(ArrayRef<char> bytes,
                                                       size_t i, int type) {
  if (!elementBytes(type) || (i + 1) * elementBytes(type) > bytes.size())
    return std::nullopt;
  if (!isFloat(type))
    return double(readInt(bytes, i, type));
  llvm::APFloat value = readFloat(bytes, i, type);
  bool inexact;
  value.convert(llvm::APFloat::IEEEdouble(),
                llvm::APFloat::rmNearestTiesToEven, &inexact);
  return value.convertToDouble();
}

/// The constant as c0 + sum of c_i * key_i, if it is that.
static std::optional<SymExpr> affineForm(ArrayRef<char> bytes,
                                         const Tensor &tensor) {
  SmallVector<int64_t> extents;
  int64_t count = 1;
  for (const Dim &dim : tensor.dims) {
    extents.push_back(*dim.extent.asConst());
    count *= extents.back();
  }
  if (!count || count > affineLimit)
    return std::nullopt;
  int64_t first = readInt(bytes, 0, tensor.onnxType);
  SmallVector<int64_t> steps(extents.size(), 0);
  int64_t stride = 1;
  SymExpr poly(first);
  constexpr int64_t small = int64_t(1) << 36;
  for (int i = extents.size(); i-- > 0;) {
    if (extents[i] > 1) {
      int64_t next = readInt(bytes, stride, tensor.onnxType);
      bool large = next > small || next < -small || first > small ||
                   first < -small;
      if (large && next != first)
        return std::nullopt;
      steps[i] = next - first;
      poly = poly +
             SymExpr(steps[i]) * SymExpr::key(tensor.dims[i].columns.front());
    }
    stride *= extents[i];
  }
  SmallVector<int64_t> key(extents.size(), 0);
  int64_t expected = first;
  for (int64_t i = 0; i < count; ++i) {
    if (readInt(bytes, i, tensor.onnxType) != expected)
      return std::nullopt;
    for (int d = extents.size(); d-- > 0;) {
      expected += steps[d];
      if (++key[d] < extents[d])
        break;
      expected -= steps[d] * extents[d];
      key[d] = 0;
    }
  }
  return poly;
}

const Tensor *Importer::Impl::stored(Importer &importer, StringRef name) {
  const onnx::TensorProto *proto = graph.constant(name);
  if (!proto)
    return nullptr;
  std::string error;
  auto located = file.locate(*proto, error);
  if (!located) {
    (void)importer.refuse(error);
    return nullptr;
  }
  Type type = importer.elementType(located->type);
  bool integral = isInteger(located->type) || located->type == Bool;
  if (!type && !(integral && located->count() <= elementsLimit)) {
    (void)importer.refuse("constant '" + name + "' has elements of type " +
                          dataTypeName(located->type) +
                          ", which has no relation");
    return nullptr;
  }
  Tensor tensor;
  tensor.onnxType = located->type;
  SmallVector<Column> columns;
  for (auto [i, dim] : llvm::enumerate(located->dims)) {
    bool last = i + 1 == located->dims.size();
    tensor.dims.push_back(importer.newDim(last ? "h" : "k", dim));
    if (!tensor.dims.back().columns.empty())
      columns.push_back(Column(context, ("d" + Twine(i)).str(), dim));
  }
  ArrayRef<char> bytes = file.bytes(*located);
  if (integral) {
    tensor.poly = affineForm(bytes, tensor);
    if (located->count() <= elementsLimit) {
      tensor.elements.emplace();
      for (int64_t i = 0; i < located->count(); ++i)
        tensor.elements->push_back(readInt(bytes, i, located->type));
    }
  }
  if (type) {
    RelType relType = RelType::get(columns, type);
    rel::TableOp table =
        createTable(importer, name, relType);
    table->setLoc(NameLoc::get(StringAttr::get(context, name)));
    OpBuilder &builder = importer.builder;
    if (!located->file.empty() && !columns.empty()) {
      table.setFile(located->file);
      table.setOffset(located->offset);
      table.setLength(located->length);
    } else {
      SmallVector<int64_t> shape;
      for (Column column : columns)
        shape.push_back(*column.getExtent().asConst());
      SmallVector<Attribute> values;
      for (int64_t i = 0; i < located->count(); ++i)
        values.push_back(
            isFloat(located->type)
                ? Attribute(
                      FloatAttr::get(type, readFloat(bytes, i, located->type)))
            : located->type == Bool
                ? Attribute(
                      builder.getBoolAttr(readInt(bytes, i, Bool)))
                : Attribute(builder.getIntegerAttr(
                      type, readInt(bytes, i, located->type))));
      table.setValueAttr(DenseElementsAttr::get(
          RankedTensorType::get(shape, type), values));
    }
    tensor.constant = table;
  }
  normalise(importer, tensor);
  return &(values[name] = std::move(tensor));
}

std::optional<std::vector<double>>
Importer::constantElements(const Tensor &tensor, size_t limit) {
  std::vector<double> result;
  if (tensor.elements && tensor.elements->size() <= limit) {
    for (const SymExpr &element : *tensor.elements) {
      auto value = element.asConst();
      if (!value)
        return std::nullopt;
      result.push_back(double(*value));
    }
    return result;
  }
  int64_t count = 1;
  for (const Dim &dim : tensor.dims) {
    auto extent = dim.extent.asConst();
    if (!extent || llvm::MulOverflow(count, *extent, count) ||
        uint64_t(count) > limit)
      return std::nullopt;
  }
  if (tensor.poly) {
    auto value = tensor.poly->asConst();
    if (!value)
      return std::nullopt;
    return std::vector<double>(count, double(*value));
  }
  if (auto table = dyn_cast_or_null<rel::TableOp>(tensor.constant)) {
    if (auto value = table.getValue()) {
      for (Attribute element : value->getValues<Attribute>()) {
        if (auto number = dyn_cast<FloatAttr>(element))
          result.push_back(number.getValueAsDouble());
        else if (auto boolean = dyn_cast<BoolAttr>(element))
          result.push_back(boolean.getValue());
        else
          result.push_back(cast<IntegerAttr>(element).getInt());
      }
      return result;
    }
    StoredTensor stored;
    stored.type = tensor.onnxType;
    stored.file = table.getFile()->str();
    stored.offset = *table.getOffset();
    stored.length = *table.getLength();
    ArrayRef<char> bytes = impl->file.bytes(stored);
    for (int64_t i = 0; i < count; ++i) {
      auto element = readElement(bytes, i, stored.type);
      if (!element)
        return std::nullopt;
      result.push_back(*element);
    }
    return result;
  }
  // A constant that an importer made: a join of nothing.
  auto join = tensor.relation ? tensor.relation.getDefiningOp<rel::JoinOp>()
                              : rel::JoinOp();
  if (!join || !join.getInputs().empty() || count == 0)
    return std::nullopt;
  auto yield = cast<rel::YieldOp>(join.getBody().front().getTerminator());
  auto constant = yield.getValue().getDefiningOp<arith::ConstantOp>();
  if (!constant)
    return std::nullopt;
  double value;
  if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
    value = number.getValueAsDouble();
  else if (auto boolean = dyn_cast<BoolAttr>(constant.getValue()))
    value = boolean.getValue();
  else
    value = cast<IntegerAttr>(constant.getValue()).getInt();
  return std::vector<double>(count, value);
}

std::optional<std::vector<SymExpr>>
Importer::symbolicElements(const Tensor &tensor) {
  if (tensor.elements)
    return tensor.elements;
  if (isFloat(tensor.onnxType)) {
    auto values = constantElements(tensor);
    if (!values)
      return std::nullopt;
    std::vector<SymExpr> result;
    for (double value : *values) {
      if (std::abs(value) > 9e15 || value != double(int64_t(value)))
        return std::nullopt;
      result.push_back(int64_t(value));
    }
    return result;
  }
  int64_t count = 1;
  for (const Dim &dim : tensor.dims) {
    auto extent = dim.extent.asConst();
    if (!extent || llvm::MulOverflow(count, *extent, count) || count > 4096)
      return std::nullopt;
  }
  if (tensor.poly && !tensor.poly->hasKeys())
    return std::vector<SymExpr>(count, *tensor.poly);
  // A polynomial of the keys of a small static tensor, written out.
  if (tensor.poly && impl->opaque.empty()) {
    std::vector<SymExpr> result;
    std::map<std::string, int64_t> keys;
    SmallVector<std::string> names = columnsOf(tensor);
    for (const std::string &name : names)
      if (!impl->columns.at(name).isConst())
        return std::nullopt;
    for (int64_t i = 0; i < count; ++i) {
      int64_t rest = i;
      for (const Dim &dim : llvm::reverse(tensor.dims)) {
        int64_t extent = *dim.extent.asConst(), key = rest % extent;
        rest /= extent;
        for (const std::string &column : llvm::reverse(dim.columns)) {
          int64_t size = *impl->columns.at(column).asConst();
          keys[column] = key % size;
          key /= size;
        }
      }
      result.push_back(tensor.poly->substitute(
          [&](StringRef symbol) -> std::optional<SymExpr> {
            if (auto it = keys.find(symbol.drop_front().str());
                symbol[0] == '#' && it != keys.end())
              return SymExpr(it->second);
            return std::nullopt;
          }));
    }
    return result;
  }
  if (auto values = constantElements(tensor)) {
    std::vector<SymExpr> result;
    for (double value : *values) {
      // Beyond 2^53 a double is no longer exact; such integers are elements.
      if (std::abs(value) > 9e15)
        return std::nullopt;
      result.push_back(int64_t(value));
    }
    return result;
  }
  return std::nullopt;
}

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
