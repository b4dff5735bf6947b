//===- joinery-compiler.cpp - The commands that compile -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Import/ONNX.h"
#include "joinery/Pipelines/Explain.h"
#include "joinery/Pipelines/Pipelines.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"
#include "tools/joinery-compiler/CompareModel.h"
#include "tools/joinery/Probe.h"
#include <CLI/CLI.hpp>

using namespace joinery;

namespace {
/// Prints diagnostics as `error: 'node': text`, notes indented below.
void printDiagnostic(mlir::Diagnostic &diagnostic) {
  const char *kind = "error";
  if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Warning)
    kind = "warning";
  else if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Note)
    kind = "note";
  else if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Remark)
    kind = "remark";
  if (llvm::errs().is_displayed())
    llvm::errs() << "\r\x1b[K";
  llvm::errs() << "joinery: " << kind << ": ";
  if (auto name = llvm::dyn_cast<mlir::NameLoc>(diagnostic.getLocation()))
    llvm::errs() << "'" << name.getName().getValue() << "': ";
  llvm::errs() << diagnostic.str() << "\n";
  for (mlir::Diagnostic &note : diagnostic.getNotes())
    llvm::errs() << "  note: " << note.str() << "\n";
}

struct Session {
  mlir::DialectRegistry registry;
  std::unique_ptr<mlir::MLIRContext> context;
  Session() {
    registerDialects(registry);
    context = std::make_unique<mlir::MLIRContext>(
        registry, mlir::MLIRContext::Threading::DISABLED);
    context->loadAllAvailableDialects();
    context->getDiagEngine().registerHandler(
        [](mlir::Diagnostic &diagnostic) {
          printDiagnostic(diagnostic);
          return mlir::success();
        });
  }
};

const std::map<std::string, Artifact> artifactNames = {
    {"obj", Artifact::Object},     {"shared", Artifact::Shared},
    {"header", Artifact::Header},  {"asm", Artifact::Assembly},
    {"llvm", Artifact::LLVMIR},    {"mlir", Artifact::MLIR}};

std::map<std::string, Phase> phaseNames() {
  std::map<std::string, Phase> names;
  for (const PhaseInfo &info : phases())
    names[info.name] = info.phase;
  return names;
}

int runCompile(CompileOptions &options, const std::vector<std::string> &emit) {
  Session session;
  if (auto outcome = checkInput(session.context.get(), options.input);
      outcome != Outcome::Done)
    return int(outcome);
  if (options.until != Phase::Emit) {
    auto module = compileToPhase(session.context.get(), options);
    if (!module)
      return 1;
    module->print(llvm::outs(), mlir::OpPrintingFlags().useLocalScope());
    llvm::outs() << "\n";
    return 0;
  }
  for (const std::string &name : emit)
    options.artifacts.push_back(artifactNames.at(name));
  if (emit.empty())
    options.artifacts = {Artifact::Object, Artifact::Header, Artifact::Shared};
  return int(compileModel(session.context.get(), options));
}

int runSupport(bool json) {
  if (json)
    llvm::outs() << "[";
  bool first = true;
  for (const SupportedOp &op : supportedOps()) {
    std::string domain = op.domain.empty() ? "ai.onnx" : op.domain;
    if (!json) {
      llvm::outs() << "| " << domain << " | " << op.name << " | " << op.since
                   << "–"
                   << (op.until ? std::to_string(op.until) : std::string("23"))
                   << " | " << op.notes << " |\n";
      continue;
    }
    llvm::outs() << (first ? "" : ",") << "\n  {\"domain\": \"" << op.domain
                 << "\", \"op\": \"" << op.name << "\", \"since\": "
                 << op.since;
    if (op.until)
      llvm::outs() << ", \"until\": " << op.until;
    llvm::outs() << "}";
    first = false;
  }
  if (json)
    llvm::outs() << "\n]\n";
  return 0;
}
} // namespace

int main(int argc, char **argv) {
  CLI::App app("Compiles transformer encoders to native objects", "joinery");
  app.require_subcommand(1);
  CompileOptions options;
  std::vector<std::string> emit;
  std::string padding = "skip", rounding = "drop";

  auto common = [&](CLI::App *command) {
    command->add_option("model", options.input, "the ONNX file")->required();
    command
        ->add_option("--outputs", options.outputs,
                     "the outputs to keep, by name (default: all)")
        ->delimiter(',');
    command
        ->add_option("--precision", options.precision,
                     "f32, or bf16: weights of contractions and embeddings in "
                     "half the bytes, sums in f32; auto: bf16 where this "
                     "machine multiplies bf16 faster")
        ->check(CLI::IsMember({"f32", "bf16", "auto"}))
        ->capture_default_str();
    command
        ->add_option("--padding", padding,
                     "skip: rows that the mask drops are zero; keep: they are "
                     "what the file says")
        ->check(CLI::IsMember({"skip", "keep"}))
        ->capture_default_str();
    command
        ->add_option("--rounding", rounding,
                     "drop: a model in f16 or bf16 is computed in f32; keep: "
                     "values are rounded where the file says, slowly")
        ->check(CLI::IsMember({"drop", "keep"}))
        ->capture_default_str();
  };

  auto *compile = app.add_subcommand(
      "compile", "compile a model to PREFIX.o, .h, .store and .so");
  common(compile);
  compile->add_option("-o", options.prefix, "PREFIX of the files to write");
  compile
      ->add_option("--emit", emit,
                   "obj, shared, header, asm, llvm, mlir (several by commas; "
                   "default: obj,header,shared; the store is always written)")
      ->delimiter(',')
      ->check(CLI::IsMember(artifactNames));
  std::vector<std::string> renames;
  compile
      ->add_option("--rename", renames,
                   "OLD=NEW: the field of input or output OLD in PREFIX.h")
      ->delimiter(',');
  std::string until = "emit";
  compile
      ->add_option("--compile-to", until,
                   "stop after this phase and print the module")
      ->check(CLI::IsMember(phaseNames()));
  std::string layers = "inline";
  compile
      ->add_option("--layers", layers,
                   "with --compile-to=optimize: inline; functions: equal "
                   "layers are one function; parts: each part of a layer is "
                   "one")
      ->check(CLI::IsMember({"inline", "functions", "parts"}))
      ->capture_default_str();
  compile->add_option("--dump-phases", options.dumpPhases,
                      "write the module after each phase into this directory");
  compile
      ->add_option("--levels", options.levels,
                   "instruction-set levels to generate (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"avx2", "avx512", "avx512_bf16", "amx"}));

  compile->footer("joinery compile model.onnx -o build/model\n"
                  "joinery compile model.onnx -o build/model --precision=bf16\n"
                  "joinery compile model.onnx -o build/model --precision=auto "
                  "--emit=shared");

  auto *check = app.add_subcommand(
      "check", "report everything in a model that can't be compiled");
  common(check);

  ExplainOptions explainOptions;
  std::vector<std::string> extents;
  auto *explain = app.add_subcommand(
      "explain",
      "print the plan as a tree, with FLOPs, bytes and predicted times");
  common(explain);
  explain->add_flag("--analyze", explainOptions.analyze,
                    "run it on random inputs and add measured times, the error "
                    "of the predictions and the share of this machine's peak; "
                    "without it predictions are for 3 GHz");
  explain->add_flag("--alternatives", explainOptions.alternatives,
                    "add what each plan was chosen from: panel widths and "
                    "blocks (rows x slice), with costs relative to the least");
  explain
      ->add_option("--extents", extents,
                   "NAME=VALUE of the model's dimensions (by commas)")
      ->delimiter(',');
  explain->add_option("--threads", explainOptions.threads)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  tool::CompareOptions compareOptions;
  auto *compare = tool::addCompare(app, compareOptions);

  bool json = false;
  auto *support = app.add_subcommand("support", "list the supported operators");
  support->add_flag("--json", json, "as JSON");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    int code = app.exit(error);
    return code ? 2 : 0;
  }
  options.keepPadding = padding == "keep";
  options.keepRounding = rounding == "keep";
  if (options.precision == "auto")
    options.precision = fastestPrecision();
  for (const std::string &entry : renames) {
    auto [from, to] = llvm::StringRef(entry).rsplit('=');
    if (from.empty() || to.empty()) {
      llvm::errs() << "joinery: error: --rename takes OLD=NEW, not '" << entry
                   << "'\n";
      return 2;
    }
    options.rename[from.str()] = to.str();
  }
  // On a terminal the present phase is shown until the next one, or the end.
  if (llvm::errs().is_displayed())
    options.onPhase = [](Phase phase) {
      const PhaseInfo &info = phases()[int(phase)];
      llvm::errs() << "\r\x1b[K" << info.name << ": " << info.summary;
      llvm::errs() << (phase == Phase::Emit ? "\r\x1b[K" : "");
    };
  if (support->parsed())
    return runSupport(json);
  if (compare->parsed()) {
    options.input = compareOptions.models[0];
    options.precision = compareOptions.precision == "auto"
                            ? fastestPrecision()
                            : compareOptions.precision;
    Session session;
    if (auto outcome = checkInput(session.context.get(), options.input);
        outcome != Outcome::Done)
      return int(outcome);
    return tool::compareModelFile(session.context.get(), options,
                                  compareOptions);
  }
  if (check->parsed()) {
    Session session;
    if (auto outcome = checkInput(session.context.get(), options.input);
        outcome != Outcome::Done)
      return int(outcome);
    options.until = Phase::Lower;
    if (!compileToPhase(session.context.get(), options))
      return 1;
    llvm::outs() << "'" << options.input << "' compiles\n";
    return 0;
  }
  if (explain->parsed()) {
    for (const std::string &entry : extents) {
      auto [name, text] = llvm::StringRef(entry).split('=');
      int64_t value;
      if (text.getAsInteger(10, value) || value < 0) {
        llvm::errs() << "joinery: error: --extents takes NAME=VALUE, not '"
                     << entry << "'\n";
        return 2;
      }
      explainOptions.extents[name.str()] = value;
    }
    explainOptions.probe = [&options](const std::string &level, int threads) {
      return 1e9 * tool::probePeak(level, options.precision, threads);
    };
    Session session;
    if (auto outcome = checkInput(session.context.get(), options.input);
        outcome != Outcome::Done)
      return int(outcome);
    return int(explainModel(session.context.get(), options, explainOptions,
                            llvm::outs()));
  }
  options.until = phaseNames().at(until);
  options.layers = std::map<std::string, LayerForm>{
      {"inline", LayerForm::Inline},
      {"functions", LayerForm::Functions},
      {"parts", LayerForm::Parts}}[layers];
  if (options.layers != LayerForm::Inline &&
      options.until != Phase::Optimize) {
    llvm::errs() << "joinery: error: --layers=" << layers
                 << " needs --compile-to=optimize\n";
    return 2;
  }
  if (options.until == Phase::Emit && options.prefix.empty()) {
    llvm::errs() << "joinery: error: compile needs -o PREFIX\n";
    return 2;
  }
  return runCompile(options, emit);
}
