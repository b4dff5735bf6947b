//===- Contraction.cpp - MatMul, Gemm and their fused forms ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

static LogicalResult importMatMul(Importer &im) {
  const Tensor *a = required(im, 0), *b = required(im, 1);
  if (!a || !b)
    return failure();
  if (a->onnxType != b->onnxType || !im.elementType(a->onnxType))
    return im.refuse("operands of types " + dataTypeName(a->onnxType) +
                     " and " + dataTypeName(b->onnxType));
  return setResult(im, matmul(im, *a, *b));
}

FailureOr<Tensor> onnx_import::transposed(Importer &im, const Tensor &x,
                                          StringRef attribute) {
  if (!im.node().getInt(attribute, 0))
    return x;
  if (x.rank() < 2)
    return im.refuse(attribute + " = 1 with an operand of rank " +
                     Twine(x.rank()));
  SmallVector<unsigned> order;
  for (unsigned i = 0; i < x.rank(); ++i)
    order.push_back(i);
  std::swap(order[x.rank() - 1], order[x.rank() - 2]);
  return permuteDims(im, x, order);
}

/// alpha * op(A) op(B) + beta * C.
static FailureOr<Tensor> gemm(Importer &im, const Tensor *c) {
  const Tensor *a = required(im, 0), *b = required(im, 1);
  if (!a || !b)
    return failure();
  if (a->onnxType != b->onnxType || !im.elementType(a->onnxType) ||
      (c && c->onnxType != a->onnxType))
    return im.refuse("operands of types " + dataTypeName(a->onnxType) +
                     " and " + dataTypeName(b->onnxType));
  auto left = transposed(im, *a, "transA");
  auto right = transposed(im, *b, "transB");
  if (failed(left) || failed(right))
    return failure();
  FailureOr<Tensor> product = matmul(im, *left, *right);
  if (failed(product))
    return failure();
  double alpha = im.node().getFloat("alpha", 1);
  double beta = im.node().getFloat("beta", 1);
  if (beta == 0)
    c = nullptr;
  SmallVector<const Tensor *> operands{&*product};
  if (c)
    operands.push_back(c);
  if (!c && alpha == 1)
    return product;
  return mapElements(im, operands, a->onnxType, [&](Elements v) {
    Element value = alpha == 1 ? v[0] : v[0] * alpha;
    if (c)
      value = value + (beta == 1 ? v[1] : v[1] * beta);
    return value;
  });
}

static LogicalResult importGemm(Importer &im) {
  for (unsigned i = 0; i < 2; ++i)
    if (const Tensor *x = im.input(i); x && x->rank() != 2)
      return im.refuse("an operand has rank " + Twine(x->rank()));
  const Tensor *c = im.input(2);
  if (c && c->rank() > 2)
    return im.refuse("C has rank " + Twine(c->rank()));
  return setResult(im, gemm(im, c));
}

static LogicalResult importFusedMatMul(Importer &im) {
  for (StringRef name : {"transBatchA", "transBatchB"})
    if (im.node().getInt(name, 0))
      return im.refuse(name + " = 1 is not supported");
  // A vector is not transposed.
  return setResult(im, gemm(im, nullptr));
}

static LogicalResult importFusedGemm(Importer &im) {
  std::string name = im.node().getString("activation", "");
  double slope = im.node().getFloat("activation_alpha", 0.01);
  auto known = {"", "Relu", "LeakyRelu", "Sigmoid", "Tanh"};
  if (!llvm::is_contained(known, StringRef(name)))
    return im.refuse("activation = '" + name + "' is not supported");
  auto y = gemm(im, im.input(2));
  if (failed(y) || name.empty())
    return setResult(im, std::move(y));
  return setResult(im, mapUnary(im, *y, y->onnxType, [&](Element a) {
                     if (name == "Relu")
                       return maximum(a, a.constant(0));
                     if (name == "LeakyRelu")
                       return leakyRelu(a, slope);
                     return name == "Tanh" ? tanh(a) : sigmoid(a);
                   }));
}

static const OpEntry matmulTable[] = {
    {"", "Gemm", 1, 0, importGemm, ""},
    {"", "MatMul", 1, 0, importMatMul, "no unsigned numbers"},
    {"com.microsoft", "FusedGemm", 1, 0, importFusedGemm,
     "activations Relu, LeakyRelu, Sigmoid, Tanh"},
    {"com.microsoft", "FusedMatMul", 1, 0, importFusedMatMul,
     "no transBatchA, transBatchB"},
    {"com.microsoft", "TransposeMatMul", 1, 0, importFusedMatMul, ""},
};

ArrayRef<OpEntry> onnx_import::contractionOps() {
  static const std::vector<OpEntry> table =
      concat({matmulTable, einsumOps(), convolutionOps(), fourierOps()});
  return table;
}
