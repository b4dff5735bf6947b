//===- ModelWire.cpp - The wire format of a model -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelWire.h"
#include "llvm/ADT/StringExtras.h"

using namespace joinery::onnx_import;
using llvm::ArrayRef;
using llvm::StringRef;

namespace {
/// Messages on the way from the model to its tensors.
enum class Message { Other, Model, Graph, Function, Node, Attribute, Tensor };

/// What the field `number` of a message holds (numbers from onnx.proto).
Message child(Message message, uint64_t number) {
  switch (message) {
  case Message::Model:
    return number == 7    ? Message::Graph
           : number == 25 ? Message::Function
                          : Message::Other;
  case Message::Graph:
    return number == 1   ? Message::Node
           : number == 5 ? Message::Tensor
                         : Message::Other;
  case Message::Function:
    return number == 7    ? Message::Node
           : number == 11 ? Message::Attribute
                          : Message::Other;
  case Message::Node:
    return number == 5 ? Message::Attribute : Message::Other;
  case Message::Attribute:
    return number == 5 || number == 10   ? Message::Tensor
           : number == 6 || number == 11 ? Message::Graph
                                         : Message::Other;
  default:
    return Message::Other;
  }
}

constexpr uint64_t floatData = 4, rawData = 9, doubleData = 10, docString = 12;
constexpr uint64_t smallest = 64; // data of at most so many bytes stay
constexpr int maxDepth = 90;      // below protobuf's own limit

class Walker {
public:
  Walker(ArrayRef<char> model, std::string &error)
      : model(model), error(error) {}

  bool copy(Message message, uint64_t begin, uint64_t end, int depth,
            std::string &out) {
    if (depth > maxDepth)
      return fail(begin, "messages are nested too deeply");
    WeightSlice slice{0, 0};
    bool sliced = false;
    uint64_t at = begin;
    while (at < end) {
      uint64_t start = at, key, length = 0;
      if (!varint(at, end, key))
        return false;
      uint64_t number = key >> 3, wire = key & 7;
      if (number == 0)
        return fail(start, "a field has number 0");
      switch (wire) {
      case 0:
        if (!varint(at, end, length))
          return false;
        break;
      case 1:
      case 5:
        length = wire == 1 ? 8 : 4;
        if (end - at < length)
          return truncated(at);
        at += length;
        break;
      case 2:
        if (!varint(at, end, length))
          return false;
        if (end - at < length)
          return fail(start, "a field of " + std::to_string(length) +
                                 " bytes runs past the end (is the file "
                                 "truncated?)");
        at += length;
        break;
      default:
        return fail(start, "a field has an unknown wire type");
      }
      if (wire != 2) {
        out.append(model.data() + start, at - start);
        continue;
      }
      uint64_t data = at - length;
      if (message == Message::Tensor) {
        if (number == docString)
          continue;
        bool weights =
            number == rawData || number == floatData || number == doubleData;
        // A tensor in several packed pieces is rare: protobuf joins those.
        if (weights && length > smallest && !sliced) {
          slice = {data, length};
          sliced = true;
          continue;
        }
        if (weights && sliced)
          return fail(start, "a tensor has its data in several pieces");
      }
      Message inner = child(message, number);
      if (inner == Message::Other) {
        out.append(model.data() + start, at - start);
        continue;
      }
      std::string copied;
      if (!copy(inner, data, at, depth + 1, copied))
        return false;
      put(out, key);
      put(out, copied.size());
      out += copied;
    }
    if (sliced) {
      std::string text = "@" + std::to_string(slice.offset) + "+" +
                         std::to_string(slice.length);
      put(out, docString << 3 | 2);
      put(out, text.size());
      out += text;
    }
    return true;
  }

private:
  ArrayRef<char> model;
  std::string &error;

  bool fail(uint64_t at, const llvm::Twine &reason) {
    error = (reason + " at byte " + std::to_string(at)).str();
    return false;
  }
  bool truncated(uint64_t at) { return fail(at, "it is truncated"); }

  bool varint(uint64_t &at, uint64_t end, uint64_t &value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at == end)
        return truncated(at);
      uint64_t byte = static_cast<unsigned char>(model[at++]);
      value |= (byte & 127) << shift;
      if (byte < 128)
        return true;
    }
    return fail(at, "a number is too long");
  }

  static void put(std::string &out, uint64_t value) {
    for (; value >= 128; value >>= 7)
      out.push_back(char(value | 128));
    out.push_back(char(value));
  }
};
} // namespace

void joinery::onnx_import::stripWeights(ArrayRef<char> model,
                                        std::string &stripped,
                                        std::string &error) {
  Walker(model, error).copy(Message::Model, 0, model.size(), 0, stripped);
}

std::optional<WeightSlice>
joinery::onnx_import::weightSlice(StringRef docString) {
  WeightSlice slice;
  if (!docString.consume_front("@") ||
      docString.consumeInteger(10, slice.offset) ||
      !docString.consume_front("+") ||
      docString.getAsInteger(10, slice.length))
    return std::nullopt;
  return slice;
}
