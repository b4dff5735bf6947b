//===- Alternatives.cpp - What a plan did not choose ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Pipelines/Alternatives.h"
#include "lib/Plan/Contraction.h"
#include "lib/Plan/CostModel.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// Prints each alternative's cost relative to the cheapest.
template <typename T, typename Name>
static void printCosts(const std::vector<T> &all, Name name,
                       llvm::raw_ostream &os) {
  double least = all.front().cost;
  for (const T &one : all)
    least = std::min(least, one.cost);
  for (const T &one : all) {
    os << " ";
    name(one);
    if (least > 0)
      os << llvm::format(" %.2f", one.cost / least);
  }
}

void joinery::printAlternatives(pipe::KernelOp kernel, const Isa &level,
                                const std::string &indent,
                                llvm::raw_ostream &os) {
  if (kernel.getAlgorithm() != "contraction")
    return;
  Block &body = kernel.getBody().front();
  for (BlockArgument argument : body.getArguments()) {
    auto panels = cast<RelType>(argument.getType());
    ArrayAttr layout = panels.getLayout();
    StringRef first =
        layout.empty() ? "" : cast<StringAttr>(layout[0]).getValue();
    auto [column, digits] = first.split('/');
    int64_t width;
    if (digits.getAsInteger(10, width) || !panels.has(column))
      continue;
    auto n = panels.extentOf(column).asConst(), size = panels.size().asConst();
    if (!n || !size || *n == 0)
      continue;
    // Results wait for an aggregate over whole rows.
    bool whole =
        llvm::count_if(body, [](Operation &op) { return isa<AggregateOp>(op); }) >
        1;
    os << indent << "panels:";
    printCosts(
        plan::panelWidths(*n, width),
        [&](const plan::WidthCost &one) { os << "j/" << one.width; }, os);
    os << "\n" << indent << "blocks:";
    printCosts(
        plan::contractionBlocks(
            *size / *n, *n, width, whole,
            panels.getElementType().getIntOrFloatBitWidth() / 8, level),
        [&](const plan::BlocksCost &one) {
          os << one.blocks.rows << "x" << one.blocks.slice;
        },
        os);
    os << "\n";
  }
}
