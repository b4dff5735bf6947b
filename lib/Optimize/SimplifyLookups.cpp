//===- SimplifyLookups.cpp - Lookups by keys are rekeys -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_SIMPLIFYLOOKUPS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// lookup t[c = e(keys)] reads t at the key e: a rekey. Negative keys count
/// from the end where that is known.
struct LookupByKeys : OpRewritePattern<LookupOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LookupOp op,
                                PatternRewriter &rewriter) const override {
    RelType source = typeOf(op.getSource());
    auto bounds = boundsOf(op.getType());
    for (auto [i, key] :
         llvm::enumerate(op.getKeys().getAsValueRange<StringAttr>())) {
      Value index = op.getIndices()[i];
      SymExpr extent = source.extentOf(key);
      std::optional<SymExpr> expr;
      if (auto constant = dyn_cast_if_present<IntegerAttr>(constantOf(index)))
        expr = SymExpr(constant.getValue().getSExtValue());
      else
        expr = keyExpression(index);
      if (!expr)
        continue;
      if (expr->provablyLess(SymExpr(0), bounds))
        expr = *expr + extent;
      bool inRange = expr->provablyNonNegative(bounds) &&
                     (op.getProved() || expr->provablyLess(extent, bounds));
      if (!inRange)
        continue;
      // Columns of the source that the index has, too, are joined with it.
      KeyMap map{{key.str(), *expr}};
      SmallVector<StringRef> keys;
      SmallVector<Value> indices;
      for (auto [j, other] :
           llvm::enumerate(op.getKeys().getAsValueRange<StringAttr>()))
        if (j != i) {
          keys.push_back(other);
          indices.push_back(op.getIndices()[j]);
        }
      // A key that is still looked up must not be taken for a key of the
      // result of the same name.
      std::set<std::string> used;
      expr->collect(used);
      bool clash = false;
      for (StringRef other : keys)
        clash |= used.count(("#" + other).str()) > 0;
      if (clash)
        continue;
      Value value = rekeyed(rewriter, op.getLoc(), op.getSource(), map,
                            [&](StringRef name) {
                              return op.getType().has(name)
                                         ? op.getType().extentOf(name)
                                         : source.extentOf(name);
                            });
      if (!keys.empty())
        value = LookupOp::create(rewriter, op.getLoc(), lookupType(value, indices, keys),
                                 value, indices, rewriter.getStrArrayAttr(keys),
                                 op.getProvedAttr());
      // A constant index drops its keys: ranges bring those columns back.
      SmallVector<Value> inputs{value};
      for (Column column : op.getType().getColumns())
        if (!typeOf(value).has(column.getName()))
          inputs.push_back(
              RangeOp::create(rewriter, op.getLoc(),
                              RelType::get({column}, rewriter.getI64Type())));
      if (inputs.size() > 1)
        value = createJoin(rewriter, op.getLoc(), op.getType(), inputs,
                           [](OpBuilder &, ValueRange x) { return x[0]; });
      replaceReordered(rewriter, op, value);
      return success();
    }
    return rewriter.notifyMatchFailure(
        op, "no index is an expression over keys that is in range");
  }

  static RelType lookupType(Value source, ArrayRef<Value> indices,
                            ArrayRef<StringRef> keys) {
    SmallVector<Column> columns;
    auto add = [&](Column column) {
      if (!llvm::is_contained(columns, column))
        columns.push_back(column);
    };
    for (Value index : indices)
      for (Column column : typeOf(index).getColumns())
        add(column);
    for (Column column : typeOf(source).getColumns())
      if (!llvm::is_contained(keys, column.getName()))
        add(column);
    return typeOf(source).withColumns(columns);
  }
};

/// lookup join(x, y){f}[c = i] = join(lookup x[c = i], y){f}: operands that
/// lack c are not looked up, and where none has it the index is not needed.
struct LookupOfJoin : OpRewritePattern<LookupOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LookupOp op,
                                PatternRewriter &rewriter) const override {
    auto join = op.getSource().getDefiningOp<JoinOp>();
    if (!join || (!join->hasOneUse() && !isCheap(join)))
      return rewriter.notifyMatchFailure(op, "the source is no join of its own");
    if (op.getKeys().size() != 1)
      return rewriter.notifyMatchFailure(op, "several columns are looked up");
    StringRef key = *op.getKeys().getAsValueRange<StringAttr>().begin();
    Value index = op.getIndices()[0];
    if (typeOf(index).has(key))
      return rewriter.notifyMatchFailure(op, "the index has the column, too");
    SmallVector<Value> inputs;
    for (Value input : join.getInputs()) {
      if (!typeOf(input).has(key)) {
        inputs.push_back(input);
        continue;
      }
      if (input.getDefiningOp<RangeOp>()) {
        // The key that is looked up is the index, counted from the end if
        // negative.
        auto extent = typeOf(input).extentOf(key).asConst();
        if (!extent || !typeOf(index).getElementType().isInteger(64))
          return rewriter.notifyMatchFailure(op, "the keys have no number");
        inputs.push_back(createJoin(
            rewriter, op.getLoc(), rewriter.getI64Type(), index,
            [&](OpBuilder &b, ValueRange x) -> Value {
              auto constant = [&](int64_t value) {
                return arith::ConstantOp::create(b, op.getLoc(),
                                                 b.getI64IntegerAttr(value));
              };
              Value wrapped = arith::AddIOp::create(b, op.getLoc(), x[0],
                                                    constant(*extent));
              Value negative = arith::CmpIOp::create(
                  b, op.getLoc(), arith::CmpIPredicate::slt, x[0], constant(0));
              return arith::SelectOp::create(b, op.getLoc(), negative, wrapped,
                                             x[0]);
            }));
        continue;
      }
      inputs.push_back(LookupOp::create(
          rewriter, op.getLoc(),
          LookupByKeys::lookupType(input, {index}, {key}), input,
          ValueRange{index}, op.getKeysAttr(), op.getProvedAttr()));
    }
    auto result = createJoin(rewriter, op.getLoc(), op.getType(), inputs,
                             [&](OpBuilder &b, ValueRange x) {
                               return inlineRegion(b, join, x);
                             });
    rewriter.replaceOp(op, result.getResult());
    return success();
  }
};

struct SimplifyLookups
    : optimize::impl::SimplifyLookupsBase<SimplifyLookups> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateSimplifyLookups(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populateSimplifyLookups(RewritePatternSet &patterns) {
  patterns.add<LookupByKeys, LookupOfJoin>(patterns.getContext());
}
