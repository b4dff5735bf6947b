//===- Probe.cpp - The processor's peak -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <immintrin.h>
#include <thread>
#include <vector>

namespace joinery::tool {

namespace {
/// Runs `rounds` rounds and returns the floating-point operations that were
/// done.
using Loop = double (*)(int64_t rounds);

/// What a loop computes must go somewhere, or the compiler drops the loop.
volatile float sink;
} // namespace

// Twelve independent sums hide a latency of four cycles on two units.
static constexpr int kSums = 12;

__attribute__((target("avx2,fma"))) static double loopAvx2(int64_t rounds) {
  __m256 sums[kSums];
  __m256 factor = _mm256_set1_ps(sink * 0 + 0.999f);
  for (__m256 &sum : sums)
    sum = factor;
  for (int64_t i = 0; i < rounds; ++i)
    for (__m256 &sum : sums)
      sum = _mm256_fmadd_ps(sum, factor, factor);
  float total = 0;
  for (__m256 &sum : sums)
    total += _mm256_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 8 * 2;
}

__attribute__((target("avx512f"))) static double loopAvx512(int64_t rounds) {
  __m512 sums[kSums];
  __m512 factor = _mm512_set1_ps(sink * 0 + 0.999f);
  for (__m512 &sum : sums)
    sum = factor;
  for (int64_t i = 0; i < rounds; ++i)
    for (__m512 &sum : sums)
      sum = _mm512_fmadd_ps(sum, factor, factor);
  float total = 0;
  for (__m512 &sum : sums)
    total += _mm512_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 16 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static double
loopAvx512Bf16(int64_t rounds) {
  __m512 sums[kSums];
  auto factor = __m512bh(_mm512_set1_ps(sink * 0 + 0.999f));
  for (__m512 &sum : sums)
    sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < rounds; ++i)
    for (__m512 &sum : sums)
      sum = _mm512_dpbf16_ps(sum, factor, factor);
  float total = 0;
  for (__m512 &sum : sums)
    total += _mm512_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 32 * 2;
}

__attribute__((target("amx-tile,amx-bf16"))) static double
loopAmxBf16(int64_t rounds) {
  // Palette 1: eight tiles of 16 rows of 64 bytes.
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return double(rounds) * 4 * 16 * 16 * 32 * 2;
}

/// FLOP per second of the best of several short stretches: others may use the
/// processor meanwhile.
static double measure(Loop loop, std::atomic<uint32_t> &waiting) {
  using Clock = std::chrono::steady_clock;
  waiting.fetch_sub(1);
  while (waiting.load() != 0) {
  }
  double best = 0;
  for (Clock::time_point start = Clock::now(), now = start;
       now - start < std::chrono::milliseconds(100);) {
    Clock::time_point begin = now;
    double flops = loop(200'000);
    now = Clock::now();
    best = std::max(best,
                    flops / std::chrono::duration<double>(now - begin).count());
  }
  return best;
}

double probePeak(const std::string &level, const std::string &precision,
                 uint32_t threads) {
  Loop loop = level == "avx2"                         ? loopAvx2
              : level == "amx" && precision == "bf16" ? loopAmxBf16
              : level == "avx512_bf16"                ? loopAvx512Bf16
                                                      : loopAvx512;
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
