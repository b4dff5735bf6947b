//===- ThreadPool.cpp - The process's worker threads ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/ThreadPool.h"

#include "runtime/Exec/Cpu.h"
#include "runtime/Exec/Spin.h"

#include <algorithm>
#include <csignal>
#include <linux/futex.h>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace joinery::runtime {

namespace {
constexpr uint32_t kMaxWorkers = 1023;
constexpr uint32_t kCallerSleeps = 0x80000000u;

void futexWait(std::atomic<uint32_t> &word, uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futexWake(std::atomic<uint32_t> *word) {
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
} // namespace

struct alignas(128) Worker {
  /// Counts jobs: a change hands over `team`'s job.
  std::atomic<uint32_t> jobs;
  std::atomic<uint32_t> sleeps;
  /// Whether the last team that it was of is patient.
  std::atomic<bool> patient;
  Team *team;
  uint32_t index;
  /// The next free worker, or the next one of the team.
  Worker *next;
  std::atomic<pid_t> tid;
  /// The CPU that it is pinned to, or -1.
  int cpu;

  uint32_t waitForJob(uint32_t seen) {
    auto arrived = [&] { return jobs.load(std::memory_order_acquire) != seen; };
    if (!spin(arrived, patient.load(std::memory_order_relaxed))) {
      // Sequentially consistent, against post(): one of the two sees the other.
      sleeps.store(1);
      while (jobs.load() == seen)
        futexWait(jobs, seen);
      sleeps.store(0);
    }
    return jobs.load(std::memory_order_acquire);
  }

  void post(Team *newTeam) {
    team = newTeam;
    jobs.fetch_add(1);
    if (sleeps.load())
      futexWake(&jobs);
  }

  void runJob() {
    Team *current = team;
    current->job(current->jobData, index, current->jobThreads);
    // The team may be gone once the count is zero: use its address only.
    std::atomic<uint32_t> *pending = &current->pending;
    if (pending->fetch_sub(1, std::memory_order_acq_rel) == kCallerSleeps + 1)
      futexWake(pending);
  }

  static void *main(void *argument) {
    auto &self = *static_cast<Worker *>(argument);
    pthread_setname_np(pthread_self(), "joinery");
    self.tid = pid_t(::syscall(SYS_gettid));
    FloatMode::set();
    for (uint32_t seen = 0;;) {
      seen = self.waitForJob(seen);
      self.runJob();
    }
  }
};

namespace {
/// Static storage and no destructor: workers may outlive main.
struct Pool {
  std::mutex mutex;
  Worker *free = nullptr;
  uint32_t count = 0;
  uint64_t announced = 0;
  uint32_t largest = 0;
  /// The cores that may be used, once a worker is made; their CPUs if workers
  /// may be pinned.
  uint32_t cores = 0;
  uint32_t cpuCount = 0;
  int cpus[kMaxWorkers + 1] = {};
};
Pool pool;
Worker workers[kMaxWorkers];

/// A forked child has none of its parent's workers.
void forgetWorkers() {
  for (uint32_t i = 0; i < pool.count; ++i) {
    workers[i].jobs = 0;
    workers[i].sleeps = 0;
    workers[i].tid = 0;
  }
  pool.count = 0;
  pool.free = nullptr;
  pool.mutex.unlock();
}

bool makeWorker() {
  Worker &worker = workers[pool.count];
  worker.cpu = -1;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0)
    return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals are the application's: its own threads shall get them. A fault is
  // of the thread that makes it: blocked, it would pass the handler by.
  sigset_t all, old;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS})
    sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_t thread;
  bool made = pthread_create(&thread, &attributes, Worker::main, &worker) == 0;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attributes);
  if (!made)
    return false;
  worker.next = pool.free;
  pool.free = &worker;
  ++pool.count;
  return true;
}

/// The workers that there should be now. The pool must be locked.
void growPool() {
  uint64_t most = std::max(pool.largest, pool.cores ? pool.cores - 1 : 0);
  uint64_t wanted = std::min({pool.announced, most, uint64_t(kMaxWorkers)});
  while (pool.count < wanted && makeWorker()) {
  }
}
} // namespace

void reserveWorkers(uint32_t count) {
  if (count == 0)
    return;
  static const int forkHandlers = pthread_atfork(
      [] { pool.mutex.lock(); }, [] { pool.mutex.unlock(); }, forgetWorkers);
  (void)forkHandlers;
  std::vector<int> cpus = affinityCpus();
  uint32_t cores = availableCores();
  std::lock_guard lock(pool.mutex);
  pool.cores = cores;
  // Under a control group's limit the scheduler must be free to choose.
  pool.cpuCount = cpus.size() == cores && cores <= kMaxWorkers + 1 ? cores : 0;
  std::copy_n(cpus.begin(), pool.cpuCount, pool.cpus);
  pool.announced += count;
  pool.largest = std::max(pool.largest, count);
  growPool();
}

void releaseWorkers(uint32_t count) {
  if (count == 0)
    return;
  std::lock_guard lock(pool.mutex);
  pool.announced -= count;
}

Team::Team(uint32_t wanted) {
  if (wanted <= 1)
    return;
  std::lock_guard lock(pool.mutex);
  // Only a forked child has announced workers that it does not have.
  if (pool.count == 0)
    growPool();
  while (threads < wanted && pool.free) {
    Worker *worker = pool.free;
    pool.free = worker->next;
    worker->next = first;
    first = worker;
    ++threads;
  }
  // The first of the list gets number 1, so that run() can stop early.
  patient = threads <= pool.cores;
  uint32_t index = 1;
  for (Worker *worker = first; worker; worker = worker->next) {
    worker->index = index++;
    worker->patient.store(patient, std::memory_order_relaxed);
  }
  if (first)
    placeWorkers();
}

Team::~Team() {
  if (!first)
    return;
  std::lock_guard lock(pool.mutex);
  while (first) {
    Worker *worker = first;
    first = worker->next;
    worker->next = pool.free;
    pool.free = worker;
  }
}

static void pin(Worker &worker, const int *cpus, uint32_t count) {
  pid_t tid = worker.tid;
  if (tid == 0)
    return; // not running yet: next time
  cpu_set_t set;
  CPU_ZERO(&set);
  for (uint32_t i = 0; i < count; ++i)
    if (cpus[i] < CPU_SETSIZE)
      CPU_SET(cpus[i], &set);
  if (CPU_COUNT(&set) != 0 && ::sched_setaffinity(tid, sizeof(set), &set) == 0)
    worker.cpu = count == 1 ? cpus[0] : -1;
}

/// A team of all cores has each worker on a CPU of its own, other than the
/// caller's; smaller teams are left to the scheduler. The pool must be locked.
void Team::placeWorkers() {
  if (pool.cpuCount == 0 || threads != pool.cpuCount) {
    for (Worker *worker = first; worker; worker = worker->next)
      if (worker->cpu >= 0)
        pin(*worker, pool.cpus, pool.cpuCount);
    return;
  }
  int callerCpu = ::sched_getcpu();
  auto taken = [&](int cpu) {
    if (cpu == callerCpu)
      return true;
    for (Worker *worker = first; worker; worker = worker->next)
      if (worker->cpu == cpu)
        return true;
    return false;
  };
  uint32_t candidate = 0;
  for (Worker *worker = first; worker; worker = worker->next) {
    if (worker->cpu >= 0 && worker->cpu != callerCpu)
      continue;
    while (candidate < pool.cpuCount && taken(pool.cpus[candidate]))
      ++candidate;
    if (candidate == pool.cpuCount)
      return;
    pin(*worker, &pool.cpus[candidate], 1);
  }
}

namespace {
struct LentCall {
  Team::Job job;
  void *data;
  uint32_t count;

  static void run(void *argument, uint32_t index) {
    const auto &self = *static_cast<const LentCall *>(argument);
    // A pool's mistake: the caller of Team::run sees that a job is missing.
    if (index >= self.count)
      return;
    FloatMode mode;
    self.job(self.data, index, self.count);
  }
};
} // namespace

void Team::runLent(Job newJob, void *data, uint32_t count) const {
  LentCall call = {newJob, data, count};
  if (count == 1)
    LentCall::run(&call, 0);
  else
    lent->parallel(lent->data, LentCall::run, &call, count);
}

void Team::run(Job newJob, void *data, uint32_t count) {
  if (lent)
    return runLent(newJob, data, count);
  if (count > 1) {
    job = newJob;
    jobData = data;
    jobThreads = count;
    pending.store(count - 1, std::memory_order_relaxed);
    uint32_t posted = 1;
    for (Worker *worker = first; posted < count; worker = worker->next) {
      worker->post(this);
      ++posted;
    }
  }
  {
    FloatMode mode;
    newJob(data, 0, count);
  }
  if (count > 1)
    wait();
}

void Team::wait() {
  auto finished = [&] { return pending.load(std::memory_order_acquire) == 0; };
  if (spin(finished, patient))
    return;
  uint32_t left = pending.fetch_or(kCallerSleeps) | kCallerSleeps;
  while (left != kCallerSleeps) {
    futexWait(pending, left);
    left = pending.load();
  }
}

} // namespace joinery::runtime
