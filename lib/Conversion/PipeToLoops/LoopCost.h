//===- LoopCost.h - What the operations of loops take -----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_LOOPCOST_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_LOOPCOST_H

#include "lib/Plan/Target.h"
#include "mlir/IR/Operation.h"

namespace joinery::lowering {

/// What straight code asks of a core's units, in cycles of each, and the cycles
/// of what does not overlap with it.
struct UnitCost {
  double arithmetic = 0, divider = 0, load = 0, store = 0, issue = 0, apart = 0;
  /// Products of tiles, and moves between tiles and caches.
  double tiles = 0, tileMoves = 0;

  void add(const UnitCost &other, double times = 1) {
    arithmetic += other.arithmetic * times;
    divider += other.divider * times;
    load += other.load * times;
    store += other.store * times;
    issue += other.issue * times;
    apart += other.apart * times;
    tiles += other.tiles * times;
    tileMoves += other.tileMoves * times;
  }
  double cycles(const plan::Target &target) const {
    double vectors = std::max({arithmetic, divider, load, store, issue});
    double products = std::max(tiles, tileMoves);
    return std::max(vectors, products) +
           target.besideTiles * std::min(vectors, products) + apart;
  }
};

/// The cost of an operation without regions that is no call.
UnitCost costOf(mlir::Operation *op, const plan::Target &target);

/// The least cycles between two iterations of a loop with this body: the
/// longest chain from a carried value to the next one.
double chainOf(mlir::Block &body, const plan::Target &target);

} // namespace joinery::lowering

#endif
