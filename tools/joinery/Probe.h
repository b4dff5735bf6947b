//===- Probe.h - The processor's peak ---------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TOOL_PROBE_H
#define JOINERY_TOOL_PROBE_H

#include <cstdint>
#include <string>

namespace joinery::tool {

/// GFLOP/s that `threads` threads reach together with nothing but the level's
/// multiply-adds on registers (see peak::loopOf). Takes about 0.1 s. The
/// processor must have the level.
double probePeak(const std::string &level, const std::string &precision,
                 uint32_t threads);

} // namespace joinery::tool

#endif // JOINERY_TOOL_PROBE_H
