//===- LowerKernels.cpp - Every kernel for every level --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Conversion/Conversion.h"
#include "lib/Conversion/PipeToLoops/Kernels.h"
#include "lib/Conversion/PipeToLoops/Work.h"
#include "lib/Plan/Contraction.h"
#include "lib/Plan/Target.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

static void collectSymbols(RelType type, std::set<std::string> &symbols) {
  for (Column column : type.getColumns()) {
    std::set<std::string> used;
    column.getExtent().collect(used);
    for (const std::string &symbol : used)
      symbols.insert(symbol.substr(1));
  }
}

std::string joinery::nodeName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName().str();
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location inner : fused.getLocations())
      if (std::string name = nodeName(inner); !name.empty())
        return name;
  return "";
}

static std::string kernelName(Operation *op) {
  return op->getParentOfType<pipe::KernelOp>().getSymName().str();
}

static KernelCheck lookupCheck(LookupOp op) {
  KernelCheck check;
  check.kernel = kernelName(op);
  check.limit = op.getSource().getType().extentOf(
      cast<StringAttr>(op.getKeys()[0]).getValue());
  check.message = "an index of '" + nodeName(op.getLoc()) +
                  "' is outside its table of " + check.limit.str() +
                  " rows; check the ids and the length of the input";
  // Ids that reach the lookup unchanged, or as a view, name their input.
  Value base = plan::viewOf(op.getIndices()[0]).base;
  while (auto pack = base.getDefiningOp<PackOp>())
    base = plan::viewOf(pack.getInput()).base;
  if (auto argument = dyn_cast<BlockArgument>(base))
    check.operand = argument.getArgNumber();
  return check;
}

static KernelCheck maskCheck(AggregateOp op) {
  KernelCheck check;
  check.kernel = kernelName(op);
  check.isMask = true;
  for (Column column : lowering::maskRows(op))
    check.rows.push_back(column.getExtent());
  const char *what = op.getFills() ? "makes the scores of dropped keys %g"
                                   : "adds %g to the scores of dropped keys";
  llvm::raw_string_ostream(check.message)
      << "the mask of a softmax "
      << llvm::format(what, op.getMask()->convertToDouble()) << ", which drops them only where the largest other score is above "
      << llvm::format("%g", *op.leastPeak())
      << "; compile with --padding=keep, which computes that as the file has "
         "it, or export the model with a lower constant";
  return check;
}

/// The most workers that find enough to do for waking them, handing over data
/// between caches and waiting for each other to pay.
static SymExpr workersFor(const lowering::KernelCost &cost, const SymExpr &flops,
                          const SymExpr &bytes, double flopsPerCycle) {
  // Rough, for a core of 3 GHz; what takes longer than this says is shared late.
  constexpr double reached = 0.6, cyclesPerNs = 3;
  constexpr int64_t bytesPerNs = 32, leastNs = 3500;
  auto flopsPerNs = int64_t(reached * cyclesPerNs * flopsPerCycle);
  SymExpr ns = SymExpr::floorDiv(flops, flopsPerNs) +
               SymExpr::floorDiv(bytes, bytesPerNs) +
               cost.tasks * SymExpr(cost.taskNs);
  return SymExpr::max(SymExpr::floorDiv(ns, leastNs), 1);
}

FailureOr<LoweredModule>
joinery::lowerKernels(ModuleOp module, ArrayRef<const Isa *> isas,
                      int64_t firstCheck) {
  MLIRContext *context = module.getContext();
  context->loadDialect<LLVM::LLVMDialect, scf::SCFDialect,
                       vector::VectorDialect, arith::ArithDialect,
                       math::MathDialect, func::FuncDialect>();
  LoweredModule result;
  result.module = ModuleOp::create(module.getLoc());
  std::set<std::string> symbols;
  module.walk([&](Operation *op) {
    for (Value value : op->getResults())
      if (auto type = dyn_cast<RelType>(value.getType()))
        collectSymbols(type, symbols);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          if (auto type = dyn_cast<RelType>(argument.getType()))
            collectSymbols(type, symbols);
  });
  std::map<std::string, int64_t> numbers;
  for (const std::string &symbol : symbols) {
    numbers[symbol] = numbers.size();
    result.symbols.push_back(symbol);
  }

  llvm::DenseMap<Operation *, int64_t> checks;
  auto checkNumber = [&](Operation *op) {
    auto [it, fresh] =
        checks.try_emplace(op, firstCheck + result.checks.size());
    if (fresh)
      result.checks.push_back(isa<LookupOp>(op)
                                  ? lookupCheck(cast<LookupOp>(op))
                                  : maskCheck(cast<AggregateOp>(op)));
    return it->second;
  };

  // No processor of a level has the instruction, and rounding by way of f32
  // would round twice. (f16 is rounded by way of f32 to odd: see ExpandMath.)
  WalkResult narrow = module.walk([](arith::TruncFOp op) -> WalkResult {
    if (!op.getIn().getType().isF64() || !op.getType().isBF16())
      return WalkResult::advance();
    emitError(op->getParentOp()->getLoc())
        << "a cast from f64 to " << op.getType()
        << " is not supported; cast to f32 in the model";
    return WalkResult::interrupt();
  });
  if (narrow.wasInterrupted())
    return failure();

  for (const Isa *isa : isas) {
    LoweredLevel level;
    level.isa = isa;
    const LoweredLevel *base = nullptr;
    for (const LoweredLevel &other : result.levels)
      if (other.isa->name == isa->base)
        base = &other;
    // A level that would only repeat its base is left out.
    if (base && llvm::none_of(module.getOps<pipe::KernelOp>(),
                              [&](pipe::KernelOp kernel) {
                                return lowering::hasOwnCode(kernel, *isa);
                              }))
      continue;
    for (auto kernel : module.getOps<pipe::KernelOp>()) {
      if (base && !lowering::hasOwnCode(kernel, *isa)) {
        level.kernels.push_back(base->kernels[level.kernels.size()]);
        continue;
      }
      std::string name = (kernel.getSymName() + "_" + isa->name).str();
      lowering::KernelEmitter e(*result.module, kernel, *isa, name, numbers,
                                checkNumber);
      FailureOr<lowering::KernelCost> cost =
          kernel.getAlgorithm() == "contraction" ? lowering::emitContraction(e)
          : kernel.getAlgorithm() == "product"   ? lowering::emitProduct(e)
          : kernel.getAlgorithm() == "attention" ? lowering::emitAttention(e)
          : kernel.getAlgorithm() == "scan"      ? lowering::emitScan(e)
                                                 : lowering::emitRows(e);
      if (failed(cost))
        return failure();
      setIsa(e.finish(), *isa);
      lowering::KernelWork work = lowering::workOf(kernel, *isa);
      SymExpr bytes;
      for (const SymExpr &operand : work.bytes)
        bytes = bytes + operand;
      bool inPairs = lowering::multipliesPairs(kernel) && isa->dotBF16;
      SymExpr workers = workersFor(*cost, work.flops, bytes,
                                   plan::Target(*isa).flopsPerCycle(inPairs));
      level.kernels.push_back({name, cost->tasks, cost->scratch, cost->grain,
                               cost->shared, workers, cost->prepare,
                               cost->finish, cost->alone, cost->passes,
                               work.flops, bytes,
                               lowering::workOf(kernel, *isa, cost->countedWork).flops,
                               lowering::workOf(kernel, *isa, cost->countedReads).bytes});
    }
    result.levels.push_back(std::move(level));
  }
  if (failed(verify(*result.module)))
    return failure();
  return result;
}
