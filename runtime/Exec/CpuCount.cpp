//===- CpuCount.cpp - How many cores the process may use ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sched.h>
#include <sstream>

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

static constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// cpu.max of version 2: "<quota|max> <period>".
static double readLimitV2(const std::string &directory) {
  std::ifstream file(directory + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0)
    return kUnlimited;
  double value = 0;
  return std::istringstream(quota) >> value ? value / period : kUnlimited;
}

static double readLimitV1(const std::string &directory) {
  std::ifstream quotaFile(directory + "/cpu.cfs_quota_us");
  std::ifstream periodFile(directory + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quotaFile >> quota) || !(periodFile >> period) || quota <= 0 ||
      period <= 0)
    return kUnlimited;
  return quota / period;
}

/// The least limit from a group up to its root: a parent's limit counts too.
/// In a container the group's path may not exist below the mount; the root
/// there is the container's own group.
static double leastLimit(const std::string &mount, std::string group,
                         double (*read)(const std::string &)) {
  double limit = read(mount);
  while (!group.empty() && group != "/") {
    limit = std::min(limit, read(mount + group));
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
  return limit;
}

static double groupLimit() {
  double limit = kUnlimited;
  std::ifstream groups("/proc/self/cgroup");
  // Lines of "<hierarchy>:<controllers>:<path>"; version 2 has no controllers.
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos)
      continue;
    std::string controllers =
        "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      limit = std::min(limit, leastLimit("/sys/fs/cgroup", path, readLimitV2));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      limit =
          std::min(limit, leastLimit("/sys/fs/cgroup/cpu", path, readLimitV1));
    }
  }
  return limit;
}

uint32_t availableCores() {
  size_t cpus = std::max<size_t>(1, affinityCpus().size());
  double limit = std::ceil(groupLimit());
  if (limit < double(cpus))
    cpus = size_t(std::max(1.0, limit));
  return uint32_t(cpus);
}

} // namespace joinery::runtime
