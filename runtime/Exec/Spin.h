//===- Spin.h - Waiting that is over soon -----------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_SPIN_H
#define JOINERY_EXEC_SPIN_H

#include <cstdint>
#include <ctime>
#include <immintrin.h>

namespace joinery::runtime {

/// How long a thread spins for the next job, or for the others to finish,
/// before it sleeps. Steps of one run follow each other faster than that.
constexpr int64_t kSpinNs = 200'000;

inline int64_t monotonicNs() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// Spins until `done()` or for kSpinNs; says whether it was done. A team with
/// more threads than cores is not patient: a spinning thread would keep the one
/// that it waits for from running.
template <typename Done> bool spin(Done done, bool patient) {
  if (!patient)
    return done();
  int64_t start = 0;
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (done())
        return true;
      _mm_pause();
    }
    int64_t time = monotonicNs();
    if (start == 0)
      start = time;
    else if (time - start > kSpinNs)
      return false;
  }
}

} // namespace joinery::runtime

#endif // JOINERY_EXEC_SPIN_H
