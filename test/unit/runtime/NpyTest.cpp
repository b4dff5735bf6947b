//===- NpyTest.cpp - NumPy files ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/IO/NpyHeader.h"
#include "test/unit/runtime/TestModel.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace joinery::test;
using namespace joinery::runtime;

/// A file with that header text, as NumPy would write it.
static std::string npy(const std::string &header, const std::string &data,
                       int version = 1) {
  std::string file = "\x93NUMPY";
  file += char(version);
  file += char(0);
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    file += char(header.size() >> (8 * i));
  return file + header + data;
}

static std::string text(const Array &array) {
  return std::string(array.data(), size_t(array.bytes()));
}

// Tests that arrays of every type come back, alone and in archives.
TEST(Npy, RoundTrips) {
  TempDir dir;
  for (DType dtype : {DType::F32, DType::F64, DType::F16, DType::I8, DType::U8,
                      DType::I16, DType::I32, DType::I64, DType::Bool})
    for (auto shape : std::vector<std::vector<int64_t>>{
             {}, {0}, {5}, {2, 3}, {2, 0, 3}, {1, 2, 3, 4}}) {
      Array array, back;
      array.dtype = dtype;
      array.shape = shape;
      ASSERT_TRUE(array.allocate().ok());
      for (int64_t i = 0; i < array.bytes(); ++i)
        array.data()[i] = char(i + 1);
      ASSERT_TRUE(writeNpy(dir / "a.npy", array).ok());
      Status status = readNpy(dir / "a.npy", back);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(back.dtype, dtype);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(text(back), text(array));
      for (bool deflate : {false, true}) {
        ASSERT_TRUE(
            writeNpz(dir / "a.npz", {{"x/y", &array}, {"z", &array}}, deflate)
                .ok());
        NpzReader reader;
        ASSERT_TRUE(reader.open(dir / "a.npz").ok());
        EXPECT_EQ(reader.names(), (std::vector<std::string>{"x/y", "z"}));
        Array member;
        ASSERT_TRUE(reader.read(1, member).ok());
        EXPECT_EQ(member.shape, shape);
        EXPECT_EQ(text(member), text(array));
      }
    }
}

// Tests that versions 1 to 3 and Fortran order are read.
TEST(Npy, ReadsAllForms) {
  TempDir dir;
  Array array;
  for (int version : {1, 2, 3}) {
    writeFile(dir / "a.npy",
              npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), "
                  "}   \n",
                  "adbecf", version));
    ASSERT_TRUE(readNpy(dir / "a.npy", array).ok());
    EXPECT_EQ(text(array), "abcdef");
  }
  writeFile(dir / "a.npy", npy("{\"shape\":(2L,),'fortran_order':False,"
                               "'descr':'<i2'}",
                               "abcd"));
  ASSERT_TRUE(readNpy(dir / "a.npy", array).ok());
  EXPECT_EQ(array.shape, std::vector<int64_t>{2});
}

// Tests that hostile headers are refused, and none gets memory that its file
// cannot fill.
TEST(Npy, RefusesHostileHeaders) {
  TempDir dir;
  auto header = [](const std::string &descr, const std::string &shape) {
    return "{'descr': " + descr +
           ", 'fortran_order': False, 'shape': " + shape + "}";
  };
  const std::string bad[] = {
      "",
      "\x93NUMPY",
      npy("", ""),
      npy("{", ""),
      npy("{}", ""),
      npy(header("'<f4'", "(1000000000000,)"), "1234"),
      npy(header("'<f4'", "(4611686018427387904, 4)"), "1234"),
      npy(header("'<f4'", "(99999999999999999999,)"), "1234"),
      npy(header("'<f4'", "(-1,)"), "1234"),
      npy(header("'<f4'", "(2,)"), "1234"),
      npy(header("'<f4'", "1"), "1234"),
      npy(header("'<f4'", "(1,"), "1234"),
      npy(header("'<f4'", "(1,)") + "x", "1234"),
      npy(header("'>f4'", "(1,)"), "1234"),
      npy(header("'|O'", "(1,)"), "12345678"),
      npy(header("'<c8'", "(1,)"), "12345678"),
      npy(header("[('a', '<f4')]", "(1,)"), "1234"),
      npy(header("'<f4", "(1,)"), "1234"),
      npy("{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", "1234"),
      npy(header("'<f4'", "(1,)"), "1234", 4),
      npy(header("'<f4'", "(" + std::string(200, '1') + ")"), "1234"),
      std::string("\x93NUMPY\x02\x00\xff\xff\xff\x7f{", 13)};
  for (const std::string &bytes : bad) {
    writeFile(dir / "a.npy", bytes);
    Array array;
    Status status = readNpy(dir / "a.npy", array);
    EXPECT_EQ(status.code(), JN_INVALID_INPUT) << bytes;
    EXPECT_NE(status.message().find("a.npy"), std::string::npos);
  }
  Array array;
  EXPECT_EQ(readNpy(dir / "absent.npy", array).code(), JN_IO);
  EXPECT_EQ(readNpy(dir / "", array).code(), JN_INVALID_INPUT);
}

// Tests that a damaged archive gives an error or the right bytes, never a
// crash.
TEST(Npy, SurvivesDamagedArchives) {
  TempDir dir;
  Array array;
  array.shape = {100};
  ASSERT_TRUE(array.allocate().ok());
  std::memset(array.data(), 'a', size_t(array.bytes()));
  for (bool deflate : {false, true}) {
    ASSERT_TRUE(writeNpz(dir / "a.npz", {{"x", &array}}, deflate).ok());
    const std::string whole = readFile(dir / "a.npz");
    auto attempt = [&](const std::string &bytes) {
      writeFile(dir / "b.npz", bytes);
      NpzReader reader;
      if (!reader.open(dir / "b.npz").ok())
        return;
      for (size_t i = 0; i < reader.names().size(); ++i) {
        Array member;
        if (reader.read(i, member).ok() && member.shape == array.shape &&
            member.dtype == array.dtype) {
          EXPECT_EQ(text(member), text(array));
        }
      }
    };
    for (size_t i = deflate; i < whole.size(); i += 2) {
      std::string bytes = whole;
      bytes[i] = char(bytes[i] ^ (1 << (i % 8)));
      attempt(bytes);
      bytes[i] = char(0xff);
      attempt(bytes);
      attempt(whole.substr(0, i));
    }
  }
  NpzReader reader;
  EXPECT_EQ(reader.open(dir / "absent.npz").code(), JN_IO);
  EXPECT_EQ(writeNpz(dir / "no/such.npz", {{"x", &array}}, false).code(),
            JN_IO);
  EXPECT_EQ(writeNpy(dir / "no/such.npy", array).code(), JN_IO);
  array.dtype = DType::BF16;
  EXPECT_EQ(writeNpy(dir / "bf16.npy", array).code(), JN_INVALID_INPUT);
}
