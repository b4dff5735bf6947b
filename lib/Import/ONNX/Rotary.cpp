//===- Rotary.cpp - Rotary position embeddings ----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Attention.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace {
struct Rotation {
  Tensor cos, sin;   // [B, S, R/2] or [S, R/2]
  int64_t width = 0; // R, 0: all
  bool interleaved = false;
  double scale = 1;
};
} // namespace

/// Each pair (a, b) of x [B, S, N, D] becomes (a cos - b sin, a sin + b cos);
/// pairs are halves of the first R, or neighbours.
static FailureOr<Tensor> rotate(Importer &im, const Tensor &x,
                                const Rotation &rotation) {
  auto total = x.dims[3].extent.asConst();
  if (!total)
    return im.refuse("the heads' width is not known at compile time");
  int64_t width = rotation.width ? rotation.width : *total, half = width / 2;
  if (width % 2 || width > *total)
    return im.refuse("rotary_embedding_dim = " + Twine(width) +
                     " does not fit heads of width " + Twine(*total));
  Tensor turned = sliceDim(im, x, 3, 0, width);
  Tensor a, b;
  if (rotation.interleaved) {
    auto pairs = splitDim(im, turned, 3, {half, 2}, {"d", "p"});
    if (failed(pairs))
      return failure();
    a = sliceDim(im, *pairs, 4, 0, 1);
    b = sliceDim(im, *pairs, 4, 1, 1);
    a.dims.pop_back();
    b.dims.pop_back();
  } else {
    a = sliceDim(im, turned, 3, 0, half);
    b = sliceDim(im, turned, 3, half, half);
  }
  // The caches belong to positions, not to heads.
  Tensor cos = insertUnitDim(im, rotation.cos, rotation.cos.rank() - 1),
         sin = insertUnitDim(im, rotation.sin, rotation.sin.rank() - 1);
  auto turn = [&](bool first) {
    return mapElements(im, {&a, &b, &cos, &sin}, x.onnxType, [&](Elements v) {
      return first ? v[0] * v[2] - v[1] * v[3] : v[0] * v[3] + v[1] * v[2];
    });
  };
  auto real = turn(true), imaginary = turn(false);
  if (failed(real) || failed(imaginary))
    return failure();
  FailureOr<Tensor> joined = failure();
  if (rotation.interleaved) {
    Tensor first = insertUnitDim(im, *real, 4),
           second = insertUnitDim(im, *imaginary, 4);
    joined = concatDims(im, {&first, &second}, 4);
    if (succeeded(joined))
      joined = mergeDims(im, *joined, 3);
  } else {
    joined = concatDims(im, {&*real, &*imaginary}, 3);
  }
  if (failed(joined) || width == *total)
    return joined;
  Tensor rest = sliceDim(im, x, 3, width, *total - width);
  return concatDims(im, {&*joined, &rest}, 3);
}

/// [B, S, N*D] or [B, N, S, D], and back.
static LogicalResult rotary(Importer &im, const Tensor &x,
                            const Rotation &rotation) {
  int64_t heads = im.node().getInt("num_heads", 0);
  if (heads < 0 || rotation.width < 0)
    return im.refuse("num_heads or rotary_embedding_dim is negative");
  FailureOr<Tensor> view = failure();
  if (x.rank() == 4) {
    view = permuteDims(im, x, {0, 2, 1, 3});
  } else if (x.rank() == 3) {
    SymExpr width = rotation.cos.dims.back().extent * SymExpr(2);
    if (rotation.width && !heads)
      return im.refuse("num_heads is missing");
    SymExpr count = heads;
    if (!heads) {
      auto quotient = x.dims[2].extent.exactDiv(width);
      if (!quotient)
        return im.refuse("num_heads is missing");
      count = *quotient;
    }
    auto split = splitHeads(im, x, count);
    if (failed(split))
      return failure();
    view = permuteDims(im, *split, {0, 2, 1, 3});
  } else {
    return im.refuse("an operand of rank " + Twine(x.rank()));
  }
  auto result = rotate(im, *view, rotation);
  if (failed(result))
    return failure();
  im.setOutput(0, x.rank() == 4 ? permuteDims(im, *result, {0, 2, 1, 3})
                                : mergeDims(im, *result, 2));
  return success();
}

static LogicalResult importRotaryEmbedding(Importer &im) {
  const Tensor *x = requiredFloat(im, 0), *cos = requiredFloat(im, 1),
               *sin = requiredFloat(im, 2), *positions = im.input(3);
  if (!x || !cos || !sin)
    return failure();
  Rotation rotation;
  rotation.interleaved = im.node().getInt("interleaved", 0);
  rotation.width = im.node().getInt("rotary_embedding_dim", 0);
  rotation.cos = *cos;
  rotation.sin = *sin;
  if (cos->rank() != (positions ? 2 : 3) || sin->rank() != cos->rank())
    return im.refuse("caches of rank " + Twine(cos->rank()));
  if (positions) {
    if (positions->rank() != 2)
      return im.refuse("position_ids of rank " + Twine(positions->rank()));
    auto c = lookupRows(im, *cos, *positions),
         s = lookupRows(im, *sin, *positions);
    if (failed(c) || failed(s))
      return failure();
    rotation.cos = *c;
    rotation.sin = *s;
  }
  return rotary(im, *x, rotation);
}

static LogicalResult importContribRotaryEmbedding(Importer &im) {
  const Tensor *x = requiredFloat(im, 0), *positions = required(im, 1),
               *cos = requiredFloat(im, 2), *sin = requiredFloat(im, 3);
  if (!x || !positions || !cos || !sin)
    return failure();
  if (im.node().getInt("is_packed_batching", 0))
    return im.refuse("is_packed_batching = 1 is not supported");
  if (im.node().getFloat("scale", 1) != 1)
    return im.refuse("scale other than 1 is not supported");
  if (cos->rank() != 2 || sin->rank() != 2 || positions->rank() > 2)
    return im.refuse("caches of rank " + Twine(cos->rank()) +
                     ", position_ids of rank " + Twine(positions->rank()));
  Tensor ids = *positions;
  if (positions->rank() == 1) {
    // One number: the position of the first element.
    if (failed(im.requireEqual(positions->dims[0].extent, 1,
                               "position_ids of rank 1 hold one number")))
      return failure();
    const Dim &dim = x->dims[x->rank() == 4 ? 2 : 1];
    Tensor keys = keyOf(im, dim.extent, "s");
    auto sum = mapBinary(im, keys, *positions, Int64,
                         [](Element a, Element b) { return a + b; });
    if (failed(sum))
      return failure();
    ids = *sum;
  }
  auto c = lookupRows(im, *cos, ids), s = lookupRows(im, *sin, ids);
  if (failed(c) || failed(s))
    return failure();
  Rotation rotation;
  rotation.interleaved = im.node().getInt("interleaved", 0);
  rotation.width = im.node().getInt("rotary_embedding_dim", 0);
  rotation.cos = *c;
  rotation.sin = *s;
  return rotary(im, *x, rotation);
}

static const OpEntry table[] = {
    {"", "RotaryEmbedding", 23, 0, importRotaryEmbedding, ""},
    {"com.microsoft", "RotaryEmbedding", 1, 0, importContribRotaryEmbedding,
     "no packed batching, no scale"},
};

ArrayRef<OpEntry> onnx_import::rotaryOps() { return table; }
