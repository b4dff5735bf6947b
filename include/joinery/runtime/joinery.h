//===- joinery.h - Serving compiled models ----------------------*- C -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The runtime's C interface (C99 and C++).
//
// A jn_model is a compiled object with its store. Once open it is immutable and
// may be used by any number of threads. A jn_context holds one run's state: its
// workspace and its share of threads. Use a context from one thread at a time.
//
// Every function that can fail returns a jn_status and, if `error` is not null,
// leaves a sentence there. Nothing is printed, thrown or aborted.
//
// Strings returned by a query live as long as the model.
//
// Threads: the process has one pool of workers for all its models and contexts;
// a context may be given threads of the caller's instead, see jn_thread_pool.
//
// fork: a child process may go on using models and contexts of its parent, as
// long as no jn_run was in progress in the thread that called fork. The child
// starts threads of its own when it needs them.
//
// Structs that begin with their size may grow at the end. What an older
// caller's lacks counts as zero; what a newer caller asks beyond this runtime
// is refused.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_RUNTIME_JOINERY_H
#define JOINERY_RUNTIME_JOINERY_H

#include "joinery/runtime/abi.h"

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define JN_API __attribute__((visibility("default")))
#else
#define JN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum jn_status {
  JN_OK = 0,
  /// The call itself is wrong: a null pointer, a struct of unknown size, an
  /// unknown level.
  JN_INVALID_ARGUMENT = 1,
  /// An input, its shape or its values are not what the model takes.
  JN_INVALID_INPUT = 2,
  /// The compiled object or its program is malformed.
  JN_INVALID_MODEL = 3,
  /// The store is malformed, truncated or damaged.
  JN_INVALID_STORE = 4,
  /// The object is of another ABI, or the store of another build of the model.
  JN_MISMATCH = 5,
  /// The processor or the object lacks the instruction-set level, or the model
  /// what was asked of it (packed tokens).
  JN_UNSUPPORTED = 6,
  /// An output or the workspace is too small.
  JN_CAPACITY = 7,
  /// A file could not be opened, read or written.
  JN_IO = 8,
  JN_OUT_OF_MEMORY = 9,
  /// A defect of Joinery.
  JN_INTERNAL = 10
} jn_status;

/// What went wrong, in the caller's memory. Needs no initialisation; written
/// by every call that gets one. This layout never changes.
#define JN_MESSAGE_BYTES 1020
typedef struct jn_error {
  int32_t status;
  /// UTF-8, null-terminated, cut to fit.
  char message[JN_MESSAGE_BYTES];
} jn_error;

typedef struct jn_model jn_model;
typedef struct jn_context jn_context;

/// Joinery's version, as "0.1.0".
JN_API const char *jn_version(void);
/// The ABI of the objects that this runtime opens (and the one before it).
JN_API uint32_t jn_abi_version(void);
/// A status as a word: "ok", "invalid input", ...
JN_API const char *jn_status_name(jn_status status);
/// The cores that this process may use: its affinity, and the limit of its
/// control group rounded up. Never less than 1.
JN_API uint32_t jn_available_threads(void);

typedef enum jn_log_level { JN_LOG_INFO = 0, JN_LOG_WARNING = 1 } jn_log_level;
typedef void (*jn_log_fn)(void *data, jn_log_level level, const char *message);

/// What one step of a run did.
typedef struct jn_trace_step {
  /// sizeof(jn_trace_step) in the runtime.
  uint64_t size;
  uint64_t index;
  const char *name;
  /// Wall time, in nanoseconds.
  uint64_t ns;
  /// Multiplications and additions of contractions in this run: where work
  /// depends on values (keys that a mask keeps), what was done.
  int64_t flops;
  /// Bytes of inputs and of other steps' results that the step read, of its
  /// result, and of the store: each element counts once.
  int64_t read_bytes;
  int64_t written_bytes;
  int64_t store_bytes;
  int64_t tasks;
  uint32_t threads;
} jn_trace_step;

/// Called on the thread that runs, after each step. It must not use the
/// context.
typedef void (*jn_trace_fn)(void *data, const jn_trace_step *step);

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

/// Check the checksum of every block of the store while opening.
#define JN_OPEN_VERIFY 1u
/// Read the store into memory instead of mapping it: for file systems that may
/// change a file under its readers. A run refuses a mapped store that was cut
/// before it; one that is cut during a run ends the process (SIGBUS).
#define JN_OPEN_READ 2u
/// Do not ask the system to load the mapped store ahead of its use, nor to map
/// a table as a whole when a run first reads it.
#define JN_OPEN_NO_PREFETCH 4u

typedef struct jn_open_options {
  /// sizeof(jn_open_options) where the caller was compiled.
  uint64_t size;
  uint32_t flags;
  /// "avx2", "avx512", "avx512_bf16" or "amx"; null: the best that object and
  /// processor share. The environment variable JOINERY_ISA overrides it.
  const char *isa;
  jn_log_fn log;
  void *log_data;
} jn_open_options;

/// Opens a linked object with the store at `store_path` (null for a model
/// without weights). `options` may be null.
JN_API jn_status jn_model_open(const JnObject *object, const char *store_path,
                               const jn_open_options *options, jn_model **model,
                               jn_error *error);

/// Opens PREFIX.so, given PREFIX or PREFIX.so, with the store at `store_path`
/// (null: PREFIX.store). A shared object is code: open only what you trust.
JN_API jn_status jn_model_open_shared(const char *path, const char *store_path,
                                      const jn_open_options *options,
                                      jn_model **model, jn_error *error);

/// Closes a model. Its contexts stay usable: the last one frees it. Null is
/// allowed.
JN_API void jn_model_close(jn_model *model);

JN_API const char *jn_model_name(const jn_model *model);
/// The chosen level: "avx2", "avx512", "avx512_bf16" or "amx".
JN_API const char *jn_model_isa(const jn_model *model);
/// "f32", "bf16", ... as compiled.
JN_API const char *jn_model_precision(const jn_model *model);
/// The compiler that made the object.
JN_API const char *jn_model_compiler(const jn_model *model);
/// The size of the store's file, in bytes; 0 without one.
JN_API uint64_t jn_model_store_bytes(const jn_model *model);
/// The input whose ones count as tokens, or -1.
JN_API int32_t jn_model_mask_input(const jn_model *model);

typedef struct jn_dim {
  /// The extent, or -1 if it is not the same in every run.
  int64_t value;
  /// The dimension's name in the model, or "".
  const char *name;
} jn_dim;

typedef struct jn_tensor_info {
  /// Set by the caller: sizeof(jn_tensor_info).
  uint64_t size;
  const char *name;
  /// As NumPy spells it: "float32", "int64", "bool", ...
  const char *dtype_name;
  DLDataType dtype;
  int32_t rank;
  /// `rank` dimensions.
  const jn_dim *dims;
} jn_tensor_info;

JN_API uint32_t jn_model_input_count(const jn_model *model);
JN_API uint32_t jn_model_output_count(const jn_model *model);
JN_API jn_status jn_model_input(const jn_model *model, uint32_t index,
                                jn_tensor_info *info, jn_error *error);
JN_API jn_status jn_model_output(const jn_model *model, uint32_t index,
                                 jn_tensor_info *info, jn_error *error);
/// The number of the input or output with that name, or -1.
JN_API int32_t jn_model_find_input(const jn_model *model, const char *name);
JN_API int32_t jn_model_find_output(const jn_model *model, const char *name);

typedef enum jn_check_kind {
  JN_CHECK_EQUAL = 0,
  JN_CHECK_AT_MOST = 1,
  JN_CHECK_BINARY = 2,
  JN_CHECK_IN_RANGE = 3,
  JN_CHECK_NON_ZERO = 4,
  /// Of scores that the model computes, not of an input.
  JN_CHECK_MASK = 5
} jn_check_kind;

/// An obligation of the inputs that is checked in every run.
typedef struct jn_check_info {
  /// Set by the caller: sizeof(jn_check_info).
  uint64_t size;
  int32_t kind;
  /// The input it is about, or -1.
  int32_t input;
  const char *message;
  /// IN_RANGE with constant limits: values are in [low, high).
  int32_t has_range;
  int64_t low;
  int64_t high;
} jn_check_info;

JN_API uint32_t jn_model_check_count(const jn_model *model);
JN_API jn_status jn_model_check(const jn_model *model, uint32_t index,
                                jn_check_info *info, jn_error *error);

/// The shapes of all outputs for inputs of these shapes. Inputs may have null
/// data. Writes ndim and dtype of each output and, unless it is null, `shape`
/// (room for the rank that jn_model_output gives). Extents that depend on the
/// inputs' values are upper bounds.
JN_API jn_status jn_model_output_shapes(const jn_model *model,
                                        const DLTensor *inputs, size_t n_inputs,
                                        DLTensor *outputs, size_t n_outputs,
                                        jn_error *error);

/// The workspace that a run with such inputs needs on `threads` threads
/// (0: jn_available_threads()), copies of inputs that must be converted
/// included. Inputs may have null data; then they count as aligned.
JN_API jn_status jn_workspace_bytes(const jn_model *model,
                                    const DLTensor *inputs, size_t n_inputs,
                                    uint32_t threads, uint64_t *bytes,
                                    jn_error *error);

//===----------------------------------------------------------------------===//
// Contexts and runs
//===----------------------------------------------------------------------===//

/// A run may grow the library's workspace. Without it only
/// jn_context_reserve does, and a run never allocates.
#define JN_CONTEXT_GROW 1u

/// One of the jobs of a step, numbered from 0.
typedef void (*jn_job_fn)(void *argument, uint32_t index);

/// Calls job(argument, index) once for each index in [0, count) and returns
/// when all of them have returned.
///
/// On any threads, the calling one included, and in any order; no job waits
/// for another, so several may run on one thread one after the other. All
/// writes of a job must be visible to the thread that called once this
/// returns, as joining a thread or a lock makes them. A job leaves the
/// floating-point state of its thread as it was, prints nothing and throws
/// nothing; this function must not throw either.
typedef void (*jn_parallel_fn)(void *data, jn_job_fn job, void *argument,
                               uint32_t count);

/// Threads of the caller's, lent to contexts. Copied by
/// jn_context_create; what `data` points to must outlive the contexts.
typedef struct jn_thread_pool {
  /// sizeof(jn_thread_pool) where the caller was compiled.
  uint64_t size;
  /// The first argument of `parallel`.
  void *data;
  /// Called on the thread that called jn_run, once for each step of more than
  /// one job. Contexts that share a pool and run at the same time call it at
  /// the same time.
  jn_parallel_fn parallel;
  /// The most jobs of a call: as many as the pool runs at the same time.
  uint32_t threads;
} jn_thread_pool;

typedef struct jn_context_options {
  /// sizeof(jn_context_options) where the caller was compiled.
  uint64_t size;
  uint32_t flags;
  /// 0: jn_available_threads(), or all of a lent pool's. With 1 no thread is
  /// ever made. A context uses no more threads than its lent pool has: it is an
  /// error to ask for more.
  uint32_t threads;
  /// The caller's workspace, 64-byte aligned, or null for the library's own.
  void *workspace;
  uint64_t workspace_bytes;
  jn_trace_fn trace;
  void *trace_data;
  /// The threads to run on instead of the process's own workers, of which such
  /// a context neither makes nor uses any; null: the process's own. The results
  /// are the same bits.
  const jn_thread_pool *pool;
} jn_context_options;

/// Makes a context. `options` may be null.
JN_API jn_status jn_context_create(const jn_model *model,
                                   const jn_context_options *options,
                                   jn_context **context, jn_error *error);
/// Null is allowed.
JN_API void jn_context_destroy(jn_context *context);

/// Makes the workspace large enough for inputs of these shapes and types.
/// With a workspace of the caller: JN_CAPACITY if it is too small.
JN_API jn_status jn_context_reserve(jn_context *context, const DLTensor *inputs,
                                    size_t n_inputs, jn_error *error);

/// Sets or removes (null) the trace callback.
JN_API jn_status jn_context_set_trace(jn_context *context, jn_trace_fn trace,
                                      void *data, jn_error *error);

/// The size of the workspace that the context holds, in bytes.
JN_API uint64_t jn_context_workspace_bytes(const jn_context *context);
/// The most threads that a run of this context uses.
JN_API uint32_t jn_context_threads(const jn_context *context);

/// Runs the model once.
///
/// Inputs: all of the model's, in its order, on the CPU. int32 is taken where
/// the model says int64, and int64 where it says int32 if the values fit.
/// Those, and tensors that are strided or not aligned to their elements, are
/// copied.
///
/// Outputs: all of the model's, in its order, row-major, of the model's type
/// and rank. On entry the shape says how many elements there is room for; after
/// JN_OK it is the output's shape. JN_CAPACITY if there is too little room.
/// After any other status the contents of outputs are undefined.
JN_API jn_status jn_run(jn_context *context, const DLTensor *inputs,
                        size_t n_inputs, DLTensor *outputs, size_t n_outputs,
                        jn_error *error);

//===----------------------------------------------------------------------===//
// Packed tokens
//===----------------------------------------------------------------------===//
//
// A model whose mask selects rows also takes the sequences of a batch one after
// the other, without padding and without a mask. The results are the same bits
// as those of jn_run on the batch padded with zeros to its longest sequence.

/// The sequences of a batch: number i has the tokens from offsets[i] to
/// offsets[i + 1], possibly none.
typedef struct jn_packed_batch {
  /// sizeof(jn_packed_batch) where the caller was compiled.
  uint64_t size;
  uint64_t sequences;
  /// `sequences` + 1 numbers that begin with 0 and never decrease. The last is
  /// the number of tokens.
  const int64_t *offsets;
} jn_packed_batch;

/// How a tensor is given in a packed run.
typedef enum jn_packed_kind {
  /// As in jn_run: [batch, ...], or no batch at all.
  JN_PACKED_SAME = 0,
  /// [tokens, ...] instead of [batch, sequence, ...].
  JN_PACKED_TOKENS = 1,
  /// Not at all: the mask.
  JN_PACKED_LEFT_OUT = 2
} jn_packed_kind;

/// JN_OK if the model takes packed tokens, or JN_UNSUPPORTED with the input or
/// output that keeps it from it.
JN_API jn_status jn_model_packed(const jn_model *model, jn_error *error);
/// JN_PACKED_SAME for a model that takes none, and for no tensor's number.
JN_API jn_packed_kind jn_model_packed_input(const jn_model *model,
                                            uint32_t index);
JN_API jn_packed_kind jn_model_packed_output(const jn_model *model,
                                             uint32_t index);

/// As jn_model_output_shapes, jn_workspace_bytes, jn_context_reserve and
/// jn_run. Inputs: all of the model's but the mask, in its order.
JN_API jn_status jn_model_output_shapes_packed(
    const jn_model *model, const jn_packed_batch *batch, const DLTensor *inputs,
    size_t n_inputs, DLTensor *outputs, size_t n_outputs, jn_error *error);
JN_API jn_status jn_workspace_bytes_packed(const jn_model *model,
                                           const jn_packed_batch *batch,
                                           const DLTensor *inputs,
                                           size_t n_inputs, uint32_t threads,
                                           uint64_t *bytes, jn_error *error);
JN_API jn_status jn_context_reserve_packed(jn_context *context,
                                           const jn_packed_batch *batch,
                                           const DLTensor *inputs,
                                           size_t n_inputs, jn_error *error);
JN_API jn_status jn_run_packed(jn_context *context,
                               const jn_packed_batch *batch,
                               const DLTensor *inputs, size_t n_inputs,
                               DLTensor *outputs, size_t n_outputs,
                               jn_error *error);

#ifdef __cplusplus
}
#endif

#endif // JOINERY_RUNTIME_JOINERY_H
