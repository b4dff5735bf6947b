//===- CpuLimit.cpp - The CPU limit of control groups ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Whatever is missing or cannot be read counts as no limit.
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace joinery::runtime {

namespace {
constexpr uint32_t kUnlimited = UINT32_MAX;

/// The mount of a hierarchy: what of it is mounted, and where.
struct Mount {
  std::string top;
  std::string at;
};

/// The cores that a quota and a period in microseconds come to, rounded up.
uint32_t cores(const std::string &quotaText, const std::string &periodText) {
  auto read = [](const std::string &text, uint64_t &value) {
    const char *end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && rest == end && value > 0;
  };
  // "max" in version 2 and "-1" in version 1 are no numbers here.
  uint64_t quota, period;
  if (!read(quotaText, quota) || !read(periodText, period))
    return kUnlimited;
  return uint32_t(
      std::min<uint64_t>(quota / period + (quota % period != 0), kUnlimited));
}

uint32_t limitV1(const std::string &directory) {
  std::string quota, period;
  std::ifstream(directory + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(directory + "/cpu.cfs_period_us") >> period;
  return cores(quota, period);
}

/// cpu.max: "<quota|max> <period>".
uint32_t limitV2(const std::string &directory) {
  std::string quota, period;
  std::ifstream(directory + "/cpu.max") >> quota >> period;
  return cores(quota, period);
}

bool hasWord(const std::string &list, const std::string &word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

/// Paths in mountinfo have spaces and the like as three octal digits.
std::string unescape(const std::string &text) {
  auto octal = [&](size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '7';
  };
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || !octal(i + 1) || !octal(i + 2) || !octal(i + 3)) {
      result += text[i];
      continue;
    }
    result += char((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                   (text[i + 3] - '0'));
    i += 3;
  }
  return result;
}

/// Where the hierarchy of version 2 or, in version 1, the one with the CPU
/// controller is mounted. Without such a line: where systems have it.
std::vector<Mount> findMounts(const std::string &root, bool v2) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  // "id parent device top at options [optional...] - type source options"
  for (std::string line; std::getline(file, line);) {
    size_t dash = line.find(" - ");
    if (dash == std::string::npos)
      continue;
    std::istringstream left(line), right(line.substr(dash + 3));
    std::string skip, type, source, options;
    Mount mount;
    left >> skip >> skip >> skip >> mount.top >> mount.at;
    right >> type >> source >> options;
    if (v2 ? type == "cgroup2" : type == "cgroup" && hasWord(options, "cpu"))
      mounts.push_back({unescape(mount.top), unescape(mount.at)});
  }
  if (mounts.empty())
    mounts.push_back({"/", v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu"});
  return mounts;
}

/// The least limit from a group up to the top of the mount: a parent's counts
/// too. In a container only the container's own group may be mounted, so that
/// its path does not exist below the mount; the top there is that group.
uint32_t leastLimit(const std::string &root, const Mount &mount,
                    std::string group, uint32_t (*read)(const std::string &)) {
  if (mount.top != "/") {
    bool below =
        group.starts_with(mount.top) &&
        (group.size() == mount.top.size() || group[mount.top.size()] == '/');
    group = below ? group.substr(mount.top.size()) : "";
  }
  std::string top = root + mount.at;
  uint32_t limit = read(top);
  while (!group.empty() && group != "/") {
    limit = std::min(limit, read(top + group));
    size_t slash = group.rfind('/');
    group.resize(slash == std::string::npos ? 0 : slash);
  }
  return limit;
}
} // namespace

uint32_t groupCores(const std::string &root) {
  uint32_t limit = kUnlimited;
  std::ifstream groups(root + "/proc/self/cgroup");
  // Lines of "<hierarchy>:<controllers>:<path>"; version 2 has no controllers.
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos)
      continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    bool v2 = controllers.empty();
    if (!v2 && !hasWord(controllers, "cpu"))
      continue;
    for (const Mount &mount : findMounts(root, v2))
      limit = std::min(limit, leastLimit(root, mount, line.substr(second + 1),
                                         v2 ? limitV2 : limitV1));
  }
  return limit;
}

} // namespace joinery::runtime
