//===- Probe.cpp - How fast this machine multiplies and adds just now -----===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads lines "THREADS MICROSECONDS" and answers each with the GFLOP/s in f32
// that so many threads reached together, on registers alone, in about that time.
// The benchmark brackets every slice with such probes: on a shared machine they
// tell a slow program from a slow moment.
//
//===----------------------------------------------------------------------===//

#include "tools/peak/Peak.h"

#include <cstdio>
#include <thread>
#include <vector>

using namespace joinery;

int main() {
  constexpr int mostThreads = 256;
  peak::Loop loop = peak::widestF32();
  if (!loop) {
    fprintf(stderr, "joinery-probe: this CPU lacks AVX2 and FMA\n");
    return 1;
  }
  int threads;
  long microseconds;
  while (scanf("%d %ld", &threads, &microseconds) == 2) {
    if (threads < 1 || threads > mostThreads) {
      fprintf(stderr, "joinery-probe: between 1 and %d threads, not %d\n",
              mostThreads, threads);
      return 2;
    }
    std::vector<double> rates(threads);
    std::vector<std::thread> team;
    for (double &rate : rates)
      team.emplace_back(
          [&] { rate = peak::rateOf(loop, 1e-6 * double(microseconds)); });
    double total = 0;
    for (int i = 0; i < threads; ++i) {
      team[i].join();
      total += rates[i];
    }
    printf("%.3f\n", total * 1e-9);
    fflush(stdout);
  }
  return 0;
}
