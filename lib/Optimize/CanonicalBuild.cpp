//===- CanonicalBuild.cpp - Operators from a canonical form ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CanonicalForm.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

RelType CanonicalForm::typeOfLeaf(const Leaf &leaf) {
  RelType type = typeOf(leaf.value);
  SmallVector<Column> columns;
  for (const auto &[own, name] : leaf.columns)
    columns.push_back(
        Column(type.getContext(), name, type.extentOf(own)));
  return type.withColumns(columns);
}

/// The type of an operator's result in canonical names and order.
RelType CanonicalForm::typeOfNode(const Node &node) const {
  RelType type = typeOf(node.value);
  SmallVector<Column> columns;
  for (unsigned i : columnOrder(node))
    if (i < type.getColumns().size())
      columns.push_back(Column(
          StringAttr::get(type.getContext(), node.names[i]),
          node.columns[i].extent));
  return type.withColumns(columns);
}

/// The operand as the reader names its columns.
Value CanonicalForm::buildOperand(OpBuilder &builder, const Node &node,
                                  const Edge &edge) {
  const Node &operand = nodes[edge.node];
  std::map<std::string, std::string> names;
  bool same = true;
  for (auto [i, column] : llvm::enumerate(edge.columns)) {
    names[operand.names[i]] = node.names[column];
    same &= operand.names[i] == node.names[column];
  }
  if (isa_and_nonnull<RangeOp>(operand.op)) {
    StringRef name =
        same ? operand.names[0] : StringRef(names.begin()->second);
    Value &range = ranges[{name.str(), operand.columns[0].extent.str()}];
    if (!range)
      range = RangeOp::create(
          builder, operand.op->getLoc(),
          typeOf(operand.value)
              .withColumns({Column(builder.getStringAttr(name),
                                   operand.columns[0].extent)}));
    return range;
  }
  if (same)
    return built[edge.node];
  Value &view = views[{edge.node, names}];
  if (!view)
    view = renamed(builder, node.op->getLoc(), built[edge.node], names);
  return view;
}

Value CanonicalForm::buildNode(OpBuilder &builder, Node &node) {
  Location loc = node.op->getLoc();
  RelType type = typeOfNode(node);
  if (auto rekey = dyn_cast<RekeyOp>(node.op)) {
    const Edge &edge = node.edges[0];
    const Node &operand = nodes[edge.node];
    SmallVector<StringRef> sources;
    SmallVector<std::string> texts;
    for (unsigned i : columnOrder(operand)) {
      if (i >= edge.keys.size())
        continue;
      SymExpr key = namedKey(node, edge.keys[i]);
      if (key == SymExpr::key(operand.names[i]))
        continue;
      sources.push_back(operand.names[i]);
      texts.push_back(key.str());
    }
    SmallVector<StringRef> exprs(texts.begin(), texts.end());
    Edge same{edge.node, {}, {}};
    return RekeyOp::create(builder, loc, type,
                           buildOperand(builder, node, same),
                           builder.getStrArrayAttr(sources),
                           builder.getStrArrayAttr(exprs),
                           rekey.getOtherwiseAttr());
  }
  SmallVector<Value> operands;
  for (unsigned e : node.order)
    operands.push_back(buildOperand(builder, node, node.edges[e]));
  if (isa<JoinOp>(node.op))
    return createJoin(builder, loc, type, operands,
                      [&](OpBuilder &b, ValueRange x) {
                        SmallVector<Value> arguments;
                        for (unsigned e : node.edgeOf)
                          arguments.push_back(
                              x[llvm::find(node.order, e) -
                                node.order.begin()]);
                        return node.scalar->build(b, arguments);
                      });
  if (auto select = dyn_cast<SelectOp>(node.op))
    return SelectOp::create(builder, loc, type, operands[0], operands[1],
                            select.getOtherwise());
  SmallVector<StringRef> extra;
  for (unsigned i = typeOf(node.value).getColumns().size();
       i < node.columns.size(); ++i)
    extra.push_back(node.names[i]);
  if (auto aggregate = dyn_cast<AggregateOp>(node.op)) {
    llvm::sort(extra);
    return AggregateOp::create(builder, loc, type, aggregate.getMonoid(),
                               operands, builder.getStrArrayAttr(extra));
  }
  if (auto lookup = dyn_cast<LookupOp>(node.op))
    return LookupOp::create(builder, loc, type, operands[0],
                            ArrayRef(operands).drop_front(),
                            builder.getStrArrayAttr(extra),
                            lookup.getProvedAttr());
  auto unite = cast<UnionOp>(node.op);
  unsigned column = typeOf(node.value).find(unite.getColumn());
  return UnionOp::create(builder, loc, type,
                         builder.getStringAttr(node.names[column]), operands,
                         unite.getSizesAttr());
}

Value CanonicalForm::build(OpBuilder &builder, ValueRange arguments) {
  built.assign(nodes.size(), Value());
  views.clear();
  ranges.clear();
  for (auto [index, argument] : llvm::zip(leafNodes, arguments))
    built[index] = argument;
  for (unsigned index : sequence)
    if (nodes[index].op && !isa<RangeOp>(nodes[index].op))
      built[index] = buildNode(builder, nodes[index]);
  return built[rootNode];
}
