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
  return mapBinary(im, *product, *b, product->onnxType,
                   [](Element x, Element y) { return x + y; });
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

static FailureOr<Tensor> transposed(Importer &im, const Tensor &x,
                                    StringRef attribute) {
  if (!im.node().getInt(attribute, 0))
    return x;
  return permuteDims(im, x, {1, 0});
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
static LogicalResult importQLinearAdd(Importer &im) {
  return binary(im, [](Element a, Element b) { return a + b; });
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
  return unary(im, [=](Element a) {
    return less(a, a.constant(0)).select(slope * a, a);
  });
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
