//===- PackRows.cpp - Values over packed rows -----------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Optimize/PackRows.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

//===----------------------------------------------------------------------===//
// The selection
//===----------------------------------------------------------------------===//

/// A relation of no columns that holds the value of `expr`.
static Value extentValue(OpBuilder &b, Location loc, const SymExpr &expr) {
  if (auto number = expr.asConst())
    return createJoin(b, loc, b.getI64Type(), {},
                      [&](OpBuilder &b, ValueRange) -> Value {
                        return arith::ConstantOp::create(
                            b, loc, b.getI64IntegerAttr(*number));
                      });
  Column column(b.getContext(), "x", expr + SymExpr(1));
  Value range = RangeOp::create(b, loc, RelType::get({column}, b.getI64Type()));
  return RekeyOp::create(b, loc, RelType::get({}, b.getI64Type()), range,
                         b.getStrArrayAttr({"x"}),
                         b.getStrArrayAttr({expr.str()}), TypedAttr());
}

/// `where`, or where the last column is the point's key.
Value Packer::equalsPoint(const Point &point, Value where) {
  Location loc = mask.where.getLoc();
  RelType type = typeOf(mask.where);
  const std::string &last = mask.columns.back();
  SymExpr extent = type.extentOf(last);
  Value range = RangeOp::create(
      b, loc,
      RelType::get({Column(b.getContext(), last, extent)}, b.getI64Type()));
  Value key = point.index ? renamed(b, loc, point.index, point.names)
                          : extentValue(b, loc, point.key);
  SmallVector<Value> inputs{where, range, key, extentValue(b, loc, extent)};
  if (point.index)
    // A negative index counts from the end.
    inputs[2] = createJoin(
        b, loc, b.getI64Type(), {key, inputs[3]},
        [&](OpBuilder &b, ValueRange x) -> Value {
          Value index = x[0];
          if (!index.getType().isInteger(64))
            index = arith::ExtSIOp::create(b, loc, b.getI64Type(), index);
          Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
          Value negative = arith::CmpIOp::create(
              b, loc, arith::CmpIPredicate::slt, index, zero);
          Value wrapped = arith::AddIOp::create(b, loc, index, x[1]);
          return arith::SelectOp::create(b, loc, negative, wrapped, index);
        });
  inputs.pop_back();
  return createJoin(b, loc, type, inputs,
                    [&](OpBuilder &b, ValueRange x) -> Value {
                      Value same = arith::CmpIOp::create(
                          b, loc, arith::CmpIPredicate::eq, x[1], x[2]);
                      return arith::OrIOp::create(b, loc, x[0], same);
                    });
}

Value Packer::selection() {
  Value where = mask.where;
  for (const Point &point : region.points)
    where = equalsPoint(point, where);
  return where;
}

/// A name that no symbol and no column of the function has.
static std::string freshName(func::FuncOp function, StringRef hint) {
  std::set<std::string> taken;
  auto collect = [&](Type type) {
    auto relation = dyn_cast<RelType>(type);
    if (!relation)
      return;
    for (Column column : relation.getColumns()) {
      taken.insert(column.getName().str());
      std::set<std::string> symbols;
      column.getExtent().collect(symbols);
      for (const std::string &symbol : symbols)
        taken.insert(symbol.substr(1));
    }
  };
  for (Type type : function.getArgumentTypes())
    collect(type);
  function.walk([&](Operation *op) {
    for (Type type : op->getResultTypes())
      collect(type);
  });
  std::string name = hint.str();
  for (int i = 1; taken.count(name); ++i)
    name = (hint + Twine(i)).str();
  return name;
}

void Packer::makeRows() {
  Block &body = function.getBody().front();
  Operation *first = &body.front();
  for (Operation *op : front) {
    if (op == first)
      first = op->getNextNode();
    else
      op->moveBefore(first);
  }
  b.setInsertionPoint(first);
  Location loc = mask.where.getLoc();
  RelType type = typeOf(mask.where);
  SymExpr count(1);
  SmallVector<std::string> texts;
  for (const std::string &column : mask.columns) {
    count = count * type.extentOf(column);
    texts.push_back(type.extentOf(column).str());
  }
  SmallVector<StringRef> views(texts.begin(), texts.end());
  sizes = b.getStrArrayAttr(views);
  SmallVector<StringRef> over(mask.columns.begin(), mask.columns.end());
  std::string symbol = freshName(function, "rows");
  row = freshName(function, "r");
  Value where = selection();
  Column number(b.getContext(), "i", count + SymExpr(1));
  rank = RankOp::create(b, loc, RelType::get({number}, b.getI64Type()), where,
                        b.getStrArrayAttr(over));
  Column rowColumn(b.getContext(), row, SymExpr::extent(symbol));
  rows = EnumerateOp::create(b, loc, RelType::get({rowColumn}, b.getI64Type()),
                             rank);
}

//===----------------------------------------------------------------------===//
// The rewrite
//===----------------------------------------------------------------------===//

RelType Packer::packedType(RelType type, const Binding &binding) const {
  SmallVector<Column> columns;
  bool placed = false;
  for (Column column : type.getColumns()) {
    if (!llvm::is_contained(binding, column.getName())) {
      columns.push_back(column);
      continue;
    }
    if (!placed)
      columns.push_back(typeOf(rows).getColumns()[0]);
    placed = true;
  }
  return type.withColumns(columns);
}

Value Packer::packed(Value value, const Binding &binding) {
  RelType type = typeOf(value);
  bool any = false, all = true;
  for (const std::string &column : binding) {
    any |= type.has(column);
    all &= type.has(column);
  }
  if (!any)
    return value;
  Operation *op = value.getDefiningOp();
  if (all && op)
    if (auto it = region.ops.find(op);
        it != region.ops.end() && it->second == binding)
      return results.lookup(value);
  auto [it, fresh] = leaves.try_emplace({value.getAsOpaquePointer(), binding});
  if (!fresh)
    return it->second;
  OpBuilder::InsertionGuard guard(b);
  // After the rows and after the value, so that every user finds it.
  Operation *after = rows.getDefiningOp();
  if (op && after->isBeforeInBlock(op))
    after = op;
  b.setInsertionPointAfter(after);
  SmallVector<StringRef> over(binding.begin(), binding.end());
  it->second = PackOp::create(b, value.getLoc(), packedType(type, binding),
                              value, rows, b.getStrArrayAttr(over), sizes);
  return it->second;
}

Value Packer::packedRekey(RekeyOp rekey, const Binding &binding) {
  Value input = packed(rekey.getInput(), *Demand::through(rekey, binding));
  RelType type = packedType(rekey.getType(), binding);
  SmallVector<StringRef> sources;
  SmallVector<std::string> texts;
  for (Column column : typeOf(input).getColumns()) {
    if (column.getName() == row)
      continue;
    SymExpr key = rekey.sourceKey(column.getName());
    if (key == SymExpr::key(column.getName()))
      continue;
    sources.push_back(column.getName());
    texts.push_back(key.str());
  }
  if (sources.empty() && sameColumns(type, typeOf(input)))
    return input;
  SmallVector<StringRef> views(texts.begin(), texts.end());
  return RekeyOp::create(b, rekey.getLoc(), type, input,
                         b.getStrArrayAttr(sources), b.getStrArrayAttr(views),
                         rekey.getOtherwiseAttr());
}

Operation *Packer::packedOp(Operation *op, const Binding &binding) {
  SmallVector<Value> operands;
  for (OpOperand &operand : op->getOpOperands()) {
    Binding own = binding;
    // A looked-up column of a table may be called like a column of the keys.
    if (auto lookup = dyn_cast<LookupOp>(op);
        lookup && operand.getOperandNumber() == 0)
      for (std::string &column : own)
        if (llvm::is_contained(
                lookup.getKeys().getAsValueRange<StringAttr>(), column))
          column = "";
    operands.push_back(packed(operand.get(), own));
  }
  Operation *clone = b.clone(*op);
  clone->setOperands(operands);
  clone->getResult(0).setType(
      packedType(typeOf(op->getResult(0)), binding));
  return clone;
}

/// True at every packed row.
Value Packer::keptRows() {
  if (kept)
    return kept;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfterValue(rows);
  kept = createJoin(b, rows.getLoc(), b.getI1Type(), {rows},
                    [&](OpBuilder &b, ValueRange) -> Value {
                      return arith::ConstantOp::create(b, rows.getLoc(),
                                                       b.getBoolAttr(true));
                    });
  return kept;
}

Value Packer::unpacked(Location loc, Value value, const Binding &binding,
                       TypedAttr otherwise) {
  SmallVector<Column> columns;
  RelType whole = typeOf(mask.where);
  for (Column column : typeOf(value).getColumns()) {
    if (column.getName() != row) {
      columns.push_back(column);
      continue;
    }
    for (auto [name, own] : llvm::zip(binding, mask.columns))
      columns.push_back(
          Column(b.getContext(), name, whole.extentOf(own)));
  }
  SmallVector<StringRef> over(binding.begin(), binding.end());
  return UnpackOp::create(b, loc, typeOf(value).withColumns(columns), value,
                          rank, b.getStringAttr(row), b.getStrArrayAttr(over),
                          sizes, otherwise);
}

/// A selection by the mask outside the region: its rows are the packed ones.
void Packer::narrowSelect(SelectOp select) {
  std::optional<Binding> binding = mask.matches(select.getWhere());
  if (!binding)
    return;
  b.setInsertionPoint(select);
  bool exact = region.points.empty();
  Operation *input = select.getInput().getDefiningOp();
  if (exact && input && region.ops.count(input) &&
      region.ops[input] == *binding) {
    Value value = unpacked(select.getLoc(), results.lookup(select.getInput()),
                           *binding, select.getOtherwise());
    if (value.getType() == select.getType()) {
      select.replaceAllUsesWith(value);
      select.erase();
      return;
    }
  }
  // Only where something that is packed is read under the same condition.
  Value where = exact ? keptRows() : packed(select.getWhere(), *binding);
  Value narrow = unpacked(select.getLoc(), where, *binding,
                          b.getBoolAttr(false));
  if (sameColumns(typeOf(narrow), typeOf(select.getWhere())))
    select.getWhereMutable().assign(narrow);
}

/// The users of a packed value that are not packed themselves read it unpacked.
void Packer::unpackFor(Operation *op) {
  Value value = op->getResult(0), view;
  for (OpOperand &use : llvm::make_early_inc_range(value.getUses())) {
    if (region.ops.count(use.getOwner()) || use.getOwner()->getBlock() !=
                                                op->getBlock())
      continue;
    if (results.lookup(value).getDefiningOp() == use.getOwner())
      continue;
    if (!view) {
      b.setInsertionPointAfterValue(results.lookup(value));
      Attribute zero = b.getZeroAttr(typeOf(value).getElementType());
      view = unpacked(value.getLoc(), results.lookup(value), region.ops[op],
                      cast<TypedAttr>(zero));
      // In the order of columns that the users know.
      if (view.getType() != value.getType())
        view = RekeyOp::create(b, value.getLoc(), value.getType(), view,
                               b.getStrArrayAttr({}), b.getStrArrayAttr({}),
                               TypedAttr());
    }
    use.set(view);
  }
}

unsigned Packer::rewrite() {
  makeRows();
  for (auto &[op, binding] : region.ops) {
    b.setInsertionPoint(op);
    auto select = dyn_cast<SelectOp>(op);
    if (auto rekey = dyn_cast<RekeyOp>(op))
      results[op->getResult(0)] = packedRekey(rekey, binding);
    else if (select && region.points.empty() &&
             mask.matches(select.getWhere()) == binding)
      results[op->getResult(0)] = packed(select.getInput(), binding);
    else
      results[op->getResult(0)] = packedOp(op, binding)->getResult(0);
  }
  SmallVector<SelectOp> selects;
  for (auto select : function.getOps<SelectOp>())
    if (!region.ops.count(select))
      selects.push_back(select);
  llvm::SmallDenseSet<Operation *> made;
  for (auto &[value, result] : results)
    made.insert(result.getDefiningOp());
  for (SelectOp select : selects)
    if (!made.contains(select))
      narrowSelect(select);
  for (auto &[op, binding] : region.ops)
    unpackFor(op);
  unsigned count = region.ops.size();
  SmallVector<Operation *> old;
  for (auto &[op, binding] : region.ops)
    old.push_back(op);
  for (Operation *op : llvm::reverse(old))
    op->erase();
  return count;
}
