//===- Laws.h - What the laws share -----------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_LAWS_H
#define JOINERY_LIB_OPTIMIZE_LAWS_H

#include "dialects/Rel/Rel.h"
#include "joinery/Optimize/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace joinery::optimize {

//===----------------------------------------------------------------------===//
// The laws, one file each
//===----------------------------------------------------------------------===//

void populateComposeJoins(mlir::RewritePatternSet &patterns);
/// `anyDiscretized`: whether the plan may hold what rounds or compares floats.
void populateSimplifyScalars(mlir::RewritePatternSet &patterns,
                             bool anyDiscretized = true);
void populatePushRekeys(mlir::RewritePatternSet &patterns);
/// The part of it that only renames scans and ranges.
void populateRenameLeaves(mlir::RewritePatternSet &patterns);
void populateSplitFolds(mlir::RewritePatternSet &patterns);
void populateFoldConstants(mlir::RewritePatternSet &patterns,
                           mlir::ModuleOp module, int64_t byteLimit);
void populateSimplifyLookups(mlir::RewritePatternSet &patterns);
void populateTabulateDifferences(mlir::RewritePatternSet &patterns);
void populateStreamSoftmax(mlir::RewritePatternSet &patterns);
void populateDropShifts(mlir::RewritePatternSet &patterns);
void populateDropRoundTrips(mlir::RewritePatternSet &patterns);
/// `keepFinite`: masks whose constant is finite stay.
void populateSelectMasks(mlir::RewritePatternSet &patterns,
                         bool keepFinite = false);
void populateCollectScales(mlir::RewritePatternSet &patterns);
void populateFoldScales(mlir::RewritePatternSet &patterns,
                        bool anyDiscretized = true);

/// Merges values that are equal up to the names of the columns they fold.
/// Returns how many left.
unsigned mergeEqualPlans(mlir::ModuleOp module);

/// Folders and canonicalisations of the dialects that plans are made of.
void populateCanonical(mlir::RewritePatternSet &patterns);

/// Applies patterns to a fixpoint; counts the rewrites in `count` and says
/// whether anything changed, dead operations and folds included.
mlir::LogicalResult applyLaws(mlir::ModuleOp module,
                              const mlir::FrozenRewritePatternSet &patterns,
                              uint64_t &count, bool *changed = nullptr);

/// Applies patterns that look at an operation and its operands only: for these
/// one pass reaches the fixpoint, since it comes back to what a rewrite touches.
void tidy(mlir::ModuleOp module, mlir::RewritePatternSet &&patterns);

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

inline rel::RelType typeOf(mlir::Value value) {
  return mlir::cast<rel::RelType>(value.getType());
}
/// True if both have the same columns, in any order.
bool sameColumns(rel::RelType a, rel::RelType b);
/// True if a has no more keys than b for all extents (provably).
bool atMost(const SymExpr &a, const SymExpr &b);
/// True if the rekey reads no key of its input twice: each of its columns moves
/// along one column of the input, within its extent.
bool isPart(rel::RekeyOp rekey);
/// True if the result has more keys than the input, or that can't be excluded.
/// Rekeys that do not enlarge move to the leaves, the others to the root.
bool enlarges(rel::RekeyOp rekey);
/// The extents of a relation's columns as bounds of its keys.
std::function<std::optional<SymExpr>(llvm::StringRef)>
boundsOf(rel::RelType type);

/// True for joins that are cheap to repeat: constants, and a few integer
/// operations on masks, ids and keys.
bool isCheap(rel::JoinOp join);
/// The constant of a join of nothing (or of an unused key), or null.
mlir::TypedAttr constantOf(mlir::Value value);
/// The value of a scalar operation on constants, or null.
mlir::Attribute foldScalar(mlir::Operation *op,
                           llvm::ArrayRef<mlir::Attribute> operands);
/// The scalar that a join's region yields.
mlir::Value yieldOf(rel::JoinOp join);

/// A join with the given type, whose region is built by `body`.
rel::JoinOp createJoin(
    mlir::OpBuilder &builder, mlir::Location loc, rel::RelType type,
    mlir::ValueRange inputs,
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::ValueRange)> body);
/// The same, its columns those of the inputs.
rel::JoinOp createJoin(
    mlir::OpBuilder &builder, mlir::Location loc, mlir::Type element,
    mlir::ValueRange inputs,
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::ValueRange)> body);
/// Clones the operations of `join`'s region on `arguments`; gives the value.
mlir::Value inlineRegion(mlir::OpBuilder &builder, rel::JoinOp join,
                         mlir::ValueRange arguments);

/// Replaces `op` by `value`, which may have its columns in another order.
void replaceReordered(mlir::PatternRewriter &rewriter, mlir::Operation *op,
                      mlir::Value value);

/// The attribute of a layer's call that holds the masks of its softmax_sums.
inline constexpr llvm::StringLiteral layerMasks = "rel.masks";

//===----------------------------------------------------------------------===//
// Key maps
//===----------------------------------------------------------------------===//

/// Source column -> key over the result's columns; columns that are not named
/// keep their name.
using KeyMap = std::map<std::string, SymExpr>;

KeyMap keyMapOf(rel::RekeyOp rekey);
/// `value` at mapped keys; `extents` gives the extents of the result's columns.
/// Gives `value` itself where the map is the identity.
mlir::Value
rekeyed(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value,
        const KeyMap &map,
        llvm::function_ref<SymExpr(llvm::StringRef)> extentOf);
/// `value` with columns renamed.
mlir::Value renamed(mlir::OpBuilder &builder, mlir::Location loc,
                    mlir::Value value,
                    const std::map<std::string, std::string> &names);
/// A column name that starts with `hint` and none of `types` has.
std::string freshColumn(llvm::StringRef hint,
                        llvm::ArrayRef<rel::RelType> types);

/// An integer relation as an expression over its keys, if it is one.
std::optional<SymExpr> keyExpression(mlir::Value value);

/// A value behind pure renames: `names` maps the base's columns to those of
/// the value.
struct Renaming {
  mlir::Value base;
  std::map<std::string, std::string> names;
};
Renaming peelRenames(mlir::Value value);

/// The inputs of the model that a value depends on.
llvm::SmallDenseSet<mlir::BlockArgument> argumentsOf(mlir::Value value);

/// Makes `flag` a unit attribute of the function argument that `value` is a
/// view of; false if it is no view of an argument.
bool markArgument(mlir::RewriterBase &rewriter, mlir::Value value,
                  llvm::StringRef flag);

} // namespace joinery::optimize

#endif // JOINERY_LIB_OPTIMIZE_LAWS_H
