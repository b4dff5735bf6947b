//===- Main.cpp - The joinery command -------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/joinery/Commands.h"
#include "tools/joinery/Compare.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <new>

using namespace joinery::tool;

namespace {
constexpr char kFooter[] =
    "PREFIX is what `compile -o PREFIX` was given: PREFIX.so and "
    "PREFIX.store are read.\n\n"
    "JOINERY_ISA=avx2|avx512|avx512_bf16|amx forces an instruction-set level.\n\n"
    "Exit codes: 0 done; 1 the model or the data cannot be served; 2 wrong "
    "usage; 3 a fault of the machine (files, memory).";

constexpr char kNameFile[] = "NAME=FILE";

/// Refuses what splitAssignment does not take apart.
std::string checkAssignment(const std::string &text) {
  std::string name, file;
  return splitAssignment(text, name, file)
             ? ""
             : "'" + text + "' is not of the form NAME=VALUE";
}

std::string checkSize(const std::string &text) {
  std::string name, value;
  if (!splitAssignment(text, name, value) || value.size() > 12 ||
      value.find_first_not_of("0123456789") != std::string::npos)
    return "'" + text + "' is not of the form NAME=SIZE";
  return "";
}

void addSessionOptions(CLI::App *command, SessionOptions &options) {
  command->add_option("PREFIX", options.prefix, "The compiled model")
      ->required();
  command->add_option("--inputs", options.inputsFile,
                      "An .npz archive with one array per input");
  command
      ->add_option("--input", options.inputFiles,
                   "One input from an .npy file; may be repeated")
      ->type_name(kNameFile)
      ->check(checkAssignment)
      ->allow_extra_args(false);
  command
      ->add_option("--threads", options.threads,
                   "Threads to run on (default: the cores that the process may "
                   "use)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--isa", options.isa, "The instruction-set level")
      ->check(CLI::IsMember({"avx2", "avx512", "avx512_bf16", "amx"}));
  command->add_flag("--verify", options.verify,
                    "Check every block of the store first");
  command->add_flag("--read", options.read,
                    "Read the store into memory instead of mapping it");
  command->add_flag("--trace", options.trace, "Print the time of every step");
}

void addRun(CLI::App &app, RunOptions &options) {
  CLI::App *run = app.add_subcommand(
      "run", "Run a compiled model; without inputs, print its signature");
  addSessionOptions(run, options.session);
  run->add_option("--outputs", options.outputsFile,
                  "The .npz archive to write all outputs to");
  run->add_option("--output", options.outputFiles,
                  "One output to an .npy file; may be repeated")
      ->type_name(kNameFile)
      ->check(checkAssignment)
      ->allow_extra_args(false);
  run->add_flag("--deflate", options.deflate, "Compress the archive");
  run->add_option("--offsets", options.offsetsFile,
                  "Run on packed tokens: an .npy file of int64 with where each "
                  "sequence begins, and their number last. Inputs and outputs "
                  "with a row for each token are [tokens, ...]; no mask is "
                  "given")
      ->type_name("FILE");
  run->footer("joinery run build/minilm --inputs in.npz --outputs out.npz\n"
              "joinery run build/minilm --input ids=ids.npy --output "
              "embedding=e.npy --threads 2\n"
              "joinery run build/minilm --offsets off.npy --input ids=ids.npy "
              "--outputs out.npz");
}

void addBench(CLI::App &app, BenchOptions &options) {
  CLI::App *bench = app.add_subcommand("bench", "Measure a compiled model");
  addSessionOptions(bench, options.session);
  GenerateOptions &generate = options.generate;
  bench
      ->add_option("--batch", generate.batch,
                   "Make inputs: the first symbolic dimension")
      ->check(CLI::Range(1, 1 << 30));
  bench
      ->add_option("--seq", generate.seq,
                   "Make inputs: the second symbolic dimension")
      ->check(CLI::Range(1, 1 << 30));
  bench->add_flag("--ragged", generate.ragged,
                  "Mask rows of various lengths: lognormal around 0.38 of the "
                  "longest, one of them the longest");
  bench
      ->add_option("--dim", generate.dims,
                   "Make inputs: a dimension by its name; may be repeated")
      ->type_name("NAME=SIZE")
      ->check(checkSize)
      ->allow_extra_args(false);
  bench->add_option("--seed", generate.seed, "Of the inputs that are made");
  bench
      ->add_option("--seconds", options.seconds,
                   "How long to measure (default 2), at least five runs")
      ->check(CLI::Range(0.0, 86400.0));
  bench->add_flag("--json", options.json, "Print one JSON object");
  bench->footer(
      "Inputs that are made: masks of ones, other integers random within their "
      "checked range, floats normal.\n"
      "tokens_per_s and gflops are at the median. Tokens are the ones of the "
      "mask input; without one, the first two extents of the first input.\n"
      "peak_gflops is what the same threads reach with multiply-adds on "
      "registers in a burst; share_of_peak, on one thread, compares with such "
      "a burst right after a run, for a core's clock falls under load. load_s "
      "is opening the model and getting its workspace.");
}

struct StoreOptions {
  std::string list;
  std::string verify;
};

CLI::App *addStore(CLI::App &app, StoreOptions &options) {
  CLI::App *store = app.add_subcommand("store", "Look into a weight store");
  store->require_subcommand(1);
  store->add_subcommand("ls", "List its tables")
      ->add_option("FILE", options.list, "The .store file")
      ->required();
  store->add_subcommand("verify", "Check every byte against its checksum")
      ->add_option("FILE", options.verify, "The .store file")
      ->required();
  return store;
}

int dispatch(int argc, char **argv) {
  if (argc > 1 && isCompilerCommand(argv[1]))
    return forwardToCompiler(argv);

  CLI::App app("Compiles ONNX transformer encoders and serves them.",
               "joinery");
  app.footer(kFooter);
  app.set_version_flag("--version", "joinery " JOINERY_VERSION);
  app.require_subcommand(1);
  // Listed for the help only: joinery-compiler parses their options.
  app.add_subcommand("compile", "Compile an ONNX model");
  app.add_subcommand("explain", "Print a model's plan with its costs");
  app.add_subcommand("check", "List what of a model cannot be compiled");
  app.add_subcommand("support", "List the ONNX operators that are compiled");
  RunOptions run;
  BenchOptions bench;
  StoreOptions store;
  CompareOptions compare;
  addCompare(app, compare);
  std::string shell;
  addRun(app, run);
  addBench(app, bench);
  CLI::App *storeCommand = addStore(app, store);
  app.add_subcommand("completion", "Print a completion script for a shell")
      ->add_option("SHELL", shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));

  std::string command = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
  auto named = [&](const CLI::App *sub) { return sub->get_name() == command; };
  if (!command.empty() && app.get_subcommands(named).empty())
    return failUsage("'" + command + "' is no command", "");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &success) {
    app.exit(success);
    return Done;
  } catch (const CLI::ParseError &error) {
    return failUsage(error.what(), command);
  }
  if (command == "run")
    return runCommand(run);
  if (command == "bench")
    return benchCommand(bench);
  if (command == "compare")
    return comparesModelFile(compare) ? forwardToCompiler(argv)
                                      : compareCommand(compare);
  if (command == "store")
    return storeCommand->got_subcommand("ls") ? storeList(store.list)
                                              : storeVerify(store.verify);
  return completionCommand(shell);
}
} // namespace

int main(int argc, char **argv) {
  try {
    return dispatch(argc, argv);
  } catch (const std::bad_alloc &) {
    return fail({JN_OUT_OF_MEMORY, "out of memory"});
  } catch (const std::exception &exception) {
    return fail({JN_INTERNAL, exception.what()});
  }
}
