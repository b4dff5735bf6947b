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

/// Converts the values that are `inside` and writes them `stride` elements apart.
template <typename T, typename From, typename F>
static void storeEach(const From *values, int64_t n, const int64_t *inside,
                      char *to, int64_t stride, F convert) {
  for (int64_t i = 0; i < n; ++i) {
    if (inside && !inside[i])
      continue;
    T x = convert(values[i]);
    std::memcpy(to + i * stride * int64_t(sizeof(T)), &x, sizeof(T));
  }
}

/// Writes `n` values in their stored form, little-endian; leaves out what is not
/// `inside`.
static void store(const Lanes &lanes, int64_t n, Type type, Format format,
                  const int64_t *inside, char *to, int64_t stride) {
  auto floats = [&]<typename T>(auto convert, T) {
    storeEach<T>(lanes.f(), n, inside, to, stride, convert);
  };
  auto integers = [&]<typename T>(T) {
    storeEach<T>(lanes.i(), n, inside, to, stride,
                 [](int64_t x) { return static_cast<T>(x); });
  };
  switch (format.kind) {
  case Format::F64:
    return floats([](double x) { return x; }, double());
  case Format::F32:
    return floats([](double x) { return static_cast<float>(x); }, float());
  case Format::BF16:
    roundLanes(lanes.f(), n, format);
    return floats(
        [](double x) {
          float single = static_cast<float>(x);
          uint32_t bits;
          std::memcpy(&bits, &single, 4);
          return static_cast<uint16_t>(bits >> 16);
        },
        uint16_t());
  case Format::F16:
  case Format::OtherFloat: {
    auto convert = [&](double x) {
      bool lossy;
      APFloat value(x);
      value.convert(cast<FloatType>(type).getFloatSemantics(),
                    APFloat::rmNearestTiesToEven, &lossy);
      return value.bitcastToAPInt().getZExtValue();
    };
    return format.bits > 8 ? floats(convert, uint16_t())
                           : floats(convert, uint8_t());
  }
  case Format::Integer:
    break;
  }
  if (format.bits > 32)
    integers(uint64_t());
  else if (format.bits > 16)
    integers(uint32_t());
  else if (format.bits > 8)
    integers(uint16_t());
  else
    integers(uint8_t());
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

  // The innermost digits make a block. It is evaluated along its longest digit,
  // whose keys are affine, once for each combination of the others.
  size_t inner = digits.size();
  int64_t lanes = 1;
  while (inner > 0 && lanes * digits[inner - 1].extent <= blockLanes &&
         (lanes < 64 || inner == digits.size()))
    lanes *= digits[--inner].extent;
  if (inner == digits.size() && inner > 0)
    --inner; // one digit, evaluated in pieces
  size_t longest = inner;
  for (size_t d = inner; d < digits.size(); ++d)
    if (digits[d].extent >= digits[longest].extent)
      longest = d;
  Digit run{-1};
  int64_t stride = 1; // of the run's elements in the block
  if (!digits.empty())
    run = digits[longest];
  for (size_t d = longest + 1; d < digits.size(); ++d)
    stride *= digits[d].extent;

  struct Part {
    int64_t position = 0; // in the block
    SmallVector<int64_t, 8> keys;
  };
  std::vector<int64_t> otherExtents;
  for (size_t d = inner; d < digits.size(); ++d)
    otherExtents.push_back(d == longest ? 1 : digits[d].extent);
  std::vector<Part> parts;
  for (Odometer at(otherExtents); !at.done(); at.next()) {
    Part part;
    part.keys.assign(node.columns.size(), 0);
    for (size_t d = inner; d < digits.size(); ++d) {
      part.position = part.position * digits[d].extent + at.at()[d - inner];
      part.keys[digits[d].column] += at.at()[d - inner] * digits[d].divisor;
    }
    parts.push_back(std::move(part));
  }

  std::vector<int64_t> outerExtents;
  for (const Digit &digit : ArrayRef(digits).take_front(inner))
    outerExtents.push_back(digit.extent);
  const Format format = type;
  const int64_t width = (format.bits + 7) / 8;
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
    for (int64_t first = 0; first < run.extent; first += blockLanes) {
      int64_t n = std::min(blockLanes, run.extent - first);
      size_t start = bytes.size();
      bytes.resize(start + parts.size() * n * width); // padding is zero
      for (const Part &part : parts) {
        size_t mark = machine.arena.mark();
        SmallVector<Key, 8> keys;
        for (int64_t key : part.keys)
          keys.push_back({key, 0, nullptr});
        for (size_t d = 0; d < inner; ++d)
          keys[digits[d].column].base += at.at()[d] * digits[d].divisor;
        if (run.column >= 0) {
          keys[run.column].base += first * run.divisor;
          keys[run.column].step = run.divisor;
        }
        int64_t *inside = nullptr;
        for (size_t c = 0; c < keys.size(); ++c)
          clampPadding(keys[c], n, node.extents[c], inside, machine.arena);
        node.evaluate(keys.data(), n, out);
        store(out, n, type, format, inside,
              bytes.data() + start + part.position * width, stride);
        machine.arena.release(mark);
      }
      if (failed(machine.check()) || failed(flush(false)))
        return failure();
    }
  return flush(true);
}
