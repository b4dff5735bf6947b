//===- Borders.cpp - Windows beyond the ends of a relation ----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   rekey x [s = 2 * #t + #w - 1] else 0
//     = rekey (rekey x [s = #w - 1] else 0) [w = 2 * #t + #w]
//
// The inner rekey has as many elements as x and its borders, the outer one is a
// view: a contraction that reads the windows stores the former.
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Breakers.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

namespace {
/// A source key stride * #position + step * #tap + constant of windows that
/// overlap.
struct Window {
  std::string source;
  Column position, tap;
  int64_t stride, step;
};
} // namespace

/// The window that a source key is, if it is one.
static std::optional<Window> windowOf(const std::string &source,
                                      const SymExpr &key, RelType result) {
  SmallVector<std::pair<int64_t, Column>> parts;
  for (Column column : result.getColumns()) {
    if (!key.uses("#" + column.getName().str()))
      continue;
    auto stride = strideOf(key, column.getName());
    auto value = stride ? stride->asConst() : std::nullopt;
    if (!value || *value <= 0)
      return std::nullopt;
    parts.push_back({*value, column});
  }
  if (parts.size() != 2)
    return std::nullopt;
  // The taps are those whose number is known, and the fewer.
  for (auto [place, tap] : {std::pair(0, 1), std::pair(1, 0)}) {
    auto taps = parts[tap].second.getExtent().asConst();
    auto places = parts[place].second.getExtent().asConst();
    if (!taps || (places && *places < *taps) ||
        parts[place].first > parts[tap].first * (*taps - 1))
      continue;
    return Window{source, parts[place].second, parts[tap].second,
                  parts[place].first, parts[tap].first};
  }
  return std::nullopt;
}

static SmallVector<Window> windowsOf(RekeyOp rekey) {
  SmallVector<Window> windows;
  std::map<std::string, int> uses;
  for (Column column : rekey.getInput().getType().getColumns()) {
    SymExpr key = rekey.sourceKey(column.getName());
    std::set<std::string> symbols;
    key.collect(symbols);
    for (const std::string &symbol : symbols)
      ++uses[symbol];
    if (auto window = windowOf(column.getName().str(), key, rekey.getType()))
      windows.push_back(*window);
  }
  llvm::erase_if(windows, [&](const Window &window) {
    return uses["#" + window.position.getName().str()] > 1 ||
           uses["#" + window.tap.getName().str()] > 1;
  });
  return windows;
}

static Value createRekey(OpBuilder &b, RekeyOp like, Value input,
                         ArrayRef<Column> columns,
                         const std::map<std::string, SymExpr> &keys,
                         TypedAttr otherwise) {
  SmallVector<StringRef> names, exprs;
  SmallVector<std::string> texts;
  for (auto &[name, key] : keys) {
    if (key == SymExpr::key(name))
      continue;
    names.push_back(name);
    texts.push_back(key.str());
  }
  exprs.assign(texts.begin(), texts.end());
  return RekeyOp::create(b, like.getLoc(), like.getType().withColumns(columns),
                         input, b.getStrArrayAttr(names),
                         b.getStrArrayAttr(exprs), otherwise);
}

static void split(RekeyOp rekey, ArrayRef<Window> windows) {
  OpBuilder b(rekey);
  RelType result = rekey.getType();
  std::map<std::string, SymExpr> sources, views;
  for (Column column : rekey.getInput().getType().getColumns())
    sources[column.getName().str()] = rekey.sourceKey(column.getName());
  // One column, called as the tap, takes the place of position and tap.
  SmallVector<Column> bordered;
  for (Column column : result.getColumns()) {
    if (llvm::any_of(windows, [&](auto &w) { return w.tap == column; }))
      continue;
    const Window *window = llvm::find_if(
        windows, [&](auto &w) { return w.position == column; });
    if (window == windows.end()) {
      bordered.push_back(column);
      continue;
    }
    std::string name = window->tap.getName().str();
    SymExpr tap = SymExpr::key(name);
    SymExpr view = SymExpr::key(column.getName()) * window->stride +
                   tap * window->step;
    SymExpr last = (column.getExtent() - 1) * window->stride +
                   (window->tap.getExtent() - 1) * window->step;
    bordered.push_back(Column(b.getContext(), name, last + 1));
    sources[window->source] = sources[window->source] - view + tap;
    views[name] = view;
  }
  Value stored = createRekey(b, rekey, rekey.getInput(), bordered, sources,
                             *rekey.getOtherwise());
  rekey.replaceAllUsesWith(createRekey(b, rekey, stored, result.getColumns(),
                                       views, TypedAttr()));
  rekey.erase();
}

/// Would a contraction that folds `depth` elements of each window find runs of
/// them that are worth walking? Else it copies the windows, with their borders.
static bool foldsLongRuns(ArrayRef<Window> windows, const SymExpr &depth) {
  int64_t all = 1, longest = 1;
  for (const Window &window : windows) {
    int64_t taps = *window.tap.getExtent().asConst();
    all *= taps;
    longest = std::max(longest, taps);
  }
  auto number = depth.asConst();
  return !number || *number / (all / longest) >= kLeastFoldRun;
}

void plan::splitBorders(func::FuncOp function) {
  llvm::MapVector<Operation *, SmallVector<Window>> reads;
  for (Operation &op : function.getBody().front()) {
    auto match = matchContraction(&op);
    if (!match || match->leftFree.empty() || match->rightFree.empty())
      continue;
    for (Value side : {match->left, match->right}) {
      auto rekey = viewOf(side).base.getDefiningOp<RekeyOp>();
      if (!rekey)
        continue;
      auto windows = windowsOf(rekey);
      if (!windows.empty() && foldsLongRuns(windows, product(match->k)))
        reads[rekey] = windows;
    }
  }
  for (auto &[op, windows] : reads)
    split(cast<RekeyOp>(op), windows);
}
