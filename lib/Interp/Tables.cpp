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
  for (bool stored : {false, true}) // what is affine first: it needs no lanes
    for (auto [i, stride] : llvm::enumerate(strides))
      if ((keys[i].lanes != nullptr) == stored)
        addScaled(sum, keys[i], stride, n, arena);
  return sum;
}

double halfToDouble(uint16_t bits) {
  int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double x = exponent == 31 ? (fraction ? std::nan("") : HUGE_VAL)
             : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                            : std::ldexp(fraction, -24);
  return bits & 0x8000 ? -x : x;
}
double bfloatToDouble(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}

/// `convert` of the elements of type T that lie at the keys.
template <typename T, typename To, typename F>
void gather(const char *from, const Key &offset, int64_t n, To *to,
            F convert) {
  auto at = [&](int64_t index) {
    T x;
    std::memcpy(&x, from + index * int64_t(sizeof(T)), sizeof(T));
    return convert(x);
  };
  if (offset.lanes)
    for (int64_t i = 0; i < n; ++i)
      to[i] = at(offset.lanes[i]);
  else if (offset.step == 1)
    for (int64_t i = 0; i < n; ++i)
      to[i] = at(offset.base + i);
  else
    for (int64_t i = 0; i < n; ++i)
      to[i] = at(offset.base + offset.step * i);
}

template <typename T>
void gatherFloats(const char *from, const Key &offset, int64_t n,
                  const Lanes &out) {
  gather<T>(from, offset, n, out.f(), [](T x) { return double(x); });
}
template <typename T>
void gatherIntegers(const char *from, const Key &offset, int64_t n,
                    const Lanes &out) {
  gather<T>(from, offset, n, out.i(), [](T x) { return int64_t(x); });
}
void gatherHalves(const char *from, const Key &offset, int64_t n,
                  const Lanes &out) {
  gather<uint16_t>(from, offset, n, out.f(), halfToDouble);
}
void gatherBFloats(const char *from, const Key &offset, int64_t n,
                   const Lanes &out) {
  gather<uint16_t>(from, offset, n, out.f(), bfloatToDouble);
}
void gatherBools(const char *from, const Key &offset, int64_t n,
                 const Lanes &out) {
  gather<char>(from, offset, n, out.i(), [](char x) { return int64_t(x != 0); });
}

/// Values in their stored form, row-major.
class StoredNode : public Node {
public:
  StoredNode(KeyArena &arena, StringRef bytes) : arena(arena), bytes(bytes) {}

  LogicalResult prepare() {
    strides.resize(extents.size());
    int64_t stride = 1;
    for (size_t i = extents.size(); i--; stride *= extents[i])
      strides[i] = stride;
    load = loadOf(element);
    return success(load);
  }

  void evaluate(const Key *keys, int64_t n, const Lanes &out) override {
    size_t mark = arena.mark();
    load(bytes.data(), offsetOf(keys, strides, n, arena), n, out);
    arena.release(mark);
  }

private:
  using Load = void (*)(const char *, const Key &, int64_t, const Lanes &);

  /// Null where there is none.
  static Load loadOf(Format format) {
    switch (format.kind) {
    case Format::F64:
      return gatherFloats<double>;
    case Format::F32:
      return gatherFloats<float>;
    case Format::F16:
      return gatherHalves;
    case Format::BF16:
      return gatherBFloats;
    case Format::OtherFloat:
      return nullptr;
    case Format::Integer:
      break;
    }
    bool isUnsigned = format.isUnsigned;
    switch (format.bits) {
    case 1:
      return gatherBools;
    case 8:
      return isUnsigned ? gatherIntegers<uint8_t> : gatherIntegers<int8_t>;
    case 16:
      return isUnsigned ? gatherIntegers<uint16_t> : gatherIntegers<int16_t>;
    case 32:
      return isUnsigned ? gatherIntegers<uint32_t> : gatherIntegers<int32_t>;
    case 64:
      return gatherIntegers<int64_t>;
    }
    return nullptr;
  }

  KeyArena &arena;
  StringRef bytes;
  std::vector<int64_t> strides;
  Load load = nullptr;
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
    auto bytesOf = [](const auto &values) {
      return reinterpret_cast<const char *>(values.data());
    };
    if (auto *f = std::get_if<0>(&relation.values))
      gatherFloats<double>(bytesOf(*f), offset, n, out);
    else
      gatherIntegers<int64_t>(bytesOf(std::get<1>(relation.values)), offset, n,
                              out);
    arena.release(mark);
  }

private:
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
