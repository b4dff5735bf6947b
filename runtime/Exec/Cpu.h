//===- Cpu.h - Instruction-set levels and cores -----------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_CPU_H
#define JOINERY_EXEC_CPU_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::runtime {

/// The levels, best first.
inline constexpr std::string_view kLevels[] = {"amx", "avx512_bf16", "avx512",
                                               "avx2"};

/// The level whose code serves where the object has none for `level`, or "":
/// levels that only multiply bf16 differ from it in those products.
std::string_view baseLevel(std::string_view level);

/// What this processor and system lack for the level: "" if nothing, else
/// feature names ("AVX512F AVX512VL"), or a sentence about the system. For
/// "amx" it asks the kernel for the tile registers, once per process.
std::string missingFeatures(std::string_view level);

/// The CPUs of the calling thread's affinity mask.
std::vector<int> affinityCpus();

/// The least CPU limit of the process's control groups and their parents,
/// rounded up to cores; UINT32_MAX if there is none. Versions 1 and 2. The
/// files are read below `root`: tests have trees of their own.
uint32_t groupCores(const std::string &root = "");

/// The size of the affinity mask or the CPU limit of the control group rounded
/// up, whichever is less. At least 1.
uint32_t availableCores(const std::string &root = "");

/// Sets round-to-nearest, flush-to-zero and denormals-are-zero, with all
/// exceptions masked, and restores the caller's state when destroyed.
class FloatMode {
public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode &) = delete;
  FloatMode &operator=(const FloatMode &) = delete;

  /// For threads that run nothing but kernels.
  static void set();

private:
  unsigned saved;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_CPU_H
