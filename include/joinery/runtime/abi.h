//===- abi.h - What a generated object and the runtime agree on -*- C -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A generated object holds data and kernels, no control flow of its own: a
// program (a FlatBuffer, see runtime/Schema/program.fbs) that the runtime
// executes step by step, and one table of kernels per instruction-set level.
// Everything in this file is part of the ABI: a change needs a new number.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_RUNTIME_ABI_H
#define JOINERY_RUNTIME_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The ABI that this header describes. A runtime opens objects of this number
/// and of the one before it.
/// ABI 3 may do a step in phases; kernels of ABI 2 have none.
#define JN_ABI_VERSION 3u
#define JN_ABI_OLDEST 2u
/// "JNOB", little-endian: the first field of every object descriptor.
#define JN_OBJECT_MAGIC 0x424f4e4au

/// The violated obligation with the least position that a kernel met, of those
/// at one position the one with the least check. `check` is an index into the
/// program's checks, or -1 when there was none.
typedef struct JnFault {
  int64_t check;
  /// The offending value (the bits of an f32 if the check is one of a mask) and
  /// its number in the array that it was read from.
  int64_t value;
  int64_t position;
} JnFault;

/// What a kernel did beside what follows from the extents: kernels whose work
/// depends on values add to it.
typedef struct JnCounters {
  /// Multiplications and additions of contractions.
  int64_t flops;
  /// Bytes read of operands.
  int64_t bytes;
} JnCounters;

/// How many counters of 8 bytes the memory that a step's workers share begins
/// with. They are zero when the step begins.
#define JN_SHARED_COUNTERS 128u

/// What a call is to do. A program says which kernels have phases, and how many
/// tasks each of them has. One worker does all at once; several may do the phases
/// one after the other: all calls of a phase have returned, and what they wrote
/// is there, before the next begins.
enum {
  JN_PHASE_ALL = 0,
  JN_PHASE_PREPARE = 1, /* what all of the kernel's tasks would do anew */
  JN_PHASE_MAIN = 2,    /* the kernel's tasks, but that */
  JN_PHASE_FINISH = 3,  /* what needs the results of all tasks */
};

/// The arguments of one kernel call: tasks [begin, end) of one phase of a step.
/// The calls of a phase have each task once, in any order and on any of the
/// step's workers.
typedef struct JnKernelCall {
  /// One pointer per operand of the step, in the step's order, each at least
  /// 64-byte aligned unless it is a model input or output.
  void *const *buffers;
  /// The values of the program's symbols (extents, in elements).
  const int64_t *symbols;
  int64_t begin;
  int64_t end;
  /// This worker's scratch memory: the step's scratch bytes, 64-byte aligned.
  void *scratch;
  /// Written for violated obligations only.
  JnFault *fault;
  /// This worker's.
  JnCounters *counters;
  /// Memory that all workers of the step share: its counters, then the step's
  /// shared bytes, 64-byte aligned. Kernels that need none have none.
  void *shared;
  /// The most workers that take part in the step.
  int64_t workers;
  /// A JN_PHASE_.
  int64_t phase;
} JnKernelCall;

typedef void (*JnKernel)(const JnKernelCall *call);

/// The kernels of one instruction-set level ("avx2", "avx512", "avx512_bf16",
/// "amx"), indexed by the program's Step.kernel.
typedef struct JnLevel {
  const char *name;
  const JnKernel *kernels;
  uint64_t kernel_count;
} JnLevel;

/// What a generated object exports, as `<name>_joinery_object`.
typedef struct JnObject {
  uint32_t magic;
  uint32_t abi;
  /// sizeof(JnObject) where the object was made.
  uint64_t size;
  const char *name;
  const uint8_t *program;
  uint64_t program_size;
  const JnLevel *levels;
  uint64_t level_count;
} JnObject;

#ifdef __cplusplus
}
#endif

#endif // JOINERY_RUNTIME_ABI_H
