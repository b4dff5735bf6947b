//===- FoldConstants.cpp - Plans over tables alone become tables ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include <array>
#include <cstring>

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// Bytes of the tables that `value` depends on (a table counts once).
static int64_t inputBytes(Value value) {
  llvm::SmallDenseSet<Attribute> tables;
  llvm::SmallDenseSet<Value> seen;
  SmallVector<Value> work{value};
  int64_t bytes = 0;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!op || !seen.insert(next).second)
      continue;
    if (auto scan = dyn_cast<ScanOp>(op))
      if (tables.insert(scan.getTableAttr()).second)
        bytes += *scan.getType().size().asConst() *
                 ((scan.getType().getElementType().getIntOrFloatBitWidth() + 7) /
                  8);
    llvm::append_range(work, op->getOperands());
  }
  return bytes;
}

/// A function of keys alone is better computed than stored, unless it is long.
static bool isKeyFunction(Operation *op) {
  SmallVector<Operation *> work{op};
  llvm::SmallDenseSet<Operation *> seen;
  while (!work.empty()) {
    Operation *next = work.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    if (isa<ScanOp, AggregateOp, LookupOp>(next))
      return false;
    if (auto join = dyn_cast<JoinOp>(next))
      for (Operation &inner : join.getBody().front())
        if (isa_and_nonnull<math::MathDialect>(inner.getDialect()))
          return false;
    for (Value operand : next->getOperands())
      work.push_back(operand.getDefiningOp());
  }
  return true;
}

static TypedAttr scalarAttr(const Relation &relation, Type type) {
  if (auto *floats = std::get_if<0>(&relation.values))
    return FloatAttr::get(type, (*floats)[0]);
  return IntegerAttr::get(
      type, APInt(type.getIntOrFloatBitWidth(),
                  std::get<1>(relation.values)[0], /*isSigned=*/true,
                  /*implicitTrunc=*/true));
}

static bool isSplat(const Relation &relation) {
  return std::visit([](const auto &values) { return llvm::all_equal(values); },
                    relation.values);
}

/// The one value of `relation` at all keys of `type`.
static Value constantRelation(OpBuilder &builder, Location loc, RelType type,
                              const Relation &relation) {
  SmallVector<Value> keys;
  for (Column column : type.getColumns())
    keys.push_back(RangeOp::create(
        builder, loc, RelType::get({column}, builder.getI64Type())));
  TypedAttr attribute = scalarAttr(relation, type.getElementType());
  return createJoin(builder, loc, type, keys,
                    [&](OpBuilder &b, ValueRange) -> Value {
                      return arith::ConstantOp::create(b, loc, attribute);
                    });
}

static DenseElementsAttr elementsAttr(const Relation &relation, Type type) {
  auto tensor = RankedTensorType::get({relation.size()}, type);
  if (auto *floats = std::get_if<0>(&relation.values)) {
    if (type.isF32()) { // most tables: no APFloat for each element
      SmallVector<float> values(floats->begin(), floats->end());
      return DenseElementsAttr::get(tensor, ArrayRef<float>(values));
    }
    SmallVector<APFloat> values;
    for (double x : *floats) {
      APFloat value(x);
      bool lossy;
      value.convert(cast<FloatType>(type).getFloatSemantics(),
                    APFloat::rmNearestTiesToEven, &lossy);
      values.push_back(value);
    }
    return DenseElementsAttr::get(tensor, values);
  }
  SmallVector<APInt> values;
  for (int64_t x : std::get<1>(relation.values))
    values.push_back(APInt(type.getIntOrFloatBitWidth(), x, true, true));
  return DenseElementsAttr::get(tensor, values);
}

/// True if a look at the first values shows that they are not all the same:
/// most tables are not read for that.
static bool startsUnequal(TableOp table) {
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(table.getValueAttr()))
    return !elements.isSplat();
  if (!table.getFile())
    return false;
  size_t width =
      (table.getType().getElementType().getIntOrFloatBitWidth() + 7) / 8;
  std::array<char, 64> bytes;
  auto file = llvm::sys::fs::openNativeFileForRead(*table.getFile());
  if (!file) {
    llvm::consumeError(file.takeError());
    return false; // reading it all will tell
  }
  llvm::scope_exit close([&] { llvm::sys::fs::closeFile(*file); });
  auto count = llvm::sys::fs::readNativeFileSlice(
      *file,
      {bytes.data(), std::min<size_t>(bytes.size(), *table.getLength())},
      *table.getOffset());
  if (!count) {
    llvm::consumeError(count.takeError());
    return false;
  }
  for (size_t i = width; i + width <= *count; i += width)
    if (std::memcmp(bytes.data(), bytes.data() + i, width))
      return true;
  return false;
}

namespace {
struct FoldConstant : RewritePattern {
  int64_t byteLimit;
  FoldConstant(MLIRContext *context, int64_t byteLimit)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context), byteLimit(byteLimit) {}

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa<ScanOp, JoinOp, SelectOp, AggregateOp, LookupOp, RekeyOp, UnionOp>(
            op) ||
        op->use_empty())
      return rewriter.notifyMatchFailure(op, "no operator over tables");
    Value value = op->getResult(0);
    RelType type = typeOf(value);
    std::optional<int64_t> size;
    if (llvm::none_of(type.getColumns(), [](Column column) {
          return column.extent.getValue().contains('?');
        }))
      size = type.size().asConst();
    if (!size || *size == 0)
      return rewriter.notifyMatchFailure(op, "the extents are not numbers");
    bool scalar = type.getColumns().empty();
    // Views of tables cost nothing: folding them would only copy.
    if (!scalar && isa<ScanOp, RekeyOp, UnionOp>(op))
      return rewriter.notifyMatchFailure(op, "a view of tables");
    if (scalar && constantOf(value))
      return rewriter.notifyMatchFailure(op, "it is a constant");
    int64_t width = (type.getElementType().getIntOrFloatBitWidth() + 7) / 8;
    if (*size > byteLimit / width)
      return rewriter.notifyMatchFailure(op, "the result is over the bound");
    if (!dependsOnTablesOnly(value))
      return rewriter.notifyMatchFailure(op, "it depends on more than tables");
    constexpr int64_t tiny = 16384;
    if (*size * width > std::max(tiny, inputBytes(value)))
      return rewriter.notifyMatchFailure(op, "it is larger than its inputs");
    if (!scalar && isKeyFunction(op))
      return rewriter.notifyMatchFailure(op, "keys are computed, not stored");
    // What cannot be evaluated is left for the run to report.
    ScopedDiagnosticHandler silence(op->getContext(),
                                    [](Diagnostic &) { return success(); });
    FailureOr<Relation> relation = interpretConstant(value, InterpOptions());
    if (failed(relation))
      return rewriter.notifyMatchFailure(op, "its value is an error");
    if (isSplat(*relation)) {
      rewriter.replaceOp(
          op, constantRelation(rewriter, op->getLoc(), type, *relation));
      return success();
    }
    auto module = op->getParentOfType<ModuleOp>();
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPointToStart(module.getBody());
    // One look at all tables: looking up each name would read them each time.
    llvm::DenseSet<unsigned> taken;
    for (TableOp table : module.getOps<TableOp>()) {
      StringRef suffix = table.getSymName();
      unsigned number;
      if (suffix.consume_front("folded.") && !suffix.getAsInteger(10, number))
        taken.insert(number);
    }
    unsigned number = 0;
    while (taken.contains(number))
      ++number;
    std::string name = "folded." + std::to_string(number);
    TableOp::create(rewriter, op->getLoc(), rewriter.getStringAttr(name),
                    TypeAttr::get(type), StringAttr(), IntegerAttr(),
                    IntegerAttr(),
                    elementsAttr(*relation, type.getElementType()));
    rewriter.setInsertionPoint(op);
    rewriter.replaceOpWithNewOp<ScanOp>(
        op, type, FlatSymbolRefAttr::get(rewriter.getContext(), name));
    return success();
  }
};

/// A small table with one value everywhere is that constant.
struct FoldSplat : OpRewritePattern<ScanOp> {
  llvm::DenseSet<StringAttr> candidates;
  FoldSplat(MLIRContext *context, ModuleOp module) : OpRewritePattern(context) {
    constexpr int64_t small = 1 << 14;
    for (TableOp table : module.getOps<TableOp>()) {
      RelType type = table.getType();
      std::optional<int64_t> size = type.size().asConst();
      if (!type.getColumns().empty() && size && *size > 0 && *size <= small &&
          !startsUnequal(table))
        candidates.insert(table.getSymNameAttr());
    }
  }
  LogicalResult matchAndRewrite(ScanOp scan,
                                PatternRewriter &rewriter) const override {
    if (!candidates.contains(scan.getTableAttr().getAttr()))
      return rewriter.notifyMatchFailure(scan, "its first values differ");
    RelType type = scan.getType();
    ScopedDiagnosticHandler silence(scan.getContext(),
                                    [](Diagnostic &) { return success(); });
    FailureOr<Relation> relation =
        interpretConstant(scan.getResult(), InterpOptions());
    if (failed(relation))
      return rewriter.notifyMatchFailure(scan, "its value is an error");
    if (!isSplat(*relation))
      return rewriter.notifyMatchFailure(scan, "its values differ");
    rewriter.replaceOp(scan, constantRelation(rewriter, scan.getLoc(), type,
                                              *relation));
    return success();
  }
};

struct FoldConstants : optimize::impl::FoldConstantsBase<FoldConstants> {
  using FoldConstantsBase::FoldConstantsBase;
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateFoldConstants(patterns, getOperation(), byteLimit);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateFoldConstants(RewritePatternSet &patterns,
                                     ModuleOp module, int64_t byteLimit) {
  patterns.add<FoldConstant>(patterns.getContext(), byteLimit);
  patterns.add<FoldSplat>(patterns.getContext(), module);
}
