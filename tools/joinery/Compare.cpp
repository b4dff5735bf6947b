//===- Compare.cpp - joinery compare --------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Compare.h"
#include "tools/joinery/Difference.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace joinery::tool {

/// The bars of --max-error between models of f32 and of --min-cosine otherwise.
static constexpr double kMaxError = 1e-4, kMinCosine = 0.9997;

CLI::App *addCompare(CLI::App &app, CompareOptions &options) {
  CLI::App *compare = app.add_subcommand(
      "compare", "Find where a model diverges from a reference");
  compare
      ->add_option("MODEL", options.models,
                   "An ONNX file, or the PREFIX of a compiled model; a second "
                   "PREFIX is the reference")
      ->required()
      ->expected(1, 2);
  compare
      ->add_option("--inputs", options.inputsFile,
                   "An .npz archive with one array per input")
      ->required();
  compare->add_option("--reference", options.referenceFile,
                      "An .npz archive with the arrays to compare with: "
                      "outputs, and for an ONNX file any of its tensors");
  compare
      ->add_option("--precision", options.precision,
                   "What to compile the ONNX file with")
      ->check(CLI::IsMember({"f32", "bf16", "auto"}))
      ->capture_default_str();
  compare
      ->add_option("--max-error", options.maxError,
                   "Diverges if an error is more than this share of its "
                   "output's range (default 1e-4 where all is f32)")
      ->check(CLI::NonNegativeNumber);
  compare
      ->add_option("--min-cosine", options.minCosine,
                   "Diverges if the cosine of a row (a token) is less (default "
                   "0.9997 where a model is bf16)")
      ->check(CLI::Range(-1.0, 1.0));
  compare->add_option("--threads", options.threads, "Threads to run on")
      ->check(CLI::Range(1, 1024));
  compare->footer(
      "joinery compare model.onnx --inputs in.npz --reference out.npz\n"
      "joinery compare build/bf16 build/f32 --inputs in.npz\n"
      "joinery compare build/bf16 --inputs in.npz --reference out.npz\n\n"
      "Tensors are compared in the order of the graph; the first that diverges "
      "is named with the operator that computes it. Rows that the mask drops "
      "do not count. Exit code 1: something diverges.");
  return compare;
}

bool comparesModelFile(const CompareOptions &options) {
  std::string shared = options.models[0];
  if (!shared.ends_with(".so"))
    shared += ".so";
  return ::access(shared.c_str(), F_OK) != 0;
}

namespace {
/// A model's outputs on the inputs, by name.
struct Results {
  std::string title, precision = "f32";
  std::vector<std::string> names;
  std::vector<Array> arrays;
  /// For each output: which of its leading indices the mask keeps, if any.
  std::vector<std::vector<bool>> keep;

  const Array *find(const std::string &name) const {
    auto it = std::find(names.begin(), names.end(), name);
    return it == names.end() ? nullptr : &arrays[size_t(it - names.begin())];
  }
};
} // namespace

/// Which leading indices of the output the mask keeps; empty: all.
static std::vector<bool> keptRows(const Model &model,
                                  const std::vector<Array> &inputs,
                                  const jn_tensor_info &output) {
  int32_t number = jn_model_mask_input(model.get());
  if (number < 0)
    return {};
  jn_tensor_info mask = inputInfo(model, uint32_t(number));
  bool leads = mask.rank > 0 && mask.rank <= output.rank;
  for (int32_t d = 0; leads && d < mask.rank; ++d)
    leads = mask.dims[d].value == output.dims[d].value &&
            std::string(mask.dims[d].name) == output.dims[d].name;
  if (!leads)
    return {};
  const Array &array = inputs[size_t(number)];
  size_t width = size_t(array.bytes() / std::max<int64_t>(1, array.elements()));
  std::vector<bool> kept;
  for (int64_t i = 0; i < array.elements(); ++i) {
    const char *from = array.data() + size_t(i) * width;
    kept.push_back(std::any_of(from, from + width, [](char c) { return c; }));
  }
  return kept;
}

static Status runModel(const CompareOptions &options, const std::string &prefix,
                       Results &results) {
  SessionOptions session;
  session.prefix = prefix;
  session.inputsFile = options.inputsFile;
  session.threads = options.threads;
  Model model = noModel();
  JN_TRY(openModel(session, model));
  std::vector<Array> inputs;
  JN_TRY(readInputs(model, session, inputs));
  Context context = noContext();
  JN_TRY(makeContext(model, session.threads, context));
  std::vector<DLTensor> in = views(inputs);
  JN_TRY(makeOutputs(model, in, results.arrays));
  JN_TRY(reserve(context, in));
  std::vector<DLTensor> out = views(results.arrays);
  JN_TRY(runOnce(context, in, out));
  results.precision = jn_model_precision(model.get());
  results.title = results.precision + " for " + jn_model_isa(model.get());
  for (uint32_t i = 0; i < jn_model_output_count(model.get()); ++i) {
    jn_tensor_info info = outputInfo(model, i);
    results.names.push_back(info.name);
    results.keep.push_back(keptRows(model, inputs, info));
  }
  return {};
}

static Status readReference(const std::string &path, Results &results) {
  runtime::NpzReader reader;
  JN_TRY(reader.open(path));
  results.title = "'" + path + "'";
  results.names = reader.names();
  results.arrays.resize(results.names.size());
  for (size_t i = 0; i < results.names.size(); ++i)
    JN_TRY(reader.read(i, results.arrays[i]));
  return {};
}

static std::string shapeText(const Array &array) {
  std::string text;
  for (int64_t extent : array.shape)
    text += (text.empty() ? "" : ",") + std::to_string(extent);
  return "[" + text + "]";
}

/// Prints the table and names the first divergence.
static int report(const CompareOptions &options, const Results &got,
                  const Results &want) {
  double maxError = options.maxError, minCosine = options.minCosine;
  if (maxError < 0 && minCosine < -1) {
    bool half = got.precision == "bf16" || want.precision == "bf16";
    (half ? minCosine : maxError) = half ? kMinCosine : kMaxError;
  }
  size_t width = 6, shapes = 5;
  for (size_t i = 0; i < got.names.size(); ++i) {
    width = std::max(width, got.names[i].size());
    shapes = std::max(shapes, shapeText(got.arrays[i]).size());
  }
  std::printf("%s against %s\n%-*s  %-*s  %9s  %9s  %11s  %6s\n",
              got.title.c_str(), want.title.c_str(), int(width), "tensor",
              int(shapes), "shape", "max error", "of range", "min cosine",
              "rows");
  std::string first;
  size_t compared = 0;
  for (size_t i = 0; i < got.names.size(); ++i) {
    const std::string &name = got.names[i];
    const Array *other = want.find(name);
    if (!other)
      continue;
    ++compared;
    std::string where = "'" + name + "'";
    if (auto it = options.producers.find(name); it != options.producers.end())
      where += ", computed by " + it->second;
    if (other->shape != got.arrays[i].shape) {
      std::printf("%-*s  %-*s  the reference has %s\n", int(width),
                  name.c_str(), int(shapes), shapeText(got.arrays[i]).c_str(),
                  shapeText(*other).c_str());
      first = first.empty() ? where + ", in its shape" : first;
      continue;
    }
    Difference d = difference(got.arrays[i], *other, got.keep[i]);
    bool diverges = (maxError >= 0 && !(d.relative() <= maxError)) ||
                    (minCosine >= -1 && !(d.cosine >= minCosine));
    std::printf("%-*s  %-*s  %9.2e  %9.2e  %11.7f  %6lld%s\n", int(width),
                name.c_str(), int(shapes), shapeText(*other).c_str(), d.most,
                d.relative(), d.cosine, (long long)d.rows,
                diverges ? "  diverges" : "");
    if (diverges && first.empty())
      first = where;
  }
  if (compared == 0)
    return fail({JN_INVALID_INPUT, "no output is in the reference"});
  std::string bars;
  if (maxError >= 0)
    bars = "error at most " + CLI::detail::to_string(maxError) +
           " of the range";
  if (minCosine >= -1)
    bars += (bars.empty() ? "" : ", ") + std::string("cosine at least ") +
            CLI::detail::to_string(minCosine);
  if (first.empty()) {
    std::printf("all agree: %s\n", bars.c_str());
    return Done;
  }
  std::printf("the first that diverges is %s (bar: %s)\n", first.c_str(),
              bars.c_str());
  return Unservable;
}

bool checkReference(const CompareOptions &options) {
  bool two = options.models.size() == 2;
  if (two != options.referenceFile.empty())
    failUsage("give a second PREFIX or --reference, one of them", "compare");
  return two == options.referenceFile.empty();
}

int compareCommand(const CompareOptions &options) {
  if (!checkReference(options))
    return Usage;
  bool two = options.models.size() == 2;
  Results got, want;
  Status status = runModel(options, options.models[0], got);
  if (status.ok())
    status = two ? runModel(options, options.models[1], want)
                 : readReference(options.referenceFile, want);
  if (!status.ok())
    return fail(status);
  return report(options, got, want);
}

} // namespace joinery::tool
