//===- Tables.cpp - Stored relations as nodes -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Tables.h"
#include "llvm/Support/FileSystem.h"
#include <cmath>
#include <cstring>

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

TableReader::TableReader() = default;
TableReader::~TableReader() = default;

FailureOr<rel::TableOp> TableReader::find(rel::ScanOp scan) {
  // Looking at each symbol in turn is faster than to sort them all, a few times.
  constexpr unsigned few = 4;
  auto table = ++lookups <= few
                   ? SymbolTable::lookupNearestSymbolFrom<rel::TableOp>(
                         scan, scan.getTableAttr())
                   : symbols.lookupNearestSymbolFrom<rel::TableOp>(
                         scan, scan.getTableAttr());
  if (!table)
    return scan.emitError() << "there is no table " << scan.getTableAttr();
  return table;
}

FailureOr<StringRef> TableReader::slice(rel::TableOp table) {
  std::string path = table.getFile()->str();
  auto &file = files[path];
  if (!file) {
    auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                              /*RequiresNullTerminator=*/false);
    if (!buffer)
      return table.emitError() << "can't read '" << path
                               << "': " << buffer.getError().message();
    file = std::move(*buffer);
  }
  uint64_t offset = *table.getOffset(), length = *table.getLength();
  if (offset > file->getBufferSize() ||
      length > file->getBufferSize() - offset)
    return table.emitError()
           << "'" << path << "' has " << file->getBufferSize()
           << " bytes; the table needs " << length << " from " << offset;
  return file->getBuffer().substr(offset, length);
}

namespace {
/// The 64-bit offset of each lane in a row-major relation, as a key.
Key offsetOf(const Key *keys, ArrayRef<int64_t> strides, int64_t n,
             KeyArena &arena) {
  Key sum;
  for (auto [i, stride] : llvm::enumerate(strides)) {
    const Key &key = keys[i];
    if (!key.lanes && !sum.lanes) {
      sum.base += key.base * stride;
      sum.step += key.step * stride;
      continue;
    }
    int64_t *lanes = arena.allocate();
    for (int64_t l = 0; l < n; ++l)
      lanes[l] = sum.at(l) + key.at(l) * stride;
    sum = {0, 0, lanes};
  }
  return sum;
}

template <typename T> double loadFloat(const char *at) {
  T x;
  std::memcpy(&x, at, sizeof(T));
  return x;
}
double loadHalf(const char *at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double x = exponent == 31 ? (fraction ? std::nan("") : HUGE_VAL)
             : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                            : std::ldexp(fraction, -24);
  return bits & 0x8000 ? -x : x;
}
double loadBFloat(const char *at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  uint32_t wide = uint32_t(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}
template <typename T> int64_t loadInteger(const char *at) {
  T x;
  std::memcpy(&x, at, sizeof(T));
  return x;
}
int64_t loadBool(const char *at) { return *at != 0; }

/// Values in their stored form, row-major.
class StoredNode : public Node {
public:
  StoredNode(KeyArena &arena, StringRef bytes) : arena(arena), bytes(bytes) {}

  LogicalResult prepare() {
    strides.resize(extents.size());
    int64_t stride = 1;
    for (size_t i = extents.size(); i--; stride *= extents[i])
      strides[i] = stride;
    width = (element.getIntOrFloatBitWidth() + 7) / 8;
    bool isUnsigned = element.isUnsignedInteger();
    unsigned bits = element.getIntOrFloatBitWidth();
    if (element.isF32())
      floats = loadFloat<float>;
    else if (element.isF64())
      floats = loadFloat<double>;
    else if (element.isF16())
      floats = loadHalf;
    else if (element.isBF16())
      floats = loadBFloat;
    else if (bits == 1)
      integers = loadBool;
    else if (bits == 8)
      integers = isUnsigned ? loadInteger<uint8_t> : loadInteger<int8_t>;
    else if (bits == 16)
      integers = isUnsigned ? loadInteger<uint16_t> : loadInteger<int16_t>;
    else if (bits == 32)
      integers = isUnsigned ? loadInteger<uint32_t> : loadInteger<int32_t>;
    else if (bits == 64)
      integers = loadInteger<int64_t>;
    return success(floats || integers);
  }

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = arena.mark();
    Key offset = offsetOf(keys, strides, n, arena);
    if (element.isF32() && !offset.lanes) {
      // The common case of weights, inlined.
      const char *at = bytes.data() + offset.base * 4;
      for (int64_t i = 0; i < n; ++i, at += offset.step * 4)
        out.f()[i] = loadFloat<float>(at);
    } else if (floats) {
      for (int64_t i = 0; i < n; ++i)
        out.f()[i] = floats(bytes.data() + offset.at(i) * width);
    } else {
      for (int64_t i = 0; i < n; ++i)
        out.i()[i] = integers(bytes.data() + offset.at(i) * width);
    }
    arena.release(mark);
  }

private:
  KeyArena &arena;
  StringRef bytes;
  std::vector<int64_t> strides;
  int64_t width = 0;
  double (*floats)(const char *) = nullptr;
  int64_t (*integers)(const char *) = nullptr;
};

/// Values as doubles or 64-bit integers, row-major.
class DenseNode : public Node {
public:
  DenseNode(KeyArena &arena, Relation relation)
      : arena(arena), relation(std::move(relation)) {
    columns = this->relation.columns;
    extents = this->relation.extents;
    strides.resize(extents.size());
    int64_t stride = 1;
    for (size_t i = extents.size(); i--; stride *= extents[i])
      strides[i] = stride;
  }

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = arena.mark();
    Key offset = offsetOf(keys, strides, n, arena);
    if (auto *f = std::get_if<0>(&relation.values))
      gather(f->data(), offset, n, out.f());
    else
      gather(std::get<1>(relation.values).data(), offset, n, out.i());
    arena.release(mark);
  }

private:
  template <typename T>
  static void gather(const T *from, const Key &offset, int64_t n, T *to) {
    if (offset.lanes)
      for (int64_t i = 0; i < n; ++i)
        to[i] = from[offset.lanes[i]];
    else if (offset.step == 1)
      std::copy_n(from + offset.base, n, to);
    else
      for (int64_t i = 0; i < n; ++i)
        to[i] = from[offset.base + offset.step * i];
  }
  KeyArena &arena;
  Relation relation;
  std::vector<int64_t> strides;
};
} // namespace

std::unique_ptr<Node> interp::makeDense(Machine &machine, Relation relation,
                                        Type element) {
  auto node = std::make_unique<DenseNode>(machine.arena, std::move(relation));
  node->element = element;
  return node;
}

/// The elements of an attribute as doubles or integers.
static FailureOr<Relation> readValue(rel::TableOp table) {
  auto elements = dyn_cast<DenseElementsAttr>(*table.getValue());
  if (!elements)
    return table.emitError("the value is not a dense attribute");
  Relation relation;
  if (isa<FloatType>(elements.getElementType())) {
    auto &values = relation.values.emplace<0>();
    values.reserve(elements.getNumElements());
    if (elements.getElementType().isF32()) {
      llvm::append_range(values, elements.getValues<float>());
      return relation;
    }
    for (const APFloat &x : elements.getValues<APFloat>()) {
      APFloat wide = x;
      bool lossy;
      wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
      values.push_back(wide.convertToDouble());
    }
    return relation;
  }
  auto &values = relation.values.emplace<1>();
  values.reserve(elements.getNumElements());
  bool isUnsigned = elements.getElementType().isUnsignedInteger() ||
                    elements.getElementType().isInteger(1);
  for (const APInt &x : elements.getValues<APInt>())
    values.push_back(isUnsigned ? x.getZExtValue() : x.getSExtValue());
  return relation;
}

FailureOr<std::unique_ptr<Node>> interp::makeScan(Machine &machine,
                                                  rel::ScanOp scan) {
  FailureOr<rel::TableOp> table = machine.tables.find(scan);
  if (failed(table))
    return failure();
  if (table->getValue()) {
    FailureOr<Relation> relation = readValue(*table);
    if (failed(relation))
      return failure();
    for (rel::Column column : scan.getType().getColumns()) {
      relation->columns.push_back(column.getName().str());
      relation->extents.push_back(*column.getExtent().asConst());
    }
    return makeDense(machine, std::move(*relation),
                     scan.getType().getElementType());
  }
  FailureOr<StringRef> bytes = machine.tables.slice(*table);
  if (failed(bytes))
    return failure();
  auto node = std::make_unique<StoredNode>(machine.arena, *bytes);
  if (failed(machine.setType(*node, scan, scan.getType())))
    return failure();
  if (failed(node->prepare()))
    return scan.emitError() << "tables of " << node->element
                            << " can't be read";
  return std::unique_ptr<Node>(std::move(node));
}
