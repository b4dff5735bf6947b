//===- NpyHeader.cpp - The header of a .npy file --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/IO/NpyHeader.h"

#include "runtime/Exec/Tensor.h"

#include <cstring>

namespace joinery::runtime {

namespace {
struct TypeName {
  std::string_view descr;
  DType dtype;
};
constexpr TypeName kTypes[] = {
    {"f4", DType::F32}, {"f8", DType::F64}, {"f2", DType::F16},
    {"i1", DType::I8},  {"u1", DType::U8},  {"i2", DType::I16},
    {"i4", DType::I32}, {"i8", DType::I64}, {"b1", DType::Bool}};

/// Reads a Python dictionary literal of the three known keys.
class Parser {
public:
  Parser(std::string_view text, Array &array, bool &fortran)
      : text(text), array(array), fortran(fortran) {}

  bool run() {
    if (!take('{'))
      return false;
    bool descr = false, order = false, shape = false;
    while (!take('}')) {
      std::string_view key;
      if (!string(key) || !take(':'))
        return false;
      bool known = (key == "descr" && !descr && type() && (descr = true)) ||
                   (key == "fortran_order" && !order && boolean(fortran) &&
                    (order = true)) ||
                   (key == "shape" && !shape && tuple() && (shape = true));
      if (!known)
        return false;
      if (!take(',')) {
        if (!take('}'))
          return false;
        break;
      }
    }
    space();
    return text.empty() && descr && order && shape;
  }

  std::string error = "has a malformed header";

private:
  void space() {
    while (!text.empty() && std::strchr(" \t\n\r", text[0]) && text[0])
      text.remove_prefix(1);
  }
  bool take(char c) {
    space();
    if (text.empty() || text[0] != c)
      return false;
    text.remove_prefix(1);
    return true;
  }
  bool word(std::string_view expected) {
    space();
    if (!text.starts_with(expected))
      return false;
    text.remove_prefix(expected.size());
    return true;
  }
  bool string(std::string_view &value) {
    space();
    if (text.empty() || (text[0] != '\'' && text[0] != '"'))
      return false;
    size_t end = text.find(text[0], 1);
    if (end == std::string_view::npos)
      return false;
    value = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    return true;
  }
  bool boolean(bool &value) {
    value = word("True");
    return value || word("False");
  }

  bool type() {
    space();
    if (text.starts_with("[")) {
      error = "has records, not numbers";
      return false;
    }
    std::string_view descr;
    if (!string(descr))
      return false;
    if (descr.starts_with(">")) {
      error = "is big-endian; save it little-endian";
      return false;
    }
    for (const TypeName &known : kTypes)
      if (descr.size() == 3 && std::strchr("<|=", descr[0]) &&
          descr.substr(1) == known.descr) {
        array.dtype = known.dtype;
        return true;
      }
    error = "has the type '" + std::string(descr.substr(0, 32)) +
            "', which no model takes; convert it";
    return false;
  }

  bool tuple() {
    if (!take('('))
      return false;
    array.shape.clear();
    while (!take(')')) {
      int64_t extent = 0;
      space();
      if (text.empty() || text[0] < '0' || text[0] > '9' ||
          array.shape.size() == size_t(kMaxRank))
        return false;
      for (; !text.empty() && text[0] >= '0' && text[0] <= '9';
           text.remove_prefix(1))
        if (__builtin_mul_overflow(extent, 10, &extent) ||
            __builtin_add_overflow(extent, text[0] - '0', &extent))
          return false;
      word("L"); // as Python 2 wrote long integers
      array.shape.push_back(extent);
      if (!take(',')) {
        if (!take(')'))
          return false;
        break;
      }
    }
    return true;
  }

  std::string_view text;
  Array &array;
  bool &fortran;
};
} // namespace

bool parseNpyHeader(std::string_view text, Array &array, bool &fortran,
                    std::string &error) {
  Parser parser(text, array, fortran);
  if (parser.run())
    return true;
  error = parser.error;
  return false;
}

std::string makeNpyHeader(const Array &array) {
  std::string_view descr;
  for (const TypeName &known : kTypes)
    if (known.dtype == array.dtype)
      descr = known.descr;
  if (descr.empty())
    return "";
  std::string text = "{'descr': '";
  text += descr[1] == '1' ? '|' : '<';
  text += std::string(descr) + "', 'fortran_order': False, 'shape': (";
  for (int64_t extent : array.shape)
    text += std::to_string(extent) + ",";
  text += "), }";
  bool large = text.size() > 60000;
  size_t prelude = large ? 12 : 10;
  text.append(63 - (prelude + text.size()) % 64, ' ');
  text += '\n';
  std::string header = "\x93NUMPY";
  header += char(large ? 2 : 1);
  header += char(0);
  for (size_t i = 0; i < prelude - 8; ++i)
    header += char(text.size() >> (8 * i));
  return header + text;
}

static Status bad(const std::string &name, const std::string &what) {
  return {JN_INVALID_INPUT, name + " " + what};
}

/// Column-major to row-major.
static Status transpose(Array &array) {
  Array rows;
  rows.dtype = array.dtype;
  rows.shape = array.shape;
  JN_TRY(rows.allocate());
  std::vector<int64_t> strides(array.shape.size());
  int64_t stride = 1;
  for (size_t i = 0; i < strides.size(); ++i) {
    strides[i] = stride;
    stride *= array.shape[i];
  }
  Border border;
  border.dtype = array.dtype;
  border.dims.resize(array.shape.size());
  border.dimNames.resize(array.shape.size());
  DLTensor columns = array.view();
  columns.strides = strides.data();
  InputAccess access;
  JN_TRY(inspectInput(border, columns, access));
  if (access.elements != 0)
    JN_TRY(copyInput(border, columns, access, rows.data()));
  array = std::move(rows);
  return {};
}

Status readArray(ByteSource &source, const std::string &name, Array &array) {
  unsigned char prelude[12];
  if (source.left() < 10)
    return bad(name, "is too short for an array");
  JN_TRY(source.read(prelude, 8));
  if (std::memcmp(prelude, "\x93NUMPY", 6) != 0)
    return bad(name, "is not a NumPy array (.npy)");
  int version = prelude[6];
  if (version < 1 || version > 3)
    return bad(name, "has version " + std::to_string(version) +
                         " of the .npy format; versions 1 to 3 are read");
  size_t lengthBytes = version == 1 ? 2 : 4;
  if (source.left() < lengthBytes)
    return bad(name, "is cut within its header");
  JN_TRY(source.read(prelude, lengthBytes));
  uint64_t length = 0;
  for (size_t i = 0; i < lengthBytes; ++i)
    length |= uint64_t(prelude[i]) << (8 * i);
  // A header of 32 extents has less than 1 KiB; padding may add some.
  if (length > source.left() || length > 65536)
    return bad(name, "is cut within its header, or has one that is too long");
  std::string header(length, 0);
  JN_TRY(source.read(header.data(), length));
  bool fortran = false;
  std::string error;
  if (!parseNpyHeader(header, array, fortran, error))
    return bad(name, error);

  int64_t bytes = int64_t(dtypeBytes(array.dtype));
  bool empty = false, overflow = false;
  for (int64_t extent : array.shape) {
    empty |= extent == 0;
    overflow |= __builtin_mul_overflow(bytes, extent, &bytes);
  }
  if (!empty && (overflow || uint64_t(bytes) > source.left()))
    return bad(name, "is shorter than its header says");
  JN_TRY(array.allocate());
  JN_TRY(source.read(array.data(), size_t(array.bytes())));
  return fortran ? transpose(array) : Status();
}

} // namespace joinery::runtime
