//===- StoreTest.cpp - Writing, reading and damaging stores ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/runtime/StoreWriter.h"
#include "runtime/Store/Format.h"
#include "runtime/Store/StoreReader.h"
#include "runtime/Support/File.h"
#include "test/unit/runtime/TestModel.h"

#include "catalog_generated.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace joinery::test;
using namespace joinery::runtime;

namespace {
/// Three tables: more than two blocks, empty, and a few bytes.
std::vector<std::string> contents() {
  std::mt19937 random(7);
  std::vector<std::string> tables = {std::string(2 * kBlock + 1000, 0), "",
                                     "seventeen bytes.."};
  for (char &byte : tables[0])
    byte = char(random());
  return tables;
}

std::string writeStore(const std::string &path, const std::string &model = "m",
                       size_t chunk = 12345) {
  StoreWriter writer;
  EXPECT_TRUE(writer.open(path).ok());
  int number = 0;
  for (const std::string &bytes : contents()) {
    StoreTable table = {
        "t" + std::to_string(number++), "U8", {"n"}, {bytes.size()}, "plain"};
    EXPECT_TRUE(writer.beginTable(table).ok());
    for (size_t i = 0; i < bytes.size(); i += chunk)
      EXPECT_TRUE(
          writer.append(bytes.data() + i, std::min(chunk, bytes.size() - i))
              .ok());
    EXPECT_TRUE(writer.endTable().ok());
  }
  std::string hash;
  EXPECT_TRUE(writer.finish({model, "f32", "test"}, hash).ok());
  return hash;
}

Status openStore(const std::string &path, bool read = false,
                 bool verify = false) {
  StoreReader reader;
  return reader.open(path, {read, verify, false});
}

/// Changes one byte of a file in place.
void flip(const std::string &path, size_t offset, char mask) {
  FILE *file = std::fopen(path.c_str(), "r+b");
  std::fseek(file, long(offset), SEEK_SET);
  int byte = std::fgetc(file);
  std::fseek(file, long(offset), SEEK_SET);
  std::fputc(byte ^ mask, file);
  std::fclose(file);
}

/// Bytes of the mappings of `path` that this process has pages of: advice on a
/// part of one makes several.
int64_t mappedBytes(const std::string &path) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  int64_t bytes = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(path)) {
      here = true;
    } else if (here && line.starts_with("Rss:")) {
      bytes += std::stoll(line.substr(4)) * 1024;
      here = false;
    }
  }
  return bytes;
}

class Store : public testing::Test {
protected:
  TempDir dir;
  std::string path = dir / "a.store";
};
} // namespace

// Tests that tables come back as they were written, mapped and read.
TEST_F(Store, RoundTrips) {
  std::string hash = writeStore(path);
  EXPECT_EQ(hash.size(), 32u);
  for (bool read : {false, true}) {
    StoreReader reader;
    ASSERT_TRUE(reader.open(path, {read, true, true}).ok());
    EXPECT_EQ(reader.catalog().content_hash, hash);
    std::vector<std::string> want = contents();
    ASSERT_EQ(reader.tableCount(), want.size());
    for (uint32_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(reader.tableBytes(i), want[i].size());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(reader.tableData(i)) % kPage, 0u);
      EXPECT_EQ(
          std::memcmp(reader.tableData(i), want[i].data(), want[i].size()), 0);
    }
  }
}

// Tests that tables with the same bytes take one place, wherever they stand, and
// that one which only begins like another has its own.
TEST_F(Store, StoresEqualTablesOnce) {
  std::string large = contents()[0], longer = large + "x", small = "abc";
  std::string changed = large;
  changed[kBlock + 5] ^= 1;
  std::vector<std::string> tables = {large,   small, large, "", changed,
                                     longer,  "",    small, large};
  std::vector<uint32_t> places = {0, 1, 0, 3, 4, 5, 6, 1, 0};
  StoreWriter writer;
  ASSERT_TRUE(writer.open(path).ok());
  for (const std::string &bytes : tables) {
    std::string name = "t" + std::to_string(writer.tableCount());
    ASSERT_TRUE(
        writer.beginTable({name, "U8", {"n"}, {bytes.size()}, ""}).ok());
    ASSERT_TRUE(writer.append(bytes.data(), bytes.size()).ok());
    ASSERT_TRUE(writer.endTable().ok());
  }
  std::string hash;
  ASSERT_TRUE(writer.finish({"m", "f32", "test"}, hash).ok());
  for (bool read : {false, true}) {
    StoreReader reader;
    ASSERT_TRUE(reader.open(path, {read, true, true}).ok());
    EXPECT_LT(reader.fileBytes(), 3 * roundUpToPage(longer.size()) + 4 * kPage);
    for (uint32_t i = 0; i < tables.size(); ++i) {
      ASSERT_EQ(reader.tableBytes(i), tables[i].size());
      EXPECT_EQ(std::memcmp(reader.tableData(i), tables[i].data(),
                            tables[i].size()),
                0);
      if (!tables[i].empty()) {
        EXPECT_EQ(reader.tableData(i), reader.tableData(places[i])) << i;
      }
    }
  }
  flip(path, kPage + 7, 1);
  EXPECT_EQ(openStore(path, false, true).code(), JN_INVALID_STORE);
}

// Tests that the bytes depend on the content alone, and the hash tells models
// apart.
TEST_F(Store, IsDeterministic) {
  std::string hash = writeStore(path, "m", 12345);
  EXPECT_EQ(writeStore(dir / "b.store", "m", 1), hash);
  EXPECT_EQ(readFile(path), readFile(dir / "b.store"));
  EXPECT_NE(writeStore(dir / "c.store", "other"), hash);
}

// Tests that a store cut anywhere is refused when it is opened.
TEST_F(Store, RefusesEveryTruncation) {
  writeStore(path);
  std::string whole = readFile(path);
  std::vector<size_t> lengths;
  for (size_t i = 0; i < whole.size(); i += i < 5000 ? 1 : 997)
    lengths.push_back(i);
  for (size_t i = 1; i < 600; ++i)
    lengths.push_back(whole.size() - i);
  // From long to short, by cutting the same file again and again.
  std::sort(lengths.rbegin(), lengths.rend());
  for (size_t length : lengths) {
    ASSERT_EQ(truncate(path.c_str(), off_t(length)), 0);
    Status status = openStore(path);
    ASSERT_EQ(status.code(), JN_INVALID_STORE) << length;
    if (length % 50 == 0) {
      ASSERT_EQ(openStore(path, true).code(), JN_INVALID_STORE) << length;
    }
  }
  writeFile(path, whole + "x");
  EXPECT_EQ(openStore(path).code(), JN_INVALID_STORE);
}

// Tests that every flipped byte of header and catalog is found when a store is
// opened, and sampled ones elsewhere, gaps included, when it is verified.
TEST_F(Store, FindsFlippedBytes) {
  writeStore(path);
  std::string whole = readFile(path);
  StoreHeader header;
  std::memcpy(&header, whole.data(), sizeof(header));
  for (size_t i = 0; i < whole.size();
       i += i < kPage || i >= header.catalogOffset ? 1 : 4099) {
    char mask = char(1 << (i % 8));
    flip(path, i, mask);
    bool early = i < kPage || i >= header.catalogOffset;
    if (early) {
      ASSERT_EQ(openStore(path).code(), JN_INVALID_STORE) << i;
    } else {
      ASSERT_TRUE(openStore(path).ok()) << i;
      ASSERT_EQ(openStore(path, i % 2, true).code(), JN_INVALID_STORE) << i;
    }
    flip(path, i, mask);
  }
  EXPECT_TRUE(openStore(path, false, true).ok());
}

/// Writes a file whose checksums are right, whatever the catalog says.
static void forge(const std::string &path, joinery::catalog::CatalogT &catalog,
                  bool rehash = true) {
  if (rehash)
    catalog.content_hash = contentHash(catalog);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(joinery::catalog::Catalog::Pack(builder, &catalog),
                 joinery::catalog::CatalogIdentifier());
  StoreHeader header = {};
  std::memcpy(header.magic, kStoreMagic, 8);
  header.version = kStoreVersion;
  header.pageBytes = kPage;
  header.catalogOffset = 2 * kPage;
  header.catalogBytes = builder.GetSize();
  header.fileBytes = 2 * kPage + builder.GetSize();
  header.catalogChecksum =
      checksum(builder.GetBufferPointer(), builder.GetSize());
  std::string file(2 * kPage, 0);
  std::memcpy(file.data(), &header, sizeof(header));
  uint64_t sum = checksum(file.data(), kHeaderChecksumOffset);
  std::memcpy(file.data() + kHeaderChecksumOffset, &sum, 8);
  file.append(reinterpret_cast<char *>(builder.GetBufferPointer()),
              builder.GetSize());
  writeFile(path, file);
}

static joinery::catalog::CatalogT smallCatalog() {
  joinery::catalog::CatalogT catalog;
  auto table = std::make_unique<joinery::catalog::RelationT>();
  table->name = "t";
  table->offset = kPage;
  table->bytes = kPage;
  table->block_bytes = kBlock;
  table->checksums = {0};
  catalog.tables.push_back(std::move(table));
  return catalog;
}

// Tests that a well-formed catalog which points out of the file, or
// contradicts itself, is refused.
TEST_F(Store, RefusesForgedCatalogs) {
  auto expect = [&](auto change, bool ok = false, bool rehash = true) {
    auto catalog = smallCatalog();
    change(catalog, *catalog.tables[0]);
    forge(path, catalog, rehash);
    EXPECT_EQ(openStore(path).code(), ok ? JN_OK : JN_INVALID_STORE);
  };
  using C = joinery::catalog::CatalogT;
  using T = joinery::catalog::RelationT;
  expect([](C &, T &) {}, true);
  expect([](C &, T &t) { t.offset = kPage + 1; });
  expect([](C &, T &t) { t.offset = 0; });
  expect([](C &, T &t) { t.offset = 3 * kPage; });
  expect([](C &, T &t) { t.offset = UINT64_MAX - kPage + 1; });
  expect([](C &, T &t) { t.bytes = kPage + 1; });
  expect([](C &, T &t) { t.bytes = UINT64_MAX; });
  expect([](C &, T &t) { t.block_bytes = 0; });
  expect([](C &, T &t) { t.block_bytes = 1; });
  expect([](C &, T &t) { t.checksums.clear(); });
  expect([](C &, T &t) { t.columns = {"a"}; });
  expect([](C &c, T &) { c.version = 2; });
  expect([](C &c, T &) { c.content_hash = "0"; }, false, false);
  expect(
      [](C &c, T &) { c.tables.push_back(std::make_unique<T>(*c.tables[0])); });
  // A second table in the first one's place has to be the same bytes.
  auto second = [&](auto change, bool ok = false) {
    expect(
        [&](C &c, T &t) {
          auto other = std::make_unique<T>(t);
          other->name = "u";
          change(*other);
          c.tables.push_back(std::move(other));
        },
        ok);
  };
  second([](T &) {}, true);
  second([](T &u) { u.checksums = {1}; });
  second([](T &u) { u.bytes = kPage / 2; });
  second([](T &u) { u.block_bytes = kBlock / 2; });
  second([](T &u) { u.offset = 0; });
}

// Tests that opening what is no file of ours says so.
TEST_F(Store, RefusesOtherFiles) {
  EXPECT_EQ(openStore(dir / "absent").code(), JN_IO);
  EXPECT_EQ(openStore(dir / "").code(), JN_INVALID_STORE);
  writeFile(path, std::string(3 * kPage, 'x'));
  EXPECT_EQ(openStore(path).code(), JN_INVALID_STORE);
  EXPECT_EQ(openStore(path, true).code(), JN_INVALID_STORE);
}

static size_t filesIn(const std::string &path) {
  size_t count = 0;
  for ([[maybe_unused]] const auto &entry :
       std::filesystem::directory_iterator(path))
    ++count;
  return count;
}

// Tests that an unfinished store leaves nothing, and the old one alone.
TEST_F(Store, IsPublishedWholeOrNotAtAll) {
  writeStore(path);
  std::string before = readFile(path);
  {
    StoreWriter writer;
    ASSERT_TRUE(writer.open(path).ok());
    ASSERT_TRUE(writer.beginTable({"t", "U8", {}, {}, ""}).ok());
    ASSERT_TRUE(writer.append("abc", 3).ok());
    EXPECT_EQ(filesIn(dir / ""), 2u);
  }
  EXPECT_EQ(filesIn(dir / ""), 1u);
  EXPECT_EQ(readFile(path), before);
  StoreWriter writer;
  EXPECT_EQ(writer.open(dir / "no/such/place").code(), JN_IO);
}

// Tests that killing the writer at any time leaves the old store whole.
TEST_F(Store, SurvivesKill) {
  writeStore(path);
  std::string before = readFile(path);
  std::mt19937 random(3);
  for (int round = 0; round < 15; ++round) {
    pid_t child = fork();
    if (child == 0) {
      writeStore(path, "m", 64);
      _exit(0);
    }
    usleep(random() % 8000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    ASSERT_EQ(readFile(path), before);
  }
}

// Tests that a table is mapped as a whole when that is asked for, once, and only
// where the system may load ahead.
TEST_F(Store, MakesTablesResident) {
#ifdef MADV_POPULATE_READ
  void *page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  bool can = ::madvise(page, 4096, MADV_POPULATE_READ) == 0;
  ::munmap(page, 4096);
  if (!can)
    GTEST_SKIP() << "the system maps no pages ahead";
  // The header's page may be a huge one.
  std::string content(5 * kHugePage, 'x');
  auto bytes = int64_t(content.size());
  StoreWriter writer;
  std::string hash;
  ASSERT_TRUE(writer.open(path).ok());
  for (const std::string &part : {content, std::string(), content.substr(0, 17)}) {
    std::string name = "t" + std::to_string(writer.tableCount());
    ASSERT_TRUE(
        writer.beginTable({name, "U8", {"n"}, {part.size()}, "plain"}).ok());
    ASSERT_TRUE(writer.append(part.data(), part.size()).ok());
    ASSERT_TRUE(writer.endTable().ok());
  }
  ASSERT_TRUE(writer.finish({"m", "f32", "test"}, hash).ok());
  for (bool prefetch : {true, false}) {
    StoreReader reader;
    ASSERT_TRUE(reader.open(path, {false, false, prefetch}).ok());
    EXPECT_NE(reader.isResident(0), prefetch);
    EXPECT_LT(mappedBytes(path), bytes);
    reader.makeResident(0);
    EXPECT_EQ(mappedBytes(path) >= bytes, prefetch);
    EXPECT_TRUE(reader.isResident(0));
    EXPECT_NE(reader.isResident(2), prefetch);
    reader.makeResident(1); // empty
    reader.makeResident(2);
    EXPECT_EQ(std::memcmp(reader.tableData(0), content.data(), content.size()),
              0);
  }
#else
  GTEST_SKIP() << "compiled without MADV_POPULATE_READ";
#endif
}

// Tests that calls out of order are refused.
TEST_F(Store, RefusesMisuse) {
  StoreWriter writer;
  std::string hash;
  EXPECT_FALSE(writer.append("a", 1).ok());
  EXPECT_FALSE(writer.endTable().ok());
  EXPECT_FALSE(writer.finish({}, hash).ok());
  ASSERT_TRUE(writer.open(path).ok());
  EXPECT_FALSE(writer.open(path).ok());
  EXPECT_FALSE(writer.append("a", 1).ok());
  EXPECT_FALSE(writer.beginTable({"t", "U8", {"a"}, {}, ""}).ok());
  ASSERT_TRUE(writer.beginTable({"t", "U8", {}, {}, ""}).ok());
  EXPECT_FALSE(writer.beginTable({"u", "U8", {}, {}, ""}).ok());
  EXPECT_FALSE(writer.finish({}, hash).ok());
  ASSERT_TRUE(writer.endTable().ok());
  EXPECT_FALSE(writer.beginTable({"t", "U8", {}, {}, ""}).ok());
  ASSERT_TRUE(writer.finish({}, hash).ok());
  EXPECT_FALSE(writer.finish({}, hash).ok());
}
