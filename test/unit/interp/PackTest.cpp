//===- PackTest.cpp - Layouts of constant relations -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <cstring>
#include <fstream>
#include <numeric>

using namespace joinery;

namespace {

/// The packed bytes of `@main`'s result as floats.
std::vector<float> pack(Program &program,
                        llvm::ArrayRef<llvm::StringRef> layout) {
  auto type = mlir::cast<rel::RelType>(program.result().getType());
  if (!layout.empty())
    type = type.withLayout(
        mlir::Builder(&program.context).getStrArrayAttr(layout));
  std::vector<char> bytes;
  TableReader tables;
  auto status = packConstant(program.result(), type, tables,
                             [&](llvm::ArrayRef<char> part) {
                               bytes.insert(bytes.end(), part.begin(),
                                            part.end());
                               return mlir::success();
                             });
  EXPECT_TRUE(mlir::succeeded(status)) << program.diagnostics;
  std::vector<float> floats(bytes.size() / 4);
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

const char *const smallTable = R"(
    rel.table @w : !rel.rel<[i: 2, j: 3] x f32> = dense<[1., 2., 3., 4., 5., 6.]> : tensor<6xf32>
    func.func @main() -> !rel.rel<[k: 2, n: 3] x f32> {
      %w = rel.scan @w : !rel.rel<[k: 2, n: 3] x f32>
      return %w : !rel.rel<[k: 2, n: 3] x f32>
    })";

TEST(Pack, PanelsArePaddedWithZeros) {
  Program program(smallTable);
  ASSERT_TRUE(program.module) << program.diagnostics;
  EXPECT_EQ(pack(program, {}), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(pack(program, {"n/2", "k", "n%2"}),
            (std::vector<float>{1, 2, 4, 5, 3, 0, 6, 0}));
  EXPECT_EQ(pack(program, {"n/2", "k/2", "n%2", "k%2"}),
            (std::vector<float>{1, 4, 2, 5, 3, 6, 0, 0}));
}

// Tests that pairs of bf16 along k share a lane, rounded to nearest and to even,
// and that an odd k is padded.
TEST(Pack, PairsOfBF16) {
  Program program(R"(
    rel.table @w : !rel.rel<[k: 3, n: 2] x f32>
      = dense<[1.0, 2.0, 1.00390625, 1.01171875, 0xFF800000, -3.0]> : tensor<6xf32>
    func.func @main() -> !rel.rel<[k: 3, n: 2] x bf16> {
      %w = rel.scan @w : !rel.rel<[k: 3, n: 2] x f32>
      %h = rel.join %w : (!rel.rel<[k: 3, n: 2] x f32>) -> !rel.rel<[k: 3, n: 2] x bf16> {
      ^bb0(%a: f32):
        %0 = arith.truncf %a : f32 to bf16
        rel.yield %0 : bf16
      }
      return %h : !rel.rel<[k: 3, n: 2] x bf16>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  std::vector<float> lanes = pack(program, {"n/2", "k/2", "n%2", "k%2"});
  std::vector<uint32_t> bits(lanes.size());
  std::memcpy(bits.data(), lanes.data(), lanes.size() * 4);
  // 1 + 2^-8 is halfway and goes to even; 1 + 3 * 2^-8 likewise, upwards.
  EXPECT_EQ(bits, (std::vector<uint32_t>{0x3f803f80, 0x3f824000, 0x0000ff80,
                                         0x0000c040}));
}

TEST(Pack, StreamsAFileInAnyLayout) {
  constexpr int64_t k = 700, n = 1000;
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("pack", "bin", path));
  std::vector<float> values(k * n);
  std::iota(values.begin(), values.end(), 0.0f);
  std::ofstream(path.c_str(), std::ios::binary)
      .write(reinterpret_cast<char *>(values.data()), values.size() * 4);
  std::string text =
      (R"(rel.table @w : !rel.rel<[n: 1000, k: 700] x f32> from ")" + path +
       R"(" at 0 length 2800000
    func.func @main() -> !rel.rel<[k: 700, h: 10, d: 100] x f32> {
      %w = rel.scan @w : !rel.rel<[n: 1000, k: 700] x f32>
      %r = rel.rekey %w [n = "100 * #h + #d"]
        : !rel.rel<[n: 1000, k: 700] x f32> -> !rel.rel<[k: 700, h: 10, d: 100] x f32>
      return %r : !rel.rel<[k: 700, h: 10, d: 100] x f32>
    })")
          .str();
  Program program(text);
  ASSERT_TRUE(program.module) << program.diagnostics;
  EXPECT_TRUE(dependsOnTablesOnly(program.result()));
  std::vector<float> packed = pack(program, {"h", "d/48", "k", "d%48"});
  ASSERT_EQ(packed.size(), size_t(10 * 3 * k * 48));
  for (int64_t h : {0, 9})
    for (int64_t d : {0, 47, 48, 99})
      for (int64_t row : {int64_t(0), k - 1})
        EXPECT_EQ(packed[((h * 3 + d / 48) * k + row) * 48 + d % 48],
                  values[(h * 100 + d) * k + row]);
  EXPECT_EQ(packed.back(), 0);
  llvm::sys::fs::remove(path);
}

TEST(Pack, ReportsAFileThatIsTooShort) {
  Program program(R"(
    rel.table @w : !rel.rel<[i: 2] x f32> from "/nonexistent/weights" at 0 length 8
    func.func @main() -> !rel.rel<[i: 2] x f32> {
      %w = rel.scan @w : !rel.rel<[i: 2] x f32>
      return %w : !rel.rel<[i: 2] x f32>
    })");
  ASSERT_TRUE(program.module) << program.diagnostics;
  EXPECT_TRUE(mlir::failed(program.run()));
  EXPECT_NE(program.diagnostics.find("can't read '/nonexistent/weights'"),
            std::string::npos);
}

} // namespace
