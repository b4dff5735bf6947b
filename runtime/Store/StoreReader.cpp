//===- StoreReader.cpp - Opening a store ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Store/StoreReader.h"

#include "runtime/Store/Format.h"
#include "runtime/Support/File.h"

#include "catalog_generated.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unordered_map>
#include <unordered_set>

namespace joinery::runtime {

StoreReader::StoreReader() = default;

StoreReader::~StoreReader() {
  if (mapped)
    ::munmap(data, bytes);
  else
    std::free(data);
}

const catalog::CatalogT &StoreReader::catalog() const { return *tables; }

uint32_t StoreReader::tableCount() const {
  return uint32_t(tables->tables.size());
}

const void *StoreReader::tableData(uint32_t table) const {
  return data + tables->tables[table]->offset;
}

uint64_t StoreReader::tableBytes(uint32_t table) const {
  return tables->tables[table]->bytes;
}

Status StoreReader::malformed(const std::string &what) const {
  return {JN_INVALID_STORE, "store '" + path + "' " + what};
}

Status StoreReader::open(const std::string &file, const Options &options) {
  path = file;
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0)
    return systemError("cannot open the store", path, errno);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0)
    return systemError("cannot open the store", path, errno);
  if (!S_ISREG(info.st_mode))
    return malformed("is not a regular file");
  bytes = uint64_t(info.st_size);
  if (bytes < kPage)
    return malformed("is too short to be a store (" + std::to_string(bytes) +
                     " bytes); compile the model again");
  JN_TRY(load(fd.get(), options));
  if (mapped)
    descriptor = std::move(fd);
  JN_TRY(checkHeader());
  JN_TRY(checkCatalog());
  if (mapped && options.prefetch) {
    ::madvise(data, bytes, MADV_WILLNEED);
    resident = std::make_unique<std::atomic<bool>[]>(tableCount());
  }
  if (options.verify)
    JN_TRY(verify());
  return {};
}

Status StoreReader::load(int fd, const Options &options) {
  if (!options.read) {
    void *map = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
      return systemError("cannot map the store", path, errno);
    data = static_cast<char *>(map);
    mapped = true;
    return {};
  }
  // Check the size that the header claims before so much memory is taken.
  StoreHeader header;
  JN_TRY(readAt(fd, path, &header, sizeof(header), 0));
  if (std::memcmp(header.magic, kStoreMagic, sizeof(kStoreMagic)) != 0 ||
      header.fileBytes != bytes)
    return malformed("is not a store, or is not complete; compile the model "
                     "again");
  data = static_cast<char *>(
      std::aligned_alloc(kHugePage, size_t(roundUpToPage(bytes))));
  if (!data)
    return {JN_OUT_OF_MEMORY, "no memory to read the store '" + path + "' (" +
                                  std::to_string(bytes) + " bytes)"};
  ::madvise(data, size_t(roundUpToPage(bytes)), MADV_HUGEPAGE);
  return readAt(fd, path, data, bytes, 0);
}

void StoreReader::makeResident(uint32_t table) const {
  if (!resident || resident[table].exchange(true, std::memory_order_relaxed))
    return;
  void *bytes = const_cast<void *>(tableData(table));
  // What is not in memory yet is read into huge pages, where there are any.
  ::madvise(bytes, tableBytes(table), MADV_HUGEPAGE);
#ifdef MADV_POPULATE_READ
  // Systems before Linux 5.14 refuse; then pages are mapped as they are read.
  ::madvise(bytes, tableBytes(table), MADV_POPULATE_READ);
#endif
}

Status StoreReader::checkSize() const {
  struct stat info;
  if (!mapped)
    return {};
  if (::fstat(descriptor.get(), &info) != 0)
    return systemError("cannot look at the store", path, errno);
  if (uint64_t(info.st_size) >= bytes)
    return {};
  return malformed("was cut from " + std::to_string(bytes) + " to " +
                   std::to_string(info.st_size) +
                   " bytes while it was open; replace stores by renaming, or "
                   "open them with JN_OPEN_READ (--read)");
}

Status StoreReader::checkHeader() {
  StoreHeader header;
  std::memcpy(&header, data, sizeof(header));
  if (std::memcmp(header.magic, kStoreMagic, sizeof(kStoreMagic)) != 0)
    return malformed("is not a store: it does not begin with JNSTORE1");
  uint64_t sum;
  std::memcpy(&sum, data + kHeaderChecksumOffset, sizeof(sum));
  if (sum != checksum(data, kHeaderChecksumOffset))
    return malformed("has a damaged header; compile the model again");
  if (header.version != kStoreVersion || header.pageBytes != kPage)
    return malformed("has format version " + std::to_string(header.version) +
                     ", this runtime reads version " +
                     std::to_string(kStoreVersion) +
                     "; compile the model again");
  if (header.fileBytes != bytes)
    return malformed("has " + std::to_string(bytes) + " bytes instead of " +
                     std::to_string(header.fileBytes) +
                     ": it is not complete; copy it or compile again");
  if (header.catalogOffset % kPage || header.catalogOffset < kPage ||
      header.catalogOffset > bytes ||
      header.catalogBytes != bytes - header.catalogOffset)
    return malformed("has a catalog outside the file");
  catalogOffset = header.catalogOffset;
  if (header.catalogChecksum !=
      checksum(data + catalogOffset, header.catalogBytes))
    return malformed("has a damaged catalog; compile the model again");
  return {};
}

/// Does a table lie where an earlier one does? They come in the order of their
/// places, up to `end`, apart from those that take none of their own.
static bool isShared(const catalog::RelationT &table, uint64_t end) {
  return table.offset < end;
}

Status StoreReader::checkCatalog() {
  const auto *buffer = reinterpret_cast<const uint8_t *>(data + catalogOffset);
  uint64_t size = bytes - catalogOffset;
  if (size < 16 || size >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return malformed("has a catalog of impossible size");
  flatbuffers::Verifier verifier(buffer, size);
  if (!catalog::VerifyCatalogBuffer(verifier))
    return malformed("has a malformed catalog");
  tables.reset(catalog::GetCatalog(buffer)->UnPack());
  if (tables->version != 1)
    return malformed("has catalog version " + std::to_string(tables->version) +
                     ", this runtime reads version 1");

  uint64_t end = kPage;
  std::unordered_set<std::string> names;
  std::unordered_map<uint64_t, const catalog::RelationT *> places;
  for (const auto &table : tables->tables) {
    if (!table)
      return malformed("has an empty catalog entry");
    auto bad = [&](const char *what) {
      return malformed("has a malformed table '" + table->name + "': " + what);
    };
    if (!names.insert(table->name).second)
      return bad("its name appears twice");
    if (table->offset % kPage)
      return bad("it does not begin at a page");
    bool shares = isShared(*table, end);
    if (shares) {
      auto place = places.find(table->offset);
      if (place == places.end() || place->second->bytes != table->bytes ||
          place->second->block_bytes != table->block_bytes ||
          place->second->checksums != table->checksums)
        return bad("it overlaps what is before it");
    }
    if (table->offset > catalogOffset ||
        table->bytes > catalogOffset - table->offset)
      return bad("it lies outside the file's pages");
    if (!table->block_bytes)
      return bad("its blocks have no size");
    uint64_t blocks = table->bytes / table->block_bytes +
                      (table->bytes % table->block_bytes != 0);
    if (table->checksums.size() != blocks)
      return bad("it has not one checksum per block");
    if (table->columns.size() != table->extents.size())
      return bad("it has not one extent per column");
    if (shares)
      continue;
    end = roundUpToPage(table->offset + table->bytes);
    if (table->bytes)
      places.emplace(table->offset, table.get());
  }
  if (contentHash(*tables) != tables->content_hash)
    return malformed("has a catalog whose hash does not fit its tables");
  return {};
}

Status StoreReader::verify() const {
  uint64_t end = kPage;
  auto checkGap = [&](uint64_t to) -> Status {
    if (std::any_of(data + end, data + to, [](char c) { return c != 0; }))
      return malformed(
          "is damaged: stray bytes between its tables, before offset " +
          std::to_string(to));
    return {};
  };
  for (const auto &table : tables->tables) {
    if (isShared(*table, end))
      continue;
    JN_TRY(checkGap(table->offset));
    uint64_t block = 0;
    for (uint64_t done = 0; done < table->bytes; ++block) {
      uint64_t size = std::min(table->block_bytes, table->bytes - done);
      if (checksum(data + table->offset + done, size) !=
          table->checksums[block])
        return malformed("is damaged: block " + std::to_string(block) +
                         " of table '" + table->name + "' (offset " +
                         std::to_string(table->offset + done) +
                         ") does not match its checksum; copy the file again "
                         "or compile the model again");
      done += size;
    }
    end = table->offset + table->bytes;
  }
  return checkGap(catalogOffset);
}

} // namespace joinery::runtime
