//===- Isa.h - Descriptions of instruction-set levels -----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every number that depends on an instruction set lives here. Each kernel is
// generated once per level; the runtime picks a level by its name when it
// opens an object.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_CODEGEN_ISA_H
#define JOINERY_CODEGEN_ISA_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <string>

namespace mlir {
class Operation;
}

namespace joinery {

/// Columns of a packed panel, at every level ("one store, every level").
inline constexpr int64_t kPanelWidth = 48;
/// Contraction steps that share a 32-bit lane of a bf16 panel: the first in the
/// low half.
inline constexpr int64_t kPairDepth = 2;
/// Rows of a tile register, and 32-bit lanes of one of its rows.
inline constexpr int64_t kTileRows = 16;
/// Steps of k (of kPairDepth * kTileRows elements) for which two tiles of columns
/// stay in the level-1 cache: 32 KiB.
inline constexpr int64_t kResidentSteps = 16;
/// Every row of kernel scratch is padded to a multiple of this many elements.
inline constexpr int64_t kRowPadding = 16;

struct Isa {
  /// The level's name in objects and in JOINERY_ISA.
  std::string name;
  /// f32 elements in one vector register.
  int64_t lanes;
  /// Architectural vector registers.
  int64_t registers;
  /// Rows and columns of the f32 register block. Columns divide kPanelWidth.
  int64_t mr, nr;
  /// Rows in a task of a contraction. Fewer than a register block, where it
  /// runs well with those too, give threads equal shares.
  int64_t rowUnit;
  /// Contraction steps unrolled in the innermost loop.
  int64_t unroll;
  /// From so many rows on, a panel of bf16 is decoded once for all of them and
  /// not in their products, for its shifts share pipes with those; 0: never.
  int64_t decodeRows;
  /// LLVM's name of the processor and the features on top of it.
  std::string cpu, features;
  /// Bytes of level-1 data and level-2 cache that a core may count on.
  int64_t l1, l2;
  /// Multiplies pairs of bf16 and adds them up in f32 with one instruction.
  bool dotBF16 = false;
  /// Rounds f32 to such pairs with one instruction.
  bool roundsBF16 = false;
  /// Multiplies such pairs on tile registers of 16 x 16 lanes.
  bool tiles = false;
  /// The level whose code serves kernels that have no such products.
  std::string base = {};

  /// How many vectors one 16-element group takes.
  int64_t vectorsPer16() const { return kRowPadding / lanes; }
};

/// All levels that code is generated for, weakest first.
llvm::ArrayRef<Isa> allIsas();

/// The level of that name, or null.
const Isa *findIsa(llvm::StringRef name);

/// Makes LLVM generate `func` (a func.func or an llvm.func) for `isa`, with
/// whole registers and without calls to a C library.
void setIsa(mlir::Operation *func, const Isa &isa);

} // namespace joinery

#endif // JOINERY_CODEGEN_ISA_H
