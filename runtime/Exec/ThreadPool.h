//===- ThreadPool.h - The process's worker threads --------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One pool per process. A run leases workers for its whole duration and hands
// them jobs through a word per worker that they spin on; after a short while
// without a job they sleep on it. Runs at the same time share what workers
// there are: one that gets none does all its tasks itself.
//
// A team of a lent pool has no workers: the pool's owner runs its jobs.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_THREADPOOL_H
#define JOINERY_EXEC_THREADPOOL_H

#include "joinery/runtime/joinery.h"

#include <atomic>
#include <cstdint>

namespace joinery::runtime {

struct Worker;

/// Announces that up to `workers` more threads may be used at a time, and makes
/// them. The pool never exceeds the sum of what is announced, nor the larger of
/// the largest announcement and the cores that there are. Threads that cannot
/// be made are done without. Release what was announced with the same number.
void reserveWorkers(uint32_t workers);
void releaseWorkers(uint32_t workers);

/// The caller and the workers it leased, or the threads of a lent pool.
/// Allocates nothing.
class Team {
public:
  using Job = void (*)(void *data, uint32_t worker, uint32_t threads);

  /// Leases up to `threads` - 1 workers.
  explicit Team(uint32_t threads);
  /// As many jobs at a time on a pool of the caller's, which must outlive the
  /// team. Touches no worker.
  Team(uint32_t threads, const jn_thread_pool &pool)
      : lent(&pool), threads(threads) {}
  ~Team();
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  /// The caller is one of them.
  uint32_t size() const { return threads; }
  /// May its threads spin while they wait for each other?
  bool isPatient() const { return patient; }

  /// Calls `job` for workers 0 to `count` - 1, in the kernels' floating-point
  /// state, and returns when all have returned. `count` is at most size().
  /// Number 0 is on this thread; of a lent pool all are wherever it runs them.
  void run(Job job, void *data, uint32_t count);

private:
  friend struct Worker;
  void placeWorkers();
  void runLent(Job job, void *data, uint32_t count) const;
  void wait();

  const jn_thread_pool *lent = nullptr;
  Worker *first = nullptr;
  uint32_t threads = 1;
  bool patient = true;
  uint32_t jobThreads = 0;
  Job job = nullptr;
  void *jobData = nullptr;
  /// Workers that have not finished; the top bit says that the caller sleeps.
  alignas(64) std::atomic<uint32_t> pending{0};
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_THREADPOOL_H
