//===- Plan.cpp - Physical design -----------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Planner.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

/// The fewest elements of a looked-up table that is worth storing in bf16.
static constexpr int64_t kLeastHalfTable = 1 << 16;

ArrayAttr Planner::plainLayout(ArrayRef<Column> columns) {
  SmallVector<Attribute> names;
  for (Column column : columns)
    names.push_back(column.name);
  return b.getArrayAttr(names);
}

/// A map of every element to another float type.
Value Planner::castElements(Value value, Type element) {
  bool widens = element.getIntOrFloatBitWidth() >
                typeOf(value).getElementType().getIntOrFloatBitWidth();
  return JoinOp::create(
      b, value.getLoc(), value, element,
      [&](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
        if (widens)
          return arith::ExtFOp::create(inner, loc, element, arguments[0]);
        return arith::TruncFOp::create(inner, loc, element, arguments[0]);
      });
}

RelType Planner::stored(RelType type) {
  return type.getLayout() ? type
                          : type.withLayout(plainLayout(type.getColumns()));
}

/// Does the value depend on no input and on no extent?
static bool isFixed(Value value) {
  SmallVector<Value> work{value};
  llvm::SmallDenseSet<Value> seen;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    if (isa<BlockArgument>(next) || !typeOf(next).isStatic())
      return false;
    llvm::append_range(work, next.getDefiningOp()->getOperands());
  }
  return true;
}

/// The border's order of columns: what the caller's memory looks like. A
/// dimension that the relation is constant along gets a column of its own.
void Planner::borderResults() {
  Operation *end = function.getBody().front().getTerminator();
  b.setInsertionPoint(end);
  llvm::SmallDenseSet<Value> seen;
  for (unsigned i = 0; i < end->getNumOperands(); ++i) {
    Value value = end->getOperand(i);
    auto dims = function.getResultAttrOfType<ArrayAttr>(i, "rel.dims");
    auto shape = function.getResultAttrOfType<ArrayAttr>(i, "rel.shape");
    SmallVector<Column> order;
    SmallVector<Value> operands{value};
    int fresh = 0;
    for (unsigned d = 0; dims && d < dims.size(); ++d) {
      auto columns = cast<ArrayAttr>(dims[d]);
      SymExpr extent =
          *SymExpr::parse(cast<StringAttr>(shape[d]).getValue());
      for (StringRef name : columns.getAsValueRange<StringAttr>())
        order.push_back(typeOf(value).getColumns()[typeOf(value).find(name)]);
      if (!columns.empty() || extent.isConst(1))
        continue;
      Column column(b.getContext(), "out" + std::to_string(fresh++), extent);
      order.push_back(column);
      Value range = RangeOp::create(
          b, end->getLoc(), RelType::get({column}, b.getI64Type()));
      operands.push_back(range);
    }
    // A fresh value for each result: an echoed input and a constant are copied,
    // and a value that is returned twice is stored twice.
    bool copy = operands.size() > 1 || isa<BlockArgument>(value) ||
                isFixed(value) || !seen.insert(value).second;
    if (copy) {
      value = JoinOp::create(b, end->getLoc(), operands,
                             typeOf(value).getElementType(),
                             [](OpBuilder &, Location, ValueRange arguments) {
                               return arguments[0];
                             });
      value.getDefiningOp()->setAttr("border", b.getUnitAttr());
      end->setOperand(i, value);
    }
    // The order is kept on the function for the layout's choice below.
    function.setResultAttr(i, "rel.layout", plainLayout(order));
  }
}

MaterializeOp Planner::materialize(Value value, ArrayAttr layout,
                                   StringRef algorithm, DictionaryAttr design,
                                   function_ref<bool(OpOperand &)> keeps) {
  b.setInsertionPointAfterValue(value);
  auto op = MaterializeOp::create(
      b, value.getLoc(), typeOf(value).withLayout(layout), value,
      b.getStringAttr(algorithm), design);
  // A copy in another layout is for readers: the border keeps its own.
  bool copy = isa_and_nonnull<MaterializeOp>(value.getDefiningOp());
  value.replaceUsesWithIf(op.getResult(), [&](OpOperand &use) {
    return use.getOwner() != op.getOperation() && !keeps(use) &&
           !(copy && use.getOwner()->hasTrait<OpTrait::IsTerminator>());
  });
  return op;
}

Value Planner::storeTable(Location loc, Value value, ArrayAttr layout) {
  return MaterializeOp::create(b, loc, typeOf(value).withLayout(layout), value,
                               b.getStringAttr("table"), DictionaryAttr());
}

void Planner::materializeConstants() {
  // What a running pipeline reads of a constant is a table, in the order that
  // its reader asks for; a single element is part of the code.
  Block &body = function.getBody().front();
  llvm::DenseSet<Value> constants = constantValues(function);
  SmallVector<Value> tables;
  for (Operation &op : body) {
    if (op.getNumResults() != 1 || !constants.contains(op.getResult(0)) ||
        isa<MaterializeOp>(op))
      continue;
    Value value = op.getResult(0);
    if (typeOf(value).getColumns().empty() && isa<JoinOp>(op) &&
        op.getNumOperands() == 0)
      continue;
    // A range is cheaper to compute than to read.
    if (isReadByRun(value, constants) && !isa<RangeOp>(op))
      tables.push_back(value);
  }
  for (Value value : tables) {
    SmallVector<Column> order, last;
    llvm::SmallDenseSet<StringRef> looked;
    for (Operation *user : value.getUsers())
      if (auto lookup = dyn_cast<LookupOp>(user);
          lookup && lookup.getSource() == value)
        for (StringRef key : lookup.getKeys().getAsValueRange<StringAttr>())
          looked.insert(key);
    for (Column column : typeOf(value).getColumns())
      (looked.empty() || looked.contains(column.getName()) ? order : last)
          .push_back(column);
    order.append(last);
    // A reader's vectors are elements that lie side by side.
    if (auto lane = looked.empty() ? laneOf(value) : std::nullopt) {
      llvm::erase(order, *lane);
      order.push_back(*lane);
    }
    b.setInsertionPointAfterValue(value);
    // Rows that are looked up (embeddings) are summed and normalised: they
    // stand bf16 as well as weights do. Small tables would save nothing.
    bool half = options.precision == Precision::BF16 && !looked.empty() &&
                typeOf(value).getElementType().isF32() &&
                product(typeOf(value).getColumns()).asConst().value_or(0) >=
                    kLeastHalfTable;
    Value kept = half ? castElements(value, b.getBF16Type()) : value;
    Value table = storeTable(value.getLoc(), kept, plainLayout(order));
    Value read = half ? castElements(table, b.getF32Type()) : table;
    value.replaceUsesWithIf(read, [&](OpOperand &use) {
      return use.getOwner() != kept.getDefiningOp() &&
             isReader(use.getOwner(), constants);
    });
  }
}

LogicalResult Planner::run() {
  borderResults();
  splitBorders(function);
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    // Arguments are row-major in the order of their columns.
    Value argument = function.getArgument(i);
    argument.setType(stored(typeOf(argument)));
  }
  Breakers breakers(function);

  // In program order: a reader's checks see the layouts of what it reads.
  SmallVector<std::pair<Value, Breaker>> ordered(breakers.stored.begin(),
                                                 breakers.stored.end());
  llvm::sort(ordered, [](auto &x, auto &y) {
    return x.first.getDefiningOp()->isBeforeInBlock(y.first.getDefiningOp());
  });
  SmallVector<ArrayAttr> layouts;
  SmallVector<DictionaryAttr> designs;
  for (auto &[value, breaker] : ordered) {
    layouts.push_back(plainLayout(breakers.layoutOf(value)));
    designs.push_back(design(breaker, breakers, value));
  }
  const StringRef names[] = {"rows", "contraction", "product", "attention",
                             "scan"};
  SmallVector<MaterializeOp> roots;
  for (auto [i, entry] : llvm::enumerate(ordered))
    roots.push_back(
        materialize(entry.first, layouts[i], names[entry.second.algorithm],
                    designs[i], [&](OpOperand &use) {
                      return breakers.streams(entry.first, use.getOwner());
                    }));
  for (auto &[value, breaker] : ordered)
    if (breaker.algorithm == Breaker::Attend)
      ownScores(cast<AggregateOp>(breaker.core), breakers);
  for (auto [root, entry] : llvm::zip(roots, ordered)) {
    const Breaker &breaker = entry.second;
    if (breaker.algorithm == Breaker::Contract) {
      planContraction(root, cast<AggregateOp>(breaker.core), breakers);
    } else if (breaker.algorithm == Breaker::Multiply) {
      planProduct(cast<AggregateOp>(breaker.core), breakers);
    } else if (breaker.algorithm == Breaker::Attend) {
      planAttention(*breakers.attentionOf(breaker.core));
    }
  }
  materializeConstants();
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    function.removeResultAttr(i, b.getStringAttr("rel.layout"));
  SmallVector<Type> results(
      function.getBody().front().getTerminator()->getOperandTypes());
  SmallVector<Type> arguments(function.getBody().front().getArgumentTypes());
  function.setType(b.getFunctionType(arguments, results));
  return success();
}

LogicalResult joinery::planModule(ModuleOp module, const PlanOptions &options) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  if (!function)
    return module.emitError("there is no function @main to plan");
  return Planner(module, function, options).run();
}
