//===- Tasks.h - The threads of this process --------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_RUNTIME_TASKS_H
#define JOINERY_TEST_UNIT_RUNTIME_TASKS_H

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/types.h>
#include <vector>

namespace joinery::test {

struct Task {
  pid_t id = 0;
  std::string name;

  /// The processor time that it took, in nanoseconds, or -1.
  int64_t cpuTime() const {
    // The clock of a thread, as pthread_getcpuclockid makes it.
    clockid_t clock = clockid_t((~unsigned(id) << 3) | 6u);
    timespec time;
    if (::clock_gettime(clock, &time) != 0)
      return -1;
    return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  }
};

inline std::vector<Task> tasks() {
  std::vector<Task> found;
  std::error_code error;
  for (const auto &entry :
       std::filesystem::directory_iterator("/proc/self/task", error)) {
    Task task;
    task.id = pid_t(std::stol(entry.path().filename().string()));
    std::ifstream(entry.path() / "comm") >> task.name;
    found.push_back(task);
  }
  return found;
}

/// The workers of the process's pool.
inline std::vector<Task> workerTasks() {
  std::vector<Task> found;
  for (Task &task : tasks())
    if (task.name == "joinery")
      found.push_back(task);
  return found;
}

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_RUNTIME_TASKS_H
