//===- Store.cpp - Packs the tables of a plan -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "joinery/Interp/Interp.h"
#include "joinery/runtime/StoreWriter.h"
#include "lib/CodeGen/Model/Model.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

static std::string dtypeName(Type type) {
  if (type.isInteger(1))
    return "Bool";
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return StringRef(text).upper();
}

llvm::Expected<std::string>
joinery::writeStore(ModuleOp fused, const std::string &path,
                    const ModelOptions &options) {
  auto function = fused.lookupSymbol<func::FuncOp>("main");
  runtime::StoreWriter writer;
  auto failed = [](const runtime::Status &status) {
    return llvm::createStringError(status.message());
  };
  if (auto status = writer.open(path); !status.ok())
    return failed(status);
  TableReader tables;
  int number = 0;
  for (auto table : function.getBody().front().getOps<MaterializeOp>()) {
    RelType type = table.getType();
    runtime::StoreTable entry;
    // The number makes names unique: one weight may be stored in two layouts.
    std::string name;
    if (auto loc = dyn_cast<NameLoc>(table.getLoc()))
      name = loc.getName().str() + ".";
    entry.name = name + std::to_string(number++);
    entry.dtype = dtypeName(type.getElementType());
    for (Column column : type.getColumns()) {
      entry.columns.push_back(column.getName().str());
      entry.extents.push_back(*column.getExtent().asConst());
    }
    for (StringRef digit : type.getLayout().getAsValueRange<StringAttr>())
      entry.layout += (entry.layout.empty() ? "" : " ") + digit.str();
    if (auto status = writer.beginTable(entry); !status.ok())
      return failed(status);
    runtime::Status status;
    auto sink = [&](ArrayRef<char> bytes) -> LogicalResult {
      status = writer.append(bytes.data(), bytes.size());
      return success(status.ok());
    };
    if (llvm::failed(packConstant(table.getInput(), type, tables, sink)))
      return status.ok() ? llvm::createStringError("table '" + entry.name +
                                                   "' can't be evaluated")
                         : failed(status);
    if (auto status = writer.endTable(); !status.ok())
      return failed(status);
  }
  std::string hash;
  if (auto status = writer.finish(
          {options.name, options.precision, options.compiler}, hash);
      !status.ok())
    return failed(status);
  return hash;
}
