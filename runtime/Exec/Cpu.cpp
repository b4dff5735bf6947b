//===- Cpu.cpp - Instruction-set levels -----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

namespace joinery::runtime {

namespace {
enum Register { EAX, EBX, ECX, EDX };

struct Leaf {
  unsigned registers[4] = {};

  Leaf(unsigned leaf, unsigned subleaf) {
    if (__get_cpuid_max(0, nullptr) < leaf)
      return;
    unsigned last = 0, other;
    if (leaf == 7)
      __cpuid_count(7, 0, last, other, other, other);
    if (subleaf <= last)
      __cpuid_count(leaf, subleaf, registers[EAX], registers[EBX],
                    registers[ECX], registers[EDX]);
  }
  bool bit(Register reg, unsigned bit) const {
    return (registers[reg] >> bit) & 1;
  }
};

struct Feature {
  const char *name;
  unsigned leaf;
  Register reg;
  unsigned bit;
  unsigned subleaf = 0;
};
} // namespace

// From the processor vendors' CPUID tables.
static constexpr Feature kAvx2Features[] = {{"FMA", 1, ECX, 12},
                                            {"F16C", 1, ECX, 29},
                                            {"AVX2", 7, EBX, 5},
                                            {"BMI2", 7, EBX, 8}};
static constexpr Feature kAvx512Features[] = {{"AVX512F", 7, EBX, 16},
                                              {"AVX512DQ", 7, EBX, 17},
                                              {"AVX512BW", 7, EBX, 30},
                                              {"AVX512VL", 7, EBX, 31}};
static constexpr Feature kAvx512Bf16Features[] = {
    {"AVX512_BF16", 7, EAX, 5, 1}};
static constexpr Feature kAmxFeatures[] = {{"AVX512_BF16", 7, EAX, 5, 1},
                                           {"AMX_BF16", 7, EDX, 22},
                                           {"AMX_TILE", 7, EDX, 24}};

/// The register states that the system saves and restores (XCR0).
static uint64_t enabledStates() {
  if (!Leaf(1, 0).bit(ECX, 27)) // OSXSAVE
    return 0;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t(high) << 32) | low;
}

/// AMX state is off in every process until it asks for it.
static bool requestTiles() {
  constexpr int kRequestPermission = 0x1023; // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  static const bool granted =
      ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

std::string_view baseLevel(std::string_view level) {
  return level == "amx" || level == "avx512_bf16" ? "avx512" : "";
}

std::string missingFeatures(std::string_view level) {
  std::string missing;
  auto need = [&](const auto &features) {
    for (const Feature &feature : features)
      if (!Leaf(feature.leaf, feature.subleaf).bit(feature.reg, feature.bit))
        missing += (missing.empty() ? "" : " ") + std::string(feature.name);
  };
  uint64_t states = 0x6; // SSE, AVX
  need(kAvx2Features);
  if (level != "avx2") {
    need(kAvx512Features);
    states |= 0xe0; // mask registers, upper halves, upper registers
  }
  if (level == "avx512_bf16")
    need(kAvx512Bf16Features);
  if (level == "amx") {
    need(kAmxFeatures);
    states |= 0x60000; // tile configuration and data
  }
  if (!missing.empty())
    return missing;
  if ((enabledStates() & states) != states)
    return "the operating system's support for its registers";
  if (level == "amx" && !requestTiles())
    return "the kernel's permission to use tile registers";
  return "";
}

static constexpr unsigned kRunMode = 0x1f80 /* masked, to nearest */ |
                                     0x8000 /* flush to zero */ |
                                     0x0040 /* denormals are zero */;

FloatMode::FloatMode() : saved(_mm_getcsr()) { set(); }
FloatMode::~FloatMode() { _mm_setcsr(saved); }
void FloatMode::set() { _mm_setcsr(kRunMode); }

} // namespace joinery::runtime
