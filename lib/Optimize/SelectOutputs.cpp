//===- SelectOutputs.cpp - Dropped rows are zero in the outputs -----------===//
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
#define GEN_PASS_DEF_SELECTOUTPUTS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// A column of a function argument.
using Origin = std::pair<unsigned, std::string>;
using Origins = std::set<Origin>;

/// Which columns of the arguments a column of a value is, traced through the
/// operators that keep it as it is.
class ColumnOrigins {
public:
  const Origins &of(Value value, StringRef column) {
    auto [it, inserted] = known.try_emplace({value, column.str()});
    if (!inserted)
      return it->second;
    Origins origins = compute(value, column);
    return known[{value, column.str()}] = std::move(origins);
  }

private:
  Origins compute(Value value, StringRef column) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return {{argument.getArgNumber(), column.str()}};
    Operation *op = value.getDefiningOp();
    Origins result;
    auto add = [&](Value operand, StringRef from) {
      const Origins &more = of(operand, from);
      result.insert(more.begin(), more.end());
    };
    if (auto rekey = dyn_cast<RekeyOp>(op)) {
      for (Column source : rekey.getInput().getType().getColumns())
        if (rekey.sourceKey(source.getName()) == SymExpr::key(column) &&
            rekey.getType().extentOf(column) == source.getExtent())
          add(rekey.getInput(), source.getName());
      return result;
    }
    if (isa<UnionOp>(op) && cast<UnionOp>(op).getColumn() == column)
      return result;
    auto lookup = dyn_cast<LookupOp>(op);
    for (Value operand : op->getOperands()) {
      bool lookedUp =
          lookup && operand == lookup.getSource() &&
          llvm::is_contained(
              lookup.getKeys().getAsValueRange<StringAttr>(), column);
      if (typeOf(operand).has(column) && !lookedUp)
        add(operand, column);
    }
    return result;
  }
  struct Less {
    bool operator()(const std::pair<Value, std::string> &a,
                    const std::pair<Value, std::string> &b) const {
      return std::pair(a.first.getAsOpaquePointer(), StringRef(a.second)) <
             std::pair(b.first.getAsOpaquePointer(), StringRef(b.second));
    }
  };
  std::map<std::pair<Value, std::string>, Origins, Less> known;
};

/// What a region of one argument yields for the argument `value`, by folding.
std::optional<bool> yieldAt(JoinOp join, int64_t value) {
  Block &block = join.getBody().front();
  llvm::DenseMap<Value, Attribute> known;
  BlockArgument argument = block.getArgument(0);
  if (auto real = dyn_cast<FloatType>(argument.getType()))
    known[argument] = FloatAttr::get(real, double(value));
  else
    known[argument] = IntegerAttr::get(argument.getType(), value);
  for (Operation &op : block.without_terminator()) {
    SmallVector<Attribute> operands;
    for (Value operand : op.getOperands())
      operands.push_back(known.lookup(operand));
    SmallVector<OpFoldResult> results;
    if (op.getNumResults() != 1 || failed(op.fold(operands, results)) ||
        results.empty())
      return std::nullopt;
    if (auto attribute = dyn_cast<Attribute>(results[0]))
      known[op.getResult(0)] = attribute;
    else
      known[op.getResult(0)] = known.lookup(cast<Value>(results[0]));
  }
  auto result = dyn_cast_or_null<IntegerAttr>(known.lookup(yieldOf(join)));
  if (!result || !result.getType().isInteger(1))
    return std::nullopt;
  return !result.getValue().isZero();
}

/// The argument that a condition is a test of, however it is written: true for
/// a mask of 1 and false for one of 0, or the mask itself; perhaps renamed.
BlockArgument maskArgument(Value where) {
  if (auto join = where.getDefiningOp<JoinOp>()) {
    if (join.getInputs().size() != 1 || yieldAt(join, 0) != false ||
        yieldAt(join, 1) != true)
      return {};
    where = join.getInputs()[0];
  }
  while (auto rekey = where.getDefiningOp<RekeyOp>()) {
    if (!rekey.isRename())
      return {};
    where = rekey.getInput();
  }
  return dyn_cast<BlockArgument>(where);
}

/// True if some value is looked up with the argument: ids that are compared
/// with a pad id are a mask, too, but not 0 or 1.
bool isIndex(BlockArgument argument) {
  SmallVector<Value> work{argument};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    for (OpOperand &use : value.getUses()) {
      if (isa<LookupOp>(use.getOwner()) && use.getOperandNumber() > 0)
        return true;
      if (isa<RekeyOp>(use.getOwner()))
        work.push_back(use.getOwner()->getResult(0));
    }
  }
  return false;
}

/// The mask that a condition was made of: the argument that it tests, or the
/// only one that it depends on, with as many columns (lengths that are sums of
/// a mask). Ids that are compared with a pad id are no such mask.
BlockArgument maskOf(Value where,
                     const llvm::SmallDenseSet<BlockArgument> &arguments) {
  BlockArgument mask = maskArgument(where);
  if (!mask && arguments.size() == 1) {
    mask = *arguments.begin();
    RelType type = typeOf(mask);
    if (!type.getElementType().isSignlessInteger() ||
        type.getColumns().size() != typeOf(where).getColumns().size())
      return {};
  }
  return mask && !isIndex(mask) ? mask : BlockArgument();
}

/// A condition that selects the keys of a softmax_sum. It speaks of a row of
/// an output that is one of those keys.
struct KeyMask {
  Value where;
  std::string key;    // the column of it that is folded
  Origins keyOrigins; // of the values that are selected by it
};

/// For each column of the argument that `where` tests, its name in `where`.
std::map<std::string, std::string> argumentNames(Value where) {
  if (auto join = where.getDefiningOp<JoinOp>())
    where = join.getInputs()[0];
  return peelRenames(where).names;
}

/// The operand of `join` that is a 0/1 mask by which it multiplies, as the
/// number of its region's argument: `x * float(mask)`.
std::optional<unsigned> maskFactor(arith::MulFOp product, bool left) {
  Value factor = left ? product.getLhs() : product.getRhs();
  Operation *cast = factor.getDefiningOp();
  if (!isa_and_nonnull<arith::SIToFPOp, arith::UIToFPOp>(cast) ||
      !factor.hasOneUse())
    return std::nullopt;
  auto argument = dyn_cast<BlockArgument>(cast->getOperand(0));
  // A signed bit that is set is -1.
  if (!argument || !argument.hasOneUse() ||
      (argument.getType().isInteger(1) && isa<arith::SIToFPOp>(cast)))
    return std::nullopt;
  return argument.getArgNumber();
}

/// sum over s of x * mask is that of x where the mask keeps s: dropped rows need
/// not be computed. `where` is the mask's condition.
void selectProducts(func::FuncOp function, Value where, BlockArgument mask) {
  auto names = argumentNames(where);
  for (auto join : llvm::make_early_inc_range(function.getOps<JoinOp>())) {
    auto product = yieldOf(join).getDefiningOp<arith::MulFOp>();
    if (!product || product->getBlock() != &join.getBody().front() ||
        !llvm::all_of(join->getUsers(), [](Operation *user) {
          auto fold = dyn_cast<AggregateOp>(user);
          return fold && fold.getMonoid() == Monoid::Sum;
        }))
      continue;
    for (bool left : {true, false}) {
      auto number = maskFactor(product, left);
      if (!number || maskArgument(join.getInputs()[*number]) != mask)
        continue;
      std::map<std::string, std::string> renaming;
      for (auto &[column, name] : argumentNames(join.getInputs()[*number]))
        renaming[names.at(column)] = name;
      SmallVector<Value> others(join.getInputs());
      others.erase(others.begin() + *number);
      if (JoinOp::joinColumns(others).size() !=
          join.getType().getColumns().size())
        continue;
      OpBuilder b(join);
      auto one = cast<FloatType>(product.getType());
      OpBuilder inner(product);
      Value unit = arith::ConstantOp::create(inner, join.getLoc(),
                                             inner.getFloatAttr(one, 1));
      product->setOperand(left ? 0 : 1, unit);
      b.setInsertionPointAfter(join);
      Value kept = renamed(b, join.getLoc(), where, renaming);
      auto select = SelectOp::create(
          b, join.getLoc(), join.getType(), join, kept,
          cast<TypedAttr>(b.getZeroAttr(join.getType().getElementType())));
      join.getResult().replaceAllUsesExcept(select.getResult(), select);
      break;
    }
  }
}

struct SelectOutputs : optimize::impl::SelectOutputsBase<SelectOutputs> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal())
        runOn(function);
    // The conditions were renamed for the outputs: back to the normal form.
    RewritePatternSet patterns(&getContext());
    populateCanonical(patterns);
    populatePushRekeys(patterns);
    // Looking from every scalar for what discretizes it walks the layers that
    // follow: only where there is something to find.
    bool anyDiscretized = discretizesAnything(getOperation());
    populateSimplifyScalars(patterns, anyDiscretized);
    uint64_t count = 0;
    if (failed(applyLaws(getOperation(), std::move(patterns), count)))
      signalPassFailure();
    mergeEqualPlans(getOperation());
  }

private:
  void runOn(func::FuncOp function) {
    ColumnOrigins origins;
    SmallVector<KeyMask> masks = findMasks(function, origins);
    auto ret = cast<func::ReturnOp>(function.getBody().front().getTerminator());
    IRRewriter rewriter(ret);
    // All conditions that test one argument are one.
    llvm::SmallDenseSet<BlockArgument> tested;
    for (KeyMask &mask : masks)
      if (BlockArgument argument = maskArgument(mask.where);
          argument && tested.insert(argument).second && !isIndex(argument))
        selectProducts(function, mask.where, argument);
    for (OpOperand &operand : ret->getOpOperands())
      for (KeyMask &mask : masks) {
        Value selected = select(rewriter, operand.get(), mask, origins);
        if (!selected)
          continue;
        operand.set(selected);
        ++numSelected;
        break;
      }
  }

  static SmallVector<KeyMask> findMasks(func::FuncOp function,
                                        ColumnOrigins &origins) {
    SmallVector<KeyMask> masks;
    IRRewriter rewriter(function.getContext());
    for (auto fold : function.getOps<AggregateOp>()) {
      if (fold.getMonoid() != Monoid::SoftmaxSum)
        continue;
      Value value = fold.getInputs()[0];
      while (auto select = value.getDefiningOp<SelectOp>()) {
        value = select.getInput();
        Value where = select.getWhere();
        KeyMask mask{where, "", {}};
        unsigned folded = 0;
        for (Column column : typeOf(where).getColumns()) {
          if (!fold.folds(column.getName()))
            continue;
          ++folded;
          mask.key = column.getName().str();
          for (Value input : {Value(select.getInput()), fold.getInputs()[1]})
            if (typeOf(input).has(mask.key)) {
              const Origins &more = origins.of(input, mask.key);
              mask.keyOrigins.insert(more.begin(), more.end());
            }
        }
        auto arguments = argumentsOf(where);
        if (folded != 1 || arguments.empty())
          continue;
        if (BlockArgument argument = maskOf(where, arguments))
          markArgument(rewriter, argument, "rel.binary");
        masks.push_back(mask);
      }
    }
    return masks;
  }

  /// `output` where the mask keeps its row (or some key of its batch row), or
  /// null if it has no row that the mask speaks of.
  static Value select(IRRewriter &rewriter, Value output, KeyMask &mask,
                      ColumnOrigins &origins) {
    RelType type = typeOf(output), maskType = typeOf(mask.where);
    std::map<std::string, std::string> names;
    for (Column column : maskType.getColumns()) {
      bool isKey = column.getName() == mask.key;
      const Origins &batch = origins.of(mask.where, column.getName());
      for (Column own : type.getColumns())
        if (own.extent == column.extent &&
            meet(isKey ? mask.keyOrigins : batch,
                 origins.of(output, own.getName()), isKey))
          names[column.getName().str()] = own.getName().str();
      // A column that the output lacks is another query's, or another batch's.
      if (!isKey && !names.count(column.getName().str()))
        return {};
    }
    Location loc = output.getLoc();
    Value where = mask.where;
    if (!names.count(mask.key)) {
      if (names.empty())
        return {}; // no row at all: the output is the whole batch's
      where = AggregateOp::create(rewriter, loc, Monoid::Any, ValueRange{where},
                                  {StringRef(mask.key)});
    }
    where = renamed(rewriter, loc, where, names);
    auto zero = cast<TypedAttr>(rewriter.getZeroAttr(type.getElementType()));
    return SelectOp::create(rewriter, loc, type, output, where, zero);
  }

  /// True if two columns come from one column of an argument. Arguments share
  /// the batch: there the same name and extent will do.
  static bool meet(const Origins &a, const Origins &b, bool sameArgument) {
    return llvm::any_of(a, [&](const Origin &x) {
      return llvm::any_of(b, [&](const Origin &y) {
        return x.second == y.second && (!sameArgument || x.first == y.first);
      });
    });
  }
};
} // namespace
