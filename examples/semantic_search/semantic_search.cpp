//===- semantic_search.cpp - Find sentences by meaning ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Links a compiled sentence-embedding model (minilm.h, made by
// joinery_add_model) and answers the queries of texts.tsv with the nearest of
// its sentences. The texts come with their token ids: tokenising is not what
// this example is about.
//
//===----------------------------------------------------------------------===//

#include "minilm.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

struct Text {
  std::string kind, words;
  std::vector<int64_t> tokens;
};

[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "semantic_search: %s\n", message.c_str());
  std::exit(1);
}

int64_t nanoseconds() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

/// When this process started, in steady nanoseconds. The system tells it to
/// 10 ms only, so the program takes the time and starts itself again: what the
/// loader does then is counted too.
int64_t processStart(char **argv) {
  const char *name = "SEMANTIC_SEARCH_STARTED";
  if (const char *started = std::getenv(name))
    return std::atoll(started);
  setenv(name, std::to_string(nanoseconds()).c_str(), 1);
  execv("/proc/self/exe", argv);
  return nanoseconds();
}

/// Lines of kind, text and token ids, with tabs between them.
std::vector<Text> readTexts(const std::string &path) {
  std::ifstream file(path);
  if (!file)
    fail("cannot read '" + path + "'");
  std::vector<Text> texts;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Text text;
    std::getline(fields, text.kind, '\t');
    std::getline(fields, text.words, '\t');
    for (int64_t token; fields >> token;)
      text.tokens.push_back(token);
    texts.push_back(std::move(text));
  }
  return texts;
}

DLTensor view(void *data, DLDataTypeCode code, uint8_t bits,
              std::vector<int64_t> &shape) {
  DLTensor tensor = {};
  tensor.data = data;
  tensor.device = {kDLCPU, 0};
  tensor.ndim = static_cast<int>(shape.size());
  tensor.dtype = {static_cast<uint8_t>(code), bits, 1};
  tensor.shape = shape.data();
  return tensor;
}

class Embedder {
public:
  Embedder(const std::string &store, unsigned threads) {
    if (minilm_open(store.c_str(), &model, &error) != JN_OK ||
        minilm_context_create(model, threads, &context, &error) != JN_OK)
      fail(error.message);
  }
  Embedder(const Embedder &) = delete;
  ~Embedder() {
    minilm_context_destroy(context);
    minilm_close(model);
  }

  /// Unit vectors, one per text. Shorter texts are padded, and masked.
  std::vector<std::vector<float>> embed(const std::vector<Text> &texts) {
    size_t length = 0;
    for (const Text &text : texts)
      length = std::max(length, text.tokens.size());
    std::vector<int64_t> ids(texts.size() * length), mask(ids.size());
    for (size_t row = 0; row < texts.size(); ++row) {
      const auto &tokens = texts[row].tokens;
      std::copy(tokens.begin(), tokens.end(), ids.begin() + row * length);
      std::fill_n(mask.begin() + row * length, tokens.size(), 1);
    }
    std::vector<int64_t> shape = {int64_t(texts.size()), int64_t(length)};
    std::vector<int64_t> outShape = {int64_t(texts.size()), width};
    std::vector<float> out(texts.size() * width);

    DLTensor idsView = view(ids.data(), kDLInt, 64, shape);
    DLTensor maskView = view(mask.data(), kDLInt, 64, shape);
    DLTensor outView = view(out.data(), kDLFloat, 32, outShape);
    minilm_inputs inputs = {};
    inputs.input_ids = &idsView;
    inputs.attention_mask = &maskView;
    minilm_outputs outputs = {};
    outputs._461 = &outView;
    if (minilm_run(context, &inputs, &outputs, &error) != JN_OK)
      fail(error.message);

    std::vector<std::vector<float>> rows;
    for (size_t row = 0; row < texts.size(); ++row) {
      auto first = out.begin() + row * width;
      rows.emplace_back(first, first + width);
      float norm = std::sqrt(std::inner_product(first, first + width, first, 0.0f));
      for (float &value : rows.back())
        value /= norm;
    }
    return rows;
  }

private:
  static constexpr int64_t width = 384;
  minilm_model *model = nullptr;
  minilm_context *context = nullptr;
  jn_error error;
};

} // namespace

int main(int argc, char **argv) {
  const int64_t start = processStart(argv);
  std::string texts = TEXTS, store = MINILM_STORE;
  unsigned threads = 1, top = 3;
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    if (i + 1 == argc)
      fail("usage: semantic_search [--texts FILE] [--store FILE] [--threads N] [--top N]");
    const char *value = argv[++i];
    if (option == "--texts")
      texts = value;
    else if (option == "--store")
      store = value;
    else if (option == "--threads")
      threads = std::max(1, std::atoi(value));
    else if (option == "--top")
      top = std::max(1, std::atoi(value));
    else
      fail("there is no option '" + option + "'");
  }

  std::vector<Text> sentences, queries;
  for (Text &text : readTexts(texts))
    (text.kind == "query" ? queries : sentences).push_back(std::move(text));
  if (sentences.empty() || queries.empty())
    fail("'" + texts + "' needs a sentence and a query at least");

  Embedder embedder(store, threads);
  const auto library = embedder.embed(sentences);
  double firstAnswer = 0;
  for (const Text &query : queries) {
    const auto wanted = embedder.embed({query})[0];
    std::vector<std::pair<float, size_t>> ranked;
    for (size_t i = 0; i < library.size(); ++i)
      ranked.push_back({std::inner_product(wanted.begin(), wanted.end(),
                                           library[i].begin(), 0.0f), i});
    std::sort(ranked.rbegin(), ranked.rend());
    if (firstAnswer == 0)
      firstAnswer = 1e-6 * double(nanoseconds() - start);
    std::printf("%s\n", query.words.c_str());
    for (size_t i = 0; i < std::min<size_t>(top, ranked.size()); ++i)
      std::printf("  %.3f  %s\n", ranked[i].first,
                  sentences[ranked[i].second].words.c_str());
  }
  std::printf("\nfirst answer after %.1f ms from process start, on %u thread%s\n",
              firstAnswer, threads, threads == 1 ? "" : "s");
  return 0;
}
