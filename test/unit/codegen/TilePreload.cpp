//===- TilePreload.cpp - The emulator for a whole process -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For LD_PRELOAD. Says at the end how many instructions it did, so that a test
// can tell that there were any.
//
//===----------------------------------------------------------------------===//

#include "TileEmulator.h"
#include <cstdio>

namespace {
struct Preload {
  joinery::test::TileEmulator emulator;
  ~Preload() {
    std::fprintf(stderr, "tiles: %s, %llu instructions emulated\n",
                 joinery::test::hasTiles() ? "native" : "emulated",
                 (unsigned long long)joinery::test::TileEmulator::emulated());
  }
} preload;
} // namespace
