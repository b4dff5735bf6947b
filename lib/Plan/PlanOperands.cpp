//===- PlanOperands.cpp - What contractions and attentions read -----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Plan/Planner.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

/// The offset of a view in what it views, if that is laid out.
static std::optional<SymExpr> storedOffset(const View &view) {
  RelType base = cast<RelType>(view.base.getType());
  return base.getLayout() ? viewOffset(view, base) : std::nullopt;
}

/// The constant side becomes panels: its result columns are one column j, its
/// folded columns in the order in which the rows hold them. In bf16 these are
/// one column as well, whose pairs are adjacent.
void Planner::planContraction(MaterializeOp root, AggregateOp op,
                              Breakers &breakers) {
  auto match = breakers.contractionOf(op);
  if (!match)
    return;
  auto offset = storedOffset(viewOf(match->left));
  SmallVector<Column> ks = match->k;
  auto walk = offset ? walkContraction(*offset, match->leftFree, match->k)
                     : std::nullopt;
  if (walk) {
    ks = walk->folds.outer;
    llvm::append_range(ks, walk->folds.inner);
    // Each run is a slice of its own.
    if (!walk->folds.outer.empty())
      root.setDesignAttr(contractionDesign(
          *product(walk->folds.inner).asConst(),
          *product(match->rightFree).asConst(), /*waits=*/true));
  } else {
    // The view can't be walked row by row: it is copied into that form.
    SmallVector<Column> order(match->leftFree);
    order.append(match->k);
    materialize(match->left, plainLayout(order), "rows", {});
  }
  SmallVector<Column> ns = match->rightFree;
  SymExpr count = product(ns);
  Column j(b.getContext(), "j", count);
  for (int i = 0; llvm::any_of(ks, [&](Column c) { return c.name == j.name; });
       ++i)
    j.name = b.getStringAttr("j" + std::to_string(i));
  b.setInsertionPoint(match->join);
  // right(k, n) -> panels(k, j), j = (n digits), and back as a view.
  SmallVector<StringRef> names, panelNames{j.getName()};
  SmallVector<std::string> texts, viewTexts;
  auto split = [&](ArrayRef<Column> columns, Column whole) {
    SymExpr rest = SymExpr::key(whole.getName()), merged;
    SmallVector<SymExpr> digits(columns.size());
    for (size_t i = columns.size(); i-- > 0;) {
      digits[i] = i ? SymExpr::mod(rest, columns[i].getExtent()) : rest;
      rest = SymExpr::floorDiv(rest, columns[i].getExtent());
    }
    for (auto [column, digit] : llvm::zip(columns, digits)) {
      names.push_back(column.getName());
      texts.push_back(digit.str());
      merged = merged * column.getExtent() + SymExpr::key(column.getName());
    }
    viewTexts.push_back(merged.str());
  };
  split(ns, j);
  bool pairs = options.precision == Precision::BF16 && !ks.empty();
  SmallVector<Column> panelColumns(ks);
  if (pairs && ks.size() > 1) {
    Column k(b.getContext(), "k", product(ks));
    if (k.name == j.name)
      k.name = b.getStringAttr("k0");
    split(ks, k);
    panelNames.push_back(k.getName());
    panelColumns.assign({k});
  }
  SmallVector<Column> folded(panelColumns);
  panelColumns.push_back(j);
  SmallVector<StringRef> exprs(texts.begin(), texts.end());
  Value panels = RekeyOp::create(
      b, op.getLoc(), typeOf(match->right).withColumns(panelColumns),
      match->right, b.getStrArrayAttr(names), b.getStrArrayAttr(exprs),
      TypedAttr());
  if (pairs)
    panels = castElements(panels, b.getBF16Type());
  int64_t width = choosePanelWidth(*count.asConst(), options.panelWidth);
  SmallVector<Attribute> layout;
  auto digit = [&](Column column, const char *by, int64_t of) {
    layout.push_back(b.getStringAttr(column.getName() + by + Twine(of)));
  };
  digit(j, "/", width);
  for (Column column : folded) {
    if (pairs)
      digit(column, "/", kPairDepth);
    else
      layout.push_back(column.name);
  }
  digit(j, "%", width);
  if (pairs)
    digit(folded.front(), "%", kPairDepth);
  Value table = storeTable(op.getLoc(), panels, b.getArrayAttr(layout));
  if (pairs)
    table = castElements(table, b.getF32Type());
  SmallVector<StringRef> viewExprs(viewTexts.begin(), viewTexts.end());
  Value view = RekeyOp::create(
      b, op.getLoc(), typeOf(match->right), table,
      b.getStrArrayAttr(panelNames), b.getStrArrayAttr(viewExprs), TypedAttr());
  match->join->replaceUsesOfWith(match->right, view);
}

/// Both sides of a product have their innermost folded columns in common: those
/// that the side which is computed holds element by element.
void Planner::planProduct(AggregateOp op, Breakers &breakers) {
  // A shorter run of elements is not worth a call for each.
  constexpr int64_t leastRun = 8;
  auto form = *matchProduct(op);
  // Rows may come in runs, lanes may not.
  Value rowsSide = form.left;
  if (breakers.isConstant(form.left))
    form.swapSides();
  // The offset of a side that is stored, if it can be walked there.
  auto walkable = [&](Value side,
                      ArrayRef<Column> free) -> std::optional<SymExpr> {
    if (breakers.isConstant(side) || packedViewOf(side))
      return std::nullopt;
    auto offset = storedOffset(viewOf(side));
    auto runs = offset ? rowRuns(*offset, free) : std::nullopt;
    bool walks = runs && (side == rowsSide ? hasLongRuns(*runs)
                                           : runs->outer.empty());
    return walks ? offset : std::nullopt;
  };
  auto copy = [&](Value side, ArrayRef<Column> free, ArrayRef<Column> inner) {
    SmallVector<Column> order(form.batch);
    llvm::append_range(order, free);
    for (Column column : form.k)
      if (!llvm::is_contained(inner, column))
        order.push_back(column);
    llvm::append_range(order, inner);
    if (!breakers.isConstant(side)) {
      materialize(side, plainLayout(order), "rows", {});
      return;
    }
    b.setInsertionPoint(form.join);
    form.join->replaceUsesOfWith(
        side, storeTable(op.getLoc(), side, plainLayout(order)));
  };
  SmallVector<Column> inner;
  if (auto offset = walkable(form.left, form.leftFree))
    inner = unitColumns(*offset, form.k);
  auto run = product(inner).asConst();
  bool whole = inner.size() == form.k.size();
  if (!whole && !(run && *run >= leastRun && product(form.k).isConst())) {
    inner = form.k;
    copy(form.left, form.leftFree, inner);
  }
  auto offset = walkable(form.right, form.rightFree);
  if (!offset || unitColumns(*offset, inner) != inner)
    copy(form.right, form.rightFree, inner);
}

/// Has an operand the form that a packing asks for, or none if there is none?
static bool isPackedBy(std::optional<PackedView> packed,
                       const std::optional<Packing> &packing) {
  if (!packed || !packing)
    return !packed && !packing;
  return packed->unpack.getRank() == packing->rank &&
         packed->over == packing->over;
}

/// Copies an operand of `user` into packed rows that end with `inner`, and reads
/// it through them.
void Planner::copyPacked(Operation *user, Value operand,
                         const Packing &packing, ArrayRef<Column> inner) {
  b.setInsertionPoint(user);
  RelType type = typeOf(operand);
  SmallVector<Column> columns{typeOf(packing.rows).getColumns()[0]};
  StringRef row = columns[0].getName();
  for (Column column : type.getColumns())
    if (!llvm::is_contained(packing.over, column.getName().str()) &&
        !llvm::is_contained(inner, column))
      columns.push_back(column);
  llvm::append_range(columns, inner);
  SmallVector<StringRef> over(packing.over.begin(), packing.over.end());
  ArrayAttr names = b.getStrArrayAttr(over);
  RelType packed = type.withColumns(columns);
  Location loc = operand.getLoc();
  Value copy = PackOp::create(b, loc, packed, operand, packing.rows, names,
                              packing.sizes);
  copy = MaterializeOp::create(b, loc, packed.withLayout(plainLayout(columns)),
                               copy, b.getStringAttr("rows"), DictionaryAttr());
  Value view = UnpackOp::create(
      b, loc, type, copy, packing.rank, b.getStringAttr(row), names,
      packing.sizes, cast<TypedAttr>(b.getZeroAttr(type.getElementType())));
  user->replaceUsesOfWith(operand, view);
}

/// An operand of an attention must be walked over `walked` in rows of `inner`,
/// and be packed as asked; it is copied into that form if it is not.
void Planner::layOutOperand(Operation *user, Value operand,
                            ArrayRef<Column> walked, ArrayRef<Column> inner,
                            const std::optional<Packing> &packing,
                            function_ref<bool(const SymExpr &)> fits) {
  auto packed = packedViewOf(operand);
  if (isPackedBy(packed, packing)) {
    auto offset = storedOffset(packed ? packed->view : viewOf(operand));
    SmallVector<Column> columns(inner);
    std::optional<SymExpr> stride;
    if (offset)
      stride = chain(*offset, columns);
    if (stride && stride->isConst(1) &&
        columns == SmallVector<Column>(inner) &&
        (packed ? strideOf(*offset, packed->unpack.getRow()).has_value()
                : fits(*offset)))
      return;
  }
  if (packing) {
    copyPacked(user, operand, *packing, inner);
    return;
  }
  // Several columns are walked as one: nothing may lie between them.
  bool together = walked.size() > 1;
  SmallVector<Column> order;
  for (Column column : typeOf(operand).getColumns())
    if (!llvm::is_contained(inner, column) &&
        !(together && llvm::is_contained(walked, column)))
      order.push_back(column);
  if (together)
    llvm::append_range(order, walked);
  llvm::append_range(order, inner);
  materialize(operand, plainLayout(order), "rows", {});
}

void Planner::ownScores(AggregateOp softmax, Breakers &breakers) {
  auto way = breakers.sharedWay(softmax);
  if (way.empty())
    return;
  b.setInsertionPoint(softmax);
  IRMapping copies;
  for (Operation *op : way)
    b.clone(*op, copies);
  softmax->setOperand(0, copies.lookup(softmax.getInputs()[0]));
}

/// The packed rows of what an attention stores, if it packs them.
static std::optional<Packing> packingOf(PackOp pack) {
  auto rows = pack.getRows().getDefiningOp<MaterializeOp>();
  auto all = rows ? rows.getInput().getDefiningOp<EnumerateOp>()
                  : EnumerateOp();
  if (!all)
    return std::nullopt;
  Packing packing{all.getRank(), rows, {}, pack.getSizes()};
  for (StringRef name : pack.getOver().getAsValueRange<StringAttr>())
    packing.over.push_back(name.str());
  return packing;
}

/// The packed rows that a view unpacks.
static std::optional<Packing> packingOf(PackedView view) {
  Value rank = view.unpack.getRank();
  for (Operation *user : rank.getUsers())
    if (isa<EnumerateOp>(user))
      for (Operation *rows : user->getUsers())
        if (isa<MaterializeOp>(rows))
          return Packing{rank, rows->getResult(0), view.over,
                         view.unpack.getSizes()};
  return std::nullopt;
}

void Planner::planAttention(Attention form) {
  std::optional<Packing> queries, keys;
  if (form.softmax->hasOneUse())
    if (auto pack = dyn_cast<PackOp>(*form.softmax->user_begin()))
      queries = packingOf(pack);
  // Keys and values are packed alike, each sequence's side by side, and a kernel
  // that asks for the numbers of packed keys finds them with its own rows only.
  auto packedKeys = packedViewOf(form.key),
       packedValues = packedViewOf(form.weighted);
  if (packedKeys && packedValues && form.t.size() == 1 &&
      packedKeys->over.back() == form.t[0].getName()) {
    keys = packingOf(*packedKeys);
    if (!isPackedBy(packedValues, keys) ||
        (form.needsKeyNumbers(keys->rank) &&
         !(queries && queries->rank == keys->rank)))
      keys.reset();
  }
  // Keys and values are walked in one order: that of the keys, if it is one.
  if (form.t.size() > 1)
    if (auto offset = storedOffset(viewOf(form.key)))
      (void)chain(*offset, form.t);
  auto walksKeys = [&](const SymExpr &offset) {
    SmallVector<Column> columns(form.t);
    return chain(offset, columns) && columns == form.t;
  };
  auto walksQueries = [&](const SymExpr &offset) {
    SmallVector<Column> columns(form.s);
    return chain(offset, columns).has_value();
  };
  Operation *scores = form.scores.join;
  layOutOperand(scores, form.key, form.t, form.scores.k, keys, walksKeys);
  layOutOperand(scores, form.query, form.s, form.scores.k, queries,
                walksQueries);
  layOutOperand(form.softmax, form.weighted, form.t, form.d, keys, walksKeys);
}
