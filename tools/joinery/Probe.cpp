//===- Probe.cpp - The processor's peak -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Probe.h"
#include "tools/peak/Peak.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace joinery::tool {

/// FLOP per second of the best of several short stretches: others may use the
/// processor meanwhile.
static double measure(peak::Loop loop, std::atomic<uint32_t> &waiting) {
  waiting.fetch_sub(1);
  while (waiting.load() != 0) {
  }
  constexpr double stretch = 1e-3;
  double best = 0;
  for (int i = 0; i < 100; ++i)
    best = std::max(best, peak::rateOf(loop, stretch));
  return best;
}

double probePeak(const std::string &level, const std::string &precision,
                 uint32_t threads) {
  peak::Loop loop = peak::loopOf(level, precision);
  std::vector<double> rates(threads);
  std::vector<std::thread> team;
  std::atomic<uint32_t> waiting{threads};
  for (uint32_t i = 1; i < threads; ++i)
    team.emplace_back([&, i] { rates[i] = measure(loop, waiting); });
  rates[0] = measure(loop, waiting);
  for (std::thread &thread : team)
    thread.join();
  double total = 0;
  for (double rate : rates)
    total += rate;
  return total / 1e9;
}

} // namespace joinery::tool
