//===- Peak.cpp - Multiply-adds on registers alone ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/peak/Peak.h"

#include <chrono>
#include <cstring>
#include <immintrin.h>

using namespace joinery;

// Independent sums, enough to hide a latency of four cycles (six for pairs) on two
// units, and operands that alternate, so that sums never settle. AVX2 has 16
// registers for all of them.
static constexpr int kSums = 12, kOperands = 2;

namespace {
/// The same pseudorandom numbers in (-1, 1) in every run: f32, and pairs of bf16.
struct Data {
  alignas(64) float values[64][16];
  alignas(64) uint32_t pairs[64][16];
  Data() {
    uint32_t state = 1, before = 0;
    for (int i = 0; i < 64; ++i)
      for (int lane = 0; lane < 16; ++lane) {
        state = state * 1664525 + 1013904223;
        float value = float(int32_t(state)) / 2147483648.0f;
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        values[i][lane] = value;
        pairs[i][lane] = (bits & 0xffff0000) | before >> 16;
        before = bits;
      }
  }
};
} // namespace

static const Data &data() {
  static const Data all;
  return all;
}

/// What a loop computes must go somewhere, or the compiler drops the loop.
static volatile float sink;

__attribute__((target("avx2,fma"))) static double loopAvx2(int64_t rounds) {
  __m256 sums[kSums], x[kOperands], y[kOperands];
  for (int i = 0; i < kSums; ++i)
    sums[i] = _mm256_load_ps(data().values[i]);
  for (int i = 0; i < kOperands; ++i) {
    x[i] = _mm256_load_ps(data().values[kSums + i]);
    y[i] = _mm256_load_ps(data().values[kSums + kOperands + i]);
  }
  for (int64_t round = 0; round < rounds; round += kOperands)
    for (int i = 0; i < kOperands; ++i)
      for (int sum = 0; sum < kSums; ++sum)
        sums[sum] = _mm256_fmadd_ps(sums[sum], x[(sum + i) % kOperands], y[i]);
  float total = 0;
  for (__m256 &sum : sums)
    total += _mm256_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 8 * 2;
}

__attribute__((target("avx512f"))) static double loopAvx512(int64_t rounds) {
  __m512 sums[kSums], x[kOperands], y[kOperands];
  for (int i = 0; i < kSums; ++i)
    sums[i] = _mm512_load_ps(data().values[i]);
  for (int i = 0; i < kOperands; ++i) {
    x[i] = _mm512_load_ps(data().values[kSums + i]);
    y[i] = _mm512_load_ps(data().values[kSums + kOperands + i]);
  }
  for (int64_t round = 0; round < rounds; round += kOperands)
    for (int i = 0; i < kOperands; ++i)
      for (int sum = 0; sum < kSums; ++sum)
        sums[sum] = _mm512_fmadd_ps(sums[sum], x[(sum + i) % kOperands], y[i]);
  float total = 0;
  for (__m512 &sum : sums)
    total += _mm512_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 16 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static double
loopPairs(int64_t rounds) {
  __m512 sums[kSums];
  __m512bh x[kOperands], y[kOperands];
  for (__m512 &sum : sums)
    sum = _mm512_setzero_ps();
  for (int i = 0; i < kOperands; ++i) {
    x[i] = __m512bh(_mm512_load_si512(data().pairs[i]));
    y[i] = __m512bh(_mm512_load_si512(data().pairs[kOperands + i]));
  }
  for (int64_t round = 0; round < rounds; round += kOperands)
    for (int i = 0; i < kOperands; ++i)
      for (int sum = 0; sum < kSums; ++sum)
        sums[sum] = _mm512_dpbf16_ps(sums[sum], x[(sum + i) % kOperands], y[i]);
  float total = 0;
  for (__m512 &sum : sums)
    total += _mm512_cvtss_f32(sum);
  sink = total;
  return double(rounds) * kSums * 32 * 2;
}

__attribute__((target("amx-tile,amx-bf16"))) static double
loopTiles(int64_t rounds) {
  // Palette 1: eight tiles of 16 rows of 64 bytes.
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
  _tile_loadd(4, data().pairs[0], 64);
  _tile_loadd(5, data().pairs[16], 64);
  _tile_loadd(6, data().pairs[32], 64);
  _tile_loadd(7, data().pairs[48], 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return double(rounds) * 4 * 16 * 16 * 32 * 2;
}

/// Of f32, which takes six products of terms (see SplitTerms.h).
static double loopTermTiles(int64_t rounds) { return loopTiles(rounds) / 6; }

peak::Loop peak::loopOf(const std::string &level,
                        const std::string &precision) {
  bool pairs = precision == "bf16";
  return level == "avx2"                   ? loopAvx2
         : level == "amx"                  ? pairs ? loopTiles : loopTermTiles
         : level == "avx512_bf16" && pairs ? loopPairs
                                           : loopAvx512;
}

double peak::rateOf(Loop loop, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t rounds = 2048;
  double operations = 0, passed;
  Clock::time_point start = Clock::now();
  do {
    operations += loop(rounds);
    passed = std::chrono::duration<double>(Clock::now() - start).count();
  } while (passed < seconds);
  return operations / passed;
}

peak::Loop peak::widestF32() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    return loopAvx512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
             ? loopAvx2
             : nullptr;
}
