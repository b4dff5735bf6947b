//===- AttentionContrib.cpp - Attention as ONNX Runtime fuses it ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Attention.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

/// A mask of any of the forms that the operators accept, as a summand of scores
/// [B, N, S, T]: [B] lengths, [B, T], [B, S, T] or [B, N, S, T].
static FailureOr<Tensor> paddingMask(Importer &im, const Tensor &mask,
                                     const SymExpr &batch, const SymExpr &t,
                                     int onnxType) {
  double otherwise = im.node().getFloat("mask_filter_value", -10000);
  Tensor view = mask;
  if (mask.rank() == 1) {
    const SymExpr &extent = mask.dims[0].extent;
    if (extent != batch && extent.exactDiv(batch))
      return im.refuse("a mask of shape [" + extent.str() +
                       "] (starts and ends) is not supported");
    if (failed(im.requireEqual(extent, batch,
                               "a mask of rank 1 holds the "
                               "batch's lengths")))
      return failure();
    // t < length.
    Tensor keys = keyOf(im, t, "t");
    auto wide = castTensor(im, insertUnitDim(im, mask, 1), Int64);
    if (failed(wide))
      return failure();
    auto kept = mapBinary(im, keys, *wide, Bool, less);
    if (failed(kept))
      return failure();
    view = *kept;
  }
  if (view.rank() != 2 && view.rank() != 3 && view.rank() != 4)
    return im.refuse("a mask of rank " + Twine(mask.rank()));
  while (view.rank() < 4)
    view = insertUnitDim(im, view, 1);
  return additiveMask(im, view, onnxType, otherwise);
}

static FailureOr<Tensor> addBias(Importer &im, const Tensor &x,
                                 const Tensor &bias, const SymExpr &start) {
  if (failed(requireRank(im, bias, 1, "the bias")) ||
      failed(im.requireAtMost(start + x.dims[x.rank() - 1].extent,
                              bias.dims[0].extent,
                              "the bias covers queries, keys and values")))
    return failure();
  Tensor part = sliceDim(im, bias, 0, start, x.dims[x.rank() - 1].extent);
  return add(im, x, part);
}

/// What Attention and MultiHeadAttention have in common after the heads.
static LogicalResult finish(Importer &im, AttentionInputs &inputs,
                            const Tensor *mask, const Tensor *bias) {
  inputs.scale = im.node().getFloat("scale", 0);
  inputs.causal = im.node().getInt("unidirectional", 0);
  if (mask) {
    auto added = paddingMask(im, *mask, inputs.q.dims[0].extent,
                             inputs.k.dims[2].extent, inputs.q.onnxType);
    if (failed(added))
      return failure();
    inputs.biases.push_back(*added);
  }
  if (bias)
    inputs.biases.push_back(*bias);
  auto context = attend(im, inputs);
  if (failed(context))
    return failure();
  im.setOutput(0, mergeDims(im, *context, 2));
  return success();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

/// q, k and v are products with parts of one weight; each part is a slice, so
/// that the algebra is that of three separate products.
LogicalResult onnx_import::selfAttention(Importer &im, const Tensor &x,
                                         const Tensor &weight,
                                         const Tensor *bias, const Tensor *mask,
                                         const Tensor *scoreBias) {
  const Node &node = im.node();
  if (failed(refuseOutputs(im, {{1, "present"}})))
    return failure();
  if (node.getInt("do_rotary", 0))
    return im.refuse("do_rotary = 1 is not supported");
  int64_t heads = node.getInt("num_heads", 0);
  if (x.rank() != 3 || weight.rank() != 2 || heads < 1)
    return im.refuse("an operand of rank " + Twine(x.rank()) +
                     ", weights of rank " + Twine(weight.rank()) + ", " +
                     Twine(heads) + " heads");
  auto total = weight.dims[1].extent.asConst();
  std::vector<int64_t> sizes = node.getInts("qkv_hidden_sizes");
  if (sizes.empty() && total)
    sizes.assign(3, *total / 3);
  if (sizes.size() != 3 || !total ||
      llvm::any_of(sizes, [](int64_t size) { return size <= 0; }) ||
      sizes[0] + sizes[1] + sizes[2] != *total || sizes[0] != sizes[1])
    return im.refuse("qkv_hidden_sizes do not fit weights of width " +
                     weight.dims[1].extent.str());
  Tensor *parts[3];
  AttentionInputs inputs;
  parts[0] = &inputs.q;
  parts[1] = &inputs.k;
  parts[2] = &inputs.v;
  int64_t start = 0;
  for (unsigned i = 0; i < 3; ++i) {
    Tensor slice = sliceDim(im, weight, 1, start, sizes[i]);
    auto projected = matmul(im, x, slice);
    if (succeeded(projected) && bias)
      projected = addBias(im, *projected, *bias, start);
    if (succeeded(projected))
      projected = splitHeads(im, *projected, heads);
    if (failed(projected))
      return failure();
    *parts[i] = *projected;
    start += sizes[i];
  }
  return finish(im, inputs, mask, scoreBias);
}

static LogicalResult importAttention(Importer &im) {
  if (failed(refuseInputs(im, {{4, "past"}, {6, "past_sequence_length"}})))
    return failure();
  const Tensor *x = requiredFloat(im, 0), *weight = requiredFloat(im, 1);
  if (!x || !weight)
    return failure();
  return selfAttention(im, *x, *weight, im.input(2), im.input(3), im.input(5));
}

//===----------------------------------------------------------------------===//
// MultiHeadAttention
//===----------------------------------------------------------------------===//

/// Position `part` of dimension 3 of a packed [B, T, N, P, D], as [B, N, T, D].
static FailureOr<Tensor> unpack(Importer &im, const Tensor &x, int64_t part,
                                int64_t parts) {
  if (failed(im.requireEqual(x.dims[3].extent, parts,
                             "the packed operands are complete")))
    return failure();
  Tensor slice = sliceDim(im, x, 3, part, 1);
  slice.dims.erase(slice.dims.begin() + 3);
  return permuteDims(im, slice, {0, 2, 1, 3});
}

static LogicalResult importMultiHeadAttention(Importer &im) {
  const Node &node = im.node();
  if (failed(refuseInputs(im, {{6, "past_key"},
                               {7, "past_value"},
                               {8, "past_sequence_length"},
                               {9, "cache_indirection"}})) ||
      failed(refuseOutputs(
          im, {{1, "present_key"}, {2, "present_value"}, {3, "qk"}})))
    return failure();
  const Tensor *query = requiredFloat(im, 0), *key = im.input(1),
               *value = im.input(2), *bias = im.input(3);
  int64_t heads = node.getInt("num_heads", 0);
  if (!query)
    return failure();
  if (heads < 1)
    return im.refuse("num_heads = " + Twine(heads));
  FailureOr<Tensor> q = failure(), k = failure(), v = failure();
  if (query->rank() == 5) {
    if (key || value || bias)
      return im.refuse("a packed query with keys, values or a bias");
    q = unpack(im, *query, 0, 3);
    k = unpack(im, *query, 1, 3);
    v = unpack(im, *query, 2, 3);
  } else if (query->rank() == 3 && key && key->rank() == 5) {
    if (value || bias)
      return im.refuse("packed keys with values or a bias");
    q = splitHeads(im, *query, heads);
    k = unpack(im, *key, 0, 2);
    v = unpack(im, *key, 1, 2);
  } else if (query->rank() == 3 && key && value &&
             key->rank() == value->rank() &&
             (key->rank() == 3 || key->rank() == 4)) {
    q = *query;
    k = *key;
    v = *value;
    if (bias && key->rank() == 3) {
      SymExpr width = query->dims[2].extent, start(0);
      for (FailureOr<Tensor> *part : {&q, &k, &v}) {
        SymExpr extent = (**part).dims[2].extent;
        if (failed(*part = addBias(im, **part, *bias, start)))
          return failure();
        start = start + extent;
      }
    } else if (bias) {
      if (failed(q = addBias(im, *q, *bias, 0)))
        return failure();
    }
    q = splitHeads(im, *q, heads);
    if (key->rank() == 3) {
      k = splitHeads(im, *k, heads);
      v = splitHeads(im, *v, heads);
    }
  } else {
    return im.refuse("a query of rank " + Twine(query->rank()) +
                     " with keys of rank " + Twine(key ? key->rank() : 0) +
                     " and values of rank " + Twine(value ? value->rank() : 0));
  }
  if (failed(q) || failed(k) || failed(v))
    return failure();
  AttentionInputs inputs;
  inputs.q = *q;
  inputs.k = *k;
  inputs.v = *v;
  return finish(im, inputs, im.input(4), im.input(5));
}

static const OpEntry table[] = {
    {"com.microsoft", "Attention", 1, 0, importAttention,
     "no past and present, no masks of starts and ends, no do_rotary"},
    {"com.microsoft", "MultiHeadAttention", 1, 0, importMultiHeadAttention,
     "no past and present, no masks of cumulated lengths"},
};

ArrayRef<OpEntry> onnx_import::attentionContribOps() { return table; }
