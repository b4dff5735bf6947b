//===- TileEmulator.h - AMX instructions on machines without --*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Code for tile registers is tested as it is: an instruction that the processor
// does not know ends in SIGILL, whose handler does its work and goes on after
// it. After the pseudocode in Intel's Software Developer's Manual, volume 2.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_CODEGEN_TILEEMULATOR_H
#define JOINERY_TEST_UNIT_CODEGEN_TILEEMULATOR_H

#include <csignal>
#include <cstdint>

namespace joinery::test {

/// Whether the processor has tiles and the system lends them.
bool hasTiles();

/// While it lives, tile instructions work on every thread: those that are
/// generated code's (loads, stores, zero, tdpbf16ps, configuration). Shapes and
/// configurations that a processor would reject end the process.
class TileEmulator {
public:
  /// Does nothing if hasTiles().
  TileEmulator();
  ~TileEmulator();
  TileEmulator(const TileEmulator &) = delete;
  TileEmulator &operator=(const TileEmulator &) = delete;

  /// Instructions that were emulated in this process so far.
  static uint64_t emulated();

private:
  bool installed = false;
  struct sigaction previous = {};
};

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_CODEGEN_TILEEMULATOR_H
