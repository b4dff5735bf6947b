//===- Pack.cpp - Constant relations in their stored layout ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Nodes.h"
#include "joinery/Interp/Interp.h"
#include <cmath>
#include <cstring>

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;

namespace {
/// One digit of a layout: (column floordiv divisor) mod modulus.
struct Digit {
  int column;
  int64_t divisor = 1, extent = 1;
};
} // namespace

/// Parses `c`, `c/A`, `c%A`, `c/A%B` (= (c div A) mod B) and `c%A/B`
/// (= (c mod A) div B).
static FailureOr<Digit> parseDigit(StringRef text, const Node &node) {
  size_t end = text.find_first_of("/%");
  Digit digit;
  digit.column = node.find(text.take_front(end));
  if (digit.column < 0)
    return failure();
  int64_t modulus = 0; // in units of the column's keys; 0 = none
  StringRef rest = end == StringRef::npos ? "" : text.substr(end);
  while (!rest.empty()) {
    char op = rest.front();
    int64_t by;
    rest = rest.drop_front();
    if (rest.consumeInteger(10, by) || by <= 0)
      return failure();
    if (op == '/')
      digit.divisor *= by;
    else if (op == '%')
      modulus = digit.divisor * by;
    else
      return failure();
  }
  int64_t span = modulus ? modulus : node.extents[digit.column];
  digit.extent = llvm::divideCeil(span, digit.divisor);
  return digit;
}

/// Appends `n` values in their stored form.
static void store(const Lanes &lanes, int64_t n, Type type, bool isFloat,
                  const int64_t *inside, std::vector<char> &out) {
  unsigned bits = type.getIntOrFloatBitWidth(), width = (bits + 7) / 8;
  size_t start = out.size();
  out.resize(start + n * width);
  char *to = out.data() + start;
  for (int64_t i = 0; i < n; ++i, to += width) {
    if (inside && !inside[i])
      continue; // resize() wrote zeros
    uint64_t raw = 0;
    if (!isFloat) {
      raw = lanes.i()[i];
    } else if (bits == 32) {
      float x = lanes.f()[i];
      std::memcpy(&raw, &x, 4);
    } else if (bits == 64) {
      std::memcpy(&raw, &lanes.f()[i], 8);
    } else if (float f = lanes.f()[i]; type.isBF16() && f == lanes.f()[i]) {
      // The upper half of an f32, rounded to nearest and to even.
      uint32_t single;
      std::memcpy(&single, &f, 4);
      raw = (single + 0x7fff + (single >> 16 & 1)) >> 16;
    } else {
      bool lossy;
      APFloat x(lanes.f()[i]);
      x.convert(cast<FloatType>(type).getFloatSemantics(),
                APFloat::rmNearestTiesToEven, &lossy);
      raw = x.bitcastToAPInt().getZExtValue();
    }
    std::memcpy(to, &raw, width); // little-endian
  }
}

/// Padded lanes read the last key, and `inside` says that they are padding.
static void clampPadding(Key &key, int64_t n, int64_t extent, int64_t *&inside,
                         KeyArena &arena) {
  if (!key.lanes && key.at(n - 1) < extent)
    return; // steps are not negative
  int64_t *clamped = nullptr;
  for (int64_t i = 0; i < n; ++i) {
    if (key.at(i) < extent)
      continue;
    if (!inside) {
      inside = arena.allocate();
      std::fill_n(inside, n, 1);
    }
    if (!clamped) {
      clamped = arena.allocate();
      for (int64_t j = 0; j < n; ++j)
        clamped[j] = std::min(key.at(j), extent - 1);
    }
    inside[i] = 0;
  }
  if (clamped)
    key = {0, 0, clamped};
}

LogicalResult
joinery::packConstant(Value value, rel::RelType stored, TableReader &tables,
                      function_ref<LogicalResult(ArrayRef<char>)> sink) {
  constexpr size_t chunk = 1 << 20;
  Machine machine(InterpOptions(), &tables);
  FailureOr<Node *> found = machine.node(value);
  if (failed(found))
    return failure();
  Node &node = **found;
  Type type = stored.getElementType();
  if (isa<FloatType>(type) != node.isFloat())
    return emitError(value.getLoc())
           << "can't store " << node.element << " as " << type;

  SmallVector<Digit> digits;
  if (ArrayAttr layout = stored.getLayout()) {
    for (StringRef text : layout.getAsValueRange<StringAttr>()) {
      FailureOr<Digit> digit = parseDigit(text, node);
      if (failed(digit))
        return emitError(value.getLoc())
               << "the layout's digit '" << text << "' has no meaning";
      digits.push_back(*digit);
    }
  } else {
    for (rel::Column column : stored.getColumns()) {
      int at = node.find(column.getName());
      if (at < 0)
        return emitError(value.getLoc())
               << "the stored relation has another column '"
               << column.getName() << "'";
      digits.push_back({at, 1, node.extents[at]});
    }
  }

  // The innermost digits that fill a block become its lanes; their part of
  // every column's key is the same in each block.
  size_t inner = digits.size();
  int64_t lanes = 1;
  while (inner > 0 && lanes * digits[inner - 1].extent <= blockLanes &&
         (lanes < 64 || inner == digits.size()))
    lanes *= digits[--inner].extent;
  bool split = inner == digits.size() && !digits.empty();
  int64_t width = split ? digits.back().extent : 1; // run in pieces
  if (split)
    --inner;
  std::vector<std::vector<int64_t>> offsets(
      node.columns.size(), std::vector<int64_t>(blockLanes, 0));
  std::vector<int64_t> innerExtents;
  if (!split)
    for (const Digit &digit : ArrayRef(digits).drop_front(inner))
      innerExtents.push_back(digit.extent);
  int64_t lane = 0;
  if (!split)
    for (Odometer at(innerExtents); !at.done(); at.next(), ++lane)
      for (size_t d = inner; d < digits.size(); ++d)
        offsets[digits[d].column][lane] += at.at()[d - inner] * digits[d].divisor;

  // A column's lanes are affine where one digit of it varies alone.
  SmallVector<int64_t> steps;
  SmallVector<bool> affine;
  for (auto [c, offset] : llvm::enumerate(offsets)) {
    bool runs = split && digits.back().column == static_cast<int>(c);
    int64_t step = runs ? digits.back().divisor : lanes > 1 ? offset[1] : 0;
    steps.push_back(step);
    bool &isAffine = affine.emplace_back(true);
    for (int64_t i = 0; !split && i < lanes && isAffine; ++i)
      isAffine = offset[i] == step * i;
  }

  std::vector<int64_t> outerExtents;
  for (const Digit &digit : ArrayRef(digits).take_front(inner))
    outerExtents.push_back(digit.extent);
  Lanes out;
  std::vector<char> bytes;
  bytes.reserve(chunk + blockLanes * 8);
  auto flush = [&](bool force) -> LogicalResult {
    if (bytes.empty() || (!force && bytes.size() < chunk))
      return success();
    LogicalResult result = sink(bytes);
    bytes.clear();
    return result;
  };
  for (Odometer at(outerExtents); !at.done(); at.next())
    for (int64_t first = 0; first < width; first += blockLanes) {
      size_t mark = machine.arena.mark();
      int64_t n = split ? std::min(blockLanes, width - first) : lanes;
      SmallVector<Key, 8> keys(node.columns.size());
      for (size_t d = 0; d < inner; ++d)
        keys[digits[d].column].base += at.at()[d] * digits[d].divisor;
      int64_t *inside = nullptr;
      for (size_t c = 0; c < keys.size(); ++c) {
        int64_t base = keys[c].base + (split ? first * steps[c] : 0);
        keys[c] = {base, steps[c], nullptr};
        if (!affine[c]) {
          int64_t *lanesAt = machine.arena.allocate();
          for (int64_t i = 0; i < n; ++i)
            lanesAt[i] = base + offsets[c][i];
          keys[c] = {0, 0, lanesAt};
        }
        clampPadding(keys[c], n, node.extents[c], inside, machine.arena);
      }
      node.evaluate(keys.data(), n, out);
      store(out, n, type, node.isFloat(), inside, bytes);
      machine.arena.release(mark);
      if (failed(machine.check()) || failed(flush(false)))
        return failure();
    }
  return flush(true);
}
