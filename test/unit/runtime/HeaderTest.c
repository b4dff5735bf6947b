/*===- HeaderTest.c - The headers are C99 ---------------------------------===*
 *
 * Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===---------------------------------------------------------------------===*/

#include "joinery/runtime/joinery.h"

/* What a caller in C writes; that it compiles and links is the test. */
jn_status openFromC(const JnObject *object, jn_model **model) {
  jn_open_options options = {0};
  jn_error error;
  options.size = sizeof(options);
  return jn_model_open(object, 0, &options, model, &error);
}
