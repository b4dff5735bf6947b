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

static void parallelFromC(void *data, jn_job_fn job, void *argument,
                          uint32_t count) {
  uint32_t i;
  (void)data;
  for (i = 0; i < count; ++i)
    job(argument, i);
}

jn_status lendFromC(const jn_model *model, jn_context **context) {
  jn_thread_pool pool = {0};
  jn_context_options options = {0};
  jn_error error;
  pool.size = sizeof(pool);
  pool.parallel = parallelFromC;
  pool.threads = 2;
  options.size = sizeof(options);
  options.pool = &pool;
  return jn_context_create(model, &options, context, &error);
}
