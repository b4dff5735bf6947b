//===- TileLevel.h - Tiles without AVX-512 ----------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_CODEGEN_TILELEVEL_H
#define JOINERY_TEST_UNIT_CODEGEN_TILELEVEL_H

#include "joinery/CodeGen/Isa.h"

namespace joinery::test {

/// The tiles of `amx` among code of `avx2`: what TileEmulator lets any machine
/// run that Joinery runs on.
inline Isa tilesOnAvx2(const char *name) {
  Isa isa = *findIsa("amx"), narrow = *findIsa("avx2");
  isa.name = name;
  isa.lanes = narrow.lanes;
  isa.registers = narrow.registers;
  isa.mr = narrow.mr;
  isa.nr = narrow.nr;
  isa.cpu = narrow.cpu;
  isa.features = "+amx-tile,+amx-bf16";
  isa.roundsBF16 = false;
  isa.base = "";
  return isa;
}

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_CODEGEN_TILELEVEL_H
