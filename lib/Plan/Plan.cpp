//===- Plan.cpp - Physical design -----------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Plan/Plan.h"
#include "lib/Plan/Breakers.h"
#include "lib/Plan/CostModel.h"
#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::plan;
using namespace joinery::rel;

/// The fewest elements of a looked-up table that is worth storing in bf16.
static constexpr int64_t kLeastHalfTable = 1 << 16;

namespace {
class Planner {
public:
  Planner(ModuleOp module, func::FuncOp function, const PlanOptions &options)
      : function(function), options(options), b(module.getContext()) {}
  LogicalResult run();

private:
  void borderResults();
  void planContraction(AggregateOp op, Breakers &breakers);
  void planAttention(Attention form);
  void layOutOperand(Value operand, ArrayRef<Column> inner,
                     function_ref<bool(const SymExpr &, ArrayRef<Column>)> fits);
  void materializeConstants();
  Value castElements(Value value, Type element);
  ArrayAttr plainLayout(ArrayRef<Column> columns);
  /// Stores a value; all that reads it reads what is stored, but for uses that
  /// `keeps` holds for.
  MaterializeOp
  materialize(Value value, ArrayAttr layout, StringRef algorithm,
              DictionaryAttr design,
              function_ref<bool(OpOperand &)> keeps = [](OpOperand &) {
                return false;
              });
  void findInnermost(Breakers &breakers);
  ArrayAttr chooseLayout(Value value, const Breaker &breaker,
                         Breakers &breakers);
  DictionaryAttr design(const Breaker &breaker, Breakers &breakers, Value root);
  DictionaryAttr blocks(ContractionBlocks chosen);
  RelType stored(RelType type);

  func::FuncOp function;
  const PlanOptions &options;
  OpBuilder b;
  /// The columns of a stored value that a contraction folds.
  llvm::DenseMap<Value, std::set<std::string>> innermost;
};
} // namespace

static RelType typeOf(Value value) { return cast<RelType>(value.getType()); }

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

static SymExpr product(ArrayRef<Column> columns) {
  SymExpr result(1);
  for (Column column : columns)
    result = result * column.getExtent();
  return result;
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

DictionaryAttr Planner::blocks(ContractionBlocks chosen) {
  return b.getDictionaryAttr(
      {b.getNamedAttr("rows", b.getI64IntegerAttr(chosen.rows)),
       b.getNamedAttr("slice", b.getI64IntegerAttr(chosen.slice))});
}

/// The columns of `base` that the columns `inner` of a view of it touch.
static void touched(const View &view, ArrayRef<Column> inner,
                    std::set<std::string> &columns) {
  for (const auto &[name, key] : view.keys)
    for (Column column : inner)
      if (key.uses(("#" + column.name.getValue()).str()))
        columns.insert(name);
}

void Planner::findInnermost(Breakers &breakers) {
  for (auto &[root, breaker] : breakers.stored) {
    if (breaker.algorithm != Breaker::Contract)
      continue;
    auto match = breakers.contractionOf(breaker.core);
    View view = viewOf(match->left);
    // The first reader decides.
    if (auto &inner = innermost[view.base]; inner.empty())
      touched(view, match->k, inner);
  }
}

/// The readers of a stored value decide its order: the columns that a core
/// runs through innermost come last.
ArrayAttr Planner::chooseLayout(Value value, const Breaker &breaker,
                                Breakers &breakers) {
  Operation *end = function.getBody().front().getTerminator();
  for (auto [i, result] : llvm::enumerate(end->getOperands()))
    if (result == value)
      if (auto layout = function.getResultAttrOfType<ArrayAttr>(i, "rel.layout"))
        return layout;
  const std::set<std::string> &inner = innermost[value];
  SmallVector<Column> order, last;
  auto split = [&](Column column) {
    (inner.count(column.getName().str()) ? last : order).push_back(column);
  };
  // A contraction's own order is its rows, then the panel's columns.
  if (breaker.algorithm == Breaker::Contract) {
    auto match = breakers.contractionOf(breaker.core);
    for (Column column : match->leftFree)
      split(column);
    for (Column column : match->rightFree)
      split(column);
  } else {
    for (Column column : typeOf(value).getColumns())
      split(column);
  }
  order.append(last);
  return plainLayout(order);
}

DictionaryAttr Planner::design(const Breaker &breaker, Breakers &breakers,
                               Value root) {
  if (breaker.algorithm == Breaker::Rows ||
      breaker.algorithm == Breaker::Scan)
    return {};
  if (breaker.algorithm == Breaker::Attend) {
    DictionaryAttr chosen = blocks(chooseAttentionBlocks(64, 64));
    if (options.precision != Precision::BF16)
      return chosen;
    // Levels that have products of bf16 use them.
    SmallVector<NamedAttribute> entries(chosen.getValue());
    entries.push_back(
        b.getNamedAttr("products", b.getStringAttr("bf16")));
    return b.getDictionaryAttr(entries);
  }
  auto match = breakers.contractionOf(breaker.core);
  int64_t k = 1, n = 1;
  for (Column column : match->k)
    k *= *column.getExtent().asConst();
  for (Column column : match->rightFree)
    n *= *column.getExtent().asConst();
  bool whole = false;
  SmallVector<Value> work{root};
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op || op == breaker.core || !breaker.core->isBeforeInBlock(op))
      continue;
    whole |= isa<AggregateOp>(op);
    llvm::append_range(work, op->getOperands());
  }
  // Those of the last level, and of each level that differs under its name.
  SmallVector<NamedAttribute> entries;
  std::optional<ContractionBlocks> common;
  for (const Isa &isa : llvm::reverse(allIsas())) {
    if (isa.dotBF16 && options.precision != Precision::BF16)
      continue; // has no code of its own
    ContractionBlocks chosen = chooseContractionBlocks(
        k, n, choosePanelWidth(n, options.panelWidth), whole,
        options.precision == Precision::BF16 ? 2 : 4, isa);
    std::string prefix = common ? isa.name + "_" : "";
    if (common && common->rows == chosen.rows && common->slice == chosen.slice)
      continue;
    entries.push_back(b.getNamedAttr(prefix + "rows",
                                     b.getI64IntegerAttr(chosen.rows)));
    entries.push_back(b.getNamedAttr(prefix + "slice",
                                     b.getI64IntegerAttr(chosen.slice)));
    if (!common)
      common = chosen;
  }
  return b.getDictionaryAttr(entries);
}

/// The constant side becomes panels: its result columns are one column j, its
/// folded columns in the order in which the rows hold them. In bf16 these are
/// one column as well, whose pairs are adjacent.
void Planner::planContraction(AggregateOp op, Breakers &breakers) {
  auto match = breakers.contractionOf(op);
  if (!match)
    return;
  View left = viewOf(match->left);
  RelType base = typeOf(left.base);
  auto offset = base.getLayout() ? viewOffset(left, base) : std::nullopt;
  SmallVector<Column> rows = match->leftFree, ks = match->k;
  std::optional<SymExpr> rowStride, kStride;
  if (offset) {
    rowStride = chain(*offset, rows);
    kStride = chain(*offset, ks);
  }
  if (!rowStride || !kStride || !kStride->isConst(1)) {
    // The view can't be walked row by row: it is copied into that form.
    SmallVector<Column> order(match->leftFree);
    order.append(match->k);
    materialize(match->left, plainLayout(order), "rows", {});
    ks = match->k;
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
  Value table = MaterializeOp::create(
      b, op.getLoc(), typeOf(panels).withLayout(b.getArrayAttr(layout)), panels,
      b.getStringAttr("table"), DictionaryAttr());
  if (pairs)
    table = castElements(table, b.getF32Type());
  SmallVector<StringRef> viewExprs(viewTexts.begin(), viewTexts.end());
  Value view = RekeyOp::create(
      b, op.getLoc(), typeOf(match->right), table,
      b.getStrArrayAttr(panelNames), b.getStrArrayAttr(viewExprs), TypedAttr());
  for (OpOperand &operand : match->join->getOpOperands())
    if (operand.get() == match->right)
      operand.set(view);
}

/// An operand of an attention must be walked in rows of `inner`, in a way that
/// `fits`; its second argument is the column of packed rows, if they are.
void Planner::layOutOperand(
    Value operand, ArrayRef<Column> inner,
    function_ref<bool(const SymExpr &, ArrayRef<Column>)> fits) {
  auto packed = packedViewOf(operand);
  View view = packed ? packed->view : viewOf(operand);
  RelType base = typeOf(view.base);
  auto offset = base.getLayout() ? viewOffset(view, base) : std::nullopt;
  SmallVector<Column> columns(inner), rows;
  std::optional<SymExpr> stride;
  if (offset)
    stride = chain(*offset, columns);
  if (packed) {
    RelType type = typeOf(packed->unpack.getInput());
    rows.push_back(type.getColumns()[type.find(packed->unpack.getRow())]);
  }
  if (stride && stride->isConst(1) && columns == SmallVector<Column>(inner) &&
      fits(*offset, rows))
    return;
  SmallVector<Column> order;
  for (Column column : typeOf(operand).getColumns())
    if (!llvm::is_contained(inner, column))
      order.push_back(column);
  llvm::append_range(order, inner);
  materialize(operand, plainLayout(order), "rows", {});
}

/// Queries of packed rows are read packed: they are copied into that form if
/// they are not.
static void packQueries(OpBuilder &b, PackOp pack, Value rank, JoinOp scores,
                        Value &query) {
  auto packed = packedViewOf(query);
  if (packed && packed->unpack.getRank() == rank &&
      llvm::equal(packed->over,
                  pack.getOver().getAsValueRange<StringAttr>()))
    return;
  b.setInsertionPoint(scores);
  RelType type = typeOf(query);
  SmallVector<Column> columns{typeOf(pack.getRows()).getColumns()[0]};
  for (Column column : type.getColumns())
    if (!llvm::is_contained(pack.getOver().getAsValueRange<StringAttr>(),
                            column.getName()))
      columns.push_back(column);
  RelType rows = type.withColumns(columns);
  Value copy = PackOp::create(b, query.getLoc(), rows, query, pack.getRows(),
                              pack.getOver(), pack.getSizes());
  SmallVector<Attribute> order;
  for (Column column : columns)
    order.push_back(column.name);
  copy = MaterializeOp::create(b, query.getLoc(),
                               rows.withLayout(b.getArrayAttr(order)), copy,
                               b.getStringAttr("rows"), DictionaryAttr());
  Value view = UnpackOp::create(
      b, query.getLoc(), type, copy, rank, b.getStringAttr(pack.row()),
      pack.getOver(), pack.getSizes(),
      cast<TypedAttr>(b.getZeroAttr(type.getElementType())));
  scores->replaceUsesOfWith(query, view);
  query = view;
}

void Planner::planAttention(Attention form) {
  // The rows that the pipeline stores, if they are packed.
  Value rank;
  if (form.softmax->hasOneUse())
    if (auto pack = dyn_cast<PackOp>(*form.softmax->user_begin()))
      if (auto rows = pack.getRows().getDefiningOp<MaterializeOp>())
        if (auto all = rows.getInput().getDefiningOp<EnumerateOp>()) {
          rank = all.getRank();
          packQueries(b, pack, rank, form.scores.join, form.query);
        }
  // Keys and values are packed alike, and a kernel that asks for the numbers of
  // packed keys finds them with its own rows only.
  auto keys = packedViewOf(form.key), values = packedViewOf(form.weighted);
  bool alike = keys && values &&
               keys->unpack.getRank() == values->unpack.getRank() &&
               keys->over == values->over &&
               (keys->unpack.getRank() == rank ||
                !form.needsKeyNumbers(keys->unpack.getRank()));
  auto keyFits = [&](const SymExpr &offset, ArrayRef<Column> rows) {
    return rows.empty() != alike &&
           strideOf(offset,
                    rows.empty() ? form.t.getName() : rows[0].getName());
  };
  auto queryFits = [&](const SymExpr &offset, ArrayRef<Column> rows) {
    SmallVector<Column> columns(rows.empty() ? ArrayRef(form.s) : rows);
    // Packed queries are walked by the packed rows of the result only.
    return rows.empty() == !rank && chain(offset, columns);
  };
  layOutOperand(form.key, form.scores.k, keyFits);
  layOutOperand(form.query, form.scores.k, queryFits);
  layOutOperand(form.weighted, form.d, keyFits);
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
    bool read = llvm::any_of(op.getUsers(), [&](Operation *user) {
      return !isa<MaterializeOp>(user) &&
             (user->getNumResults() != 1 ||
              !constants.contains(user->getResult(0)));
    });
    // A range is cheaper to compute than to read.
    if (read && !isa<RangeOp>(op))
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
    b.setInsertionPointAfterValue(value);
    auto runningReader = [&](Operation *owner) {
      return !isa<MaterializeOp>(owner) &&
             (owner->getNumResults() != 1 ||
              !constants.contains(owner->getResult(0)));
    };
    // Rows that are looked up (embeddings) are summed and normalised: they
    // stand bf16 as well as weights do. Small tables would save nothing.
    bool half = options.precision == Precision::BF16 && !looked.empty() &&
                typeOf(value).getElementType().isF32() &&
                product(typeOf(value).getColumns()).asConst().value_or(0) >=
                    kLeastHalfTable;
    Value kept = half ? castElements(value, b.getBF16Type()) : value;
    Value table = MaterializeOp::create(
        b, value.getLoc(), typeOf(kept).withLayout(plainLayout(order)), kept,
        b.getStringAttr("table"), DictionaryAttr());
    Value read = half ? castElements(table, b.getF32Type()) : table;
    value.replaceUsesWithIf(read, [&](OpOperand &use) {
      return use.getOwner() != kept.getDefiningOp() &&
             runningReader(use.getOwner());
    });
  }
}

LogicalResult Planner::run() {
  borderResults();
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    // Arguments are row-major in the order of their columns.
    Value argument = function.getArgument(i);
    argument.setType(stored(typeOf(argument)));
  }
  Breakers breakers(function);
  findInnermost(breakers);

  // In program order: a reader's checks see the layouts of what it reads.
  SmallVector<std::pair<Value, Breaker>> ordered(breakers.stored.begin(),
                                                 breakers.stored.end());
  llvm::sort(ordered, [](auto &x, auto &y) {
    return x.first.getDefiningOp()->isBeforeInBlock(y.first.getDefiningOp());
  });
  SmallVector<ArrayAttr> layouts;
  SmallVector<DictionaryAttr> designs;
  for (auto &[value, breaker] : ordered) {
    layouts.push_back(chooseLayout(value, breaker, breakers));
    designs.push_back(design(breaker, breakers, value));
  }
  const StringRef names[] = {"rows", "contraction", "attention", "scan"};
  for (auto [i, entry] : llvm::enumerate(ordered))
    materialize(entry.first, layouts[i], names[entry.second.algorithm],
                designs[i], [&](OpOperand &use) {
                  return breakers.streams(entry.first, use.getOwner());
                });
  for (auto &[value, breaker] : ordered) {
    if (breaker.algorithm == Breaker::Contract) {
      planContraction(cast<AggregateOp>(breaker.core), breakers);
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
