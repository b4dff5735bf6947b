/*===- embed.c - One embedding, from C ------------------------------------===*
 *
 * Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===---------------------------------------------------------------------===*
 *
 * usage: embed TOKEN...
 *
 * Prints the sentence embedding of the tokens, a value a line. The model is a
 * small one with random weights, so only the way to it is of interest.
 *
 *===---------------------------------------------------------------------===*/

#include "encoder.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_TOKENS = 64, WIDTH = 36 };

static DLTensor view(void *data, DLDataTypeCode code, int bits, int64_t *shape) {
  DLTensor tensor = {0};
  tensor.data = data;
  tensor.device.device_type = kDLCPU;
  tensor.ndim = 2;
  tensor.dtype.code = (uint8_t)code;
  tensor.dtype.bits = (uint8_t)bits;
  tensor.dtype.lanes = 1;
  tensor.shape = shape;
  return tensor;
}

int main(int argc, char **argv) {
  int64_t ids[MOST_TOKENS], mask[MOST_TOKENS], types[MOST_TOKENS] = {0};
  const int count = argc - 1;
  if (count < 1 || count > MOST_TOKENS) {
    fprintf(stderr, "usage: embed TOKEN... (1 to %d of them)\n", MOST_TOKENS);
    return 2;
  }
  for (int i = 0; i < count; ++i) {
    ids[i] = atoll(argv[i + 1]);
    mask[i] = 1;
  }

  jn_error error;
  encoder_model *model = NULL;
  encoder_context *context = NULL;
  if (encoder_open(ENCODER_STORE, &model, &error) != JN_OK ||
      encoder_context_create(model, 1, &context, &error) != JN_OK) {
    fprintf(stderr, "embed: %s\n", error.message);
    encoder_close(model);
    return 1;
  }

  int64_t shape[2] = {1, count}, out_shape[2] = {1, WIDTH};
  float embedding[WIDTH];
  DLTensor ids_view = view(ids, kDLInt, 64, shape);
  DLTensor mask_view = view(mask, kDLInt, 64, shape);
  DLTensor types_view = view(types, kDLInt, 64, shape);
  DLTensor out_view = view(embedding, kDLFloat, 32, out_shape);
  encoder_inputs inputs = {0};
  inputs.input_ids = &ids_view;
  inputs.attention_mask = &mask_view;
  inputs.token_type_ids = &types_view;
  encoder_outputs outputs = {0};
  outputs.sentence_embedding = &out_view;

  jn_status status = encoder_run(context, &inputs, &outputs, &error);
  if (status == JN_OK) {
    for (int i = 0; i < WIDTH; ++i)
      printf("%.6f\n", embedding[i]);
  } else {
    fprintf(stderr, "embed: %s\n", error.message);
  }
  encoder_context_destroy(context);
  encoder_close(model);
  return status == JN_OK ? 0 : 1;
}
