//===- Attention.h - What the attention operators share ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_IMPORT_ONNX_ATTENTION_H
#define JOINERY_LIB_IMPORT_ONNX_ATTENTION_H

#include "Building.h"

namespace joinery::onnx_import {

/// softmax(cap(q k^T scale) + biases) v. The dimensions are q [B, N, S, D],
/// k [B, M, T, D] and v [B, M, T, E] where M divides N: heads of q share one of
/// k and v.
struct AttentionInputs {
  Tensor q, k, v;
  double scale = 0;   // 0: 1/sqrt(D)
  double softcap = 0; // 0: none
  /// Added to the scores [B, N, S, T] in this order.
  llvm::SmallVector<Tensor, 3> biases;
  bool causal = false;
  /// Rows without a key give zeros; otherwise what softmax makes of them.
  bool emptyRowsAreZero = false;
};
/// [B, S, N, E].
mlir::FailureOr<Tensor> attend(Importer &im, const AttentionInputs &inputs);

/// com.microsoft's Attention of x [B, S, H]: q, k and v are products with parts of
/// `weight` [H, Q+K+V], as the node's attributes say. Sets the node's output.
mlir::LogicalResult selfAttention(Importer &im, const Tensor &x,
                                  const Tensor &weight, const Tensor *bias,
                                  const Tensor *mask, const Tensor *scoreBias);

/// [B, S, N*D] as [B, N, S, D].
mlir::FailureOr<Tensor> splitHeads(Importer &im, const Tensor &x,
                                   const SymExpr &heads);
/// `mask` as summands of scores: 0 where it holds, else `otherwise`.
mlir::FailureOr<Tensor> additiveMask(Importer &im, const Tensor &mask,
                                     int onnxType, double otherwise);

} // namespace joinery::onnx_import

#endif // JOINERY_LIB_IMPORT_ONNX_ATTENTION_H
