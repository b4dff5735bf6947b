//===- MicroKernelMoves.cpp - Generated transposes and gathers ------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MicroKernelBuilder.h"
#include "joinery/CodeGen/MicroKernel.h"

using namespace mlir;

namespace joinery {
namespace {

using Values = KernelBuilder::Values;

/// f32 elements in a 128-bit lane, within which x86 shuffles are cheapest.
constexpr int64_t kLane = 4;

class MoveGenerator {
public:
  MoveGenerator(ModuleOp module, const Isa &isa, StringRef name)
      : k(module, isa, name), isa(isa) {}

  func::FuncOp transpose() {
    func::FuncOp func = begin();
    int64_t n = isa.lanes;
    Value zero = k.constant(0);
    Value padded = k.roundDown(k.add(rows, kRowPadding - 1), kRowPadding);
    Value whole = k.roundDown(rows, n), blocks = k.roundDown(cols, n);
    blockLoop(zero, whole, blocks, /*partial=*/false);
    blockLoop(whole, padded, blocks, /*partial=*/true);
    // Columns that fill no vector, one element at a time.
    k.loop(zero, padded, 1, {}, [&](Value r, ValueRange) -> Values {
      Value inside = k.less(r, rows);
      Value source = rowAddress(k.select(inside, r, zero));
      k.loop(blocks, cols, 1, {}, [&](Value c, ValueRange) -> Values {
        Value element = k.load(k.f32, k.at(source, c));
        Value zeroF = arith::ConstantOp::create(k.b, k.b.getF32FloatAttr(0));
        k.store(k.select(inside, element, zeroF),
                k.at(dst, k.add(k.mul(c, ldd), r)));
        return {};
      });
      return {};
    });
    k.finish();
    return func;
  }

  func::FuncOp copyRows() {
    func::FuncOp func = begin();
    int64_t n = isa.lanes;
    Value zero = k.constant(0);
    Value whole = k.roundDown(cols, n);
    Value mask = firstLanes(k.sub(cols, whole));
    Value ragged = k.less(whole, cols);
    k.loop(zero, rows, 1, {}, [&](Value r, ValueRange) -> Values {
      Value from = rowAddress(r), to = k.at(dst, k.mul(r, ldd));
      k.loop(zero, whole, n, {}, [&](Value c, ValueRange) -> Values {
        k.store(k.loadVector(k.at(from, c)), k.at(to, c));
        return {};
      });
      scf::IfOp::create(k.b, ragged, [&](OpBuilder &, Location loc) {
        Value values = LLVM::MaskedLoadOp::create(
            k.b, k.vec, k.at(from, whole), mask, k.zero(), /*alignment=*/4);
        LLVM::MaskedStoreOp::create(k.b, values, k.at(to, whole), mask,
                                    /*alignment=*/4);
        scf::YieldOp::create(k.b, loc);
      });
      return {};
    });
    k.finish();
    return func;
  }

  func::FuncOp packPairs() {
    func::FuncOp func =
        k.begin({k.ptr, k.i64, k.i64, k.i64, k.ptr, k.i64});
    src = func.getArgument(0), ld = func.getArgument(1);
    rows = func.getArgument(2), cols = func.getArgument(3);
    dst = func.getArgument(4), ldd = func.getArgument(5);
    int64_t n = isa.lanes;
    Value zero = k.constant(0);
    Value whole = k.roundDown(cols, 2 * n);
    Value ragged = k.less(whole, cols), rest = k.sub(cols, whole);
    Value low = firstLanes(rest), high = firstLanes(k.sub(rest, k.constant(n)));
    // `lower` and `upper` hold consecutive elements; pairs stay adjacent.
    auto convert = [&](Value lower, Value upper, Value to) {
      if (!isa.roundsBF16) {
        auto half = VectorType::get(n, k.b.getBF16Type());
        k.store(arith::TruncFOp::create(k.b, half, lower), to);
        k.store(arith::TruncFOp::create(k.b, half, upper), k.at(to, n / 2));
        return;
      }
      auto halves = VectorType::get(2 * n, k.b.getBF16Type());
      Value packed =
          LLVM::CallIntrinsicOp::create(
              k.b, halves,
              k.b.getStringAttr("llvm.x86.avx512bf16.cvtne2ps2bf16." +
                                std::to_string(32 * n)),
              ValueRange{upper, lower})
              .getResult(0);
      k.store(packed, to);
    };
    k.loop(zero, rows, 1, {}, [&](Value r, ValueRange) -> Values {
      Value from = k.at(src, k.mul(r, ld)), to = k.at(dst, k.mul(r, ldd));
      auto pairAt = [&](Value c) {
        return k.at(to, k.div(c, k.constant(2)));
      };
      k.loop(zero, whole, 2 * n, {}, [&](Value c, ValueRange) -> Values {
        Value address = k.at(from, c);
        convert(k.loadVector(address), k.loadVector(k.at(address, n)),
                pairAt(c));
        return {};
      });
      scf::IfOp::create(k.b, ragged, [&](OpBuilder &, Location loc) {
        Value address = k.at(from, whole);
        auto masked = [&](Value at, Value mask) -> Value {
          return LLVM::MaskedLoadOp::create(k.b, k.vec, at, mask, k.zero(),
                                            /*alignment=*/4);
        };
        convert(masked(address, low), masked(k.at(address, n), high),
                pairAt(whole));
        scf::YieldOp::create(k.b, loc);
      });
      return {};
    });
    k.finish();
    return func;
  }

  func::FuncOp decodePairs() {
    func::FuncOp func = k.begin({k.ptr, k.ptr, k.i64, k.i64});
    Value panel = func.getArgument(0), to = func.getArgument(1);
    Value width = func.getArgument(2), pairs = func.getArgument(3);
    int64_t n = isa.lanes;
    auto lanes = VectorType::get(n, k.b.getI32Type());
    k.loop(k.constant(0), pairs, 1, {}, [&](Value p, ValueRange) -> Values {
      Value row = k.mul(p, width);
      Value from = k.at(panel, row), even = k.at(to, k.mul(row, 2));
      Value odd = k.at(even, width);
      k.loop(k.constant(0), width, kRowPadding, {},
             [&](Value c, ValueRange) -> Values {
               for (int64_t i = 0; i < kRowPadding; i += n) {
                 Value pair = k.load(lanes, k.at(k.at(from, c), i));
                 k.store(k.half(pair, 0), k.at(k.at(even, c), i));
                 k.store(k.half(pair, 1), k.at(k.at(odd, c), i));
               }
               return {};
             });
      return {};
    });
    k.finish();
    return func;
  }

  /// Rows of f32, or of bf16 (`halves`).
  func::FuncOp packRowPairs(bool halves) {
    func::FuncOp func = begin();
    if (halves)
      element = k.b.getI16Type();
    int64_t n = isa.lanes;
    Value zero = k.constant(0), last = k.add(rows, -1);
    Value whole = k.roundDown(cols, n);
    Value mask = firstLanes(k.sub(cols, whole));
    Value ragged = k.less(whole, cols);
    auto lanes = VectorType::get(n, k.b.getI32Type());
    auto sourceType = VectorType::get(n, element);
    auto half = [&](Value values) -> Value {
      if (halves)
        return arith::ExtUIOp::create(k.b, lanes, values);
      Value rounded = arith::TruncFOp::create(
          k.b, VectorType::get(n, k.b.getBF16Type()), values);
      Value bits = arith::BitcastOp::create(
          k.b, VectorType::get(n, k.b.getI16Type()), rounded);
      return arith::ExtUIOp::create(k.b, lanes, bits);
    };
    Value sixteen = k.splat(16);
    k.loop(zero, rows, 2, {}, [&](Value r, ValueRange) -> Values {
      Value second = k.add(r, 1), inside = k.less(second, rows);
      Value lower = rowAddress(r), upper = rowAddress(k.min(second, last));
      Value to = k.at(dst, k.mul(k.div(r, k.constant(2)), ldd));
      Value nothing = arith::ConstantOp::create(k.b, sourceType,
                                                k.b.getZeroAttr(sourceType));
      unsigned bytes = element.getIntOrFloatBitWidth() / 8;
      auto load = [&](Value row, Value c) -> Value {
        return LLVM::LoadOp::create(k.b, sourceType, k.at(row, c, element),
                                    bytes);
      };
      auto pack = [&](Value x, Value y, Value at) {
        y = k.select(inside, y, nothing);
        Value high = arith::ShLIOp::create(k.b, half(y), sixteen);
        k.store(arith::OrIOp::create(k.b, half(x), high), at);
      };
      k.loop(zero, whole, n, {}, [&](Value c, ValueRange) -> Values {
        pack(load(lower, c), load(upper, c), k.at(to, c));
        return {};
      });
      scf::IfOp::create(k.b, ragged, [&](OpBuilder &, Location loc) {
        auto masked = [&](Value row) -> Value {
          return LLVM::MaskedLoadOp::create(k.b, sourceType,
                                            k.at(row, whole, element), mask,
                                            nothing, bytes);
        };
        pack(masked(lower), masked(upper), k.at(to, whole));
        scf::YieldOp::create(k.b, loc);
      });
      return {};
    });
    k.finish();
    return func;
  }

private:
  func::FuncOp begin() {
    func::FuncOp func =
        k.begin({k.ptr, k.i64, k.ptr, k.i64, k.i64, k.ptr, k.i64});
    src = func.getArgument(0), ld = func.getArgument(1);
    index = func.getArgument(2);
    rows = func.getArgument(3), cols = func.getArgument(4);
    dst = func.getArgument(5), ldd = func.getArgument(6);
    identity = k.isNull(index);
    return func;
  }

  /// Where a row of the source starts, through the index if there is one.
  Value rowAddress(Value row) {
    auto looked = scf::IfOp::create(
        k.b, identity,
        [&](OpBuilder &, Location loc) { scf::YieldOp::create(k.b, loc, row); },
        [&](OpBuilder &, Location loc) {
          Type i32 = k.b.getI32Type();
          Value entry = k.load(i32, k.at(index, row, i32));
          Value wide = arith::ExtSIOp::create(k.b, k.i64, entry);
          scf::YieldOp::create(k.b, loc, wide);
        });
    return k.at(src, k.mul(looked.getResult(0), ld), element);
  }

  Value firstLanes(Value count) {
    Type i32 = k.b.getI32Type();
    SmallVector<int32_t> lanes;
    for (int64_t lane = 0; lane < isa.lanes; ++lane)
      lanes.push_back(lane);
    auto type = VectorType::get(isa.lanes, i32);
    Value iota = arith::ConstantOp::create(
        k.b, type, DenseElementsAttr::get(type, ArrayRef<int32_t>(lanes)));
    Value limit = vector::BroadcastOp::create(
        k.b, type, arith::TruncIOp::create(k.b, i32, count));
    return k.less(iota, limit);
  }

  Value shuffle(Value x, Value y, ArrayRef<int64_t> mask) {
    return vector::ShuffleOp::create(k.b, x, y, mask);
  }
  /// Interleaves groups of `group` elements of the low or high half of each
  /// 128-bit lane of x and y.
  Value unpack(Value x, Value y, int64_t group, bool high) {
    SmallVector<int64_t> mask;
    for (int64_t lane = 0; lane < isa.lanes; lane += kLane)
      for (int64_t i = 0; i < kLane; ++i) {
        int64_t pair = i / group, place = i % group;
        int64_t source = high * kLane / 2 + (pair / 2) * group + place;
        mask.push_back(lane + source + (pair % 2) * isa.lanes);
      }
    return shuffle(x, y, mask);
  }
  /// Puts 128-bit lanes (counted through x, then y) next to each other.
  Value lanes(Value x, Value y, ArrayRef<int64_t> which) {
    SmallVector<int64_t> mask;
    for (int64_t lane : which)
      for (int64_t i = 0; i < kLane; ++i)
        mask.push_back(lane * kLane + i);
    return shuffle(x, y, mask);
  }

  /// Transposes lanes x lanes elements: first 4x4 within 128-bit lanes, then
  /// the lanes.
  Values transposeBlock(Values row) {
    int64_t n = isa.lanes;
    Values pairs(n), quads(n), out(n);
    for (int64_t i = 0; i < n; i += 2)
      for (int64_t high : {0, 1})
        pairs[i + high] = unpack(row[i], row[i + 1], 1, high);
    // quads[4i + j], lane l: column 4l + j of rows 4i .. 4i + 3.
    for (int64_t i = 0; i < n; i += 4)
      for (int64_t j = 0; j < 4; ++j)
        quads[i + j] = unpack(pairs[i + j / 2], pairs[i + j / 2 + 2], 2, j % 2);
    for (int64_t j = 0; j < 4; ++j) {
      if (n == 8) {
        for (int64_t l : {0, 1})
          out[4 * l + j] = lanes(quads[j], quads[4 + j], {l, 2 + l});
        continue;
      }
      for (int64_t odd : {0, 1}) {
        Value top =
            lanes(quads[j], quads[4 + j], {odd, 2 + odd, 4 + odd, 6 + odd});
        Value bottom = lanes(quads[8 + j], quads[12 + j],
                             {odd, 2 + odd, 4 + odd, 6 + odd});
        out[4 * odd + j] = lanes(top, bottom, {0, 2, 4, 6});
        out[4 * (odd + 2) + j] = lanes(top, bottom, {1, 3, 5, 7});
      }
    }
    return out;
  }

  /// Rows [from, to) in steps of whole vectors. Partial blocks read the last
  /// row again in place of rows that don't exist and store zeros for them.
  void blockLoop(Value from, Value to, Value columns, bool partial) {
    int64_t n = isa.lanes;
    Value last = k.add(rows, -1);
    k.loop(from, to, n, {}, [&](Value r, ValueRange) -> Values {
      Values sources, inside;
      for (int64_t i = 0; i < n; ++i) {
        Value row = k.add(r, i);
        if (partial) {
          inside.push_back(k.less(row, rows));
          row = k.min(row, last);
        }
        sources.push_back(rowAddress(row));
      }
      k.loop(k.constant(0), columns, n, {}, [&](Value c, ValueRange) -> Values {
        Values block;
        for (int64_t i = 0; i < n; ++i) {
          Value values = k.loadVector(k.at(sources[i], c));
          block.push_back(partial ? k.select(inside[i], values, k.zero())
                                  : values);
        }
        Values columnsOut = transposeBlock(block);
        for (int64_t i = 0; i < n; ++i)
          k.store(columnsOut[i], k.at(dst, k.add(k.mul(k.add(c, i), ldd), r)));
        return {};
      });
      return {};
    });
  }

  KernelBuilder k;
  const Isa &isa;
  /// Of the source.
  Type element = k.f32;
  Value src, ld, index, rows, cols, dst, ldd, identity;
};

} // namespace

func::FuncOp getOrCreateTranspose(ModuleOp module, const Isa &isa) {
  std::string name = "jn_transpose_f32_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).transpose();
}

func::FuncOp getOrCreateCopyRows(ModuleOp module, const Isa &isa) {
  std::string name = "jn_copy_rows_f32_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).copyRows();
}

func::FuncOp getOrCreateDecodePairs(ModuleOp module, const Isa &isa) {
  std::string name = "jn_decode_bf16_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).decodePairs();
}

func::FuncOp getOrCreatePackRowPairs(ModuleOp module, const Isa &isa) {
  std::string name = "jn_pack_rows_bf16_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).packRowPairs(/*halves=*/false);
}

func::FuncOp getOrCreateInterleaveRows(ModuleOp module, const Isa &isa) {
  std::string name = "jn_interleave_bf16_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).packRowPairs(/*halves=*/true);
}

func::FuncOp getOrCreatePackPairs(ModuleOp module, const Isa &isa) {
  assert(isa.dotBF16 && "the level multiplies no pairs");
  std::string name = "jn_pack_bf16_" + isa.name;
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return func;
  return MoveGenerator(module, isa, name).packPairs();
}

} // namespace joinery
