//===- Target.cpp - What the cost model knows of a processor --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Target.h"

using namespace joinery;

plan::Target::Target(const Isa &isa) : isa(isa) {
  // Dividers take 16 lanes in two halves; polynomials are as long at any width.
  bool wide = isa.lanes > 8;
  divide = wide ? 8 : 5;
  root = wide ? 10 : 6;
  exp = 10;
  erf = 18;
  tanh = 14;
  if (isa.tiles) {
    // Server cores with a mesh: the last level is not much nearer than memory.
    fromL3 = 8;
    fromMemory = 4.5;
  }
}
