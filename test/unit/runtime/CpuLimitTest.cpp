//===- CpuLimitTest.cpp - Limits of control groups ------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Cpu.h"
#include "test/unit/runtime/TestModel.h"

#include <filesystem>
#include <gtest/gtest.h>

using joinery::runtime::affinityCpus;
using joinery::runtime::availableCores;
using joinery::runtime::groupCores;
using namespace joinery::test;

namespace {
/// A tree that stands for "/", with the process in a group.
class CpuLimit : public testing::Test {
protected:
  void file(const std::string &path, const std::string &text) {
    std::filesystem::path whole = dir / path;
    std::filesystem::create_directories(whole.parent_path());
    writeFile(whole, text);
  }
  void group(const std::string &lines) { file("proc/self/cgroup", lines); }
  void mounts(const std::string &lines) { file("proc/self/mountinfo", lines); }
  void v2(const std::string &group, const std::string &limit) {
    file("sys/fs/cgroup" + group + "/cpu.max", limit);
  }
  void v1(const std::string &group, const std::string &quota,
          const std::string &period = "100000\n") {
    file("sys/fs/cgroup/cpu" + group + "/cpu.cfs_quota_us", quota);
    file("sys/fs/cgroup/cpu" + group + "/cpu.cfs_period_us", period);
  }
  uint32_t cores() { return groupCores(root); }

  static constexpr uint32_t kNone = UINT32_MAX;
  TempDir dir;
  std::string root = dir / "";
};
} // namespace

TEST_F(CpuLimit, IsNoneWithoutFiles) {
  EXPECT_EQ(cores(), kNone);
  EXPECT_EQ(availableCores(root), affinityCpus().size());
  group("0::/service\n");
  EXPECT_EQ(cores(), kNone);
  group("4:cpu,cpuacct:/service\n");
  EXPECT_EQ(cores(), kNone);
}

// Tests that fractions are rounded up and that "max" is no limit.
TEST_F(CpuLimit, ReadsVersion2) {
  group("0::/service\n");
  for (auto [text, want] : {std::pair{"100000 100000\n", 1u},
                            {"50000 100000\n", 1u},
                            {"1000 1000000\n", 1u},
                            {"100001 100000\n", 2u},
                            {"150000 100000\n", 2u},
                            {"300000 100000\n", 3u},
                            {"30000 10000\n", 3u},
                            {"6400000 100000", 64u},
                            {"max 100000\n", kNone}}) {
    v2("/service", text);
    EXPECT_EQ(cores(), want) << text;
  }
}

TEST_F(CpuLimit, ReadsVersion1) {
  for (const char *line : {"4:cpu:/service\n", "4:cpu,cpuacct:/service\n",
                           "4:cpuacct,cpu:/service\n"}) {
    group(line);
    for (auto [quota, want] : {std::pair{"200000\n", 2u},
                               {"200001\n", 3u},
                               {"1000\n", 1u},
                               {"-1\n", kNone}}) {
      v1("/service", quota);
      EXPECT_EQ(cores(), want) << line << quota;
    }
  }
  // Other controllers' groups have no say, nor has cpuset the CPU's limit.
  group("4:cpuset:/service\n3:cpuacct:/service\n1:name=systemd:/service\n");
  v1("/service", "100000\n");
  EXPECT_EQ(cores(), kNone);
}

// Tests that a parent's limit counts, whichever is least.
TEST_F(CpuLimit, IsTheLeastOfAllParents) {
  group("0::/a/b/c\n");
  v2("/a", "800000 100000\n");
  v2("/a/b", "max 100000\n");
  v2("/a/b/c", "max 100000\n");
  EXPECT_EQ(cores(), 8u);
  v2("/a/b", "250000 100000\n");
  EXPECT_EQ(cores(), 3u);
  v2("/a/b/c", "400000 100000\n");
  EXPECT_EQ(cores(), 3u);
  v2("/a/b/c", "100000 100000\n");
  EXPECT_EQ(cores(), 1u);
  // Another group's limit does not.
  group("0::/a/other\n");
  EXPECT_EQ(cores(), 8u);

  group("2:cpu:/x/y\n");
  v1("/x", "200000\n");
  v1("/x/y", "-1\n");
  EXPECT_EQ(cores(), 2u);
  v1("", "100000\n");
  EXPECT_EQ(cores(), 1u);
}

// Tests that hierarchies of both versions at once are both looked at.
TEST_F(CpuLimit, TakesBothVersions) {
  group("2:cpu:/x\n0::/x\n");
  v1("/x", "500000\n");
  v2("/x", "300000 100000\n");
  EXPECT_EQ(cores(), 3u);
  v1("/x", "200000\n");
  EXPECT_EQ(cores(), 2u);
}

// Tests that what is no limit is taken for none, and no file for an error.
TEST_F(CpuLimit, IgnoresGarbage) {
  group("0::/service\n");
  for (const char *text :
       {"", "\n", "max", "max max\n", "100000\n", "100000 0\n", "0 100000\n",
        "-100000 100000\n", "100000 -1\n", "1e5 1e5\n", "12abc 100000\n",
        "nan 100000\n", "99999999999999999999999 100000\n", "\xff\xfe \1\n"}) {
    v2("/service", text);
    EXPECT_EQ(cores(), kNone) << text;
  }
  v2("/service", "18446744073709551615 1\n");
  EXPECT_EQ(cores(), kNone);
  // A quota without its period, and the other way round.
  group("2:cpu:/service\n");
  file("sys/fs/cgroup/cpu/service/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(cores(), kNone);
  v1("/service", "what\n");
  EXPECT_EQ(cores(), kNone);
  v2("/service", "100000 100000\n");
  for (const char *lines :
       {"", "\n\n", "0:\n", ":::\n", "no colon", "0:/service\n"}) {
    group(lines);
    EXPECT_EQ(cores(), kNone) << lines;
  }
  // A broken line does not hide the next.
  group("nothing\n0::/service\n");
  EXPECT_EQ(cores(), 1u);
  // A group that was removed: its parents are still there.
  v2("", "200000 100000\n");
  group("0::/service/gone (deleted)\n");
  EXPECT_EQ(cores(), 1u);
  group("0::/elsewhere\n");
  EXPECT_EQ(cores(), 2u);
  // A file in the place of a folder, and the other way round.
  file("sys/fs/cgroup/flat", "");
  group("0::/flat\n");
  EXPECT_EQ(cores(), 2u);
  std::filesystem::create_directories(dir / "sys/fs/cgroup/odd/cpu.max");
  group("0::/odd\n");
  EXPECT_EQ(cores(), 2u);
}

// Tests that hierarchies are found where they are mounted.
TEST_F(CpuLimit, FollowsMounts) {
  file("groups v1/in/cpu.cfs_quota_us", "300000\n");
  file("groups v1/in/cpu.cfs_period_us", "100000\n");
  file("unified/in/cpu.max", "200000 100000\n");
  mounts("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
         "32 31 0:29 / /groups\\040v1 rw,relatime shared:9 - cgroup cgroup "
         "rw,cpu,cpuacct\n"
         "33 31 0:30 / /unified rw master:3 propagate_from:2 - cgroup2 none "
         "rw\n"
         "34 31 0:31 / /sets rw - cgroup cgroup rw,cpuset\n"
         "garbage\n - \n");
  group("5:cpu,cpuacct:/in\n");
  EXPECT_EQ(cores(), 3u);
  group("5:cpu,cpuacct:/in\n0::/in\n");
  EXPECT_EQ(cores(), 2u);
  group("3:cpuset:/in\n");
  EXPECT_EQ(cores(), kNone);
}

// Tests that in a container the container's group counts, and groups below it.
TEST_F(CpuLimit, IsFoundInContainers) {
  // The group's path is the host's, only the container's part is mounted.
  mounts("40 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup "
         "rw,cpu\n");
  v1("", "400000\n");
  group("5:cpu:/docker/abc\n");
  EXPECT_EQ(cores(), 4u);
  v1("/job", "200000\n");
  group("5:cpu:/docker/abc/job\n");
  EXPECT_EQ(cores(), 2u);
  group("5:cpu:/docker/abcdef/job\n");
  EXPECT_EQ(cores(), 4u);
  // The same without mountinfo.
  std::filesystem::remove(dir / "proc/self/mountinfo");
  group("5:cpu:/docker/abc\n");
  EXPECT_EQ(cores(), 4u);
  // A namespace of groups: the container's own group is the root.
  v2("", "150000 100000\n");
  group("0::/\n");
  EXPECT_EQ(cores(), 2u);
  mounts("40 31 0:29 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(cores(), 2u);
}

// Tests that the limit is what a run gets, but not more than the mask.
TEST_F(CpuLimit, BoundsTheCores) {
  group("0::/\n");
  v2("", "50000 100000\n");
  EXPECT_EQ(availableCores(root), 1u);
  v2("", "100000000 100000\n");
  EXPECT_EQ(availableCores(root), affinityCpus().size());
}
