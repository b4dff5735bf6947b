//===- OutlineLayers.cpp - Equal layers are one function ------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CanonicalForm.h"
#include "Segments.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

namespace joinery::optimize {
#define GEN_PASS_DEF_OUTLINELAYERS
#include "joinery/Optimize/Passes.h.inc"
} // namespace joinery::optimize

namespace {
/// `count` times `period` equal segments from the value `start` of a chain on.
struct Repeat {
  size_t start = 0, period = 0, count = 0;
  size_t length() const { return period * count; }
};

/// One layer: its form, and where its input, its other values and its tables
/// are among the leaves.
struct Layer {
  Value input, output;
  CanonicalForm form;
  SmallVector<unsigned> order;
};

struct OutlineLayers : optimize::impl::OutlineLayersBase<OutlineLayers> {
  using OutlineLayersBase::OutlineLayersBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (!function.isExternal() && !function.isPrivate())
        runOn(function);
  }

private:
  /// A part of a chain between two values that follow each other in it.
  struct Link {
    unsigned key;   // equal for equal parts
    bool contracts; // multiplies relations: mere normalisations do not
    bool attends;
  };

  void runOn(func::FuncOp function) {
    Segments segments(function);
    for (const SmallVector<Value> &chain : segments.chains()) {
      SmallVector<Link> links;
      std::map<std::string, unsigned> known;
      for (size_t i = 0; i + 1 < chain.size(); ++i) {
        CanonicalForm form = formOf(segments, chain[i], chain[i + 1]);
        // What is read elsewhere, too, is no part of a layer.
        unsigned key = links.size();
        if (Segments::isClosed(form.operations(), chain[i + 1]))
          key = known.try_emplace(form.text(), key).first->second;
        links.push_back({key, contracts(form), attends(form)});
      }
      if (parts)
        outlineParts(segments, chain, links);
      else
        outlineRepeats(segments, chain, links, 0, links.size());
    }
    eraseUnused(function);
  }

  static CanonicalForm formOf(const Segments &segments, Value from, Value to) {
    return CanonicalForm(to, [&](Value value) {
      return value == from || segments.isBoundary(value);
    });
  }

  /// The repeat that covers most of [begin, end) with the shortest period. Of
  /// its rotations the one that starts with attention, and the last.
  static Repeat findRepeat(ArrayRef<Link> links, size_t begin, size_t end) {
    Repeat best;
    auto same = [&](size_t a, size_t b) { return links[a].key == links[b].key; };
    for (size_t period = 1; 2 * period <= end - begin; ++period)
      for (size_t start = begin; start + 2 * period <= end; ++start) {
        size_t length = period;
        while (start + length < end && same(start + length, start + length - period))
          ++length;
        size_t count = length / period;
        bool contracts =
            llvm::any_of(links.slice(start, period),
                         [](const Link &link) { return link.contracts; });
        auto rank = [&](const Repeat &r) {
          return std::tuple(r.length(), -int64_t(r.period),
                            links[r.start].attends, r.start);
        };
        Repeat repeat{start, period, count};
        if (count > 1 && contracts &&
            (best.count == 0 || rank(repeat) > rank(best)))
          best = repeat;
      }
    return best;
  }

  void outlineRepeats(const Segments &segments, ArrayRef<Value> chain,
                      ArrayRef<Link> links, size_t begin, size_t end) {
    Repeat repeat = findRepeat(links, begin, end);
    if (!repeat.count)
      return;
    std::vector<Layer> layers;
    for (size_t i = 0; i < repeat.count; ++i) {
      Value from = chain[repeat.start + i * repeat.period];
      Value to = chain[repeat.start + (i + 1) * repeat.period];
      layers.push_back({from, to, formOf(segments, from, to), {}});
    }
    outline(segments, layers);
    outlineRepeats(segments, chain, links, begin, repeat.start);
    outlineRepeats(segments, chain, links, repeat.start + repeat.length(), end);
  }

  /// Every part that multiplies relations by itself.
  void outlineParts(const Segments &segments, ArrayRef<Value> chain,
                    ArrayRef<Link> links) {
    std::map<unsigned, std::vector<Layer>> equal;
    for (auto [i, link] : llvm::enumerate(links))
      if (link.contracts)
        equal[link.key].push_back({chain[i], chain[i + 1],
                                   formOf(segments, chain[i], chain[i + 1]),
                                   {}});
    for (auto &[key, layers] : equal)
      outline(segments, layers);
  }

  void outline(const Segments &segments, std::vector<Layer> &layers) {
    if (!llvm::all_of(layers, [&](const Layer &layer) {
          return layer.form.text() == layers[0].form.text() &&
                 Segments::isClosed(layer.form.operations(), layer.output);
        }))
      return;
    for (Layer &layer : layers)
      orderLeaves(segments, layer);
    call(createFunction(layers[0]), layers);
  }

  static bool contracts(const CanonicalForm &form) {
    return llvm::any_of(form.operations(), [](Operation *op) {
      auto fold = dyn_cast<AggregateOp>(op);
      auto product = fold && fold.getMonoid() == Monoid::Sum
                         ? fold.getInputs()[0].getDefiningOp<JoinOp>()
                         : JoinOp();
      return product && product.getInputs().size() > 1 &&
             yieldOf(product).getDefiningOp<arith::MulFOp>();
    });
  }

  static bool attends(const CanonicalForm &form) {
    return llvm::any_of(form.operations(), [](Operation *op) {
      auto fold = dyn_cast<AggregateOp>(op);
      return fold && fold.getMonoid() == Monoid::SoftmaxSum;
    });
  }

  /// The masks of the softmax_sums, in the order of the canonical plan; null if
  /// none has one.
  static ArrayAttr masksOf(Layer &layer) {
    Builder builder(layer.output.getContext());
    SmallVector<Attribute> masks;
    bool any = false;
    for (Operation *op : layer.form.operations()) {
      auto fold = dyn_cast<AggregateOp>(op);
      if (!fold || fold.getMonoid() != Monoid::SoftmaxSum)
        continue;
      NamedAttrList mask;
      if (auto constant = fold.getMaskAttr())
        mask.append("mask", constant);
      if (fold.getFills())
        mask.append("fills", builder.getUnitAttr());
      any |= !mask.empty();
      masks.push_back(mask.getDictionary(builder.getContext()));
    }
    return any ? builder.getArrayAttr(masks) : ArrayAttr();
  }

  static void orderLeaves(const Segments &segments, Layer &layer) {
    auto rank = [&](unsigned i) {
      Value value = layer.form.leaves()[i].value;
      return value == layer.input        ? 0
             : segments.isTable(value) ? 2
                                       : 1;
    };
    for (unsigned i = 0; i < layer.form.leaves().size(); ++i)
      layer.order.push_back(i);
    llvm::sort(layer.order, [&](unsigned a, unsigned b) {
      return std::pair(rank(a), a) < std::pair(rank(b), b);
    });
  }

  func::FuncOp createFunction(Layer &layer) {
    ModuleOp module = getOperation();
    std::string name = "layer";
    for (unsigned i = 1; module.lookupSymbol(name); ++i)
      name = "layer_" + std::to_string(i);
    SmallVector<Type> types;
    for (unsigned i : layer.order)
      types.push_back(CanonicalForm::typeOfLeaf(layer.form.leaves()[i]));
    OpBuilder builder(layer.output.getDefiningOp()->getParentOp());
    auto function =
        func::FuncOp::create(builder, layer.output.getLoc(), name,
                             builder.getFunctionType(types, {}));
    function.setPrivate();
    builder.setInsertionPointToStart(function.addEntryBlock());
    SmallVector<Value> arguments(layer.order.size());
    for (auto [i, argument] : llvm::zip(layer.order, function.getArguments()))
      arguments[i] = argument;
    Value result = layer.form.build(builder, arguments);
    func::ReturnOp::create(builder, layer.output.getLoc(), result);
    function.setType(builder.getFunctionType(types, result.getType()));
    ++numLayerFunctions;
    return function;
  }

  /// `value` with the type's columns, given its names for them.
  static Value viewAs(OpBuilder &builder, Value value, RelType type,
                      const std::map<std::string, std::string> &names) {
    if (auto scan = value.getDefiningOp<ScanOp>()) {
      SmallVector<Column> columns;
      for (Column column : scan.getType().getColumns())
        columns.push_back(Column(builder.getContext(),
                                 names.at(column.getName().str()),
                                 column.getExtent()));
      value = ScanOp::create(builder, scan.getLoc(), type.withColumns(columns),
                             scan.getTableAttr());
      if (value.getType() == type)
        return value;
      return RekeyOp::create(builder, scan.getLoc(), type, value,
                             builder.getStrArrayAttr({}),
                             builder.getStrArrayAttr({}), TypedAttr());
    }
    if (value.getType() == type)
      return value;
    SmallVector<StringRef> sources;
    SmallVector<std::string> texts;
    for (const auto &[from, to] : names) {
      if (from == to)
        continue;
      sources.push_back(from);
      texts.push_back(SymExpr::key(to).str());
    }
    SmallVector<StringRef> exprs(texts.begin(), texts.end());
    return RekeyOp::create(builder, value.getLoc(), type, value,
                           builder.getStrArrayAttr(sources),
                           builder.getStrArrayAttr(exprs), TypedAttr());
  }

  void call(func::FuncOp callee, std::vector<Layer> &layers) {
    FunctionType type = callee.getFunctionType();
    for (Layer &layer : layers) {
      OpBuilder builder(layer.output.getDefiningOp());
      SmallVector<Value> arguments;
      for (auto [i, argument] : llvm::zip(layer.order, type.getInputs())) {
        const CanonicalForm::Leaf &leaf = layer.form.leaves()[i];
        std::map<std::string, std::string> names(leaf.columns.begin(),
                                                 leaf.columns.end());
        // The input may be what the layer before gave.
        auto [value, own] = current(leaf.value);
        std::map<std::string, std::string> renamed;
        for (const auto &[from, to] : names)
          renamed[own.empty() ? from : own.at(from)] = to;
        arguments.push_back(
            viewAs(builder, value, cast<RelType>(argument), renamed));
      }
      auto op = func::CallOp::create(builder, layer.output.getLoc(), callee,
                                     arguments);
      // Layers of exporters that chose other constants are the same function.
      if (ArrayAttr masks = masksOf(layer))
        op->setAttr(layerMasks, masks);
      std::map<std::string, std::string> names, back;
      for (const auto &[own, name] : layer.form.resultColumns()) {
        names[own] = name;
        back[name] = own;
      }
      Value result = op.getResult(0);
      Value old = layer.output;
      results[old] = {result, names};
      old.replaceAllUsesWith(
          viewAs(builder, result, typeOf(old), back));
      ++numCalls;
    }
  }

  /// A value as it is now, and its names for the columns that it had.
  std::pair<Value, std::map<std::string, std::string>> current(Value value) {
    auto it = results.find(value);
    if (it == results.end())
      return {value, {}};
    return it->second;
  }

  static void eraseUnused(func::FuncOp function) {
    for (Operation &op : llvm::make_early_inc_range(
             llvm::reverse(function.getBody().front())))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  llvm::DenseMap<Value, std::pair<Value, std::map<std::string, std::string>>>
      results;
};
} // namespace
