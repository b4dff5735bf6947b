//===- PackProgram.h - Writes a program without repetition ------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_MODEL_PACKPROGRAM_H
#define JOINERY_LIB_CODEGEN_MODEL_PACKPROGRAM_H

#include "program_generated.h"
#include <string>

namespace joinery {

/// The program as a FlatBuffer in which equal expressions, names, operand
/// lists and buffers exist once: layers and levels differ in little, and the
/// object should not grow with what they share.
std::string packProgram(const program::ProgramT &program);

} // namespace joinery

#endif
