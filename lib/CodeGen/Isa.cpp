//===- Isa.cpp - Descriptions of instruction-set levels -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/Isa.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/STLExtras.h"
#include <vector>

using namespace mlir;

namespace joinery {

static std::vector<Isa> makeIsas() {
  Isa avx2 = {.name = "avx2",
              .lanes = 8,
              .registers = 16,
              .mr = 6,
              .nr = 16,
              .rowUnit = 2,
              .unroll = 4,
              .decodeRows = 24,
              .cpu = "x86-64-v3",
              .features = "",
              .l1 = 32 << 10,
              .l2 = 512 << 10};
  Isa avx512 = {.name = "avx512",
                .lanes = 16,
                .registers = 32,
                .mr = 8,
                .nr = 48,
                .rowUnit = 8,
                .unroll = 4,
                .decodeRows = 0,
                .cpu = "x86-64-v4",
                .features = "",
                .l1 = 32 << 10,
                .l2 = 1 << 20};
  Isa pairs = avx512;
  pairs.name = "avx512_bf16";
  pairs.features = "+avx512bf16";
  pairs.dotBF16 = pairs.roundsBF16 = true;
  pairs.base = avx512.name;
  Isa tiles = pairs;
  tiles.name = "amx";
  tiles.features += ",+amx-tile,+amx-bf16";
  tiles.l1 = 48 << 10;
  tiles.l2 = 2 << 20;
  tiles.tiles = true;
  tiles.rowUnit = 2 * kTileRows;
  return {avx2, avx512, pairs, tiles};
}

llvm::ArrayRef<Isa> allIsas() {
  static const std::vector<Isa> isas = makeIsas();
  return isas;
}

const Isa *findIsa(llvm::StringRef name) {
  const Isa *isa =
      llvm::find_if(allIsas(), [&](const Isa &i) { return i.name == name; });
  return isa == allIsas().end() ? nullptr : isa;
}

void setIsa(Operation *func, const Isa &isa) {
  Builder b(func->getContext());
  SmallVector<Attribute> attrs;
  auto add = [&](StringRef key, StringRef value) {
    attrs.push_back(b.getStrArrayAttr({key, value}));
  };
  add("target-cpu", isa.cpu);
  if (!isa.features.empty())
    add("target-features", isa.features);
  // x86-64-v4 is tuned for 256-bit vectors unless told otherwise.
  add("prefer-vector-width", std::to_string(isa.lanes * 32));
  add("min-legal-vector-width", std::to_string(isa.lanes * 32));
  func->setAttr("passthrough", b.getArrayAttr(attrs));
}

} // namespace joinery
