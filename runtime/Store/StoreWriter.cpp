//===- StoreWriter.cpp - Writing a store, table by table ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/runtime/StoreWriter.h"

#include "runtime/Store/Format.h"
#include "runtime/Support/File.h"
#include "runtime/Support/WindowWriter.h"

#include "catalog_generated.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_set>
#include <utility>

namespace joinery::runtime {

struct StoreWriter::State {
  TemporaryFile file;
  WindowWriter out;
  catalog::CatalogT catalog;
  std::unordered_set<std::string> names;
  /// Tables by their size and checksums.
  std::multimap<std::pair<uint64_t, std::vector<uint64_t>>,
                const catalog::RelationT *>
      written;
  /// Bytes of the current block that are not written yet.
  std::vector<char> block;
  bool inTable = false;
  bool finished = false;

  Status flush() {
    if (block.empty())
      return {};
    JN_TRY(out.append(block.data(), block.size()));
    catalog::RelationT &table = *catalog.tables.back();
    table.checksums.push_back(checksum(block.data(), block.size()));
    table.bytes += block.size();
    block.clear();
    return {};
  }

  Status compare(uint64_t left, uint64_t right, uint64_t bytes, bool &equal);
  Status share();
};

/// Whether two places of the file hold the same `bytes`.
Status StoreWriter::State::compare(uint64_t left, uint64_t right,
                                   uint64_t bytes, bool &equal) {
  std::vector<char> some(kBlock), other(kBlock);
  equal = true;
  for (uint64_t done = 0; done < bytes && equal; done += kBlock) {
    size_t size = std::min(kBlock, bytes - done);
    JN_TRY(out.read(some.data(), size, left + done));
    JN_TRY(out.read(other.data(), size, right + done));
    equal = std::memcmp(some.data(), other.data(), size) == 0;
  }
  return {};
}

/// If an earlier table has the last one's bytes, the last one's place becomes
/// that table's. Checksums only find candidates.
Status StoreWriter::State::share() {
  catalog::RelationT &table = *catalog.tables.back();
  if (!table.bytes)
    return {};
  auto key = std::make_pair(table.bytes, table.checksums);
  auto [candidate, last] = written.equal_range(key);
  for (; candidate != last; ++candidate) {
    bool equal;
    JN_TRY(compare(candidate->second->offset, table.offset, table.bytes, equal));
    if (!equal)
      continue;
    JN_TRY(out.cut(table.offset));
    table.offset = candidate->second->offset;
    return {};
  }
  written.emplace(std::move(key), &table);
  return {};
}

static Status misuse(const char *what) {
  return {JN_INVALID_ARGUMENT, std::string("store writer: ") + what};
}

StoreWriter::StoreWriter() = default;
StoreWriter::~StoreWriter() = default;

uint32_t StoreWriter::tableCount() const {
  return state ? uint32_t(state->catalog.tables.size()) : 0;
}

Status StoreWriter::open(const std::string &path) {
  if (state)
    return misuse("already open");
  state = std::make_unique<State>();
  state->block.reserve(kBlock);
  JN_TRY(state->file.create(path));
  state->out.open(state->file.fd(), path);
  // The header comes last.
  return state->out.pad(kPage);
}

Status StoreWriter::beginTable(const StoreTable &table) {
  if (!state || state->inTable || state->finished)
    return misuse("a table may begin only between tables of an open store");
  if (table.columns.size() != table.extents.size())
    return misuse("a table needs one extent per column");
  if (!state->names.insert(table.name).second)
    return {JN_INVALID_ARGUMENT,
            "store writer: two tables are called '" + table.name + "'"};
  auto entry = std::make_unique<catalog::RelationT>();
  entry->name = table.name;
  entry->dtype = table.dtype;
  entry->columns = table.columns;
  entry->extents = table.extents;
  entry->layout = table.layout;
  entry->offset = state->out.size();
  entry->block_bytes = kBlock;
  state->catalog.tables.push_back(std::move(entry));
  state->inTable = true;
  return {};
}

Status StoreWriter::append(const void *data, size_t bytes) {
  if (!state || !state->inTable)
    return misuse("bytes belong into a table");
  const char *next = static_cast<const char *>(data);
  while (bytes) {
    size_t part = std::min<size_t>(bytes, kBlock - state->block.size());
    state->block.insert(state->block.end(), next, next + part);
    next += part;
    bytes -= part;
    if (state->block.size() == kBlock)
      JN_TRY(state->flush());
  }
  return {};
}

Status StoreWriter::endTable() {
  if (!state || !state->inTable)
    return misuse("no table was begun");
  JN_TRY(state->flush());
  JN_TRY(state->share());
  state->inTable = false;
  return state->out.pad(roundUpToPage(state->out.size()));
}

Status StoreWriter::finish(const StoreInfo &info, std::string &hash) {
  if (!state || state->inTable || state->finished)
    return misuse("a store may be finished once, between tables");
  state->finished = true;
  catalog::CatalogT &catalog = state->catalog;
  catalog.model = info.model;
  catalog.precision = info.precision;
  catalog.compiler = info.compiler;
  catalog.content_hash = contentHash(catalog);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(catalog::Catalog::Pack(builder, &catalog),
                 catalog::CatalogIdentifier());

  StoreHeader header = {};
  std::memcpy(header.magic, kStoreMagic, sizeof(kStoreMagic));
  header.version = kStoreVersion;
  header.pageBytes = kPage;
  header.catalogOffset = state->out.size();
  header.catalogBytes = builder.GetSize();
  header.fileBytes = header.catalogOffset + header.catalogBytes;
  header.catalogChecksum =
      checksum(builder.GetBufferPointer(), builder.GetSize());
  std::vector<char> page(kPage);
  std::memcpy(page.data(), &header, sizeof(header));
  uint64_t sum = checksum(page.data(), kHeaderChecksumOffset);
  std::memcpy(page.data() + kHeaderChecksumOffset, &sum, sizeof(sum));

  TemporaryFile &file = state->file;
  JN_TRY(state->out.append(builder.GetBufferPointer(), builder.GetSize()));
  JN_TRY(state->out.finish());
  JN_TRY(writeAt(file.fd(), file.targetPath(), page.data(), page.size(), 0));
  JN_TRY(file.publish(/*durable=*/true));
  hash = catalog.content_hash;
  return {};
}

} // namespace joinery::runtime
