/*===- probe.c - How fast this machine multiplies and adds just now ------===*
 *
 * Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===---------------------------------------------------------------------===*
 *
 * Reads lines "THREADS MICROSECONDS" and answers each with the GFLOP/s that so
 * many threads reached together, on registers alone, in about that time. The
 * benchmark brackets every slice with such probes: on a shared machine they
 * tell a slow program from a slow moment.
 *
 *===---------------------------------------------------------------------===*/

#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Enough chains to hide a latency of four cycles on two units. */
enum { CHAINS = 12, STEPS = 512, MOST_THREADS = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each kernel returns the floating-point operations of one call. */
__attribute__((target("avx512f"), noinline)) static double
multiply_add_avx512(float *sink) {
  __m512 sum[CHAINS];
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int c = 0; c < CHAINS; ++c)
    sum[c] = _mm512_set1_ps((float)c);
  for (int s = 0; s < STEPS; ++s) {
#pragma clang loop unroll(full)
    for (int c = 0; c < CHAINS; ++c) {
      sum[c] = _mm512_fmadd_ps(sum[c], a, b);
      /* Keeps the chains in registers, and in the loop. */
      __asm__ volatile("" : "+v"(sum[c]));
    }
  }
  for (int c = 1; c < CHAINS; ++c)
    sum[0] = _mm512_add_ps(sum[0], sum[c]);
  _mm512_storeu_ps(sink, sum[0]);
  return 2.0 * 16 * CHAINS * STEPS;
}

__attribute__((target("avx2,fma"), noinline)) static double
multiply_add_avx2(float *sink) {
  __m256 sum[CHAINS];
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int c = 0; c < CHAINS; ++c)
    sum[c] = _mm256_set1_ps((float)c);
  for (int s = 0; s < STEPS; ++s) {
#pragma clang loop unroll(full)
    for (int c = 0; c < CHAINS; ++c) {
      sum[c] = _mm256_fmadd_ps(sum[c], a, b);
      __asm__ volatile("" : "+x"(sum[c]));
    }
  }
  for (int c = 1; c < CHAINS; ++c)
    sum[0] = _mm256_add_ps(sum[0], sum[c]);
  _mm256_storeu_ps(sink, sum[0]);
  return 2.0 * 8 * CHAINS * STEPS;
}

static double (*multiply_add)(float *);

typedef struct Probe {
  pthread_t thread;
  double seconds, gflops;
} Probe;

static void *run_probe(void *argument) {
  Probe *probe = argument;
  float sink[16];
  double operations = 0, start = now(), end;
  do {
    for (int i = 0; i < 8; ++i)
      operations += multiply_add(sink);
    end = now();
  } while (end - start < probe->seconds);
  probe->gflops = operations / (end - start) * 1e-9;
  return NULL;
}

int main(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    multiply_add = multiply_add_avx512;
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    multiply_add = multiply_add_avx2;
  else {
    fprintf(stderr, "joinery-probe: this CPU lacks AVX2 and FMA\n");
    return 1;
  }
  int threads;
  long microseconds;
  while (scanf("%d %ld", &threads, &microseconds) == 2) {
    static Probe probes[MOST_THREADS];
    if (threads < 1 || threads > MOST_THREADS) {
      fprintf(stderr, "joinery-probe: between 1 and %d threads, not %d\n",
              MOST_THREADS, threads);
      return 2;
    }
    double gflops = 0;
    for (int i = 0; i < threads; ++i) {
      probes[i].seconds = 1e-6 * (double)microseconds;
      if (pthread_create(&probes[i].thread, NULL, run_probe, &probes[i]) != 0) {
        fprintf(stderr, "joinery-probe: no thread can be started\n");
        return 3;
      }
    }
    for (int i = 0; i < threads; ++i) {
      pthread_join(probes[i].thread, NULL);
      gflops += probes[i].gflops;
    }
    printf("%.3f\n", gflops);
    fflush(stdout);
  }
  return 0;
}
