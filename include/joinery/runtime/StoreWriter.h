//===- StoreWriter.h - Writing a store, table by table ----------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_RUNTIME_STOREWRITER_H
#define JOINERY_RUNTIME_STOREWRITER_H

#include "joinery/runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace joinery::runtime {

/// What the catalog says about a table, apart from its place.
struct StoreTable {
  /// Unique in the store.
  std::string name;
  /// The element type: "F32", "BF16", ... (names of DType in program.fbs).
  std::string dtype;
  /// Columns in storage order and their extents, in elements.
  std::vector<std::string> columns;
  std::vector<uint64_t> extents;
  /// The block layout in the compiler's notation.
  std::string layout;
};

/// What the catalog says about the whole store.
struct StoreInfo {
  std::string model;
  std::string precision;
  std::string compiler;
};

/// Writes a store in one pass with a few MiB of memory. A table whose bytes an
/// earlier one has takes no space. Bytes go to a
/// temporary file in the target's directory; `finish` makes them durable and
/// renames it, so a reader sees the old store or the new one, never a part.
/// Destroying an unfinished writer, and a failed `finish`, remove the
/// temporary file. After an error only destruction is allowed.
class StoreWriter {
public:
  StoreWriter();
  ~StoreWriter();
  StoreWriter(const StoreWriter &) = delete;
  StoreWriter &operator=(const StoreWriter &) = delete;

  /// Starts a store that will replace `path`.
  Status open(const std::string &path);
  /// Starts table number tableCount().
  Status beginTable(const StoreTable &table);
  /// Adds bytes to the table that was begun.
  Status append(const void *data, size_t bytes);
  Status endTable();
  /// Publishes the store. `contentHash` gets 32 hex digits: the program's
  /// store_hash.
  Status finish(const StoreInfo &info, std::string &contentHash);

  /// The number of tables that were begun.
  uint32_t tableCount() const;

private:
  struct State;
  std::unique_ptr<State> state;
};

} // namespace joinery::runtime

#endif // JOINERY_RUNTIME_STOREWRITER_H
