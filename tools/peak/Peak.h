//===- Peak.h - Multiply-adds on registers alone ----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOLS_PEAK_PEAK_H
#define JOINERY_TOOLS_PEAK_PEAK_H

#include <cstdint>
#include <string>

namespace joinery::peak {

/// Runs `rounds` rounds, an even number, of independent multiply-adds on random
/// data and returns the floating-point operations that were done. A round takes 6
/// to 64 cycles.
using Loop = double (*)(int64_t rounds);

/// The loop of an instruction-set level (see docs/add-an-instruction-set.md): f32
/// FMA, pairs of bf16 for avx512_bf16 with bf16, tiles of bf16 for amx, of which f32
/// takes six for one. The processor must have the level.
Loop loopOf(const std::string &level, const std::string &precision);

/// Operations per second of a loop that runs for about so long.
double rateOf(Loop loop, double seconds);

/// The widest f32 FMA that this processor has; null if it has none.
Loop widestF32();

} // namespace joinery::peak

#endif // JOINERY_TOOLS_PEAK_PEAK_H
