//===- Bench.cpp - joinery bench ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Commands.h"
#include "tools/joinery/Probe.h"
#include "tools/joinery/Trace.h"
#include "tools/peak/Peak.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace joinery::tool {

using Clock = std::chrono::steady_clock;

static double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

namespace {
struct Result {
  /// Seconds per run, ascending.
  std::vector<double> times;
  double load = 0;
  double peakGflops = 0;
  /// Seconds of some runs times FLOP/s of a probe that followed at once, on one
  /// thread: under load a core's clock is not what it is in a burst.
  std::vector<double> besides;
  int64_t tokens = 0;
  uint64_t workspaceBytes = 0;
  uint32_t threads = 0;
  Trace trace;

  /// Nearest rank: a time that was measured, never one between.
  double quantile(double q) const {
    auto rank = size_t(std::ceil(q * double(times.size())));
    return times[std::clamp<size_t>(rank, 1, times.size()) - 1];
  }
  double median() const { return quantile(0.5); }
  /// Of the peak beside a run; 0 where there was no probe.
  double shareOfPeak() const {
    double flops = trace.total(&Trace::Step::flops);
    return besides.empty() ? 0 : flops / besides[besides.size() / 2];
  }
};
} // namespace

/// Runs for `seconds` after warming up for a tenth of that, at least five
/// times.
static Status measure(const Context &context, double seconds, peak::Loop probe,
                      const std::vector<DLTensor> &in,
                      std::vector<DLTensor> &out, Result &result) {
  constexpr double probeEvery = 20e-3, probeFor = 0.2e-3;
  std::vector<double> &times = result.times;
  Clock::time_point start = Clock::now();
  for (int i = 0; i < 2 || secondsSince(start) < seconds / 10; ++i)
    JN_TRY(runOnce(context, in, out));
  times.reserve(1 << 16);
  start = Clock::now();
  Clock::time_point probed = start;
  while (times.size() < 5 || secondsSince(start) < seconds) {
    Clock::time_point begin = Clock::now();
    JN_TRY(runOnce(context, in, out));
    times.push_back(secondsSince(begin));
    if (result.threads == 1 && secondsSince(probed) > probeEvery) {
      result.besides.push_back(times.back() * peak::rateOf(probe, probeFor));
      probed = Clock::now();
    }
  }
  std::sort(times.begin(), times.end());
  std::sort(result.besides.begin(), result.besides.end());
  return {};
}

static Status bench(const BenchOptions &options, Model &model, Result &result) {
  const SessionOptions &session = options.session;
  Clock::time_point start = Clock::now();
  JN_TRY(openModel(session, model));
  Context context = noContext();
  JN_TRY(makeContext(model, session.threads, context));
  result.load = secondsSince(start);

  std::vector<Array> inputs, outputs;
  if (session.inputsFile.empty() && session.inputFiles.empty())
    JN_TRY(generateInputs(model, options.generate, inputs));
  else
    JN_TRY(readInputs(model, session, inputs));
  std::vector<DLTensor> in = views(inputs);
  JN_TRY(makeOutputs(model, in, outputs));
  // Getting the workspace is part of getting ready; making inputs is not.
  start = Clock::now();
  JN_TRY(reserve(context, in));
  result.load += secondsSince(start);
  result.threads = jn_context_threads(context.get());
  result.workspaceBytes = jn_context_workspace_bytes(context.get());
  result.tokens = countTokens(model, inputs);

  std::vector<DLTensor> out = views(outputs);
  peak::Loop probe = peak::loopOf(jn_model_isa(model.get()),
                                  jn_model_precision(model.get()));
  JN_TRY(measure(context, options.seconds, probe, in, out, result));

  // Apart from what is timed: looking at the clock costs time, too.
  JN_TRY(result.trace.attach(context));
  constexpr int64_t kTraced = 3;
  for (int64_t i = 0; i < kTraced; ++i)
    JN_TRY(runOnce(context, in, out));
  result.trace.detach(context);
  result.trace.average(kTraced);
  result.peakGflops =
      probePeak(jn_model_isa(model.get()), jn_model_precision(model.get()),
                result.threads);
  return {};
}

static uint64_t peakRss() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return uint64_t(usage.ru_maxrss) * 1024;
}

static void printJson(const BenchOptions &options, const Model &model,
                      const Result &result) {
  nlohmann::ordered_json json;
  json["model"] = jn_model_name(model.get());
  json["best_s"] = result.times.front();
  json["median_s"] = result.median();
  json["p95_s"] = result.quantile(0.95);
  json["p99_s"] = result.quantile(0.99);
  json["iterations"] = result.times.size();
  json["tokens"] = result.tokens;
  json["tokens_per_s"] = double(result.tokens) / result.median();
  // Counted in runs of their own, as the runtime's trace says.
  double flops = result.trace.total(&Trace::Step::flops);
  json["flops"] = flops;
  json["read_bytes"] = result.trace.total(&Trace::Step::readBytes);
  json["written_bytes"] = result.trace.total(&Trace::Step::writtenBytes);
  json["gflops"] = flops / result.median() / 1e9;
  json["peak_gflops"] = result.peakGflops;
  if (result.shareOfPeak() > 0)
    json["share_of_peak"] = result.shareOfPeak();
  json["load_s"] = result.load;
  json["rss_bytes"] = peakRss();
  json["workspace_bytes"] = result.workspaceBytes;
  json["store_bytes"] = jn_model_store_bytes(model.get());
  json["isa"] = jn_model_isa(model.get());
  json["precision"] = jn_model_precision(model.get());
  json["threads"] = result.threads;
  if (options.session.trace)
    for (const Trace::Step &step : result.trace.steps())
      json["steps"].push_back({{"name", step.name},
                               {"s", step.ns / 1e9},
                               {"flops", step.flops},
                               {"read_bytes", step.readBytes},
                               {"written_bytes", step.writtenBytes},
                               {"store_bytes", step.storeBytes},
                               {"tasks", step.tasks},
                               {"threads", step.threads}});
  // Names come from files: whatever is no UTF-8 is replaced, not thrown at us.
  std::printf("%s\n", json.dump(-1, ' ', false,
                                nlohmann::json::error_handler_t::replace)
                          .c_str());
}

static void printText(const BenchOptions &options, const Model &model,
                      const Result &result) {
  double gflops =
      result.trace.total(&Trace::Step::flops) / result.median() / 1e9;
  std::printf("%s: %s, %s, %u threads, %lld tokens\n",
              jn_model_name(model.get()), jn_model_precision(model.get()),
              jn_model_isa(model.get()), result.threads,
              (long long)result.tokens);
  std::printf("  time      best %.3f ms, median %.3f ms, p95 %.3f ms, p99 "
              "%.3f ms of %zu runs\n",
              1e3 * result.times.front(), 1e3 * result.median(),
              1e3 * result.quantile(0.95), 1e3 * result.quantile(0.99),
              result.times.size());
  std::printf("  rate      %.0f tokens/s, %.1f GFLOP/s, peak %.1f GFLOP/s",
              double(result.tokens) / result.median(), gflops,
              result.peakGflops);
  if (result.shareOfPeak() > 0)
    std::printf(", %.0f %% of that beside it", 100 * result.shareOfPeak());
  std::printf("\n");
  std::printf("  memory    %.1f MiB at most, workspace %.1f MiB, store %.1f "
              "MiB\n",
              double(peakRss()) / 0x1p20,
              double(result.workspaceBytes) / 0x1p20,
              double(jn_model_store_bytes(model.get())) / 0x1p20);
  std::printf("  load      %.1f ms\n", 1e3 * result.load);
  if (options.session.trace)
    result.trace.print(stdout);
}

int benchCommand(const BenchOptions &options) {
  Model model = noModel();
  Result result;
  if (Status status = bench(options, model, result); !status.ok())
    return fail(status);
  if (options.json)
    printJson(options, model, result);
  else
    printText(options, model, result);
  return Done;
}

} // namespace joinery::tool
