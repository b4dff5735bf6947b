//===- Store.cpp - joinery store ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Store/StoreReader.h"
#include "tools/joinery/Commands.h"

#include "catalog_generated.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

namespace joinery::tool {

static Status openStore(runtime::StoreReader &reader, const std::string &file) {
  runtime::StoreReader::Options options;
  options.prefetch = false;
  return reader.open(file, options);
}

/// "[n=384, k=128]"
static std::string columnsText(const catalog::RelationT &table) {
  std::string text = "[";
  for (size_t i = 0; i < table.columns.size(); ++i)
    text += (i ? ", " : "") + table.columns[i] + "=" +
            std::to_string(table.extents[i]);
  return text + "]";
}

int storeList(const std::string &file) {
  runtime::StoreReader reader;
  if (Status status = openStore(reader, file); !status.ok())
    return fail(status);
  const catalog::CatalogT &catalog = reader.catalog();
  std::printf("%s  %s, %zu tables, %llu bytes, content %s, by %s\n",
              catalog.model.c_str(), catalog.precision.c_str(),
              catalog.tables.size(), (unsigned long long)reader.fileBytes(),
              catalog.content_hash.c_str(), catalog.compiler.c_str());
  size_t width = 4;
  for (const auto &table : catalog.tables)
    width = std::max(width, table->name.size());
  std::unordered_map<uint64_t, std::string> places;
  for (const auto &table : catalog.tables) {
    std::printf("%-*s  %-5s %12llu bytes  %s  %s", int(width),
                table->name.c_str(), table->dtype.c_str(),
                (unsigned long long)table->bytes, columnsText(*table).c_str(),
                table->layout.c_str());
    if (table->bytes) {
      auto [place, first] = places.emplace(table->offset, table->name);
      if (!first)
        std::printf("  the bytes of %s", place->second.c_str());
    }
    std::printf("\n");
  }
  return Done;
}

int storeVerify(const std::string &file) {
  runtime::StoreReader reader;
  if (Status status = openStore(reader, file); !status.ok())
    return fail(status);
  if (Status status = reader.verify(); !status.ok())
    return fail(status);
  std::printf("%s: %u tables, %llu bytes, every block as it was written\n",
              file.c_str(), reader.tableCount(),
              (unsigned long long)reader.fileBytes());
  return Done;
}

} // namespace joinery::tool
