//===- Alternatives.h - What a plan did not choose --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PIPELINES_ALTERNATIVES_H
#define JOINERY_LIB_PIPELINES_ALTERNATIVES_H

#include "dialects/Pipe/Pipe.h"
#include "joinery/CodeGen/Isa.h"
#include "llvm/Support/raw_ostream.h"

namespace joinery {

/// Prints what the plan chose from for the kernel, each with its cost relative
/// to the cheapest: the widths of a contraction's panels, and its blocks (rows
/// x slice of k) at the level.
void printAlternatives(pipe::KernelOp kernel, const Isa &level,
                       const std::string &indent, llvm::raw_ostream &os);

} // namespace joinery

#endif
