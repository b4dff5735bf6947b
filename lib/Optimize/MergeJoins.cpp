//===- MergeJoins.cpp - Contractions of one operand are one ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Laws.h"
#include "joinery/Interp/Interp.h"
#include <map>

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_MERGEJOINS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// Σ_k x·W (+ bias), where W and the bias are constant.
struct Member {
  AggregateOp sum;
  JoinOp biased;  // the sum plus the bias, or null
  Value weight, bias;
  Renaming x;     // x behind renames
  std::vector<std::string> digits; // columns of the result that x lacks
  int64_t width = 1;               // the product of their extents

  Value result() {
    return biased ? biased.getResult() : sum.getResult();
  }
};

/// The operand and the other one of a two-operand join that yields `Op` of
/// its arguments.
template <class Op>
std::optional<std::pair<Value, Value>> matchBinary(JoinOp join) {
  if (!join || join.getInputs().size() != 2 ||
      join.getBody().front().getOperations().size() != 2)
    return std::nullopt;
  auto op = yieldOf(join).getDefiningOp<Op>();
  if (!op || op.getLhs() == op.getRhs())
    return std::nullopt;
  return std::pair(join.getInputs()[0], join.getInputs()[1]);
}

std::optional<Member> matchMember(AggregateOp sum) {
  if (sum.getMonoid() != Monoid::Sum ||
      !isa<FloatType>(sum.getType().getElementType()))
    return std::nullopt;
  auto factors =
      matchBinary<arith::MulFOp>(sum.getInputs()[0].getDefiningOp<JoinOp>());
  if (!factors)
    return std::nullopt;
  auto [a, b] = *factors;
  if (dependsOnTablesOnly(a))
    std::swap(a, b);
  if (dependsOnTablesOnly(a) || !dependsOnTablesOnly(b))
    return std::nullopt;
  Member member;
  member.sum = sum;
  member.weight = b;
  member.x = peelRenames(a);
  for (Column column : typeOf(b).getColumns()) {
    StringRef name = column.getName();
    if (typeOf(a).has(name) != sum.folds(name))
      return std::nullopt; // a batch column of the weight
    if (sum.folds(name))
      continue;
    member.digits.push_back(name.str());
    member.width *= *column.getExtent().asConst();
  }
  for (StringRef name : sum.getOver().getAsValueRange<StringAttr>())
    if (!typeOf(a).has(name) || !typeOf(b).has(name))
      return std::nullopt;
  if (member.digits.empty())
    return std::nullopt;
  // A bias over just the weight's own columns comes along.
  if (sum->hasOneUse())
    if (auto join = dyn_cast<JoinOp>(*sum->user_begin()))
      if (auto terms = matchBinary<arith::AddFOp>(join)) {
        Value bias = terms->first == sum.getResult() ? terms->second
                                                     : terms->first;
        bool fits = dependsOnTablesOnly(bias) &&
                    typeOf(bias).getColumns().size() == member.digits.size();
        for (const std::string &digit : member.digits)
          fits &= typeOf(bias).has(digit);
        if (fits) {
          member.biased = join;
          member.bias = bias;
        }
      }
  return member;
}

/// What members of one contraction share: x and the columns of it they fold.
std::string groupKey(Member &member) {
  std::set<std::string> folded;
  for (const auto &[own, name] : member.x.names)
    if (member.sum.folds(name))
      folded.insert(own);
  std::string key =
      std::to_string(reinterpret_cast<uintptr_t>(member.x.base.getAsOpaquePointer()));
  for (const std::string &column : folded)
    key += "," + column;
  return key;
}

class Merge {
public:
  Merge(IRRewriter &rewriter, MutableArrayRef<Member> members)
      : rewriter(rewriter), members(members), x(members[0].x.base) {}

  void run() {
    rewriter.setInsertionPointAfterValue(x);
    Location loc = members[0].sum.getLoc();
    j = freshColumn("j", {typeOf(x)});
    bool biased = llvm::any_of(
        members, [](Member &member) { return bool(member.bias); });
    SmallVector<Value> weights, biases;
    SmallVector<Attribute> sizes;
    int64_t total = 0;
    for (Member &member : members) {
      weights.push_back(flat(member, member.weight));
      if (biased)
        biases.push_back(member.bias ? flat(member, member.bias)
                                     : zero(loc));
      sizes.push_back(rewriter.getStringAttr(std::to_string(member.width)));
      total += member.width;
    }
    Column column(rewriter.getContext(), j, SymExpr(total));
    Value weight = unite(loc, weights, sizes, column);
    Type element = typeOf(weight).getElementType();
    Value product = createJoin(
        rewriter, loc, element, ValueRange{x, weight},
        [&](OpBuilder &b, ValueRange v) -> Value {
          return arith::MulFOp::create(b, loc, v[0], v[1]);
        });
    SmallVector<std::string> folded;
    for (const auto &[own, name] : members[0].x.names)
      if (members[0].sum.folds(name))
        folded.push_back(own);
    SmallVector<StringRef> over(folded.begin(), folded.end());
    Value result = AggregateOp::create(rewriter, loc, Monoid::Sum,
                                       ValueRange{product}, over);
    if (biased) {
      Value bias = unite(loc, biases, sizes, column);
      result = createJoin(rewriter, loc, element, ValueRange{result, bias},
                          [&](OpBuilder &b, ValueRange v) -> Value {
                            return arith::AddFOp::create(b, loc, v[0], v[1]);
                          });
    }
    int64_t start = 0;
    for (Member &member : members) {
      replace(member, result, start);
      start += member.width;
    }
  }

private:
  /// A constant, cloned before its first use, with x's names for the folded
  /// columns and its own columns merged into j.
  Value flat(Member &member, Value constant) {
    Value value = cloneConstant(constant);
    KeyMap map;
    std::map<std::string, SymExpr> extents;
    for (const auto &[own, name] : member.x.names)
      if (typeOf(value).has(name) && member.sum.folds(name)) {
        map[name] = SymExpr::key(own);
        extents[own] = typeOf(value).extentOf(name);
      }
    int64_t below = member.width;
    for (const std::string &digit : member.digits) {
      int64_t extent = *typeOf(value).extentOf(digit).asConst();
      below /= extent;
      SymExpr quotient = SymExpr::floorDiv(SymExpr::key(j), SymExpr(below));
      map[digit] = digit == member.digits.front()
                       ? quotient
                       : SymExpr::mod(quotient, SymExpr(extent));
    }
    return rekeyed(rewriter, value.getLoc(), value, map, [&](StringRef name) {
      auto it = extents.find(name.str());
      return it != extents.end() ? it->second : SymExpr(member.width);
    });
  }

  Value cloneConstant(Value value) {
    Value &clone = clones[value];
    if (clone)
      return clone;
    Operation *op = value.getDefiningOp();
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(cloneConstant(operand));
    Operation *copy = rewriter.clone(*op);
    copy->setOperands(operands);
    return clones[value] = copy->getResult(0);
  }

  Value zero(Location loc) {
    Type element = members[0].sum.getType().getElementType();
    return createJoin(rewriter, loc, element, ValueRange(),
                      [&](OpBuilder &b, ValueRange) -> Value {
                        return arith::ConstantOp::create(
                            b, loc, b.getFloatAttr(element, 0));
                      });
  }

  Value unite(Location loc, ArrayRef<Value> parts, ArrayRef<Attribute> sizes,
              Column column) {
    SmallVector<Column> columns;
    for (Column c : JoinOp::joinColumns(parts))
      if (c.name != column.name)
        columns.push_back(c);
    columns.push_back(column);
    return UnionOp::create(rewriter, loc, typeOf(parts[0]).withColumns(columns),
                           column.name, parts, rewriter.getArrayAttr(sizes));
  }

  /// A member is a slice of the result, with its own names and digits.
  void replace(Member &member, Value result, int64_t start) {
    Value old = member.result();
    rewriter.setInsertionPoint(old.getDefiningOp());
    SymExpr key(start);
    int64_t below = member.width;
    for (const std::string &digit : member.digits) {
      below /= *typeOf(old).extentOf(digit).asConst();
      key = key + SymExpr(below) * SymExpr::key(digit);
    }
    KeyMap map{{j, key}};
    for (const auto &[own, name] : member.x.names)
      if (!member.sum.folds(name))
        map[own] = SymExpr::key(name);
    Value value = rekeyed(rewriter, old.getLoc(), result, map,
                          [&](StringRef name) {
                            return typeOf(old).has(name)
                                       ? typeOf(old).extentOf(name)
                                       : typeOf(result).extentOf(name);
                          });
    // The border knows an order of columns.
    if (value.getType() != old.getType())
      for (OpOperand &use : llvm::make_early_inc_range(old.getUses()))
        if (!isa<RelDialect>(use.getOwner()->getDialect()))
          use.set(RekeyOp::create(rewriter, old.getLoc(), old.getType(), value,
                                  rewriter.getArrayAttr({}),
                                  rewriter.getArrayAttr({}), TypedAttr()));
    rewriter.replaceAllUsesWith(old, value);
    // The old operations go with their users; what is left is dead.
  }

  IRRewriter &rewriter;
  MutableArrayRef<Member> members;
  Value x;
  std::string j;
  DenseMap<Value, Value> clones;
};

/// Erases operations without uses, users first.
void eraseDead(func::FuncOp function) {
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isa<RelDialect>(op.getDialect()) && op.use_empty())
      op.erase();
}

struct MergeJoins : optimize::impl::MergeJoinsBase<MergeJoins> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      std::map<std::string, size_t> numbers; // groups in the order of the plan
      std::vector<SmallVector<Member>> groups;
      for (auto sum : function.getOps<AggregateOp>())
        if (auto member = matchMember(sum)) {
            auto [it, isNew] =
                numbers.try_emplace(groupKey(*member), groups.size());
            if (isNew)
              groups.emplace_back();
            groups[it->second].push_back(*member);
          }
      IRRewriter rewriter(&getContext());
      for (auto &members : groups) {
        if (members.size() < 2)
          continue;
        Merge(rewriter, members).run();
        numMerged += members.size() - 1;
      }
      eraseDead(function);
    }
    // Key maps of key maps are one; nothing moves, so the merge stays.
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populateRenameLeaves(patterns);
    tidy(getOperation(), std::move(patterns));
  }
};
} // namespace
