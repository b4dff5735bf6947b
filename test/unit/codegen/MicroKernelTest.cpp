//===- MicroKernelTest.cpp - Tests of the generated contractions ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/MicroKernel.h"
#include "CompiledModule.h"
#include "TileLevel.h"
#include "gtest/gtest.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <random>

using namespace joinery;
using namespace joinery::test;
using mlir::func::FuncOp;

namespace {

using Gemm = void(const float *, int64_t, const float *, int64_t, float *,
                  int64_t, int64_t, int64_t, bool, const float *, int64_t);

std::vector<float> randomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float &value : values)
    value = uniform(random);
  return values;
}

/// A level by name; `tiles_on_avx2` is the tiles of `amx` among code that any
/// machine runs.
const Isa *levelOf(const std::string &name) {
  if (name != "tiles_on_avx2")
    return findIsa(name);
  static const Isa isa = tilesOnAvx2("tiles_on_avx2");
  return &isa;
}

/// The kernels of one level in one shared object.
class MicroKernels : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    isa = levelOf(GetParam());
    ASSERT_NE(isa, nullptr);
    if (!canRun(*isa))
      GTEST_SKIP() << "this machine lacks " << isa->name;
    context = makeContext();
    module = mlir::ModuleOp::create(mlir::UnknownLoc::get(context.get()));
  }

  void exportFunction(FuncOp func) {
    func.setPublic();
    names.push_back(func.getName().str());
  }
  void compile() {
    compiled = std::make_unique<CompiledModule>(*module, names);
    ASSERT_EQ(compiled->error(), "");
  }

  const Isa *isa = nullptr;
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::vector<std::string> names;
  std::unique_ptr<CompiledModule> compiled;
};

// Tests that every width agrees with a double-precision sum, for tails of M and
// K, foreign strides and both values of `accumulate`, and writes nothing else.
TEST_P(MicroKernels, Gemm) {
  if (isa->tiles)
    GTEST_SKIP() << "as at the level below";
  for (int64_t width : {16, 32, 48, 64})
    exportFunction(getOrCreateGemm(*module, *isa, width));
  compile();
  size_t which = 0;
  for (int64_t width : {16, 32, 48, 64}) {
    auto *gemm = compiled->get<Gemm>(names[which++]);
    ASSERT_NE(gemm, nullptr);
    for (int64_t m : {0, 1, 2, 3, 5, 7, 8, 12, 23, 40})
      for (int64_t k : {0, 1, 3, 4, 31, 48, 50, 100})
        for (bool accumulate : {false, true}) {
          int64_t lda = k + 3, ldb = width + 16, ldc = width + 5;
          auto a = randomFloats((m + 1) * lda, 1);
          auto b = randomFloats((k + 1) * ldb, 2);
          auto c = randomFloats((m + 1) * ldc, 3);
          auto next = randomFloats((k + 1) * width, 4);
          auto expected = c;
          gemm(a.data(), lda, b.data(), ldb, c.data(), ldc, m, k, accumulate,
               next.data(), m % 2 * k * width);
          for (int64_t r = 0; r < m; ++r)
            for (int64_t n = 0; n < width; ++n) {
              double sum = accumulate ? expected[r * ldc + n] : 0;
              for (int64_t i = 0; i < k; ++i)
                sum += double(a[r * lda + i]) * b[i * ldb + n];
              ASSERT_NEAR(c[r * ldc + n], sum, 2e-5)
                  << width << " wide, M=" << m << " K=" << k << " at " << r
                  << "," << n;
              expected[r * ldc + n] = c[r * ldc + n];
            }
          ASSERT_EQ(0, std::memcmp(expected.data(), c.data(),
                                   c.size() * sizeof(float)))
              << "padding was written";
        }
  }
}

// Tests that a row's bits depend on neither M nor its place, and that cutting
// the contraction into slices keeps them.
TEST_P(MicroKernels, GemmBits) {
  if (isa->tiles)
    GTEST_SKIP() << "as at the level below";
  exportFunction(getOrCreateGemm(*module, *isa, 48));
  compile();
  auto *gemm = compiled->get<Gemm>(names[0]);
  constexpr int64_t m = 23, k = 203, width = 48;
  auto a = randomFloats(m * k, 5), b = randomFloats(k * width, 6);
  std::vector<float> whole(m * width), part(m * width);
  gemm(a.data(), k, b.data(), width, whole.data(), width, m, k, false, nullptr,
       0);
  for (int64_t first : {0, 1, 5})
    for (int64_t count = 1; first + count <= m; ++count) {
      gemm(a.data() + first * k, k, b.data(), width, part.data(), width, count,
           k, false, nullptr, 0);
      ASSERT_EQ(0, std::memcmp(part.data(), whole.data() + first * width,
                               count * width * sizeof(float)))
          << count << " rows from " << first;
    }
  for (int64_t cut : {1, 48, 77, 200}) {
    gemm(a.data(), k, b.data(), width, part.data(), width, m, cut, false,
         nullptr, 0);
    gemm(a.data() + cut, k, b.data() + cut * width, width, part.data(), width,
         m, k - cut, true, nullptr, 0);
    ASSERT_EQ(part, whole) << "cut at " << cut;
  }
}

/// A float as bf16 bits, to nearest and to even, and back.
uint16_t toHalf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
float fromHalf(uint16_t half) {
  uint32_t bits = uint32_t(half) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

/// A panel of bf16 pairs along k; returns it with the rounded matrix.
std::vector<uint32_t> pairPanel(int64_t k, int64_t width, int64_t ldb,
                                std::vector<float> &b) {
  std::vector<uint32_t> lanes(((k + 1) / 2 + 1) * ldb, 0x7fc07fc0);
  for (int64_t i = 0; i < (k + 1) / 2; ++i)
    for (int64_t n = 0; n < width; ++n)
      lanes[i * ldb + n] = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t n = 0; n < width; ++n) {
      uint16_t half = toHalf(b[i * width + n]);
      lanes[i / 2 * ldb + n] |= uint32_t(half) << (i % 2 * 16);
      b[i * width + n] = fromHalf(half);
    }
  return lanes;
}

// Tests that decoding a panel of bf16 pairs gives the bits of the f32 kernel on
// the rounded weights, for odd and even k.
TEST_P(MicroKernels, GemmDecodesPairs) {
  if (isa->tiles)
    GTEST_SKIP() << "as at the level below";
  for (int64_t width : {16, 48, 64}) {
    exportFunction(
        getOrCreateGemm(*module, *isa, width, Operands::DecodedPairs));
    exportFunction(getOrCreateGemm(*module, *isa, width));
  }
  compile();
  size_t which = 0;
  for (int64_t width : {16, 48, 64}) {
    auto *decoding = compiled->get<Gemm>(names[which++]);
    auto *gemm = compiled->get<Gemm>(names[which++]);
    for (int64_t m : {0, 1, 2, 3, 7, 8, 23})
      for (int64_t k : {0, 1, 2, 3, 5, 48, 51, 102})
        for (bool accumulate : {false, true}) {
          int64_t lda = k + 3, ldb = width + 16, ldc = width + 5;
          auto a = randomFloats((m + 1) * lda, 1);
          auto b = randomFloats((k + 1) * width, 2);
          auto c = randomFloats((m + 1) * ldc, 3);
          auto lanes = pairPanel(k, width, ldb, b);
          auto expected = c;
          auto *panel = reinterpret_cast<const float *>(lanes.data());
          gemm(a.data(), lda, b.data(), width, expected.data(), ldc, m, k,
               accumulate, panel, m % 2 * ((k + 1) / 2) * width);
          decoding(a.data(), lda, panel, ldb, c.data(), ldc, m, k, accumulate,
                   panel, m % 2 * ((k + 1) / 2) * width);
          ASSERT_EQ(0, std::memcmp(expected.data(), c.data(),
                                   c.size() * sizeof(float)))
              << width << " wide, M=" << m << " K=" << k;
        }
  }
}

using Move = void(const float *, int64_t, const int32_t *, int64_t, int64_t,
                  float *, int64_t);

/// Rows to move: all in order, or some out of order.
std::vector<int32_t> someRows(int64_t rows) {
  std::vector<int32_t> index(rows);
  for (int64_t r = 0; r < rows; ++r)
    index[r] = (r * 7 + 3) % 50;
  return index;
}

using Pack = void(const float *, int64_t, int64_t, int64_t, uint32_t *, int64_t);

using Decode = void(const uint32_t *, float *, int64_t, int64_t);

// Tests that a panel of pairs is decoded row by row, and nothing else written.
TEST_P(MicroKernels, DecodePairs) {
  exportFunction(getOrCreateDecodePairs(*module, *isa));
  compile();
  auto *decode = compiled->get<Decode>(names[0]);
  for (int64_t width : {16, 48, 64})
    for (int64_t pairs : {0, 1, 7}) {
      auto b = randomFloats((2 * pairs + 1) * width, 2);
      auto lanes = pairPanel(2 * pairs, width, width, b);
      std::vector<float> dst((2 * pairs + 1) * width, -7), expected = dst;
      std::copy_n(b.begin(), 2 * pairs * width, expected.begin());
      decode(lanes.data(), dst.data(), width, pairs);
      ASSERT_EQ(dst, expected) << width << " wide, " << pairs << " pairs";
    }
}

/// What the packing kernel makes of rows.
std::vector<uint32_t> packRows(const std::vector<float> &a, int64_t lda,
                               int64_t m, int64_t k, int64_t ldp,
                               int64_t lanes) {
  std::vector<uint32_t> packed((m + 1) * ldp, 7);
  int64_t written = ((k + 1) / 2 + lanes - 1) / lanes * lanes;
  for (int64_t r = 0; r < m; ++r)
    for (int64_t i = 0; i < written; ++i) {
      auto at = [&](int64_t c) -> uint32_t {
        return c < k ? toHalf(a[r * lda + c]) : 0;
      };
      packed[r * ldp + i] = at(2 * i) | at(2 * i + 1) << 16;
    }
  return packed;
}

// Tests that rows are rounded to pairs, with zeros up to whole vectors, and
// nothing else is written.
TEST_P(MicroKernels, PackPairs) {
  if (!isa->dotBF16)
    GTEST_SKIP() << isa->name << " has no product of pairs";
  exportFunction(getOrCreatePackPairs(*module, *isa));
  compile();
  auto *pack = compiled->get<Pack>(names[0]);
  for (int64_t m : {0, 1, 3, 8})
    for (int64_t k : {1, 2, 5, 31, 32, 33, 48, 64, 101}) {
      int64_t lda = k + 3, ldp = ((k + 1) / 2 + 15) / 16 * 16 + 16;
      auto a = randomFloats((m + 1) * lda, 1);
      std::vector<uint32_t> packed((m + 1) * ldp, 7);
      pack(a.data(), lda, m, k, packed.data(), ldp);
      ASSERT_EQ(packed, packRows(a, lda, m, k, ldp, isa->lanes)) << m << "x" << k;
    }
}

// Tests that two rows are rounded to pairs, through an index or not, with zeros
// in place of a row that is missing.
TEST_P(MicroKernels, PackRowPairs) {
  if (!isa->dotBF16)
    GTEST_SKIP() << isa->name << " has no product of pairs";
  exportFunction(getOrCreatePackRowPairs(*module, *isa));
  compile();
  auto *pack = compiled->get<Move>(names[0]);
  constexpr int64_t ld = 70;
  auto src = randomFloats(50 * ld, 7);
  for (int64_t rows : {0, 1, 2, 7, 16})
    for (int64_t cols : {1, 15, 16, 17, 64})
      for (bool gather : {false, true}) {
        auto index = someRows(rows);
        int64_t ldd = cols + 19, whole = (cols + isa->lanes - 1) / isa->lanes;
        std::vector<uint32_t> dst(((rows + 1) / 2 + 1) * ldd, 7);
        auto expected = dst;
        for (int64_t p = 0; p < (rows + 1) / 2; ++p)
          for (int64_t c = 0; c < whole * isa->lanes; ++c) {
            auto at = [&](int64_t r) -> uint32_t {
              return r < rows && c < cols
                         ? toHalf(src[(gather ? index[r] : r) * ld + c])
                         : 0;
            };
            expected[p * ldd + c] = at(2 * p) | at(2 * p + 1) << 16;
          }
        pack(src.data(), ld, gather ? index.data() : nullptr, rows, cols,
             reinterpret_cast<float *>(dst.data()), ldd);
        ASSERT_EQ(dst, expected) << rows << "x" << cols << " gather=" << gather;
      }
}

// Tests that products of pairs agree with a double-precision sum.
TEST_P(MicroKernels, GemmMultipliesPairs) {
  if (!isa->dotBF16 || isa->tiles)
    GTEST_SKIP() << isa->name << " has no product of pairs in vectors";
  for (int64_t width : {16, 32, 48, 64})
    exportFunction(getOrCreateGemm(*module, *isa, width, Operands::Pairs));
  compile();
  size_t which = 0;
  for (int64_t width : {16, 32, 48, 64}) {
    auto *gemm = compiled->get<Gemm>(names[which++]);
    for (int64_t m : {0, 1, 3, 7, 8, 23, 32, 49, 71})
      for (int64_t k : {1, 2, 5, 31, 32, 33, 48, 64, 101})
        for (bool accumulate : {false, true}) {
          int64_t lda = k + 3, ldb = width + 16, ldc = width + 5;
          int64_t pairs = (k + 1) / 2, ldp = (pairs + 15) / 16 * 16 + 16;
          auto a = randomFloats((m + 1) * lda, 1);
          auto b = randomFloats((k + 1) * width, 2);
          auto c = randomFloats((m + 1) * ldc, 3), expected = c;
          auto lanes = pairPanel(k, width, ldb, b);
          auto packed = packRows(a, lda, m, k, ldp, isa->lanes);
          auto rows = reinterpret_cast<const float *>(packed.data());
          auto panel = reinterpret_cast<const float *>(lanes.data());
          gemm(rows, ldp, panel, ldb, c.data(), ldc, m, pairs, accumulate,
               panel, m % 2 * pairs * width);
          for (int64_t r = 0; r < m; ++r)
            for (int64_t n = 0; n < width; ++n) {
              double sum = accumulate ? expected[r * ldc + n] : 0;
              for (int64_t i = 0; i < k; ++i)
                sum += double(fromHalf(toHalf(a[r * lda + i]))) *
                       b[i * width + n];
              ASSERT_NEAR(c[r * ldc + n], sum, 2e-5)
                  << width << " wide, M=" << m << " K=" << k;
              expected[r * ldc + n] = c[r * ldc + n];
            }
          ASSERT_EQ(0, std::memcmp(expected.data(), c.data(),
                                   c.size() * sizeof(float)))
              << "padding was written";
        }
  }
}

// Tests the same of products of pairs: bits depend on neither M nor a row's
// place nor how the contraction is cut.
TEST_P(MicroKernels, PairBits) {
  if (!isa->dotBF16 || isa->tiles)
    GTEST_SKIP() << isa->name << " has no product of pairs in vectors";
  exportFunction(getOrCreateGemm(*module, *isa, 48, Operands::Pairs));
  compile();
  auto *gemm = compiled->get<Gemm>(names[0]);
  constexpr int64_t m = 71, pairs = 101, width = 48;
  auto left = randomFloats(2 * pairs * m, 5);
  auto right = randomFloats(2 * pairs * width, 6);
  auto b = pairPanel(2 * pairs, width, width, right);
  // Rows of A are a panel of m columns, transposed.
  auto transposed = pairPanel(2 * pairs, m, m, left);
  std::vector<uint32_t> a(m * pairs);
  for (int64_t r = 0; r < m; ++r)
    for (int64_t p = 0; p < pairs; ++p)
      a[r * pairs + p] = transposed[p * m + r];
  auto *rows = reinterpret_cast<const float *>(a.data());
  auto *panel = reinterpret_cast<const float *>(b.data());
  std::vector<float> whole(m * width), part(m * width);
  gemm(rows, pairs, panel, width, whole.data(), width, m, pairs, false,
       nullptr, 0);
  for (int64_t first : {0, 1, 5})
    for (int64_t count = 1; first + count <= m; count += 1 + count / 8) {
      gemm(rows + first * pairs, pairs, panel, width, part.data(), width, count,
           pairs, false, nullptr, 0);
      ASSERT_EQ(0, std::memcmp(part.data(), whole.data() + first * width,
                               count * width * sizeof(float)))
          << count << " rows from " << first;
    }
  for (int64_t cut : {1, 48, 77, 100}) {
    gemm(rows, pairs, panel, width, part.data(), width, m, cut, false, nullptr,
         0);
    gemm(rows + cut, pairs, panel + cut * width, width, part.data(), width, m,
         pairs - cut, true, nullptr, 0);
    ASSERT_EQ(part, whole) << "cut at " << cut;
  }
}

// Tests that a transpose moves every element, pads with zeros to a multiple of
// 16 rows and writes nothing else.
TEST_P(MicroKernels, Transpose) {
  if (isa->tiles)
    GTEST_SKIP() << "as at the level below";
  exportFunction(getOrCreateTranspose(*module, *isa));
  compile();
  auto *transpose = compiled->get<Move>(names[0]);
  constexpr int64_t ld = 70;
  auto src = randomFloats(50 * ld, 7);
  for (int64_t rows : {0, 1, 7, 8, 15, 16, 17, 33, 50})
    for (int64_t cols : {0, 1, 8, 15, 16, 64, 67})
      for (bool gather : {false, true}) {
        auto index = someRows(rows);
        int64_t padded = (rows + 15) / 16 * 16, ldd = padded + 3;
        std::vector<float> dst((cols + 1) * ldd, -7), expected = dst;
        for (int64_t c = 0; c < cols; ++c)
          for (int64_t r = 0; r < padded; ++r)
            expected[c * ldd + r] =
                r < rows ? src[(gather ? index[r] : r) * ld + c] : 0;
        transpose(src.data(), ld, gather ? index.data() : nullptr, rows, cols,
                  dst.data(), ldd);
        ASSERT_EQ(dst, expected) << rows << "x" << cols << " gather=" << gather;
      }
}

// Tests that rows are copied, whatever their length, and nothing else is.
TEST_P(MicroKernels, CopyRows) {
  if (isa->tiles)
    GTEST_SKIP() << "as at the level below";
  exportFunction(getOrCreateCopyRows(*module, *isa));
  compile();
  auto *copyRows = compiled->get<Move>(names[0]);
  constexpr int64_t ld = 70;
  auto src = randomFloats(50 * ld, 8);
  for (int64_t rows : {0, 1, 9})
    for (int64_t cols : {0, 1, 15, 16, 17, 64, 69})
      for (bool gather : {false, true}) {
        auto index = someRows(rows);
        int64_t ldd = cols + 3;
        std::vector<float> dst((rows + 1) * ldd, -7), expected = dst;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < cols; ++c)
            expected[r * ldd + c] = src[(gather ? index[r] : r) * ld + c];
        copyRows(src.data(), ld, gather ? index.data() : nullptr, rows, cols,
                 dst.data(), ldd);
        ASSERT_EQ(dst, expected) << rows << "x" << cols << " gather=" << gather;
      }
}

INSTANTIATE_TEST_SUITE_P(Levels, MicroKernels,
                         testing::Values("avx2", "avx512", "avx512_bf16", "amx",
                                         "tiles_on_avx2"),
                         [](const auto &info) { return info.param; });

} // namespace
