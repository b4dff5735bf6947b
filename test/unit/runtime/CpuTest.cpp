//===- CpuTest.cpp - Levels, cores, floating-point state ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sched.h>
#include <set>
#include <sstream>
#include <thread>
#include <xmmintrin.h>

using namespace joinery::runtime;

static std::set<std::string> kernelFlags() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("flags")) {
      std::istringstream words(line);
      return {std::istream_iterator<std::string>(words), {}};
    }
  return {};
}

// Tests that levels agree with what the kernel says of the processor.
TEST(Cpu, AgreesWithTheKernel) {
  std::set<std::string> flags = kernelFlags();
  auto all = [&](std::initializer_list<const char *> names) {
    for (const char *name : names)
      if (!flags.count(name))
        return false;
    return true;
  };
  bool avx2 = all({"avx2", "fma", "f16c", "bmi2"});
  bool avx512 = avx2 && all({"avx512f", "avx512bw", "avx512dq", "avx512vl"});
  EXPECT_EQ(missingFeatures("avx2").empty(), avx2) << missingFeatures("avx2");
  EXPECT_EQ(missingFeatures("avx512").empty(), avx512);
  bool pairs = avx512 && flags.count("avx512_bf16");
  EXPECT_EQ(missingFeatures("avx512_bf16").empty(), pairs);
  if (!all({"amx_tile", "amx_bf16"})) {
    EXPECT_NE(missingFeatures("amx"), "");
  }
}

TEST(Cpu, CountsCores) {
  EXPECT_GE(availableCores(), 1u);
  EXPECT_LE(availableCores(), affinityCpus().size());
}

// Tests that an affinity mask is obeyed: it is a thread's own.
TEST(Cpu, ObeysAnAffinityMask) {
  std::thread([] {
    int last = affinityCpus().back();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(affinityCpus(), std::vector<int>{last});
    EXPECT_EQ(availableCores(), 1u);
  }).join();
}

// Tests that a run's floating-point state ends with it.
TEST(Cpu, RestoresTheFloatingPointState) {
  unsigned before = _mm_getcsr();
  {
    FloatMode mode;
    EXPECT_EQ(_mm_getcsr() & 0x8040u, 0x8040u);
    volatile float tiny = 1e-38f;
    volatile float product = tiny * 0.1f;
    EXPECT_EQ(product, 0.0f);
  }
  EXPECT_EQ(_mm_getcsr(), before);
}
