//===- Pipe.h - Fused pipelines ---------------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_DIALECTS_PIPE_PIPE_H
#define JOINERY_DIALECTS_PIPE_PIPE_H

#include "dialects/Rel/Rel.h"

#include "dialects/Pipe/PipeDialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/Pipe/PipeOps.h.inc"

#endif // JOINERY_DIALECTS_PIPE_PIPE_H
