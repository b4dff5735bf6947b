//===- RelFolds.cpp - Folders and local canonicalisations -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Rel/Rel.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;

/// A rekey that maps every column to itself is its input.
OpFoldResult RekeyOp::fold(FoldAdaptor) {
  if (getInput().getType() != getType())
    return {};
  for (Column column : getType().getColumns())
    if (sourceKey(column.getName()) != SymExpr::key(column.getName()))
      return {};
  return getInput();
}

/// Is the composition out of range just where the outer map, which has a default,
/// leaves the inner result, or where the inner one has the same? A key that may
/// leave it has to be the inner input's own.
static bool composesDefaults(RekeyOp outer, RekeyOp inner) {
  if (inner.getOtherwise() &&
      inner.getOtherwiseAttr() != outer.getOtherwiseAttr())
    return false;
  RelType between = inner.getType(), source = inner.getInput().getType();
  for (Column column : between.getColumns()) {
    std::string name = column.getName().str();
    auto symbol = outer.sourceKey(name).asSymbol();
    if (symbol && StringRef(*symbol).starts_with("#") &&
        outer.getType().extentOf(symbol->substr(1)) == column.getExtent())
      continue; // always in range
    int uses = 0;
    bool own = false;
    for (Column below : source.getColumns()) {
      SymExpr key = inner.sourceKey(below.getName());
      if (!key.uses("#" + name))
        continue;
      ++uses;
      own |= key == SymExpr::key(name) &&
             below.getExtent() == column.getExtent();
    }
    if (uses != 1 || !own)
      return false;
  }
  return true;
}

namespace {
/// rekey ∘ rekey is one rekey: the outer map is substituted into the inner one
/// and simplified by the extents of the result's keys.
struct ComposeRekeys : OpRewritePattern<RekeyOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RekeyOp outer,
                                PatternRewriter &rewriter) const override {
    auto inner = outer.getInput().getDefiningOp<RekeyOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(outer, "the input is not a rekey");
    // Without a default the outer map stays within the inner result, so the
    // inner default holds just where the composed key is out of range.
    if (outer.getOtherwise() && !composesDefaults(outer, inner))
      return rewriter.notifyMatchFailure(
          outer, "the outer default would need a new domain");
    RelType result = outer.getType();
    SmallVector<StringRef> sources;
    SmallVector<std::string> texts;
    std::set<std::string> used;
    for (Column column : inner.getInput().getType().getColumns()) {
      SymExpr composed = outer.overResult(inner.sourceKey(column.getName()));
      composed.collect(used);
      if (composed == SymExpr::key(column.getName()))
        continue; // columns that are not named keep their name
      sources.push_back(column.getName());
      texts.push_back(composed.str());
    }
    // A key that cancelled out leaves a relation that is constant along it:
    // its column would have to leave the type, too, which is not this rule's.
    for (Column column : result.getColumns())
      if (!used.count(("#" + column.name.getValue()).str()))
        return rewriter.notifyMatchFailure(outer, "a key cancels out");
    SmallVector<StringRef> exprs(texts.begin(), texts.end());
    rewriter.replaceOpWithNewOp<RekeyOp>(
        outer, result, inner.getInput(), rewriter.getStrArrayAttr(sources),
        rewriter.getStrArrayAttr(exprs),
        outer.getOtherwise() ? outer.getOtherwiseAttr()
                             : inner.getOtherwiseAttr());
    return success();
  }
};

/// An operand that a join's region does not use and whose columns the other
/// operands have leaves; an operand that occurs twice is joined once.
struct DropJoinOperands : OpRewritePattern<JoinOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinOp join,
                                PatternRewriter &rewriter) const override {
    Block &block = join.getBody().front();
    for (unsigned i = 0; i < join.getInputs().size(); ++i) {
      Value input = join.getInputs()[i];
      unsigned first =
          llvm::find(join.getInputs(), input) - join.getInputs().begin();
      bool unused = block.getArgument(i).use_empty();
      if (unused) {
        SmallVector<Value> others(join.getInputs());
        others.erase(others.begin() + i);
        if (JoinOp::joinColumns(others).size() !=
            join.getType().getColumns().size())
          continue;
      } else if (first == i) {
        continue;
      }
      rewriter.modifyOpInPlace(join, [&] {
        if (!unused)
          block.getArgument(i).replaceAllUsesWith(block.getArgument(first));
        block.eraseArgument(i);
        join.getInputsMutable().erase(i);
      });
      return success();
    }
    return rewriter.notifyMatchFailure(join, "every operand is needed");
  }
};
} // namespace

void RekeyOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                          MLIRContext *context) {
  patterns.add<ComposeRekeys>(context);
}

void JoinOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                         MLIRContext *context) {
  patterns.add<DropJoinOperands>(context);
}
