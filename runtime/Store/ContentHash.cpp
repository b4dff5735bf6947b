//===- ContentHash.cpp - Checksums and identity of a store ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Store/Format.h"

#include "catalog_generated.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace joinery::runtime {

uint64_t checksum(const void *data, size_t bytes) {
  return XXH3_64bits(data, bytes);
}

namespace {
/// Hashes a sequence of values so that no two sequences look alike: strings
/// and vectors are preceded by their length.
class Hasher {
public:
  Hasher() { XXH3_128bits_reset(&state); }

  void add(uint64_t value) { XXH3_128bits_update(&state, &value, 8); }
  void add(const std::string &text) {
    add(text.size());
    XXH3_128bits_update(&state, text.data(), text.size());
  }
  template <typename T> void add(const std::vector<T> &values) {
    add(values.size());
    for (const T &value : values)
      add(value);
  }

  std::string hex() {
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(&state));
    std::string text;
    for (unsigned char byte : bytes.digest) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text;
  }

private:
  XXH3_state_t state;
};
} // namespace

std::string contentHash(const catalog::CatalogT &catalog) {
  Hasher hasher;
  hasher.add(catalog.version);
  hasher.add(catalog.model);
  hasher.add(catalog.precision);
  hasher.add(catalog.tables.size());
  for (const auto &table : catalog.tables) {
    hasher.add(table->name);
    hasher.add(table->dtype);
    hasher.add(table->columns);
    hasher.add(table->extents);
    hasher.add(table->layout);
    hasher.add(table->bytes);
    hasher.add(table->block_bytes);
    hasher.add(table->checksums);
  }
  return hasher.hex();
}

} // namespace joinery::runtime
