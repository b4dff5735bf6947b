//===- CostModel.cpp - What a choice costs --------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/CostModel.h"
#include "joinery/CodeGen/Isa.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace joinery;

double plan::gemmCycles(const Target &target, Operands operands, int64_t width,
                        int64_t rows, int64_t depth) {
  const Isa &isa = target.isa;
  int64_t sums = isa.mr * isa.nr / isa.lanes;
  int64_t columns = width % isa.nr == 0 ? isa.nr : width;
  int64_t most = std::min<int64_t>(12, sums * isa.lanes / columns);
  double cycles = target.gemmCall;
  int64_t left = rows;
  for (int64_t size : {most, int64_t(4), int64_t(2), int64_t(1)}) {
    if (size > most || (size == most && left != rows))
      continue;
    int64_t tiles = left / size;
    left -= tiles * size;
    // The widest group of columns that such a tile has registers for.
    int64_t group = width;
    while (group > kRowPadding &&
           (width % group || size * group / isa.lanes > sums))
      group -= kRowPadding;
    double vectors = double(group) / double(isa.lanes);
    double products = double(size) * vectors / target.multiplyAdds;
    // Decoding a pair takes an operation per vector of products.
    if (operands == Operands::DecodedPairs)
      products += vectors / target.simple;
    double step = std::max({products, (double(size) + vectors) / target.loads,
                            target.sumLatency});
    cycles += double(tiles) * double(width) / double(group) *
              (target.tile + double(depth) * step);
  }
  return cycles;
}

double plan::streamCycles(const Target &target, double bytes, double passes,
                          double footprint) {
  return bytes * std::min(passes, 1.0) / target.stream(footprint) +
         std::max(passes - 1, 0.0) * bytes / target.stream(bytes);
}

int64_t plan::cacheBudget(const Isa &isa) {
  // A fifth is left for code, stacks and what the prefetchers bring.
  return isa.l2 * 4 / 5;
}

/// The first alternative that costs least.
template <typename T> static const T &cheapest(const std::vector<T> &all) {
  return *std::min_element(all.begin(), all.end(), [](const T &a, const T &b) {
    return a.cost < b.cost;
  });
}

std::vector<plan::WidthCost> plan::panelWidths(int64_t n, int64_t widest) {
  // Share of peak of the register block for each width (measured; a narrow
  // block loads a row's element for fewer products).
  const std::pair<int64_t, double> widths[] = {
      {48, 1.0}, {64, 0.97}, {32, 0.9}, {16, 0.6}};
  std::vector<WidthCost> all;
  for (auto [width, efficiency] : widths)
    if (width <= std::max<int64_t>(widest, 64))
      all.push_back({width, double(llvm::alignTo(n, width)) / efficiency});
  return all;
}

int64_t plan::choosePanelWidth(int64_t n, int64_t widest) {
  return cheapest(panelWidths(n, widest)).width;
}

std::vector<plan::BlocksCost>
plan::contractionBlocks(int64_t k, int64_t n, int64_t width, bool wholeRows,
                        int64_t weightBytes, const Isa &isa) {
  // Blocks of rows are whole register blocks of every level without tiles, or
  // whole pairs of tiles; slices of k are whole steps.
  constexpr int64_t element = 4, least = 48;
  int64_t unit = isa.tiles ? 2 * kTileRows : 24;
  int64_t most = isa.tiles ? 512 : 192;
  int64_t step = isa.tiles ? kPairDepth * kTileRows : 16;
  // Tiles read rows that are rounded to pairs, or split into three terms, and two
  // tiles of columns at a time.
  bool splits = isa.tiles && weightBytes == 4;
  int64_t rowElement = splits ? 6 : isa.tiles ? 2 : element;
  int64_t columns = isa.tiles ? 2 * kTileRows : width;
  // Bytes a cycle: weights come from memory once for each block of rows, and
  // results that wait go to the level-2 cache and back with each slice of k. With
  // tiles, what of a panel does not stay in the level-1 cache comes from there as
  // well, once for each block of registers (measured at k = 768 and 3072).
  // Splitting a panel takes longer than reading it, and results pass the cache
  // between more products.
  constexpr double panelFromCache = 48;
  double fromMemory = splits ? 6 : 16, fromCache = splits ? 32 : 16;
  int64_t resident = isa.tiles && !splits
                         ? kResidentSteps * kPairDepth * kTileRows
                         : INT64_MAX;
  int64_t budget = cacheBudget(isa);
  std::vector<BlocksCost> all;
  for (int64_t parts = 1; parts <= int64_t(llvm::divideCeil(k, 128)); ++parts) {
    // Slices are equal up to a step: a short last one wastes its start.
    int64_t slice =
        parts == 1 ? k : llvm::alignTo(llvm::divideCeil(k, parts), step);
    int64_t count = llvm::divideCeil(k, slice);
    bool waiting = wholeRows || count > 1;
    // Split, it is the terms of two parts (SplitContraction.cpp).
    int64_t panel = splits ? 48 << 10 : slice * columns * weightBytes;
    int64_t results = waiting ? llvm::alignTo(n, width) : columns;
    int64_t perRow = slice * rowElement + results * element;
    int64_t rows = (budget - panel) / perRow / unit * unit;
    // A panel is read again for each register block: it takes a quarter at most.
    bool fits = rows >= least && panel <= budget / 4;
    rows = std::clamp(rows, int64_t(llvm::alignTo(least, unit)), most);
    double cost = double(k) * n * weightBytes / rows / fromMemory +
                  double(count - 1) * n * 2 * element / fromCache +
                  double(count * std::max<int64_t>(slice - resident, 0)) * n *
                      weightBytes / (2 * kTileRows) / panelFromCache;
    if (!fits)
      cost *= 4;
    all.push_back({{rows, slice}, cost});
  }
  if (all.empty())
    all.push_back({{least, std::min<int64_t>(k, 16)}, 0});
  return all;
}

plan::ContractionBlocks
plan::chooseContractionBlocks(int64_t k, int64_t n, int64_t width,
                              bool wholeRows, int64_t weightBytes,
                              const Isa &isa) {
  return cheapest(contractionBlocks(k, n, width, wholeRows, weightBytes, isa))
      .blocks;
}

plan::ContractionBlocks plan::chooseAttentionBlocks(int64_t depth,
                                                    int64_t width) {
  // The score tile is written and read twice: it should stay in the level-1
  // cache with a panel of keys where it can, so few queries and many keys.
  (void)depth;
  (void)width;
  return {24, 480};
}
