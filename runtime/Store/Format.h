//===- Format.h - The bytes of a store --------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   page 0               StoreHeader, zeros, checksum of the page
//   page-aligned         table 0, zeros to the next page, table 1, ...
//   page-aligned         catalog (catalog.fbs), the last bytes of the file
//
// Tables with the same bytes share one place: the catalog gives all of them the
// offset of the first.
//
// Every byte is covered: the header by its own checksum, the catalog by the
// header's, tables by the catalog's, and gaps are zero.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_STORE_FORMAT_H
#define JOINERY_STORE_FORMAT_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace joinery::catalog {
struct CatalogT;
}

namespace joinery::runtime {

inline constexpr char kStoreMagic[8] = {'J', 'N', 'S', 'T', 'O', 'R', 'E', '1'};
inline constexpr uint32_t kStoreVersion = 2;
inline constexpr uint64_t kPage = 4096;
/// Bytes that share a checksum.
inline constexpr uint64_t kBlock = uint64_t(1) << 20;

struct StoreHeader {
  char magic[8];
  uint32_t version;
  uint32_t pageBytes;
  uint64_t fileBytes;
  uint64_t catalogOffset;
  uint64_t catalogBytes;
  /// XXH3-64 of the catalog's bytes.
  uint64_t catalogChecksum;
};

/// The XXH3-64 of the page before it is the header page's last 8 bytes.
inline constexpr size_t kHeaderChecksumOffset = kPage - sizeof(uint64_t);

inline constexpr uint64_t roundUpToPage(uint64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

uint64_t checksum(const void *data, size_t bytes);

/// 32 hex digits over all that identifies the store's content: model,
/// precision, and each table's name, type, columns, extents, layout, size and
/// checksums. Neither places in the file nor the compiler's version count.
std::string contentHash(const catalog::CatalogT &catalog);

} // namespace joinery::runtime

#endif // JOINERY_STORE_FORMAT_H
