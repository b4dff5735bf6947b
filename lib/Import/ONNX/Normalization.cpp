//===- Normalization.cpp - Normalisations and softmax ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

/// The axes from `axis` to the last.
static FailureOr<SmallVector<int64_t>>
trailingAxes(Importer &im, const Tensor &x, int64_t otherwise) {
  auto axis = im.axisOf(im.node().getInt("axis", otherwise), x.rank());
  if (failed(axis))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = *axis; i < x.rank(); ++i)
    axes.push_back(i);
  return axes;
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// One axis from opset 13 on; before, all axes from it to the last.
static LogicalResult importSoftmaxOf(Importer &im, bool logarithm) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  bool flattened = im.node().opset() < 13;
  auto axes = trailingAxes(im, *x, flattened ? 1 : -1);
  if (failed(axes))
    return failure();
  if (!flattened && !axes->empty())
    axes->truncate(1);
  if (axes->empty())
    return im.refuse("an operand of rank 0");
  return setResult(im, softmax(im, *x, *axes, logarithm));
}
static LogicalResult importSoftmax(Importer &im) {
  return importSoftmaxOf(im, false);
}
static LogicalResult importLogSoftmax(Importer &im) {
  return importSoftmaxOf(im, true);
}

//===----------------------------------------------------------------------===//
// Over the last axes
//===----------------------------------------------------------------------===//

/// The type of the statistics: stash_type, but not less than the operand's.
static FailureOr<int> statisticsType(Importer &im, const Tensor &x) {
  int type = im.node().getInt("stash_type", Float);
  if (type != Float && type != Float16 && type != BFloat16 && type != Double)
    return im.refuse("stash_type = " + Twine(type) + " is not supported");
  return x.onnxType == Double ? int(Double) : type;
}

/// LayerNormalization, and without `centre` RMSNormalization; `inverse` is
/// the position of the output 1/deviation, 0 if there is none.
static LogicalResult layerNormalization(Importer &im, bool centre,
                                        unsigned inverse) {
  const Tensor *x = requiredFloat(im, 0), *gamma = requiredFloat(im, 1);
  if (!x || !gamma)
    return failure();
  if (failed(requireAxes(im, *x)))
    return failure();
  auto axes = trailingAxes(im, *x, -1);
  auto type = statisticsType(im, *x);
  if (failed(axes) || failed(type))
    return failure();
  auto wide = castTensor(im, *x, *type);
  if (failed(wide))
    return failure();
  auto result =
      normalize(im, *wide, *axes, im.node().getFloat("epsilon", 1e-5), centre);
  if (failed(result))
    return failure();
  // The scale is applied in the operand's type, as the specification has it.
  auto y = castTensor(im, result->y, x->onnxType);
  if (failed(y))
    return failure();
  const Tensor *beta = centre ? im.input(2) : nullptr;
  if (centre && im.node().hasOutput(1))
    im.setOutput(1, result->mean);
  if (inverse && im.node().hasOutput(inverse))
    im.setOutput(inverse, result->inverse);
  return setResult(im, scaleAndShift(im, *y, gamma, beta, gamma->onnxType));
}
static LogicalResult importLayerNormalization(Importer &im) {
  return layerNormalization(im, true, 2);
}
static LogicalResult importSimplifiedLayerNormalization(Importer &im) {
  return layerNormalization(im, false, 1);
}
static LogicalResult importRMSNormalization(Importer &im) {
  return layerNormalization(im, false, 0);
}

//===----------------------------------------------------------------------===//
// Over channels
//===----------------------------------------------------------------------===//

/// A vector over the channels as a tensor for an operand [B, C, ...].
static Tensor perChannel(Importer &im, const Tensor &vector, int64_t rank) {
  Tensor result = vector;
  for (int64_t i = 2; i < rank; ++i)
    result = insertUnitDim(im, result, result.rank());
  return result;
}

static LogicalResult importBatchNormalization(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  if (im.node().getInt("training_mode", 0))
    return im.refuse("training_mode = 1 is not supported");
  if (im.node().opset() < 7 && !im.node().getInt("is_test", 0))
    return im.refuse("is_test = 0 is not supported");
  if (im.node().opset() < 9 && !im.node().getInt("spatial", 1))
    return im.refuse("spatial = 0 is not supported");
  if (failed(refuseOutputs(im, {{1, "running_mean"}, {2, "running_var"}})))
    return failure();
  if (x->rank() < 2)
    return im.refuse("an operand of rank " + Twine(x->rank()));
  SmallVector<Tensor, 4> vectors;
  for (unsigned i = 1; i < 5; ++i) {
    const Tensor *vector = requiredFloat(im, i);
    if (!vector || failed(requireRank(im, *vector, 1, "a parameter")))
      return failure();
    auto cast = castTensor(im, *vector, x->onnxType);
    if (failed(cast))
      return failure();
    vectors.push_back(perChannel(im, *cast, x->rank()));
  }
  double eps = im.node().getFloat("epsilon", 1e-5);
  return setResult(
      im,
      mapElements(im, {x, &vectors[0], &vectors[1], &vectors[2], &vectors[3]},
                  x->onnxType, [&](Elements v) {
                    return (v[0] - v[3]) / sqrt(v[4] + eps) * v[1] + v[2];
                  }));
}

static LogicalResult importInstanceNormalization(Importer &im) {
  const Tensor *x = requiredFloat(im, 0), *scale = requiredFloat(im, 1),
               *bias = requiredFloat(im, 2);
  if (!x || !scale || !bias ||
      failed(requireRank(im, *scale, 1, "the scale")) ||
      failed(requireRank(im, *bias, 1, "the bias")))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < x->rank(); ++i)
    axes.push_back(i);
  if (axes.empty())
    return im.refuse("an operand of rank " + Twine(x->rank()));
  auto result =
      normalize(im, *x, axes, im.node().getFloat("epsilon", 1e-5), true);
  if (failed(result))
    return failure();
  Tensor gamma = perChannel(im, *scale, x->rank()),
         beta = perChannel(im, *bias, x->rank());
  return setResult(im,
                   scaleAndShift(im, result->y, &gamma, &beta, x->onnxType));
}

/// Statistics over the channels of each group; scale and bias per channel, or
/// per group in opset 18.
static LogicalResult importGroupNormalization(Importer &im) {
  const Tensor *x = requiredFloat(im, 0), *scale = requiredFloat(im, 1),
               *bias = requiredFloat(im, 2);
  if (!x || !scale || !bias ||
      failed(requireRank(im, *scale, 1, "the scale")) ||
      failed(requireRank(im, *bias, 1, "the bias")))
    return failure();
  int64_t groups = im.node().getInt("num_groups", 0);
  if (x->rank() < 3)
    return im.refuse("an operand of rank " + Twine(x->rank()));
  auto channels = x->dims[1].extent.asConst();
  if (groups < 1 || !channels || *channels % groups)
    return im.refuse("num_groups = " + Twine(groups) +
                     " does not divide the channels");
  auto type = statisticsType(im, *x);
  if (failed(type))
    return failure();
  auto wide = castTensor(im, *x, *type);
  if (failed(wide))
    return failure();
  int64_t size = *channels / groups;
  auto split = splitDim(im, *wide, 1, {groups, size}, {"g", "c"});
  if (failed(split))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < split->rank(); ++i)
    axes.push_back(i);
  auto result =
      normalize(im, *split, axes, im.node().getFloat("epsilon", 1e-5), true);
  if (failed(result))
    return failure();
  Tensor y = result->y;
  if (im.node().opset() >= 21) {
    y = mergeDims(im, y, 1);
    Tensor gamma = perChannel(im, *scale, y.rank()),
           beta = perChannel(im, *bias, y.rank());
    return setResult(im, scaleAndShift(im, y, &gamma, &beta, x->onnxType));
  }
  Tensor gamma = perChannel(im, *scale, y.rank()),
         beta = perChannel(im, *bias, y.rank());
  auto scaled = scaleAndShift(im, y, &gamma, &beta, x->onnxType);
  if (failed(scaled))
    return failure();
  im.setOutput(0, mergeDims(im, *scaled, 1));
  return success();
}

/// (x - mean) / (deviation + 1e-9).
static LogicalResult importMeanVarianceNormalization(Importer &im) {
  const Tensor *x = requiredFloat(im, 0);
  if (!x)
    return failure();
  std::vector<int64_t> given = im.node().getInts("axes");
  if (given.empty())
    given = {0, 2, 3};
  SmallVector<int64_t> axes;
  for (int64_t axis : given) {
    auto normal = im.axisOf(axis, x->rank());
    if (failed(normal))
      return failure();
    if (llvm::is_contained(axes, *normal))
      return im.refuse("an axis is named twice");
    axes.push_back(*normal);
  }
  auto average = mean(im, *x, axes, true);
  if (failed(average))
    return failure();
  int type = x->onnxType;
  auto centred = mapBinary(im, *x, *average, type,
                           [](Element a, Element b) { return a - b; });
  if (failed(centred))
    return failure();
  auto squares = mapUnary(im, *centred, type, [](Element a) { return a * a; });
  if (failed(squares))
    return failure();
  auto variance = mean(im, *squares, axes, true);
  if (failed(variance))
    return failure();
  return setResult(
      im, mapBinary(im, *centred, *variance, type,
                    [](Element a, Element b) { return a / (sqrt(b) + 1e-9); }));
}

static const OpEntry table[] = {
    {"", "BatchNormalization", 6, 0, importBatchNormalization,
     "inference only"},
    {"", "GroupNormalization", 18, 0, importGroupNormalization, ""},
    {"", "InstanceNormalization", 1, 0, importInstanceNormalization, ""},
    // ONNX Runtime writes it into the default domain below opset 17 too.
    {"", "LayerNormalization", 1, 0, importLayerNormalization, ""},
    {"", "LogSoftmax", 1, 0, importLogSoftmax, ""},
    {"", "MeanVarianceNormalization", 9, 0, importMeanVarianceNormalization,
     ""},
    {"", "RMSNormalization", 23, 0, importRMSNormalization, ""},
    {"", "SimplifiedLayerNormalization", 1, 0,
     importSimplifiedLayerNormalization, ""},
    {"", "Softmax", 1, 0, importSoftmax, ""},
    {"com.microsoft", "SimplifiedLayerNormalization", 1, 0,
     importSimplifiedLayerNormalization, ""},
};

ArrayRef<OpEntry> onnx_import::normalizationOps() { return table; }
