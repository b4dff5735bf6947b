//===- CpuCount.cpp - How many cores the process may use ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"

#include <algorithm>
#include <sched.h>

namespace joinery::runtime {

std::vector<int> affinityCpus() {
  std::vector<int> cpus;
  // Systems may have more CPUs than cpu_set_t holds; grow until it fits.
  for (int limit = 1024; limit <= (1 << 17); limit *= 2) {
    cpu_set_t *set = CPU_ALLOC(limit);
    if (!set)
      break;
    size_t bytes = CPU_ALLOC_SIZE(limit);
    bool ok = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; ok && cpu < limit; ++cpu)
      if (CPU_ISSET_S(cpu, bytes, set))
        cpus.push_back(cpu);
    CPU_FREE(set);
    if (ok)
      break;
  }
  return cpus;
}

uint32_t availableCores(const std::string &root) {
  uint32_t cpus = uint32_t(affinityCpus().size());
  return std::max(1u, std::min(cpus, groupCores(root)));
}

} // namespace joinery::runtime
