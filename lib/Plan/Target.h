//===- Target.h - What the cost model knows of a processor ------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Costs are in cycles of a core. A level's peak in FLOP/s over `flopsPerCycle`
// is the core's frequency, so a probe of the peak turns cycles into seconds,
// and what slows the whole machine cancels.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_PLAN_TARGET_H
#define JOINERY_LIB_PLAN_TARGET_H

#include "joinery/CodeGen/Isa.h"
#include <algorithm>

namespace joinery::plan {

struct Target {
  explicit Target(const Isa &isa);

  const Isa &isa;

  //===--- Throughput -----------------------------------------------------===//
  /// Multiply-adds (or products of pairs), simple operations, loads and stores
  /// of whole vectors per cycle.
  double multiplyAdds = 2, simple = 2, loads = 2, stores = 1;
  /// What one vector takes, in cycles.
  double divide, root, exp, erf, tanh;
  /// One element that is read on its own, and one scalar operation. A division
  /// of integers splits a row's number into keys.
  double gather = 1, scalar = 0.5, scalarDivide = 7, scalarMath = 25;
  /// The chain of a sum or maximum; of a register block's sums.
  double reduceLatency = 4, sumLatency = 4;
  /// The part of a chain's waiting that other rows do not fill.
  double exposedLatency = 0.3;

  /// A product of tiles, a tile's load, one from the level-2 cache, and a store,
  /// with what of each does not overlap: fitted to 1200 contractions, for a product
  /// waits for its tiles.
  double tileProduct = 16, tileLoad = 24, tileStream = 20, tileStore = 30;
  double tileTurn = 10;
  /// Of the shorter of products of tiles and vector operations, what the longer
  /// does not hide; a call's first tiles, whose units sleep before.
  double besideTiles = 0.5, tileStart = 1100;

  //===--- Overheads ------------------------------------------------------===//
  /// A step's dispatch, a call of a kernel, a worker that takes part.
  double step = 130, worker = 900;
  /// The start and the end of a loop, a reduction across lanes.
  double loop = 1, reduceLanes = 6;
  /// A call of the contraction's micro-kernel, and a register block's start.
  double gemmCall = 20, tile = 25;

  //===--- Memory ---------------------------------------------------------===//
  /// Bytes per cycle and core from the level-2 cache, the last level and
  /// memory, and the bytes of the last level that a run may count on.
  double fromL2 = 24, fromL3 = 14, fromMemory = 8;
  double lastLevel = 24 << 20;
  /// Of the shorter of computing and streaming weights, the part that the
  /// longer does not hide.
  double unhidden = 0.15;

  /// Two activities that go on at once.
  double overlap(double a, double b) const {
    return std::max(a, b) + unhidden * std::min(a, b);
  }
  /// FLOP per cycle of the loop that the peak is measured with.
  double flopsPerCycle(bool bf16) const {
    if (isa.tiles) // 32 x 16 x 16 multiply-adds; f32 takes six products for one
      return 2.0 * 2 * kTileRows * kTileRows * kTileRows / tileProduct /
             (bf16 ? 1 : 6);
    return 2 * multiplyAdds * double(isa.lanes) * (isa.dotBF16 ? 2 : 1);
  }
  /// Bytes per cycle of what a run of so many bytes in all reads once. Of more than
  /// the last level holds, a part is still there from the run before.
  double stream(double footprint) const {
    if (footprint <= 0.8 * double(isa.l2))
      return fromL2;
    double near = std::min(lastLevel / footprint, 1.0);
    return 1 / (near / fromL3 + (1 - near) / fromMemory);
  }
};

} // namespace joinery::plan

#endif
