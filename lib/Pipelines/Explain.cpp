//===- Explain.cpp - The plan for people ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Pipelines/Explain.h"
#include "dialects/Pipe/Pipe.h"
#include "lib/Conversion/PipeToLoops/Predict.h"
#include "lib/Pipelines/Alternatives.h"
#include "lib/Pipelines/Measure.h"
#include "lib/Pipelines/PhaseRunner.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

namespace {
class TreePrinter {
public:
  TreePrinter(PhaseRunner &runner, const std::map<std::string, int64_t> &extents,
              const std::map<std::string, StepTime> &times,
              const LoweredLevel &level, int threads, double peak,
              double flopsPerCycle, bool alternatives, llvm::raw_ostream &os)
      : runner(runner), extents(extents), times(times), level(level),
        threads(threads), peak(peak), flopsPerCycle(flopsPerCycle),
        alternatives(alternatives), os(os),
        function(runner.module->lookupSymbol<func::FuncOp>("main")) {
    int64_t number = 0;
    for (auto kernel : runner.module->getOps<pipe::KernelOp>())
      kernels[kernel.getSymNameAttr()] = {number++, kernel};
    int step = 0;
    for (auto run : function.getBody().front().getOps<pipe::RunOp>())
      steps[run] = step++;
    predictAll();
  }

  void print();

private:
  void relation(RelType type);
  void node(Value value, const std::string &indent, bool last);
  void pipeline(pipe::RunOp run);
  void counted(const StepTime &step);
  void predictAll();
  std::optional<int64_t> extentOf(StringRef symbol) const {
    auto it = extents.find(symbol.drop_front().str());
    return it == extents.end() ? std::nullopt : std::optional(it->second);
  }
  /// Seconds of so many cycles, at the measured frequency or a usual one.
  double seconds(double cycles) const {
    return peak > 0 ? cycles * flopsPerCycle * threads / peak
                    : cycles / kUsualFrequency;
  }
  double estimate(const SymExpr &expr) {
    auto value =
        expr.evaluate([&](StringRef symbol) { return extentOf(symbol); });
    return value ? double(*value) : 0;
  }

  /// Cycles per second where no machine is asked.
  static constexpr double kUsualFrequency = 3e9;

  PhaseRunner &runner;
  const std::map<std::string, int64_t> &extents;
  const std::map<std::string, StepTime> &times;
  const LoweredLevel &level;
  int threads;
  /// FLOP/s of the machine, and per cycle of one core, where they are known.
  double peak, flopsPerCycle;
  bool alternatives;
  llvm::raw_ostream &os;
  /// By step.
  std::map<int, lowering::Prediction> predictions;
  func::FuncOp function;
  llvm::DenseMap<StringAttr, std::pair<int64_t, pipe::KernelOp>> kernels;
  llvm::DenseMap<Operation *, int> steps;
  llvm::DenseSet<Operation *> printed;
};
} // namespace

static std::string quantity(double value) {
  const char *const units[] = {"", " k", " M", " G", " T"};
  int unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::format(value < 10 && unit ? "%.1f" : "%.0f", value)
      << units[unit];
  return text;
}

void TreePrinter::relation(RelType type) {
  os << "[";
  llvm::interleaveComma(type.getColumns(), os, [&](Column column) {
    os << column.getName() << ": " << column.extent.getValue();
  });
  os << "] " << type.getElementType();
}

void TreePrinter::counted(const StepTime &step) {
  os << "  counted " << quantity(step.flops) << "FLOP, "
     << quantity(step.readBytes) << "B read, " << quantity(step.writtenBytes)
     << "B written, " << quantity(step.storeBytes) << "B of the store";
}

void TreePrinter::predictAll() {
  auto valueOf = [&](StringRef symbol) { return extentOf(symbol); };
  lowering::Scenario scenario{valueOf, threads, 0};
  auto tablesOf = [](pipe::RunOp run) {
    SmallVector<bool> tables;
    for (Value input : run.getInputs())
      tables.push_back(input.getDefiningOp<MaterializeOp>() != nullptr);
    return tables;
  };
  for (auto &[op, step] : steps) {
    auto run = cast<pipe::RunOp>(op);
    const LoweredKernel &kernel =
        level.kernels[kernels.lookup(run.getKernelAttr().getAttr()).first];
    for (auto [i, table] : llvm::enumerate(tablesOf(run)))
      if (table)
        scenario.footprint += estimate(kernel.fixedBytes[i]);
  }
  for (auto &[op, step] : steps) {
    auto run = cast<pipe::RunOp>(op);
    auto [number, kernel] = kernels.lookup(run.getKernelAttr().getAttr());
    predictions[step] = lowering::predict(kernel, runner.lowered, level, number,
                                          tablesOf(run), scenario);
  }
}

/// The deviation of a prediction from what was measured.
static double errorOf(double predicted, double measured) {
  return predicted / measured - 1;
}

/// In microseconds, to three digits or a whole one.
static void printTime(llvm::raw_ostream &os, StringRef what, double seconds) {
  double micros = seconds * 1e6;
  int decimals = micros < 10 ? 2 : micros < 100 ? 1 : 0;
  os << "  " << what << llvm::format(" %.*f us", decimals, micros);
}

void TreePrinter::pipeline(pipe::RunOp run) {
  auto [number, kernel] = kernels.lookup(run.getKernelAttr().getAttr());
  const LoweredKernel &cost = runner.lowered.levels.front().kernels[number];
  os << "#" << steps.lookup(run) << " " << kernel.getAlgorithm() << " @"
     << kernel.getSymName() << " -> ";
  relation(run.getResult().getType());
  if (auto design = kernel.getDesign())
    for (NamedAttribute attr : *design)
      os << "  " << attr.getName().getValue() << "="
         << cast<IntegerAttr>(attr.getValue()).getInt();
  os << "  " << quantity(estimate(cost.flops)) << "FLOP  "
     << quantity(estimate(cost.bytes)) << "B";
  double predicted = seconds(predictions.at(steps.lookup(run)).total);
  printTime(os, "predicted", predicted);
  std::string name;
  if (auto loc = dyn_cast<NameLoc>(run.getLoc()))
    name = loc.getName().str();
  auto it = times.find(std::to_string(steps.lookup(run)));
  if (it != times.end()) {
    const StepTime &step = it->second;
    printTime(os, "measured", step.seconds);
    if (step.seconds > 0)
      os << llvm::format("  error %+.0f%%",
                         100 * errorOf(predicted, step.seconds));
    counted(step);
    if (step.seconds > 0 && peak > 0)
      os << llvm::format("  %.0f%% of peak",
                         100 * step.flops / step.seconds / peak);
  }
  if (!name.empty())
    os << "  (" << name << ")";
  os << "\n";
}

void TreePrinter::node(Value value, const std::string &indent, bool last) {
  os << indent << (last ? "└─ " : "├─ ");
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    os << "input "
       << function
              .getArgAttrOfType<StringAttr>(argument.getArgNumber(), "rel.name")
              .getValue()
       << " ";
    relation(cast<RelType>(value.getType()));
    os << "\n";
    return;
  }
  if (auto table = value.getDefiningOp<MaterializeOp>()) {
    os << "table ";
    relation(table.getType());
    ArrayAttr layout = table.getType().getLayout();
    StringRef first =
        layout.empty() ? "" : cast<StringAttr>(layout[0]).getValue();
    if (first.contains('/'))
      os << "  panels " << first;
    os << "\n";
    return;
  }
  auto run = value.getDefiningOp<pipe::RunOp>();
  if (!printed.insert(run).second) {
    os << "#" << steps.lookup(run) << " (above)\n";
    return;
  }
  pipeline(run);
  std::string next = indent + (last ? "   " : "│  ");
  if (alternatives)
    printAlternatives(kernels.lookup(run.getKernelAttr().getAttr()).second,
                      *level.isa, next + "   ", os);
  for (auto [i, input] : llvm::enumerate(run.getInputs()))
    node(input, next, i + 1 == run.getInputs().size());
}

void TreePrinter::print() {
  Operation *end = function.getBody().front().getTerminator();
  for (auto [i, result] : llvm::enumerate(end->getOperands())) {
    os << "output "
       << function.getResultAttrOfType<StringAttr>(i, "rel.name").getValue()
       << "\n";
    node(result, "", true);
  }
  double flops = 0, bytes = 0, predicted = 0;
  std::vector<double> errors;
  StepTime total;
  for (auto &[op, number] : steps) {
    auto run = cast<pipe::RunOp>(op);
    auto &kernel =
        runner.lowered.levels.front()
            .kernels[kernels.lookup(run.getKernelAttr().getAttr()).first];
    flops += estimate(kernel.flops);
    bytes += estimate(kernel.bytes);
    double expected = seconds(predictions.at(number).total);
    predicted += expected;
    if (auto it = times.find(std::to_string(number)); it != times.end()) {
      if (it->second.seconds > 0)
        errors.push_back(std::abs(errorOf(expected, it->second.seconds)));
      for (double StepTime::*figure :
           {&StepTime::seconds, &StepTime::flops, &StepTime::readBytes,
            &StepTime::writtenBytes, &StepTime::storeBytes})
        total.*figure += it->second.*figure;
    }
  }
  os << steps.size() << " pipelines, " << kernels.size() << " kernels, "
     << quantity(flops) << "FLOP, " << quantity(bytes) << "B at";
  for (auto &[name, extent] : extents)
    os << " " << name << "=" << extent;
  os << llvm::format("; predicted %.3f ms", predicted * 1e3);
  if (total.seconds > 0) {
    os << llvm::format("; %.3f ms", total.seconds * 1e3);
    counted(total);
    os << llvm::format(
        ", %.0f%% of peak %.0f GFLOP/s",
        peak > 0 ? 100 * total.flops / total.seconds / peak : 0.0, peak / 1e9);
    llvm::sort(errors);
    if (!errors.empty())
      os << llvm::format("; median error of the predictions %.0f%%",
                         100 * errors[errors.size() / 2]);
  }
  os << "\n";
}

Outcome joinery::explainModel(MLIRContext *context,
                              const CompileOptions &compile,
                              const ExplainOptions &options,
                              llvm::raw_ostream &os) {
  PhaseRunner runner(context, compile);
  if (failed(runner.run(Phase::Lower)))
    return Outcome::Refused;
  // The first dimension of an input is usually the batch.
  std::map<std::string, int64_t> extents;
  auto function = runner.module->lookupSymbol<func::FuncOp>("main");
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto shape = function.getArgAttrOfType<ArrayAttr>(i, "rel.shape");
    for (auto [d, text] :
         llvm::enumerate(shape.getAsValueRange<StringAttr>()))
      if (auto symbol = SymExpr::parse(text)->asSymbol())
        extents.try_emplace(symbol->substr(1), d == 0 ? 1 : 128);
  }
  // No longer than the model takes.
  if (auto checks = function->getAttrOfType<ArrayAttr>("rel.checks"))
    for (auto check : checks.getAsRange<DictionaryAttr>()) {
      auto lhs = SymExpr::parse(check.getAs<StringAttr>("lhs").getValue());
      auto rhs = check.getAs<StringAttr>("rhs");
      auto symbol = lhs ? lhs->asSymbol() : std::nullopt;
      auto limit = rhs ? SymExpr::parse(rhs.getValue()) : std::nullopt;
      if (check.getAs<StringAttr>("kind") == "at_most" && symbol && limit &&
          limit->isConst()) {
        int64_t &extent = extents[symbol->substr(1)];
        extent = std::min(extent, *limit->asConst());
      }
    }
  for (auto &[name, value] : options.extents) {
    if (!extents.count(name)) {
      emitError(UnknownLoc::get(context))
          << "the model has no extent named '" << name << "'";
      return Outcome::Usage;
    }
    extents[name] = value;
  }
  // As if no row were dropped.
  for (const DefinedSymbol &defined : definedSymbols(function)) {
    auto bound =
        defined.bound.evaluate([&](StringRef symbol) -> std::optional<int64_t> {
          auto it = extents.find(symbol.drop_front().str());
          return it == extents.end() ? std::nullopt : std::optional(it->second);
        });
    extents[defined.symbol] = bound.value_or(0);
  }
  std::map<std::string, StepTime> times;
  double peak = 0;
  // The level that runs; where nothing runs, the widest.
  std::string level = runner.lowered.levels.back().isa->name;
  if (options.analyze) {
    Outcome outcome = measureModel(context, compile, extents, options.threads,
                                   times, level);
    if (outcome != Outcome::Done)
      return outcome;
    if (options.probe)
      peak = options.probe(level, options.threads);
  }
  if (failed(lowering::prepareToPredict(*runner.lowered.module)))
    return Outcome::Refused;
  const LoweredLevel *lowered = &runner.lowered.levels.front();
  for (const LoweredLevel &other : runner.lowered.levels)
    if (other.isa->name == level)
      lowered = &other;
  TreePrinter(runner, extents, times, *lowered, options.threads, peak,
              plan::Target(*lowered->isa)
                  .flopsPerCycle(compile.precision == "bf16"),
              options.alternatives, os)
      .print();
  return Outcome::Done;
}
