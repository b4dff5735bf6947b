//===- BlockHalves.cpp - Relations in blocks of columns -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel on tiles makes 32 rows of 32 columns after the other, all rows of some
// columns first, and reads its operands so as well. Where rows follow each other
// in memory, each line of 64 bytes that it touches lies in another page: nothing
// fetches the next one ahead, and the lines of a block compete for a few level-1
// sets. Where the blocks of 32 columns follow each other, both are one stream
// (FFN-up of BERT-base, 1024 rows: 2.6 instead of 3.2 ms; FFN-down 3.6, 4.2).
//
//===----------------------------------------------------------------------===//

#include "joinery/Conversion/Conversion.h"
#include "lib/Conversion/PipeToLoops/Halves.h"
#include "lib/Conversion/RelToPipe/RoundedOperands.h"
#include "lib/Plan/Contraction.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::lowering;
using namespace joinery::rel;

/// Can tiles read the operand where a row of its base is `columns` elements that
/// lie in blocks? What a product folds must begin with a block and be whole
/// blocks, and its rows must be rows of the base.
static bool readsBlocks(const RoundedOperand &operand, int64_t columns) {
  plan::View view = plan::storedViewOf(operand.value);
  auto stored = cast<RelType>(view.base.getType());
  auto offset = plan::viewOffset(view, stored);
  auto size = plan::product(operand.columns).asConst();
  if (!offset || !size || *size % kBlockColumns ||
      !columnBlocks(stored, columns))
    return false;
  auto walk = plan::walkContraction(*offset, operand.rows, operand.columns);
  bool packed = plan::packedViewOf(operand.value).has_value();
  SmallVector<Column> folded(operand.columns);
  auto step = plan::chain(*offset, folded);
  if (!step || !step->isConst(1))
    return false;
  // Rows are read where they are, one run of all of them.
  if (!packed && (!walk || !walk->rows.outer.empty()))
    return false;
  auto type = cast<RelType>(operand.value.getType());
  auto extent = [&](StringRef symbol) -> std::optional<SymExpr> {
    if (symbol.consume_front("#") && type.has(symbol))
      return type.extentOf(symbol);
    return std::nullopt;
  };
  auto uses = [](const SymExpr &part, ArrayRef<Column> keys) {
    return llvm::any_of(keys, [&](Column key) {
      return part.uses(SymExpr::key(key.getName()).str());
    });
  };
  auto [row, column] = offset->splitBy(columns);
  if (!column.provablyNonNegative(extent) ||
      !column.provablyLess(columns, extent) || uses(row, operand.columns) ||
      uses(column, operand.rows))
    return false;
  SymExpr first = column.substitute([&](StringRef symbol) {
    bool inBlock = llvm::any_of(operand.columns, [&](Column folded) {
      return symbol.substr(1) == folded.getName();
    });
    return inBlock ? std::optional<SymExpr>(0) : std::nullopt;
  });
  return first.splitBy(kBlockColumns).second.isConst(0);
}

namespace {
/// The columns of a row in blocks, for results and for operands; 0 for neither.
class BlockedHalves {
public:
  explicit BlockedHalves(ModuleOp module)
      : module(module), table(module),
        function(module.lookupSymbol<func::FuncOp>("main")) {}

  void choose();
  void mark();

private:
  pipe::KernelOp kernelOf(pipe::RunOp run) {
    return table.lookup<pipe::KernelOp>(run.getKernel());
  }
  template <typename Body> void forEachRead(pipe::RunOp run, Body body) {
    for (OpOperand &use : run.getResult().getUses())
      if (auto reader = dyn_cast<pipe::RunOp>(use.getOwner()))
        body(kernelOf(reader), use.getOperandNumber());
  }
  bool reads(pipe::KernelOp reader, unsigned input, int64_t columns);

  ModuleOp module;
  SymbolTable table;
  func::FuncOp function;
  llvm::DenseMap<Operation *, int64_t> results;
  llvm::DenseMap<Operation *, SmallVector<int64_t>> inputs;
};
} // namespace

bool BlockedHalves::reads(pipe::KernelOp reader, unsigned input,
                          int64_t columns) {
  for (const RoundedOperand &operand : roundedOperands(reader)) {
    auto argument =
        dyn_cast<BlockArgument>(plan::storedBase(operand.value));
    if (argument && argument.getArgNumber() == input &&
        !readsBlocks(operand, columns))
      return false;
  }
  return true;
}

void BlockedHalves::choose() {
  auto runs = function.getBody().front().getOps<pipe::RunOp>();
  for (pipe::RunOp run : runs) {
    pipe::KernelOp kernel = kernelOf(run);
    if (!kernel->hasAttr(kHalfResult) || results.contains(kernel))
      continue;
    // The shortest rows that all readers can take.
    auto type = cast<RelType>(run.getResult().getType());
    int64_t columns = 1, &chosen = results[kernel];
    for (Attribute digit : llvm::reverse(type.getLayout())) {
      auto name = cast<StringAttr>(digit);
      auto extent =
          type.has(name) ? type.extentOf(name).asConst() : std::nullopt;
      if (!extent || *extent <= 0 || columns > INT32_MAX / *extent)
        break;
      columns *= *extent;
      bool fits = columnBlocks(type, columns).has_value();
      forEachRead(run, [&](pipe::KernelOp reader, unsigned input) {
        fits = fits && reads(reader, input, columns);
      });
      if (fits) {
        chosen = columns;
        break;
      }
    }
  }
  // All runs of a kernel, and all that one operand of a kernel reads, are stored
  // alike: where they are not, none is in blocks.
  for (bool changed = true; changed;) {
    changed = false;
    inputs.clear();
    for (pipe::RunOp run : runs) {
      int64_t columns = results.lookup(kernelOf(run));
      forEachRead(run, [&](pipe::KernelOp reader, unsigned input) {
        auto &all = inputs[reader];
        all.resize(reader.getBody().getNumArguments(), -1);
        bool first = all[input] < 0;
        all[input] = first || all[input] == columns ? columns : 0;
      });
    }
    for (pipe::RunOp run : runs) {
      int64_t columns = results.lookup(kernelOf(run));
      bool fits = true;
      forEachRead(run, [&](pipe::KernelOp reader, unsigned input) {
        fits = fits && inputs[reader][input] == columns &&
               reads(reader, input, columns);
      });
      if (!columns || fits)
        continue;
      results[kernelOf(run)] = 0;
      changed = true;
    }
  }
}

void BlockedHalves::mark() {
  Builder b(module.getContext());
  for (auto [kernel, columns] : results)
    if (columns)
      kernel->setAttr(kBlockedResult, b.getI64IntegerAttr(columns));
  for (auto &[kernel, all] : inputs) {
    for (int64_t &columns : all)
      columns = std::max<int64_t>(columns, 0);
    if (llvm::any_of(all, [](int64_t columns) { return columns > 0; }))
      kernel->setAttr(kBlockedInputs, b.getDenseI64ArrayAttr(all));
  }
}

void joinery::blockHalves(ModuleOp module) {
  BlockedHalves halves(module);
  halves.choose();
  halves.mark();
}
