//===- StoreReader.h - Opening a store --------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_STORE_STOREREADER_H
#define JOINERY_STORE_STOREREADER_H

#include "joinery/runtime/Status.h"
#include "runtime/Support/File.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace joinery::catalog {
struct Catalog;
struct CatalogT;
} // namespace joinery::catalog

namespace joinery::runtime {

/// An open store: immutable, so any number of threads may read it. Stores are
/// replaced by rename only. A file that is cut while it is mapped breaks that
/// rule: checkSize() sees it between reads, but during one the system ends the
/// process (SIGBUS), which a library has no right to intercept. `read` is the
/// option for places where that may happen.
class StoreReader {
public:
  struct Options {
    /// Read the file into memory instead of mapping it.
    bool read = false;
    /// Check every block's checksum while opening.
    bool verify = false;
    /// Ask the system to load the tables ahead of their use, and map a table
    /// as a whole when makeResident asks for it.
    bool prefetch = true;
  };

  StoreReader();
  ~StoreReader();
  StoreReader(const StoreReader &) = delete;
  StoreReader &operator=(const StoreReader &) = delete;

  /// Opens and checks header, catalog and sizes: what passes can be read
  /// without leaving the file. Errors: JN_IO, JN_INVALID_STORE.
  Status open(const std::string &path, const Options &options);

  /// Checks that a mapped file has the size that it was opened with.
  Status checkSize() const;

  /// Checks every block and gap against the catalog.
  Status verify() const;

  const catalog::CatalogT &catalog() const;
  uint32_t tableCount() const;
  /// A table's first byte, page-aligned, and its size. Tables with the same bytes
  /// may be in the same place.
  const void *tableData(uint32_t table) const;
  uint64_t tableBytes(uint32_t table) const;
  uint64_t fileBytes() const { return bytes; }

  /// Maps all pages of a table, the first time that it is called for it. A fault
  /// for every few pages takes longer, and kernels prefetch only what is mapped.
  void makeResident(uint32_t table) const;
  /// Is there nothing that makeResident could do?
  bool isResident(uint32_t table) const {
    return !resident || resident[table].load(std::memory_order_relaxed);
  }

private:
  Status load(int fd, const Options &options);
  Status checkHeader();
  Status checkCatalog();
  Status malformed(const std::string &what) const;

  std::string path;
  Descriptor descriptor; // of a mapped file
  char *data = nullptr;
  uint64_t bytes = 0;
  uint64_t catalogOffset = 0;
  bool mapped = false;
  std::unique_ptr<catalog::CatalogT> tables;
  /// By table, of a mapped store with `prefetch`.
  std::unique_ptr<std::atomic<bool>[]> resident;
};

} // namespace joinery::runtime

#endif // JOINERY_STORE_STOREREADER_H
