//===- Registry.cpp - The supported operators -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "joinery/Import/ONNX.h"
#include <algorithm>

using namespace joinery;
using namespace joinery::onnx_import;

static llvm::ArrayRef<llvm::ArrayRef<OpEntry>> categories() {
  static const llvm::ArrayRef<OpEntry> all[] = {
      elementwiseOps(),   reductionOps(), contractionOps(),
      normalizationOps(), attentionOps(), contribOps(),
      shapeOps(),         layoutOps(),    indexingOps(),
      quantizationOps()};
  return all;
}

const OpEntry *joinery::onnx_import::findOp(llvm::StringRef domain,
                                            llvm::StringRef name, int64_t opset,
                                            bool &known) {
  for (llvm::ArrayRef<OpEntry> category : categories())
    for (const OpEntry &entry : category) {
      if (name != entry.name || domain != entry.domain)
        continue;
      known = true;
      if (opset >= entry.since && (!entry.until || opset <= entry.until))
        return &entry;
    }
  return nullptr;
}

std::vector<SupportedOp> joinery::supportedOps() {
  std::vector<SupportedOp> rows;
  for (llvm::ArrayRef<OpEntry> category : categories())
    for (const OpEntry &entry : category)
      rows.push_back({entry.domain, entry.name, entry.since, entry.until,
                      entry.notes ? entry.notes : ""});
  std::sort(rows.begin(), rows.end(),
            [](const SupportedOp &a, const SupportedOp &b) {
              return std::tie(a.domain, a.name, a.since) <
                     std::tie(b.domain, b.name, b.since);
            });
  return rows;
}
