//===- PushRekeys.cpp - Key maps move to the leaves -----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_PUSHREKEYS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

/// `operand` at the keys of `rekey`, whose input has the operand's columns.
static Value pushInto(PatternRewriter &rewriter, RekeyOp rekey, Value operand,
                      const KeyMap &map) {
  RelType result = rekey.getType(), own = typeOf(operand);
  return rekeyed(rewriter, rekey.getLoc(), operand, map, [&](StringRef name) {
    return result.has(name) ? result.extentOf(name) : own.extentOf(name);
  });
}

/// True if the rekeyed operand would have more keys than the operand.
static bool hasMoreKeys(RekeyOp rekey, Value operand) {
  SymExpr size(1);
  std::set<std::string> keys;
  for (Column column : typeOf(operand).getColumns()) {
    if (rekey.getInput().getType().has(column.getName()))
      rekey.sourceKey(column.getName()).collect(keys);
    else
      size = size * column.getExtent();
  }
  for (StringRef key : keys)
    if (key.consume_front("#"))
      size = size * rekey.getType().extentOf(key);
  return !atMost(size, typeOf(operand).size());
}

/// The same where it matters: what computes the operand would be evaluated more
/// often, or stay behind the rekey.
static bool operandGrows(RekeyOp rekey, Value operand) {
  return !dependsOnTablesOnly(operand) && !operand.getDefiningOp<RangeOp>() &&
         hasMoreKeys(rekey, operand);
}

/// The same of what is multiplied before an aggregate: a rekey that got no further
/// than in between would leave no contraction, and a table with a row for each of
/// the result's elements none that is worth the name.
static bool factorGrows(RekeyOp rekey, Value operand) {
  auto join = operand.getDefiningOp<JoinOp>();
  return join && isa<AggregateOp>(rekey.getInput().getDefiningOp()) &&
         llvm::any_of(join.getInputs(), [&](Value factor) {
           return hasMoreKeys(rekey, factor);
         });
}

/// True if all users are rekeys that together ask for no more keys than the
/// producer has: then nothing is computed twice where they move below it.
static bool usersAreParts(Value producer) {
  if (auto only = dyn_cast<RekeyOp>(*producer.user_begin());
      only && producer.hasOneUse() && !only.getOtherwise() &&
      (only.isRename() || (dependsOnTablesOnly(producer) && isPart(only))))
    return true;
  SymExpr total;
  for (Operation *user : producer.getUsers()) {
    auto rekey = dyn_cast<RekeyOp>(user);
    if (!rekey || rekey.getOtherwise())
      return false;
    total = total + rekey.getType().size();
  }
  return atMost(total, typeOf(producer).size());
}

/// Would the rekey leave an aggregate with fewer rows of what a run computes, or
/// with rows in another order than they are in there? A part of the columns that
/// come from tables is as good a contraction as the whole.
static bool cutsRows(RekeyOp rekey, AggregateOp aggregate) {
  auto cuts = [&](Value operand) {
    if (dependsOnTablesOnly(operand))
      return false;
    return llvm::any_of(typeOf(operand).getColumns(), [&](Column column) {
      StringRef name = column.getName();
      if (!rekey.getInput().getType().has(name))
        return false;
      auto key = rekey.sourceKey(name).asSymbol();
      return !key || rekey.getType().extentOf(StringRef(*key).substr(1)) !=
                         column.getExtent();
    });
  };
  for (Value input : aggregate.getInputs()) {
    auto join = input.getDefiningOp<JoinOp>();
    if (join ? llvm::any_of(join.getInputs(), cuts) : cuts(input))
      return true;
  }
  return false;
}

namespace {
/// A scan, or the keys of a column, under other names.
struct RenameLeaf : OpRewritePattern<RekeyOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RekeyOp rekey,
                                PatternRewriter &rewriter) const override {
    Operation *leaf = rekey.getInput().getDefiningOp();
    if (!isa_and_nonnull<ScanOp, RangeOp>(leaf) || !rekey.isRename())
      return rewriter.notifyMatchFailure(rekey, "not a rename of a leaf");
    SmallVector<Column> columns;
    bool same = true;
    for (Column column : rekey.getInput().getType().getColumns()) {
      std::string key =
          rekey.sourceKey(column.getName()).asSymbol()->substr(1);
      same &= key == column.getName();
      columns.push_back(Column(rewriter.getContext(), key, column.getExtent()));
    }
    if (same)
      return rewriter.notifyMatchFailure(rekey, "only the order changes");
    RelType type = rekey.getInput().getType().withColumns(columns);
    Value value;
    if (auto scan = dyn_cast<ScanOp>(leaf))
      value = ScanOp::create(rewriter, leaf->getLoc(), type,
                             scan.getTableAttr());
    else
      value = RangeOp::create(rewriter, leaf->getLoc(), type);
    replaceReordered(rewriter, rekey, value);
    return success();
  }
};

/// A rekey that only changes the order of columns means nothing inside.
struct DropReorder : OpRewritePattern<RekeyOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RekeyOp rekey,
                                PatternRewriter &rewriter) const override {
    for (Column column : rekey.getInput().getType().getColumns())
      if (rekey.sourceKey(column.getName()) !=
          SymExpr::key(column.getName()))
        return rewriter.notifyMatchFailure(rekey, "the keys change");
    if (!sameColumns(rekey.getType(), rekey.getInput().getType()))
      return rewriter.notifyMatchFailure(rekey, "the extents change");
    if (llvm::any_of(rekey->getUsers(), [](Operation *user) {
          return !isa<RelDialect>(user->getDialect());
        }))
      return rewriter.notifyMatchFailure(rekey, "the border asks for an order");
    rewriter.replaceOp(rekey, rekey.getInput());
    return success();
  }
};

/// A relation that two rekeys make constant along a column, since its key cancels
/// out, joins without that column where another operand has it.
struct DropCancelledKeys : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(join.getInputs())) {
      auto outer = input.getDefiningOp<RekeyOp>();
      auto inner =
          outer ? outer.getInput().getDefiningOp<RekeyOp>() : RekeyOp();
      if (!inner || outer.getOtherwise() || inner.getOtherwise())
        continue;
      KeyMap map;
      std::set<std::string> used;
      for (auto &[name, key] : keyMapOf(inner)) {
        map[name] = outer.overResult(key);
        map[name].collect(used);
      }
      bool cancels = false, elsewhere = true;
      for (Column column : outer.getType().getColumns()) {
        if (used.count(("#" + column.name.getValue()).str()))
          continue;
        cancels = true;
        elsewhere &= llvm::any_of(join.getInputs(), [&](Value other) {
          return other != input && typeOf(other).has(column.getName());
        });
      }
      if (!cancels || !elsewhere)
        continue;
      SmallVector<Value> inputs(join.getInputs());
      inputs[i] =
          rekeyed(rewriter, outer.getLoc(), inner.getInput(), map,
                  [&](StringRef name) { return outer.getType().extentOf(name); });
      Value value = createJoin(rewriter, join.getLoc(),
                               join.getType().getElementType(), inputs,
                               [&](OpBuilder &builder, ValueRange arguments) {
                                 return inlineRegion(builder, join, arguments);
                               });
      replaceReordered(rewriter, join, value);
      return success();
    }
    return rewriter.notifyMatchFailure(join, "no key cancels out");
  }
};

/// rekey ∘ f = f ∘ rekey for every operator that works key by key.
struct PushBelow : OpRewritePattern<RekeyOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RekeyOp rekey,
                                PatternRewriter &rewriter) const override {
    if (rekey.getOtherwise())
      return rewriter.notifyMatchFailure(rekey, "a default would need a domain");
    Operation *producer = rekey.getInput().getDefiningOp();
    if (!isa_and_nonnull<JoinOp, SelectOp, LookupOp, AggregateOp, UnionOp>(
            producer))
      return rewriter.notifyMatchFailure(rekey, "the input is a leaf");
    bool onlyOrder = llvm::all_of(
        rekey.getInput().getType().getColumns(), [&](Column column) {
          return rekey.sourceKey(column.getName()) ==
                 SymExpr::key(column.getName());
        });
    if (onlyOrder &&
        sameColumns(rekey.getType(), rekey.getInput().getType()))
      return rewriter.notifyMatchFailure(rekey, "only the order changes");
    auto join = dyn_cast<JoinOp>(producer);
    bool cheap = join && isCheap(join) && !enlarges(rekey);
    if (!cheap && !usersAreParts(rekey.getInput()))
      return rewriter.notifyMatchFailure(
          rekey, "the producer would be computed more often");
    // Parts that make up the whole are views of it: a contraction of each would
    // be the same work in smaller pieces.
    if (auto aggregate = dyn_cast<AggregateOp>(producer);
        aggregate && !rekey.getInput().hasOneUse() &&
        cutsRows(rekey, aggregate))
      return rewriter.notifyMatchFailure(rekey, "the rows would be cut up");
    if (!cheap && llvm::any_of(producer->getOperands(), [&](Value operand) {
          return operandGrows(rekey, operand) || factorGrows(rekey, operand);
        }))
      return rewriter.notifyMatchFailure(
          rekey, "an operand would have more keys than now");
    Value value;
    if (auto aggregate = dyn_cast<AggregateOp>(producer))
      value = pushAggregate(rewriter, rekey, aggregate);
    else if (auto lookup = dyn_cast<LookupOp>(producer))
      value = pushLookup(rewriter, rekey, lookup);
    else if (auto u = dyn_cast<UnionOp>(producer))
      value = pushUnion(rewriter, rekey, u);
    else
      value = pushPointwise(rewriter, rekey, producer);
    if (!value)
      return rewriter.notifyMatchFailure(rekey, "the operator has no such law");
    replaceReordered(rewriter, rekey, value);
    if (producer->use_empty())
      leave(rewriter, producer);
    return success();
  }

private:
  /// The rekey that alone reads what a producer read moves on once that is gone.
  /// Several wait for the next round: those that are equal meet before it.
  static void leave(PatternRewriter &rewriter, Operation *producer) {
    SmallVector<Value> operands(producer->getOperands());
    rewriter.eraseOp(producer);
    for (Value operand : operands)
      if (operand.hasOneUse() && isa<RekeyOp>(*operand.user_begin()))
        rewriter.modifyOpInPlace(*operand.user_begin(), [] {});
  }

  static Value pushPointwise(PatternRewriter &rewriter, RekeyOp rekey,
                             Operation *producer) {
    KeyMap map = keyMapOf(rekey);
    SmallVector<Value> operands;
    for (Value operand : producer->getOperands())
      operands.push_back(pushInto(rewriter, rekey, operand, map));
    if (JoinOp::joinColumns(operands).size() !=
        rekey.getType().getColumns().size())
      return {};
    IRMapping mapping;
    for (auto [old, value] : llvm::zip(producer->getOperands(), operands))
      mapping.map(old, value);
    // Operands may repeat: the mapping above is by value, so set them by place.
    Operation *clone = rewriter.clone(*producer, mapping);
    clone->setOperands(operands);
    clone->getResult(0).setType(rekey.getType());
    return clone->getResult(0);
  }

  static Value pushAggregate(PatternRewriter &rewriter, RekeyOp rekey,
                             AggregateOp aggregate) {
    KeyMap map = keyMapOf(rekey);
    SmallVector<RelType> taken{rekey.getType()};
    for (Value input : aggregate.getInputs())
      taken.push_back(typeOf(input));
    // The folded columns keep out of the way of the result's.
    SmallVector<std::string> over;
    std::map<std::string, SymExpr> extents;
    for (StringRef column : aggregate.getOver().getAsValueRange<StringAttr>()) {
      std::string name = column.str();
      if (rekey.getType().has(column)) {
        name = freshColumn(column, taken);
        map[column.str()] = SymExpr::key(name);
        taken.push_back(RelType::get(
            {Column(rewriter.getContext(), name, SymExpr(1))},
            rewriter.getI64Type()));
      }
      over.push_back(name);
      for (Value input : aggregate.getInputs())
        if (typeOf(input).has(column))
          extents[name] = typeOf(input).extentOf(column);
    }
    SmallVector<Value> operands;
    for (Value input : aggregate.getInputs())
      operands.push_back(rekeyed(
          rewriter, rekey.getLoc(), input, map, [&](StringRef name) {
            auto it = extents.find(name.str());
            return it != extents.end() ? it->second
                                       : rekey.getType().extentOf(name);
          }));
    if (JoinOp::joinColumns(operands).size() !=
        rekey.getType().getColumns().size() + over.size())
      return {};
    SmallVector<StringRef> names(over.begin(), over.end());
    auto pushed = AggregateOp::create(
        rewriter, aggregate.getLoc(), rekey.getType(), aggregate.getMonoid(),
        operands, rewriter.getStrArrayAttr(names));
    pushed.copyMask(aggregate);
    return pushed;
  }

  /// The looked-up columns are no keys of the result and keep their names;
  /// those that clash with the result's are renamed.
  static Value pushLookup(PatternRewriter &rewriter, RekeyOp rekey,
                          LookupOp lookup) {
    KeyMap map = keyMapOf(rekey), ofSource = map;
    RelType source = typeOf(lookup.getSource());
    SmallVector<std::string> keys;
    std::map<std::string, SymExpr> extents;
    for (StringRef key : lookup.getKeys().getAsValueRange<StringAttr>()) {
      std::string name = key.str();
      if (rekey.getType().has(key))
        name = freshColumn(key, {rekey.getType(), source});
      ofSource[key.str()] = SymExpr::key(name);
      extents[name] = source.extentOf(key);
      keys.push_back(name);
    }
    SmallVector<Value> operands{rekeyed(
        rewriter, rekey.getLoc(), lookup.getSource(), ofSource,
        [&](StringRef name) {
          auto it = extents.find(name.str());
          return it != extents.end() ? it->second
                                     : rekey.getType().extentOf(name);
        })};
    for (Value index : lookup.getIndices())
      operands.push_back(pushInto(rewriter, rekey, index, map));
    SmallVector<StringRef> names(keys.begin(), keys.end());
    return LookupOp::create(rewriter, lookup.getLoc(), rekey.getType(),
                            operands[0], ArrayRef(operands).drop_front(),
                            rewriter.getStrArrayAttr(names),
                            lookup.getProvedAttr());
  }

  /// A slice of a union picks its part; other columns are mapped in each part.
  static Value pushUnion(PatternRewriter &rewriter, RekeyOp rekey,
                         UnionOp unionOp) {
    KeyMap map = keyMapOf(rekey);
    std::string column = unionOp.getColumn().str();
    SymExpr key = map.at(column);
    auto bounds = boundsOf(rekey.getType());
    if (key == SymExpr::key(column) &&
        rekey.getType().extentOf(column) ==
            unionOp.getType().extentOf(column)) {
      SmallVector<Value> parts;
      for (auto [input, size] :
           llvm::zip(unionOp.getInputs(),
                     unionOp.getSizes().getAsValueRange<StringAttr>())) {
        SymExpr extent = *SymExpr::parse(size);
        parts.push_back(rekeyed(
            rewriter, rekey.getLoc(), input, map, [&](StringRef name) {
              return name == column ? extent : rekey.getType().extentOf(name);
            }));
      }
      return UnionOp::create(rewriter, unionOp.getLoc(), rekey.getType(),
                             unionOp.getColumnAttr(), parts,
                             unionOp.getSizesAttr());
    }
    SymExpr start;
    for (auto [input, size] :
         llvm::zip(unionOp.getInputs(),
                   unionOp.getSizes().getAsValueRange<StringAttr>())) {
      SymExpr extent = *SymExpr::parse(size), local = key - start;
      start = start + extent;
      if (!local.provablyNonNegative(bounds) ||
          !local.provablyLess(extent, bounds))
        continue;
      map[column] = local;
      Value value = pushInto(rewriter, rekey, input, map);
      if (typeOf(value).getColumns().size() ==
          rekey.getType().getColumns().size())
        return value;
      // The part is constant along a key: the keys give the column.
      SmallVector<Value> inputs{value};
      for (Column c : rekey.getType().getColumns())
        if (!typeOf(value).has(c.getName()))
          inputs.push_back(
              RangeOp::create(rewriter, rekey.getLoc(),
                              RelType::get({c}, rewriter.getI64Type())));
      return createJoin(rewriter, rekey.getLoc(), rekey.getType(), inputs,
                        [](OpBuilder &, ValueRange x) { return x[0]; });
    }
    return {};
  }
};

struct PushRekeys : optimize::impl::PushRekeysBase<PushRekeys> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populatePushRekeys(patterns);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    numRewrites += count;
  }
};
} // namespace

void optimize::populatePushRekeys(RewritePatternSet &patterns) {
  populateRenameLeaves(patterns);
  patterns.add<PushBelow, DropCancelledKeys>(patterns.getContext());
}

void optimize::populateRenameLeaves(RewritePatternSet &patterns) {
  patterns.add<RenameLeaf, DropReorder>(patterns.getContext());
}
