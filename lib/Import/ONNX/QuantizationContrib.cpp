//===- QuantizationContrib.cpp - Operators of com.microsoft on levels -----===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each is the operator on floats between levels that are read and levels that are
// written; the algebra moves the scales.
//
//===----------------------------------------------------------------------===//

#include "Attention.h"
#include "Building.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace joinery;
using namespace joinery::onnx_import;
using namespace mlir;

/// Inputs `i`, its scale and its zero point, which may be absent.
static FailureOr<Tensor> read(Importer &im, unsigned i, unsigned scale,
                              unsigned zero) {
  const Tensor *levels = required(im, i), *factor = required(im, scale);
  if (!levels || !factor)
    return failure();
  return dequantize(im, *levels, *factor, im.input(zero));
}

/// Levels of `type` with scale and zero point at inputs `scale` and `scale` + 1.
static LogicalResult write(Importer &im, FailureOr<Tensor> x, unsigned scale,
                           int type) {
  const Tensor *divisor = required(im, scale);
  if (failed(x) || !divisor)
    return failure();
  return setResult(im, quantize(im, *x, *divisor, im.input(scale + 1), type));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The product plus the bias at input `bias`, if there is one.
static FailureOr<Tensor> biased(Importer &im, FailureOr<Tensor> product,
                                unsigned bias) {
  const Tensor *b = im.input(bias);
  if (failed(product) || !b)
    return product;
  return add(im, *product, *b);
}

/// A float operand, levels of which are made for the whole tensor.
static LogicalResult importDynamicQuantizeMatMul(Importer &im) {
  const Tensor *a = requiredFloat(im, 0);
  auto b = read(im, 1, 2, 3);
  if (!a || failed(b))
    return failure();
  auto made = quantizeDynamically(im, *a);
  if (failed(made))
    return failure();
  auto rounded = dequantize(im, made->levels, made->scale, &made->zero);
  if (failed(rounded))
    return failure();
  return setResult(im, biased(im, matmul(im, *rounded, *b), 4));
}

static LogicalResult importMatMulIntegerToFloat(Importer &im) {
  auto a = read(im, 0, 2, 4);
  auto b = read(im, 1, 3, 5);
  if (failed(a) || failed(b))
    return failure();
  return setResult(im, biased(im, matmul(im, *a, *b), 6));
}

static LogicalResult importQGemm(Importer &im) {
  const Tensor *in[6];
  for (unsigned i = 0; i < 6; ++i)
    if (!(in[i] = required(im, i)))
      return failure();
  for (unsigned i : {0, 3})
    if (failed(requireRank(im, *in[i], 2, i ? "B" : "A")))
      return failure();
  auto left = transposed(im, *in[0], "transA");
  auto right = transposed(im, *in[3], "transB");
  if (failed(left) || failed(right))
    return failure();
  auto a = dequantize(im, *left, *in[1], in[2]);
  auto b = dequantize(im, *right, *in[4], in[5]);
  if (failed(a) || failed(b))
    return failure();
  auto y = matmul(im, *a, *b);
  double alpha = im.node().getFloat("alpha", 1);
  if (const Tensor *c = im.input(6)) {
    // Its unit is that of the products.
    auto bias = castTensor(im, *c, Float);
    if (failed(y) || failed(bias))
      return failure();
    y = mapElements(im, {&*y, &*bias, in[1], in[4]}, Float, [&](Elements v) {
      return v[0] + v[1] * (v[2] * v[3]);
    });
  }
  if (succeeded(y) && alpha != 1)
    y = mapUnary(im, *y, Float, [&](Element x) { return x * alpha; });
  if (!im.input(7))
    return setResult(im, std::move(y));
  const Tensor *zero = im.input(8);
  return write(im, std::move(y), 7, zero ? zero->onnxType : int(UInt8));
}

//===----------------------------------------------------------------------===//
// Weights of 4 and 8 bits in blocks
//===----------------------------------------------------------------------===//

/// Levels of `bits` from bytes along the last dimension: of four bits two from each,
/// the lower first.
static FailureOr<Tensor> unpacked(Importer &im, const Tensor &bytes,
                                  int64_t bits) {
  if (bits == 8)
    return bytes;
  Tensor each = insertUnitDim(im, bytes, bytes.rank());
  Type wide = im.elementType(Int64);
  auto halves = mapBinary(
      im, each, keyOf(im, 2, "half"), UInt8, [&](Element byte, Element half) {
        Element value = castElement(byte, UInt8, Int64, wide);
        Element shift = half * half.integer(wide, 4);
        Element moved =
            value.op<arith::ShRUIOp>(value.value, shift.value);
        Element low = moved.op<arith::AndIOp>(moved.value,
                                              moved.integer(wide, 15).value);
        return castElement(low, Int64, UInt8, im.elementType(UInt8));
      });
  if (failed(halves))
    return failure();
  return mergeDims(im, *halves, bytes.rank() - 1);
}

/// `stored` holds a row of `count` numbers for each of `columns`, whether or not it
/// is written as one vector. As [columns, count].
static FailureOr<Tensor> rowsOf(Importer &im, const Tensor &stored,
                                int64_t columns, int64_t count,
                                StringRef what) {
  FailureOr<Tensor> rows = stored;
  if (stored.rank() == 1)
    rows = splitDim(im, stored, 0, {columns, count}, {"n", "block"});
  if (failed(rows) || rows->rank() != 2 ||
      !rows->dims[0].extent.isConst(columns) ||
      !rows->dims[1].extent.isConst(count))
    return im.refuse(what + " does not hold " + Twine(columns) + " x " +
                     Twine(count) + " numbers");
  return rows;
}

/// The zero points of [n, blocks] blocks of weights as floats [n, blocks, 1]: as the
/// weights are packed, or as they are; or the middle level.
static FailureOr<Tensor> blockZeros(Importer &im, const Tensor *zeros, int64_t n,
                                    int64_t blocks, int64_t bits) {
  if (!zeros)
    return im.scalar(double(1 << (bits - 1)), Float);
  bool packed = zeros->onnxType == UInt8;
  int64_t stored = packed ? llvm::divideCeil(blocks, 8 / bits) : blocks;
  auto rows = rowsOf(im, *zeros, n, stored, "zero_points");
  if (succeeded(rows) && packed) {
    rows = unpacked(im, *rows, bits);
    if (succeeded(rows))
      rows = sliceDim(im, *rows, 1, 0, blocks);
  }
  if (failed(rows) || failed(rows = castTensor(im, *rows, Float)))
    return failure();
  return insertUnitDim(im, *rows, 2);
}

/// A [.., K] times the transpose of levels [N, blocks, bytes of a block]; each block
/// of a row has a scale, and a zero point if they are given.
static LogicalResult importMatMulNBits(Importer &im) {
  const Node &node = im.node();
  const Tensor *a = requiredFloat(im, 0), *b = required(im, 1),
               *scales = requiredFloat(im, 2), *zeros = im.input(3);
  if (!a || !b || !scales || failed(refuseInputs(im, {{4, "g_idx"}})))
    return failure();
  int64_t bits = node.getInt("bits", 4), size = node.getInt("block_size", 0);
  int64_t k = node.getInt("K", 0), n = node.getInt("N", 0);
  constexpr int64_t most = int64_t(1) << 31;
  if ((bits != 4 && bits != 8) || size < 2 || k < 1 || n < 1 || size > most ||
      k > most || n > most)
    return im.refuse("bits = " + Twine(bits) + ", block_size = " + Twine(size) +
                     ", K = " + Twine(k) + ", N = " + Twine(n));
  int64_t blocks = llvm::divideCeil(k, size);
  if (b->onnxType != UInt8 || b->rank() != 3 || !b->dims[0].extent.isConst(n) ||
      !b->dims[1].extent.isConst(blocks) ||
      !b->dims[2].extent.isConst(size * bits / 8))
    return im.refuse("B does not hold N x blocks x bytes of a block as uint8");
  auto levels = unpacked(im, *b, bits);
  auto factors = rowsOf(im, *scales, n, blocks, "scales");
  auto offsets = blockZeros(im, zeros, n, blocks, bits);
  if (failed(levels) || failed(factors) || failed(offsets) ||
      failed(levels = castTensor(im, *levels, Float)) ||
      failed(factors = castTensor(im, *factors, Float)))
    return failure();
  Tensor scale = insertUnitDim(im, *factors, 2);
  auto weights = mapElements(im, {&*levels, &*offsets, &scale}, Float,
                             [](Elements v) { return (v[0] - v[1]) * v[2]; });
  if (failed(weights) || failed(weights = castTensor(im, *weights, a->onnxType)))
    return failure();
  Tensor rows = sliceDim(im, mergeDims(im, *weights, 1), 1, 0, k);
  return setResult(
      im, biased(im, matmul(im, *a, permuteDims(im, rows, {1, 0})), 5));
}

//===----------------------------------------------------------------------===//
// Element by element
//===----------------------------------------------------------------------===//

static LogicalResult binary(Importer &im,
                            llvm::function_ref<Element(Element, Element)> body) {
  auto a = read(im, 0, 1, 2);
  auto b = read(im, 3, 4, 5);
  if (failed(a) || failed(b))
    return failure();
  return write(im, mapBinary(im, *a, *b, Float, body), 6,
               im.input(0)->onnxType);
}

/// Sums of levels often lie in the middle of two levels. So levels are added in units
/// of the result, with its zero point, before they are rounded: as ONNX Runtime does.
static LogicalResult importQLinearAdd(Importer &im) {
  const Tensor *in[7];
  for (unsigned i : {0, 1, 3, 4, 6})
    if (!(in[i] = required(im, i)))
      return failure();
  int type = in[0]->onnxType;
  auto a = centre(im, *in[0], im.input(2));
  auto b = centre(im, *in[3], im.input(5));
  const Tensor *zero = im.input(7);
  auto offset = centre(im, zero ? *zero : im.scalar(0, type), nullptr);
  if (failed(a) || failed(b) || failed(offset))
    return failure();
  return setResult(
      im, mapElements(im, {&*a, in[1], &*b, in[4], in[6], &*offset}, type,
                      [&](Elements v) {
        Element sum = v[0] * (v[1] / v[4]) + (v[2] * (v[3] / v[4]) + v[5]);
        return castElement(sum.op<math::RoundEvenOp>(sum.value), Float, type,
                           im.elementType(type));
      }));
}

static LogicalResult importQLinearMul(Importer &im) {
  return binary(im, [](Element a, Element b) { return a * b; });
}

static LogicalResult unary(Importer &im,
                           llvm::function_ref<Element(Element)> body) {
  auto x = read(im, 0, 1, 2);
  if (failed(x))
    return failure();
  return write(im, mapUnary(im, *x, Float, body), 3, im.input(0)->onnxType);
}
static LogicalResult importQLinearSigmoid(Importer &im) {
  return unary(im, sigmoid);
}
static LogicalResult importQLinearLeakyRelu(Importer &im) {
  double slope = im.node().getFloat("alpha", 0.01);
  return unary(im, [=](Element a) { return leakyRelu(a, slope); });
}

//===----------------------------------------------------------------------===//
// Attention and embeddings
//===----------------------------------------------------------------------===//

static LogicalResult importQAttention(Importer &im) {
  if (failed(refuseInputs(im, {{8, "past"}})))
    return failure();
  auto x = read(im, 0, 3, 6);
  auto weight = read(im, 1, 4, 7);
  if (failed(x) || failed(weight))
    return failure();
  return selfAttention(im, *x, *weight, im.input(2), im.input(5), nullptr);
}

static LogicalResult importQEmbedLayerNormalization(Importer &im) {
  EmbeddingInputs inputs;
  inputs.ids = required(im, 0);
  inputs.segments = im.input(1);
  inputs.mask = im.input(7);
  // Words, positions, segments, gamma and beta; then their scales, then their zero
  // points.
  Tensor tables[5];
  const Tensor **to[] = {&inputs.words, &inputs.positions, &inputs.segmentTable,
                         &inputs.gamma, &inputs.beta};
  for (unsigned i = 0; i < 5; ++i) {
    if (i == 2 && !im.input(4))
      continue;
    auto table = read(im, 2 + i, 8 + i, 13 + i);
    if (failed(table))
      return failure();
    tables[i] = *table;
    *to[i] = &tables[i];
  }
  return embed(im, inputs);
}

static const OpEntry table[] = {
    {"com.microsoft", "DynamicQuantizeMatMul", 1, 0, importDynamicQuantizeMatMul,
     "", true},
    {"com.microsoft", "MatMulIntegerToFloat", 1, 0, importMatMulIntegerToFloat,
     "", true},
    {"com.microsoft", "MatMulNBits", 1, 0, importMatMulNBits,
     "4 and 8 bits; no g_idx", true},
    {"com.microsoft", "QAttention", 1, 0, importQAttention, "no past", true},
    {"com.microsoft", "QEmbedLayerNormalization", 1, 0,
     importQEmbedLayerNormalization, "the mask holds 0 and 1", true},
    {"com.microsoft", "QGemm", 1, 0, importQGemm, "", true},
    {"com.microsoft", "QLinearAdd", 1, 0, importQLinearAdd, "", true},
    {"com.microsoft", "QLinearLeakyRelu", 1, 0, importQLinearLeakyRelu, "", true},
    {"com.microsoft", "QLinearMul", 1, 0, importQLinearMul, "", true},
    {"com.microsoft", "QLinearSigmoid", 1, 0, importQLinearSigmoid, "", true},
};

ArrayRef<OpEntry> onnx_import::quantizationContribOps() { return table; }
