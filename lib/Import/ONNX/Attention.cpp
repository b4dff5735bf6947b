//===- Attention.cpp - Attention ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

namespace joinery::onnx_import {

FailureOr<Tensor> splitHeads(Importer &im, const Tensor &x,
                             const SymExpr &heads) {
  auto count = heads.asConst();
  auto width = x.dims[2].extent.exactDiv(heads);
  if (!width || (count && *count <= 0))
    return im.refuse(heads.str() + " heads do not divide " +
                     x.dims[2].extent.str());
  auto split = splitDim(im, x, 2, {heads, *width}, {"n", "d"});
  if (failed(split))
    return failure();
  return permuteDims(im, *split, {0, 2, 1, 3});
}

FailureOr<Tensor> additiveMask(Importer &im, const Tensor &mask, int onnxType,
                               double otherwise) {
  Type type = im.elementType(onnxType);
  return mapUnary(im, mask, onnxType, [&](Element m) {
    Element kept = m.type().isInteger(1) ? m : less(m.constant(0), m);
    return kept.select(m.constant(type, 0), m.constant(type, otherwise));
  });
}

/// 0 where t <= s, else -inf.
static FailureOr<Tensor> causalMask(Importer &im, const SymExpr &s,
                                    const SymExpr &t, int onnxType) {
  Tensor row = insertUnitDim(im, keyOf(im, s, "s"), 1);
  Tensor column = keyOf(im, t, "t");
  auto kept = mapBinary(im, column, row, Bool, lessEqual);
  if (failed(kept))
    return failure();
  return additiveMask(im, *kept, onnxType, -INFINITY);
}

FailureOr<Tensor> attend(Importer &im, const AttentionInputs &inputs) {
  int type = inputs.q.onnxType;
  if (inputs.k.onnxType != type || inputs.v.onnxType != type)
    return im.refuse("queries, keys and values have different types");
  const SymExpr heads = inputs.q.dims[1].extent,
                groups = inputs.k.dims[1].extent;
  auto members = heads.exactDiv(groups);
  if (!members)
    return im.refuse(groups.str() + " heads of keys do not divide " +
                     heads.str() + " of queries");
  auto width = inputs.q.dims[3].extent.asConst();
  double scale = inputs.scale;
  if (scale == 0) {
    if (!width)
      return im.refuse("the heads' width is not known at compile time");
    scale = 1 / std::sqrt(double(*width));
  }

  // Labels; the heads of q are the digits (group, member).
  enum { B, G, M, S, T, D, E };
  auto q = splitDim(im, inputs.q, 1, {groups, *members}, {"n", "m"});
  if (failed(q))
    return failure();
  auto scores = product(im, *q, {B, G, M, S, D}, &inputs.k, {B, G, T, D},
                        {B, G, M, S, T});
  if (failed(scores))
    return failure();
  scores = mergeDims(im, *scores, 1);
  scores = mapUnary(im, *scores, type, [&](Element x) {
    x = x * scale;
    if (inputs.softcap > 0)
      x = inputs.softcap * tanh(x / inputs.softcap);
    return x;
  });
  SmallVector<Tensor, 3> biases = inputs.biases;
  if (inputs.causal) {
    auto mask =
        causalMask(im, inputs.q.dims[2].extent, inputs.k.dims[2].extent, type);
    if (failed(mask))
      return failure();
    biases.push_back(*mask);
  }
  for (const Tensor &bias : biases) {
    if (failed(scores))
      return failure();
    scores = mapBinary(im, *scores, bias, type,
                       [](Element x, Element b) { return x + b; });
  }
  if (failed(scores))
    return failure();
  auto weights = softmax(im, *scores, {3}, false);
  if (succeeded(weights) && inputs.emptyRowsAreZero)
    weights = mapUnary(im, *weights, type, [](Element x) {
      Element isNaN =
          x.op<arith::CmpFOp>(arith::CmpFPredicate::UNO, x.value, x.value);
      return isNaN.select(x.constant(0), x);
    });
  if (failed(weights))
    return failure();
  weights = splitDim(im, *weights, 1, {groups, *members}, {"n", "m"});
  if (failed(weights))
    return failure();
  auto context = product(im, *weights, {B, G, M, S, T}, &inputs.v, {B, G, T, E},
                         {B, S, G, M, E});
  if (failed(context))
    return failure();
  return mergeDims(im, *context, 2);
}

} // namespace joinery::onnx_import

static LogicalResult importAttention(Importer &im) {
  const Node &node = im.node();
  if (failed(refuseInputs(
          im, {{4, "past_key"}, {5, "past_value"}, {6, "nonpad_kv_seqlen"}})) ||
      failed(refuseOutputs(
          im,
          {{1, "present_key"}, {2, "present_value"}, {3, "qk_matmul_output"}})))
    return failure();
  for (StringRef name : {"left_window_size", "right_window_size"})
    if (node.getInt(name, -1) != -1)
      return im.refuse(name + " is not supported");
  const Tensor *q = requiredFloat(im, 0), *k = requiredFloat(im, 1),
               *v = requiredFloat(im, 2);
  if (!q || !k || !v)
    return failure();
  bool merged = q->rank() == 3;
  if ((!merged && q->rank() != 4) || k->rank() != q->rank() ||
      v->rank() != q->rank())
    return im.refuse("operands of ranks " + Twine(q->rank()) + ", " +
                     Twine(k->rank()) + " and " + Twine(v->rank()));
  FailureOr<Tensor> heads[] = {*q, *k, *v};
  if (merged) {
    int64_t counts[] = {node.getInt("q_num_heads", 0),
                        node.getInt("kv_num_heads", 0)};
    if (counts[0] <= 0 || counts[1] <= 0)
      return im.refuse("operands of rank 3 need q_num_heads and kv_num_heads");
    for (unsigned i = 0; i < 3; ++i)
      if (failed(heads[i] = splitHeads(im, *heads[i], counts[i > 0])))
        return failure();
  }
  AttentionInputs inputs;
  inputs.q = *heads[0];
  inputs.k = *heads[1];
  inputs.v = *heads[2];
  inputs.scale = node.getFloat("scale", 0);
  inputs.softcap = node.getFloat("softcap", 0);
  inputs.causal = node.getInt("is_causal", 0);
  if (const Tensor *mask = im.input(3)) {
    FailureOr<Tensor> bias = *mask;
    if (mask->onnxType == Bool)
      bias = additiveMask(im, *mask, q->onnxType, -INFINITY);
    else
      bias = castTensor(im, *mask, q->onnxType);
    if (failed(bias))
      return failure();
    inputs.biases.push_back(*bias);
    inputs.emptyRowsAreZero = true;
  }
  auto context = attend(im, inputs);
  if (failed(context))
    return failure();
  im.setOutput(0, merged ? mergeDims(im, *context, 2)
                         : permuteDims(im, *context, {0, 2, 1, 3}));
  return success();
}

static const OpEntry attentionTable[] = {
    {"", "Attention", 23, 0, importAttention,
     "no past and present keys and values, no output qk_matmul_output, no "
     "nonpad_kv_seqlen, no windows"},
};

ArrayRef<OpEntry> onnx_import::attentionOps() {
  static const std::vector<OpEntry> table =
      concat({attentionTable, attentionContribOps(), rotaryOps()});
  return table;
}
