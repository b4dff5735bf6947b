//===- Predict.cpp - The time that a kernel will take ---------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The lowered loops say what will be executed; only how often is open. So they
// are walked with the integers that decide it: extents, loop variables, row
// numbers. A loop is walked for its first, its second and its last iteration;
// the others cost what the second does.
//
//===----------------------------------------------------------------------===//

#include "lib/Conversion/PipeToLoops/Predict.h"
#include "joinery/runtime/abi.h"
#include "lib/Conversion/PipeToLoops/LoopCost.h"
#include "lib/Conversion/PipeToLoops/Work.h"
#include "lib/Plan/CostModel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include <cmath>

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

namespace {
/// An integer or an address that is known. An address is one of the call's
/// tables (runtime/abi.h) or a buffer, and a distance in bytes.
struct Known {
  enum Space { Nothing, Integer, Call, Buffers, Symbols, Buffer } space;
  int64_t value = 0;
  size_t buffer = 0;

  static Known integer(int64_t value) { return {Integer, value, 0}; }
  bool isInteger() const { return space == Integer; }
};

class Walk {
public:
  Walk(const plan::Target &target, ModuleOp module)
      : target(target), module(module) {}

  /// The first of `workers` equal shares of the tasks, as one call.
  double kernel(func::FuncOp function, int64_t tasks, int64_t workers,
                int64_t phase = JN_PHASE_ALL) {
    last = llvm::divideCeil(tasks, workers);
    this->workers = workers;
    this->phase = phase;
    known[function.getArgument(0)] = {Known::Call, 0, 0};
    UnitCost cost = block(function.getBody().front());
    return cost.cycles(target) + (cost.tiles > 0 ? target.tileStart : 0);
  }

  std::vector<int64_t> symbols;
  /// Row numbers: what element i of such a buffer holds, as a share of i.
  std::map<size_t, double> numbers;

private:
  UnitCost block(Block &body);
  UnitCost operation(Operation &op);
  UnitCost loop(scf::ForOp op);
  UnitCost branch(scf::IfOp op);
  UnitCost call(func::CallOp op);
  void evaluate(Operation &op);
  Known load(const Known &address, Type type);
  Known look(Value value) const {
    auto it = known.find(value);
    return it == known.end() ? Known{Known::Nothing} : it->second;
  }
  int64_t integer(Value value, int64_t otherwise) const {
    Known found = look(value);
    return found.isInteger() ? found.value : otherwise;
  }

  const plan::Target &target;
  ModuleOp module;
  int64_t last = 0, workers = 1, phase = JN_PHASE_ALL;
  llvm::DenseMap<Value, Known> known;
};
} // namespace

Known Walk::load(const Known &address, Type type) {
  int64_t index = address.value / 8;
  switch (address.space) {
  case Known::Call: {
    const Known fields[] = {{Known::Buffers},
                            {Known::Symbols},
                            Known::integer(0),
                            Known::integer(last),
                            {Known::Nothing},
                            {Known::Nothing},
                            {Known::Nothing},
                            {Known::Nothing},
                            Known::integer(workers),
                            Known::integer(phase)};
    return index < int64_t(std::size(fields)) ? fields[index]
                                              : Known{Known::Nothing};
  }
  case Known::Buffers:
    return {Known::Buffer, 0, size_t(index)};
  case Known::Symbols:
    return size_t(index) < symbols.size() ? Known::integer(symbols[index])
                                          : Known{Known::Nothing};
  case Known::Buffer:
    if (auto it = numbers.find(address.buffer);
        it != numbers.end() && type.isInteger(64))
      return Known::integer(int64_t(double(index) * it->second + 0.5));
    return {Known::Nothing};
  default:
    return {Known::Nothing};
  }
}

void Walk::evaluate(Operation &op) {
  if (op.getNumResults() != 1)
    return;
  Known &result = known[op.getResult(0)];
  result = {Known::Nothing};
  auto both = [&](auto compute) {
    Known a = look(op.getOperand(0)), b = look(op.getOperand(1));
    if (a.isInteger() && b.isInteger())
      result = Known::integer(compute(a.value, b.value));
  };
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (auto value = dyn_cast<IntegerAttr>(constant.getValue()))
      result = Known::integer(value.getType().isInteger(1)
                                  ? value.getValue().getZExtValue()
                                  : value.getInt());
  } else if (auto load = dyn_cast<LLVM::LoadOp>(op)) {
    result = this->load(look(load.getAddr()), load.getType());
  } else if (auto gep = dyn_cast<LLVM::GEPOp>(op)) {
    Known base = look(gep.getBase());
    int64_t size = 8;
    if (gep.getElemType().isIntOrFloat())
      size = std::max(1u, gep.getElemType().getIntOrFloatBitWidth() / 8);
    auto index = gep.getIndices()[0];
    std::optional<int64_t> distance;
    if (auto constant = dyn_cast<IntegerAttr>(index))
      distance = constant.getInt();
    else if (Known at = look(cast<Value>(index)); at.isInteger())
      distance = at.value;
    if (distance)
      result = {base.space, base.value + *distance * size, base.buffer};
  } else if (isa<arith::AddIOp>(op)) {
    both([](int64_t a, int64_t b) { return a + b; });
  } else if (isa<arith::SubIOp>(op)) {
    both([](int64_t a, int64_t b) { return a - b; });
  } else if (isa<arith::MulIOp>(op)) {
    both([](int64_t a, int64_t b) { return a * b; });
  } else if (isa<arith::DivUIOp, arith::DivSIOp>(op)) {
    both([](int64_t a, int64_t b) { return b > 0 ? a / b : 0; });
  } else if (isa<arith::RemUIOp, arith::RemSIOp>(op)) {
    both([](int64_t a, int64_t b) { return b > 0 ? a % b : 0; });
  } else if (isa<arith::AndIOp>(op)) {
    both([](int64_t a, int64_t b) { return a & b; });
  } else if (isa<arith::OrIOp>(op)) {
    both([](int64_t a, int64_t b) { return a | b; });
  } else if (isa<arith::MinSIOp>(op)) {
    both([](int64_t a, int64_t b) { return std::min(a, b); });
  } else if (isa<arith::MaxSIOp>(op)) {
    both([](int64_t a, int64_t b) { return std::max(a, b); });
  } else if (auto compare = dyn_cast<arith::CmpIOp>(op)) {
    both([&](int64_t a, int64_t b) {
      return int64_t(arith::applyCmpPredicate(
          compare.getPredicate(), APInt(64, uint64_t(a)), APInt(64, uint64_t(b))));
    });
  } else if (isa<arith::ExtUIOp>(op)) {
    // A condition on data, of a count: as if it held.
    Known from = look(op.getOperand(0));
    result = Known::integer(from.isInteger() ? from.value : 1);
  } else if (isa<arith::ExtSIOp, arith::TruncIOp>(op)) {
    result = look(op.getOperand(0));
  } else if (auto select = dyn_cast<arith::SelectOp>(op)) {
    Known which = look(select.getCondition());
    if (which.isInteger())
      result = look(which.value ? select.getTrueValue()
                                : select.getFalseValue());
  }
}

UnitCost Walk::block(Block &body) {
  UnitCost cost;
  for (Operation &op : body)
    cost.add(operation(op));
  return cost;
}

UnitCost Walk::operation(Operation &op) {
  if (auto inner = dyn_cast<scf::ForOp>(op))
    return loop(inner);
  if (auto inner = dyn_cast<scf::IfOp>(op))
    return branch(inner);
  if (auto inner = dyn_cast<func::CallOp>(op))
    return call(inner);
  evaluate(op);
  return costOf(&op, target);
}

UnitCost Walk::loop(scf::ForOp op) {
  Known from = look(op.getLowerBound()), to = look(op.getUpperBound()),
        step = look(op.getStep());
  int64_t first = from.isInteger() ? from.value : 0, trips = 1;
  int64_t by = step.isInteger() ? std::max<int64_t>(step.value, 1) : 1;
  if (from.isInteger() && to.isInteger())
    trips = std::max<int64_t>((to.value - first + by - 1) / by, 0);
  unsigned count = op.getNumRegionIterArgs();
  std::vector<Known> carried, slope(count, Known{Known::Nothing});
  for (Value value : op.getInitArgs())
    carried.push_back(look(value));
  double chain = chainOf(*op.getBody(), target);
  // Costs of one iteration, after those before it.
  auto iteration = [&](int64_t number) {
    known[op.getInductionVar()] = Known::integer(first + number * by);
    for (unsigned i = 0; i < count; ++i)
      known[op.getRegionIterArg(i)] = carried[i];
    UnitCost cycles = block(*op.getBody());
    // Iterations of loops around this one go on meanwhile.
    if (double free = chain - cycles.cycles(target); free > 0)
      cycles.apart += free * target.exposedLatency;
    for (unsigned i = 0; i < count; ++i) {
      Known next = look(op.getYieldedValues()[i]);
      slope[i] = carried[i].isInteger() && next.isInteger()
                     ? Known::integer(next.value - carried[i].value)
                     : Known{Known::Nothing};
      carried[i] = next;
    }
    return cycles;
  };
  UnitCost cost;
  if (trips > 0)
    cost.add(iteration(0));
  if (trips > 2) {
    cost.add(iteration(1), double(trips - 2));
    for (unsigned i = 0; i < count; ++i)
      if (carried[i].isInteger() && slope[i].isInteger())
        carried[i].value += slope[i].value * (trips - 3);
  }
  if (trips > 1)
    cost.add(iteration(trips - 1));
  cost.apart += target.loop;
  for (unsigned i = 0; i < count; ++i)
    known[op.getResult(i)] = carried[i];
  return cost;
}

UnitCost Walk::branch(scf::IfOp op) {
  Known condition = look(op.getCondition());
  bool otherwise = !op.getElseRegion().empty();
  auto side = [&](bool taken) {
    if (!taken && !otherwise)
      return UnitCost();
    Block &body = (taken ? op.getThenRegion() : op.getElseRegion()).front();
    UnitCost cost = block(body);
    for (auto [result, value] :
         llvm::zip(op.getResults(), body.getTerminator()->getOperands()))
      known[result] = look(value);
    return cost;
  };
  // What depends on data: a value that a guard protects is computed; a fault
  // does not happen.
  return side(condition.isInteger() ? condition.value != 0
                                    : op.getNumResults() > 0);
}

UnitCost Walk::call(func::CallOp op) {
  UnitCost cost;
  auto callee = module.lookupSymbol<func::FuncOp>(op.getCallee());
  if (!callee)
    return cost;
  if (auto width = callee->getAttrOfType<IntegerAttr>("gemm_width")) {
    auto operands =
        callee->getAttrOfType<IntegerAttr>("gemm_operands").getInt();
    cost.apart = plan::gemmCycles(target, Operands(operands), width.getInt(),
                                  integer(op.getOperand(6), target.isa.mr),
                                  integer(op.getOperand(7), 1));
    return cost;
  }
  for (auto [argument, operand] :
       llvm::zip(callee.getArguments(), op.getOperands()))
    known[argument] = look(operand);
  return block(callee.getBody().front());
}

LogicalResult lowering::prepareToPredict(ModuleOp lowered) {
  PassManager pm(lowered.getContext());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createCSEPass());
  return pm.run(lowered);
}

/// Operands that number packed rows, and the share of the keys that are kept.
static void findNumbers(pipe::KernelOp kernel, const Scenario &scenario,
                        std::map<size_t, double> &numbers) {
  auto extent = [&](const SymExpr &expr) {
    return double(expr.evaluate(scenario.extents).value_or(0));
  };
  auto note = [&](Value value, double share) {
    if (auto argument = dyn_cast<BlockArgument>(value); argument && share > 0)
      numbers[argument.getArgNumber()] = share;
  };
  for (Operation &op : kernel.getBody().front()) {
    if (auto unpack = dyn_cast<UnpackOp>(op)) {
      double keys =
          extent(unpack.getRank().getType().getColumns()[0].getExtent()) - 1;
      RelType rows = unpack.getInput().getType();
      note(unpack.getRank(),
           keys > 0 ? extent(rows.extentOf(unpack.getRow())) / keys : 0);
    } else if (auto pack = dyn_cast<PackOp>(op)) {
      double keys = 1;
      for (StringRef size : pack.getSizes().getAsValueRange<StringAttr>())
        keys *= extent(*SymExpr::parse(size));
      double rows = extent(pack.getRows().getType().size());
      note(pack.getRows(), rows > 0 ? keys / rows : 0);
    }
  }
}

Prediction lowering::predict(pipe::KernelOp kernel,
                             const LoweredModule &lowered,
                             const LoweredLevel &level, size_t number,
                             ArrayRef<bool> tables, const Scenario &scenario) {
  const LoweredKernel &code = level.kernels[number];
  plan::Target target(*level.isa);
  ModuleOp module = lowered.module.get();
  Walk walk(target, module);
  for (const std::string &symbol : lowered.symbols)
    walk.symbols.push_back(scenario.extents("?" + symbol).value_or(0));
  findNumbers(kernel, scenario, walk.numbers);
  auto value = [&](const SymExpr &expr) {
    return double(expr.evaluate(scenario.extents).value_or(0));
  };
  Prediction result;
  int64_t tasks = int64_t(value(code.tasks));
  result.overhead = target.step;
  if (tasks > 0) {
    int64_t most = std::min(tasks, int64_t(value(code.workers)));
    int64_t threads = std::clamp<int64_t>(most, 1, scenario.threads);
    if (threads > 1)
      result.overhead += target.worker;
    auto function = module.lookupSymbol<func::FuncOp>(code.function);
    auto prepare = int64_t(value(code.prepare));
    auto finish = int64_t(value(code.finish));
    bool alone = double(tasks / threads) >= value(code.alone);
    if (threads == 1 || prepare + finish == 0 || alone) {
      result.compute = walk.kernel(function, tasks, threads);
    } else {
      result.compute = walk.kernel(function, tasks, threads, JN_PHASE_MAIN);
      for (auto [number, count] : {std::pair(JN_PHASE_PREPARE, prepare),
                                   std::pair(JN_PHASE_FINISH, finish)})
        if (count > 0) {
          result.compute += walk.kernel(function, count, threads, number);
          result.overhead += target.worker;
        }
    }
    // Tables come once for each block of rows, from memory the first time.
    double passes = std::max(value(code.passes), alone ? double(threads) : 0) /
                    double(threads);
    double weights = 0, activations = 0;
    KernelWork work = workOf(kernel, *level.isa);
    for (auto [i, expr] : llvm::enumerate(work.bytes))
      (i < tables.size() && tables[i] ? weights : activations) += value(expr);
    result.stream =
        plan::streamCycles(target, weights, passes, scenario.footprint) +
        activations / double(threads) /
            target.stream(activations);
  }
  result.total = target.overlap(result.compute, result.stream) + result.overhead;
  return result;
}
