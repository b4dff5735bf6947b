//===- Contrib.cpp - Other operators that ONNX Runtime fuses --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

//===----------------------------------------------------------------------===//
// Activations with a bias
//===----------------------------------------------------------------------===//

static LogicalResult biased(Importer &im, bool needsBias,
                            llvm::function_ref<Element(Element)> body) {
  const Tensor *x = requiredFloat(im, 0),
               *bias = needsBias ? requiredFloat(im, 1) : im.input(1);
  if (!x || (needsBias && !bias))
    return failure();
  if (!bias)
    return setResult(im, mapUnary(im, *x, x->onnxType, body));
  return setResult(
      im, mapBinary(im, *x, *bias, x->onnxType,
                    [&](Element a, Element b) { return body(a + b); }));
}
static LogicalResult importGelu(Importer &im) {
  return biased(im, false, gelu);
}
static LogicalResult importBiasGelu(Importer &im) {
  return biased(im, true, gelu);
}
static LogicalResult importFastGelu(Importer &im) {
  return biased(im, false, geluTanh);
}
static LogicalResult importQuickGelu(Importer &im) {
  double alpha = im.node().getFloat("alpha", 1.702);
  return biased(im, false, [=](Element a) { return a * sigmoid(alpha * a); });
}

//===----------------------------------------------------------------------===//
// Normalisation of a sum
//===----------------------------------------------------------------------===//

/// The normalisation of `sum` over its last axis, as all of these operators
/// end.
static FailureOr<Normalized> normalizeLast(Importer &im, const Tensor &sum,
                                           double eps, bool centre,
                                           const Tensor *gamma,
                                           const Tensor *beta) {
  if (sum.rank() == 0)
    return im.refuse("an operand of rank 0");
  auto wide = castTensor(im, sum, sum.onnxType == Double ? Double : Float);
  if (failed(wide))
    return failure();
  auto result = normalize(im, *wide, {sum.rank() - 1}, eps, centre);
  if (failed(result))
    return failure();
  auto y = scaleAndShift(im, result->y, gamma, beta, sum.onnxType);
  if (failed(y))
    return failure();
  result->y = *y;
  return result;
}

static LogicalResult skipNormalization(Importer &im, bool centre) {
  const Tensor *x = requiredFloat(im, 0), *skip = requiredFloat(im, 1),
               *gamma = requiredFloat(im, 2);
  if (!x || !skip || !gamma)
    return failure();
  const Tensor *beta = centre ? im.input(3) : nullptr,
               *bias = im.input(centre ? 4 : 3);
  FailureOr<Tensor> sum = *x;
  // The bias belongs to the operand, which is a product without its bias.
  if (bias && failed(sum = add(im, *sum, *bias)))
    return failure();
  if (failed(sum = add(im, *sum, *skip)))
    return failure();
  auto result = normalizeLast(im, *sum, im.node().getFloat("epsilon", 1e-12),
                              centre, gamma, beta);
  if (failed(result))
    return failure();
  im.setOutput(0, result->y);
  if (centre && im.node().hasOutput(1))
    im.setOutput(1, result->mean);
  else if (im.node().hasOutput(1))
    return im.refuse("output 'mean' is not supported");
  if (im.node().hasOutput(2))
    im.setOutput(2, result->inverse);
  if (im.node().hasOutput(3))
    im.setOutput(3, *sum);
  return success();
}
static LogicalResult importSkipLayerNormalization(Importer &im) {
  return skipNormalization(im, true);
}
static LogicalResult importSkipSimplified(Importer &im) {
  return skipNormalization(im, false);
}

/// Embeddings of words, positions and segments, summed and normalised.
LogicalResult onnx_import::embed(Importer &im, const EmbeddingInputs &inputs) {
  auto [ids, segments, words, positions, segmentTable, gamma, beta, mask,
        positionIds] = inputs;
  if (!ids || !words || !positions || !gamma || !beta)
    return failure();
  const std::pair<const Tensor *, StringRef> operands[] = {
      {ids, "input_ids"},
      {words, "word_embedding"},
      {segments, "segment_ids"},
      {positions, "position_embedding"},
      {mask, "mask"},
      {segmentTable, "segment_embedding"},
      {positionIds, "position_ids"}};
  for (auto [tensor, name] : operands)
    if (tensor && failed(requireRank(im, *tensor, 2, name)))
      return failure();
  const SymExpr length = ids->dims[1].extent;
  auto sum = lookupRows(im, *words, *ids);
  if (failed(sum))
    return failure();
  FailureOr<Tensor> place = failure();
  if (positionIds) {
    place = lookupRows(im, *positions, *positionIds);
  } else {
    if (failed(im.requireAtMost(length, positions->dims[0].extent,
                                "the sequence is not longer than the table "
                                "of positions")))
      return failure();
    place = sliceDim(im, *positions, 0, 0, length);
  }
  if (failed(place) || failed(sum = add(im, *sum, *place)))
    return failure();
  if (segments && segmentTable) {
    auto kind = lookupRows(im, *segmentTable, *segments);
    if (failed(kind) || failed(sum = add(im, *sum, *kind)))
      return failure();
  }
  auto result = normalizeLast(im, *sum, im.node().getFloat("epsilon", 1e-12),
                              true, gamma, beta);
  if (failed(result))
    return failure();
  im.setOutput(0, result->y);
  if (im.node().hasOutput(1)) {
    // The rows' lengths; without a mask zeros.
    if (!mask) {
      im.setOutput(1, im.polynomial(0, {Dim{ids->dims[0].extent, {}}}, Int32));
    } else {
      auto lengths = im.reduce(rel::Monoid::Sum, *mask, {1}, false);
      if (failed(lengths))
        return failure();
      auto narrow = castTensor(im, *lengths, Int32);
      if (failed(narrow))
        return failure();
      im.setOutput(1, *narrow);
    }
  }
  if (im.node().hasOutput(2))
    im.setOutput(2, *sum);
  return success();
}

static LogicalResult importEmbedLayerNormalization(Importer &im) {
  return embed(im, {required(im, 0), im.input(1), requiredFloat(im, 2),
                    requiredFloat(im, 3), im.input(4), requiredFloat(im, 5),
                    requiredFloat(im, 6), im.input(7), im.input(8)});
}

static const OpEntry table[] = {
    {"com.microsoft", "BiasGelu", 1, 0, importBiasGelu, ""},
    {"com.microsoft", "EmbedLayerNormalization", 1, 0,
     importEmbedLayerNormalization, "the mask holds 0 and 1"},
    {"com.microsoft", "FastGelu", 1, 0, importFastGelu, ""},
    {"com.microsoft", "Gelu", 1, 0, importGelu, ""},
    {"com.microsoft", "QuickGelu", 1, 0, importQuickGelu, ""},
    {"com.microsoft", "SkipLayerNormalization", 1, 0,
     importSkipLayerNormalization, ""},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", 1, 0,
     importSkipSimplified, "no output mean"},
};

ArrayRef<OpEntry> onnx_import::contribOps() { return table; }
