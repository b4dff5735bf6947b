//===- KernelBench.cpp - Measures the generated contractions --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every sample is a slice of about a millisecond, whole panels, between two
// probes of this core's peak. It is clean if both probes are within a tenth of
// the best probe of all: medians are of clean samples. All shapes are visited
// in turn, round after round. Weights rotate through more memory than the
// caches hold.
//
//   joinery-kernel-bench [--isa NAME] [--precision f32|bf16] [--rounds N]
//                        [--kc N] [--m N] [--filter KxN]
//
// In bf16 the kernel is the level's own: it multiplies pairs where the level can
// (the peak is then that of products of pairs), else it decodes the panel. On tiles
// it is the one that serves depths which are no whole steps, not the blocks that a
// contraction's kernel is made of (TileContraction.cpp).
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/Isa.h"
#include "joinery/CodeGen/MicroKernel.h"
#include "test/unit/codegen/CompiledModule.h"
#include "test/unit/codegen/TileEmulator.h"
#include "tools/peak/Peak.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>
#include <random>
#include <sys/mman.h>

using namespace joinery;

namespace {

using Gemm = void(const float *, int64_t, const float *, int64_t, float *,
                  int64_t, int64_t, int64_t, bool, const float *);

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Two random bf16 in the bits of a float.
float randomPair(std::mt19937 &random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  float values[2] = {uniform(random), uniform(random)}, pair;
  uint32_t bits[2];
  std::memcpy(bits, values, sizeof(bits));
  bits[0] = bits[0] >> 16 | (bits[1] & 0xffff0000);
  std::memcpy(&pair, bits, sizeof(pair));
  return pair;
}

struct Weights {
  Weights(size_t bytes, bool pairs) : floats(bytes / sizeof(float)) {
    // As a store lies in memory, where its file system has huge pages.
    constexpr size_t hugePage = size_t(2) << 20;
    void *memory = mmap(nullptr, bytes + hugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      abort();
    data = reinterpret_cast<float *>(
        (reinterpret_cast<uintptr_t>(memory) + hugePage - 1) & ~(hugePage - 1));
    madvise(data, bytes, MADV_HUGEPAGE);
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < floats; i += 1 << 16) {
      size_t count = std::min<size_t>(1 << 16, floats - i);
      if (i == 0)
        for (size_t j = 0; j < count; ++j)
          data[j] = pairs ? randomPair(random) : uniform(random);
      else
        std::memcpy(data + i, data, count * sizeof(float));
    }
  }
  /// The next `count` floats, further on every time.
  const float *take(size_t count) {
    if (at + count > floats)
      at = 0;
    const float *result = data + at;
    at += count;
    return result;
  }
  /// Bytes per second of one sequential pass.
  double readProbe() {
    constexpr size_t count = 4 << 20;
    const float *from = take(count);
    __m128 sums[4] = {};
    double start = now();
    for (size_t i = 0; i < count / 4; i += 16)
      for (int stream = 0; stream < 4; ++stream)
        sums[stream] = _mm_add_ps(
            sums[stream], _mm_loadu_ps(from + stream * (count / 4) + i));
    double seconds = now() - start;
    for (auto &sum : sums)
      asm volatile("" ::"x"(sum));
    return count * sizeof(float) / seconds;
  }

  float *data;
  size_t floats, at = 0;
};

/// One contraction after another, with other weights each time. In bf16, k and
/// kc count lanes of a panel.
class Contraction {
public:
  Contraction(int64_t m, int64_t k, int64_t n, int64_t kc, Operands operands)
      : m(m), k(k), n(n), kc(kc), operands(operands) {}

  int64_t laneDepth() const {
    return operands == Operands::F32 ? 1 : kPairDepth;
  }

  /// Runs panels for about a millisecond; returns operations per second.
  double slice(Gemm *gemm, Weights &weights, const float *a, float *c) {
    constexpr double enough = 0.8e-3;
    double flops = 0, seconds = 0, start = now();
    while (seconds < enough) {
      flops += step(gemm, weights, a, c);
      seconds = now() - start;
    }
    return flops / seconds;
  }

  int64_t m, k, n, kc;
  Operands operands;
  struct Sample {
    double rate, probe;
  };
  std::vector<Sample> samples;

private:
  double step(Gemm *gemm, Weights &weights, const float *a, float *c) {
    int64_t panels = n / kPanelWidth;
    if (!b)
      b = weights.take(k * n);
    int64_t depth = std::min(kc, k - k0);
    const float *from = b + (panel * k + k0) * kPanelWidth;
    // Elements of A in a lane's worth of steps.
    int64_t step = operands == Operands::DecodedPairs ? kPairDepth : 1;
    const float *rows = a + k0 * step;
    float *to = c + panel * kPanelWidth;
    bool accumulate = k0 > 0;
    if (++panel == panels) {
      panel = 0;
      k0 += kc;
      if (k0 >= k) {
        k0 = 0;
        b = weights.take(k * n);
      }
    }
    gemm(rows, k * step + 16, from, kPanelWidth, to, n, m, depth * step,
         accumulate, b + (panel * k + k0) * kPanelWidth);
    return 2.0 * m * depth * laneDepth() * kPanelWidth;
  }

  const float *b = nullptr;
  int64_t panel = 0, k0 = 0;
};

} // namespace

int main(int argc, char **argv) {
  std::string level = "avx512", filter, precision = "f32";
  int rounds = 20;
  int64_t onlyKc = 0, onlyM = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i];
    if (flag == "--isa")
      level = argv[i + 1];
    else if (flag == "--rounds")
      rounds = atoi(argv[i + 1]);
    else if (flag == "--kc")
      onlyKc = atoi(argv[i + 1]);
    else if (flag == "--m")
      onlyM = atoi(argv[i + 1]);
    else if (flag == "--precision")
      precision = argv[i + 1];
    else if (flag == "--filter")
      filter = argv[i + 1];
  }
  const Isa *isa = findIsa(level);
  if (!isa || !test::canRun(*isa) || (isa->tiles && !test::hasTiles())) {
    fprintf(stderr, "this machine has no level '%s'\n", level.c_str());
    return 2;
  }
  auto context = test::makeContext();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(context.get()));
  auto operands = precision == "bf16" ? pairOperands(*isa) : Operands::F32;
  auto func = getOrCreateGemm(*module, *isa, kPanelWidth, operands);
  func.setPublic();
  std::string name = func.getName().str();
  test::CompiledModule compiled(*module, {name});
  auto *gemm = compiled.get<Gemm>(name);
  if (!gemm) {
    fprintf(stderr, "%s\n", compiled.error().c_str());
    return 3;
  }

  std::vector<Contraction> shapes;
  const int64_t sizes[][2] = {{768, 768},  {768, 2304}, {768, 3072},
                              {3072, 768}, {384, 384},  {384, 1536}};
  for (auto [k, n] : sizes)
    for (int64_t m : {1, 2, 4, 8, 16, 64, 128, 384}) {
      std::string text = std::to_string(k) + "x" + std::to_string(n);
      if ((onlyM && m != onlyM) || (!filter.empty() && text != filter))
        continue;
      std::vector<int64_t> slices = {k};
      if (k > 768)
        slices = {256, 384, 512, 768, 1024, 1536, 3072};
      if (onlyKc)
        slices = {std::min(onlyKc, k)};
      int64_t depth = operands == Operands::F32 ? 1 : kPairDepth;
      for (int64_t kc : slices)
        shapes.emplace_back(m, k / depth, n, kc / depth, operands);
    }

  Weights weights(size_t(320) << 20, operands != Operands::F32);
  peak::Loop loop = peak::loopOf(level, precision);
  auto probe = [&] { return peak::rateOf(loop, 1.5e-4); };
  // Scratch is 64-byte aligned in a run as well.
  constexpr size_t most = 384 * (3072 + 16);
  auto *a = static_cast<float *>(std::aligned_alloc(64, most * sizeof(float)));
  auto *c = static_cast<float *>(std::aligned_alloc(64, most * sizeof(float)));
  if (!a || !c)
    return 3;
  std::memset(c, 0, most * sizeof(float));
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (size_t i = 0; i < most; ++i)
    a[i] = operands == Operands::Pairs ? randomPair(random) : uniform(random);
  double peak = 0, bandwidth = 0;
  for (int round = 0; round < rounds; ++round) {
    bandwidth = std::max(bandwidth, weights.readProbe());
    for (Contraction &s : shapes) {
      double before = probe();
      double rate = s.slice(gemm, weights, a, c);
      double after = probe();
      s.samples.push_back({rate, std::min(before, after)});
      peak = std::max({peak, before, after});
    }
  }
  printf("%s, %s: peak %.0f GF/s, sequential read %.1f GB/s, %d rounds\n",
         level.c_str(), precision.c_str(), peak / 1e9, bandwidth / 1e9, rounds);
  printf("%5s %10s %5s %9s %7s %7s %6s %9s\n", "M", "KxN", "kc", "best GF/s",
         "best %", "med. %", "clean", "best GB/s");
  for (Contraction &s : shapes) {
    double best = 0;
    std::vector<double> clean;
    for (auto [rate, probe] : s.samples) {
      best = std::max(best, rate);
      if (probe > 0.9 * peak)
        clean.push_back(rate);
    }
    std::sort(clean.begin(), clean.end());
    double median = clean.empty() ? 0 : clean[clean.size() / 2];
    printf("%5ld %5ldx%-4ld %5ld %9.1f %7.1f %7.1f %6zu %9.1f\n", s.m,
           s.k * s.laneDepth(), s.n, s.kc * s.laneDepth(), best / 1e9, 100 * best / peak, 100 * median / peak,
           clean.size(), best / (2.0 * s.m) * (4.0 / s.laneDepth()) / 1e9);
  }
  std::free(a);
  std::free(c);
  return 0;
}
