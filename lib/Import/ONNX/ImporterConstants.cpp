//===- ImporterConstants.cpp - Stored tensors and known elements ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

/// Integer constants up to this size are searched for an affine form.
static constexpr int64_t affineLimit = 1 << 22;
/// Constants up to this size are kept as elements.
static constexpr int64_t elementsLimit = 1024;

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

/// Elements `from`, `from` + `every`, ... of a constant, which have the dimensions
/// `dims`, as c0 + sum of c_i * key_i, if they are that.
static std::optional<SymExpr> affineForm(ArrayRef<char> bytes, int onnxType,
                                         ArrayRef<Dim> dims, int64_t from = 0,
                                         int64_t every = 1) {
  auto element = [&](int64_t i) {
    return readInt(bytes, from + i * every, onnxType);
  };
  SmallVector<int64_t> extents;
  int64_t count = 1;
  for (const Dim &dim : dims) {
    extents.push_back(*dim.extent.asConst());
    count *= extents.back();
  }
  if (!count || count > affineLimit)
    return std::nullopt;
  int64_t first = element(0);
  SmallVector<int64_t> steps(extents.size(), 0);
  int64_t stride = 1;
  SymExpr poly(first);
  constexpr int64_t small = int64_t(1) << 36;
  for (int i = extents.size(); i-- > 0;) {
    if (extents[i] > 1) {
      int64_t next = element(stride);
      bool large = next > small || next < -small || first > small ||
                   first < -small;
      if (large && next != first)
        return std::nullopt;
      steps[i] = next - first;
      poly = poly +
             SymExpr(steps[i]) * SymExpr::key(dims[i].columns.front());
    }
    stride *= extents[i];
  }
  SmallVector<int64_t> key(extents.size(), 0);
  int64_t expected = first;
  for (int64_t i = 0; i < count; ++i) {
    if (element(i) != expected)
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

/// Tuples of indices, each of which is such a form, as a stack of them.
static void findParts(Importer &importer, ArrayRef<char> bytes, Tensor &tensor) {
  constexpr int64_t longest = 8;
  if (tensor.rank() < 2)
    return;
  int64_t length = *tensor.dims.back().extent.asConst();
  if (length < 2 || length > longest)
    return;
  ArrayRef<Dim> outer = ArrayRef(tensor.dims).drop_back();
  std::vector<Tensor> parts;
  for (int64_t k = 0; k < length; ++k) {
    auto form = affineForm(bytes, tensor.onnxType, outer, k, length);
    if (!form)
      return;
    parts.push_back(importer.polynomial(
        *form, Dims(outer.begin(), outer.end()), tensor.onnxType));
  }
  tensor.parts = std::move(parts);
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
    tensor.poly = affineForm(bytes, tensor.onnxType, tensor.dims);
    if (!tensor.poly)
      findParts(importer, bytes, tensor);
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

/// Attributes are signless: the tensor's type says what the highest bit means.
static double integerOf(Attribute attribute, int onnxType) {
  APInt bits = cast<IntegerAttr>(attribute).getValue();
  return isUnsigned(onnxType) ? double(bits.getZExtValue())
                              : double(bits.getSExtValue());
}

std::optional<std::vector<double>>
Importer::constantElements(const Tensor &tensor, size_t limit) {
  std::vector<double> result;
  if (tensor.number && sizeOf(tensor).isConst(1))
    return std::vector<double>{*tensor.number};
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
          result.push_back(integerOf(element, tensor.onnxType));
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
    value = integerOf(constant.getValue(), tensor.onnxType);
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
    SmallVector<std::string> names = columnsOf(tensor.dims);
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

std::optional<double> joinery::onnx_import::foldScalar(Importer &importer) {
  const Node &node = importer.node();
  if (!node.domain().empty() || node.numInputs() == 0 || node.numInputs() > 2)
    return std::nullopt;
  double x[2] = {0, 0};
  for (unsigned i = 0; i < node.numInputs(); ++i) {
    const Tensor *tensor = importer.input(i);
    if (!tensor || !isFloat(tensor->onnxType))
      return std::nullopt;
    auto values = importer.constantElements(*tensor, 1);
    if (!values || values->size() != 1)
      return std::nullopt;
    x[i] = (*values)[0];
  }
  StringRef op = node.op();
  double result;
  if (op == "Add")
    result = x[0] + x[1];
  else if (op == "Sub")
    result = x[0] - x[1];
  else if (op == "Mul")
    result = x[0] * x[1];
  else if (op == "Div")
    result = x[0] / x[1];
  else if (op == "Pow")
    result = std::pow(x[0], x[1]);
  else if (op == "Sqrt")
    result = std::sqrt(x[0]);
  else if (op == "Floor")
    result = std::floor(x[0]);
  else if (op == "Ceil")
    result = std::ceil(x[0]);
  else if (op == "Round")
    result = std::nearbyint(x[0]);
  else if (op == "Cast")
    result = x[0];
  else
    return std::nullopt;
  bool isDouble = importer.input(0)->onnxType == Double;
  return isDouble ? result : double(float(result));
}
