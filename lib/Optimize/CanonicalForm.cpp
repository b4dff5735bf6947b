//===- CanonicalForm.cpp - Plans up to names and orders -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operators and columns are coloured by what they are made of and by what reads
// them (Weisfeiler and Leman 1968); the colours order what has no order. Where
// two have one colour and are not the same, equal plans may get two texts, but
// different plans never get one.
//
//===----------------------------------------------------------------------===//

#include "CanonicalForm.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::optimize;
using namespace joinery::rel;

/// What an operator is, apart from its operands and columns, and from the
/// constant of a mask, of which exporters have several.
static std::string kindOf(Operation *op) {
  std::string text = op->getName().getStringRef().str();
  llvm::raw_string_ostream os(text);
  if (auto aggregate = dyn_cast<AggregateOp>(op))
    os << ' ' << stringifyMonoid(aggregate.getMonoid());
  else if (auto select = dyn_cast<SelectOp>(op))
    os << ' ' << select.getOtherwise();
  else if (auto rekey = dyn_cast<RekeyOp>(op))
    os << ' ' << rekey.getOtherwiseAttr();
  else if (auto lookup = dyn_cast<LookupOp>(op))
    os << ' ' << lookup.getProved();
  else if (auto unite = dyn_cast<UnionOp>(op))
    os << ' ' << unite.getSizes();
  return text;
}

CanonicalForm::CanonicalForm(Value root, function_ref<bool(Value)> isLeaf)
    : isLeaf(isLeaf) {
  Renaming renaming = peelRenames(root);
  rootNode = visit(renaming.base);
  for (Node &node : nodes)
    initialise(node);
  // What a colour says travels all the way in one sweep; the second round
  // tells apart what only the first one's colours tell apart.
  for (unsigned round = 0; round < 2; ++round) {
    refineUp();
    refineDown();
  }
  refineUp();
  number(rootNode);
  for (unsigned index : sequence)
    if (nodes[index].op)
      nameColumns(nodes[index], /*mayWait=*/false);
    else // the root is a leaf
      for (std::string &name : nodes[index].names)
        if (name.empty())
          name = freshName();
  llvm::raw_string_ostream os(form);
  for (unsigned index : sequence)
    print(os, index);
  for (unsigned index : leafNodes) {
    const Node &node = nodes[index];
    Leaf leaf{node.value, {}};
    for (unsigned i : columnOrder(node))
      leaf.columns.push_back(
          {node.columns[i].getName().str(), node.names[i]});
    leafList.push_back(std::move(leaf));
  }
  const Node &node = nodes[rootNode];
  for (unsigned i : columnOrder(node))
    if (i < typeOf(node.value).getColumns().size())
      rootColumns.push_back(
          {renaming.names.at(node.columns[i].getName().str()), node.names[i]});
}

//===----------------------------------------------------------------------===//
// The graph
//===----------------------------------------------------------------------===//

CanonicalForm::Edge CanonicalForm::edgeTo(Value operand,
                                          ArrayRef<Column> columns) {
  Renaming renaming = peelRenames(operand);
  Edge edge{visit(renaming.base), {}, {}};
  for (Column column : typeOf(renaming.base).getColumns()) {
    StringRef name = renaming.names.at(column.getName().str());
    unsigned i = 0;
    while (i < columns.size() && columns[i].getName() != name)
      ++i;
    edge.columns.push_back(i);
  }
  return edge;
}

unsigned CanonicalForm::visit(Value base) {
  Operation *op = base.getDefiningOp();
  auto scan = dyn_cast_or_null<ScanOp>(op);
  if (scan)
    if (auto it = nodeOfTable.find(scan.getTableAttr());
        it != nodeOfTable.end())
      return it->second;
  if (auto it = nodeOf.find(base); it != nodeOf.end())
    return it->second;
  Node node;
  node.value = base;
  llvm::append_range(node.columns, typeOf(base).getColumns());
  if (op && !scan && !isLeaf(base))
    node.op = op;
  if (auto aggregate = dyn_cast_or_null<AggregateOp>(node.op)) {
    for (Column column : JoinOp::joinColumns(aggregate.getInputs()))
      if (aggregate.folds(column.getName()))
        node.columns.push_back(column);
  }
  if (auto lookup = dyn_cast_or_null<LookupOp>(node.op)) {
    // Looked-up columns may have names that the result has, too.
    RelType source = typeOf(lookup.getSource());
    SmallVector<Column> ofSource(node.columns.begin(), node.columns.end());
    size_t own = ofSource.size();
    for (StringRef key : lookup.getKeys().getAsValueRange<StringAttr>()) {
      for (Column &column : ofSource)
        if (column.getName() == key)
          column.name = StringAttr::get(op->getContext(), "");
      ofSource.push_back(source.getColumns()[source.find(key)]);
    }
    node.edges.push_back(edgeTo(lookup.getSource(), ofSource));
    for (Value index : lookup.getIndices())
      node.edges.push_back(edgeTo(index, node.columns));
    node.columns.append(ofSource.begin() + own, ofSource.end());
  } else if (auto rekey = dyn_cast_or_null<RekeyOp>(node.op)) {
    Renaming renaming = peelRenames(rekey.getInput());
    Edge edge{visit(renaming.base), {}, {}};
    for (Column column : typeOf(renaming.base).getColumns())
      edge.keys.push_back(
          rekey.sourceKey(renaming.names.at(column.getName().str()))
              .substitute([&](StringRef symbol) -> std::optional<SymExpr> {
                if (!symbol.consume_front("#"))
                  return std::nullopt;
                return SymExpr::key(std::to_string(rekey.getType().find(symbol)));
              }));
    node.edges.push_back(edge);
  } else if (node.op) {
    for (Value operand : op->getOperands()) {
      Edge edge = edgeTo(operand, node.columns);
      // One relation under one name is one operand of a join.
      unsigned i = isa<JoinOp>(op) ? llvm::find(node.edges, edge) -
                                         node.edges.begin()
                                   : node.edges.size();
      node.edgeOf.push_back(i);
      if (i == node.edges.size())
        node.edges.push_back(std::move(edge));
    }
  }
  if (auto join = dyn_cast_or_null<JoinOp>(node.op))
    node.scalar.emplace(join);
  unsigned index = nodes.size();
  nodes.push_back(std::move(node));
  if (scan)
    nodeOfTable[scan.getTableAttr()] = index;
  nodeOf[base] = index;
  return index;
}

//===----------------------------------------------------------------------===//
// Colours
//===----------------------------------------------------------------------===//

void CanonicalForm::initialise(Node &node) {
  Operation *op = node.op;
  // A table and a view of one are the same to a plan.
  std::string text = op ? kindOf(op) : "leaf";
  llvm::raw_string_ostream(text) << typeOf(node.value).getElementType();
  node.color = colorOfText(text);
  size_t own = typeOf(node.value).getColumns().size();
  for (auto [i, column] : llvm::enumerate(node.columns)) {
    Color color = colorOfText(column.extent.getValue());
    // A folded column; the column of the i-th index.
    if (i >= own)
      color = mixColors(color, isa<LookupOp>(op) ? i - own + 2 : 1);
    if (auto unite = dyn_cast_or_null<UnionOp>(op);
        unite && column.getName() == unite.getColumn())
      color = mixColors(color, 1);
    node.columnColors.push_back(color);
  }
}

CanonicalForm::Color CanonicalForm::edgeColor(const Node &node,
                                              unsigned index) const {
  const Edge &edge = node.edges[index];
  const Node &operand = nodes[edge.node];
  Color sum = 0;
  for (auto [i, column] : llvm::enumerate(edge.columns))
    sum += mixColors(operand.columnColors[i], node.columnColors[column]);
  for (auto [i, key] : llvm::enumerate(edge.keys))
    sum += mixColors(operand.columnColors[i], keyColor(node, key));
  return mixColors(operand.color, sum);
}

CanonicalForm::Color CanonicalForm::keyColor(const Node &node,
                                             const SymExpr &key) const {
  std::string text =
      key.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
           unsigned column;
           if (!symbol.consume_front("#") || symbol.getAsInteger(10, column))
             return std::nullopt;
           return SymExpr::key("c" + llvm::utohexstr(node.columnColors[column]));
         })
          .str();
  return colorOfText(text);
}

/// Colours what an operator and its columns are made of.
void CanonicalForm::refineUp() {
  for (Node &node : nodes) {
    SmallVector<Color> colors;
    for (unsigned i = 0; i < node.edges.size(); ++i)
      colors.push_back(edgeColor(node, i));
    node.roles.assign(node.edges.size(), 0);
    if (node.scalar) {
      SmallVector<Color> operands;
      for (unsigned i : node.edgeOf)
        operands.push_back(colors[i]);
      node.color = mixColors(node.color, node.scalar->color(operands));
      // Operands whose values are not read are there for their columns.
      for (Color color : colors)
        node.color += mixColors(color, 1);
      for (auto [i, role] : llvm::zip(node.edgeOf, node.scalar->roles()))
        node.roles[i] += role;
    } else {
      for (auto [i, color] : llvm::enumerate(colors)) {
        node.color = mixColors(node.color, color);
        node.roles[i] = i + 1;
      }
    }
    SmallVector<Color> received(node.columns.size(), 0);
    for (auto [i, edge] : llvm::enumerate(node.edges))
      for (auto [j, column] : llvm::enumerate(edge.columns))
        received[column] +=
            mixColors(mixColors(nodes[edge.node].columnColors[j], colors[i]),
                      node.roles[i]);
    for (const Edge &edge : node.edges)
      for (auto [j, key] : llvm::enumerate(edge.keys))
        for (unsigned column = 0; column < node.columns.size(); ++column)
          if (key.uses("#" + std::to_string(column)))
            received[column] +=
                mixColors(nodes[edge.node].columnColors[j],
                          mixColors(keyColor(node, key),
                                    keyColor(node, strideOf(key, column))));
    for (auto [color, more] : llvm::zip(node.columnColors, received))
      color = mixColors(mixColors(color, more), node.color);
  }
}

/// The key with the column as another symbol than the others: what the column
/// is in it.
SymExpr CanonicalForm::strideOf(const SymExpr &key, unsigned column) const {
  return key.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
    if (symbol == "#" + std::to_string(column))
      return SymExpr::key("x");
    return std::nullopt;
  });
}

/// Colours what reads an operator and its columns.
void CanonicalForm::refineDown() {
  std::vector<Color> received(nodes.size(), 0);
  std::vector<SmallVector<Color, 6>> columns;
  for (const Node &node : nodes)
    columns.emplace_back(node.columns.size(), 0);
  for (unsigned index = nodes.size(); index-- > 0;) {
    Node &node = nodes[index];
    node.color = mixColors(node.color, received[index]);
    for (auto [color, more] : llvm::zip(node.columnColors, columns[index]))
      color = mixColors(color, more);
    for (auto [i, edge] : llvm::enumerate(node.edges)) {
      Color role = mixColors(node.color, node.roles[i]);
      received[edge.node] += role;
      for (auto [j, column] : llvm::enumerate(edge.columns))
        columns[edge.node][j] += mixColors(role, node.columnColors[column]);
      for (auto [j, key] : llvm::enumerate(edge.keys))
        columns[edge.node][j] += mixColors(role, keyColor(node, key));
    }
  }
}

//===----------------------------------------------------------------------===//
// Order and names
//===----------------------------------------------------------------------===//

/// By name once they have names; before by colour. Extents that are numbers are
/// last.
SmallVector<unsigned> CanonicalForm::columnOrder(const Node &node) const {
  SmallVector<unsigned> order;
  auto nameOf = [&](unsigned i) {
    unsigned number = UINT_MAX;
    if (i < node.names.size())
      StringRef(node.names[i]).drop_front(1).getAsInteger(10, number);
    return number;
  };
  for (unsigned i = 0; i < node.columns.size(); ++i)
    order.push_back(i);
  llvm::sort(order, [&](unsigned a, unsigned b) {
    auto key = [&](unsigned i) {
      bool symbolic = node.columns[i].extent.getValue().contains('?');
      return std::tuple(!symbolic, nameOf(i), node.columnColors[i], i);
    };
    return key(a) < key(b);
  });
  return order;
}

void CanonicalForm::number(unsigned index) {
  if (nodes[index].numbered)
    return;
  nodes[index].numbered = true;
  nodes[index].names.resize(nodes[index].columns.size());
  for (unsigned i = 0; i < nodes[index].edges.size(); ++i)
    nodes[index].order.push_back(i);
  // Joins have no order: the greater relations first.
  if (nodes[index].scalar)
    llvm::sort(nodes[index].order, [&](unsigned a, unsigned b) {
      auto key = [&](unsigned i) {
        const Edge &edge = nodes[index].edges[i];
        return std::tuple(-int64_t(edge.columns.size()), nodes[index].roles[i],
                          edgeColor(nodes[index], i), i);
      };
      return key(a) < key(b);
    });
  for (unsigned i : nodes[index].order)
    number(nodes[index].edges[i].node);
  Node &node = nodes[index];
  node.number = sequence.size();
  sequence.push_back(index);
  if (node.op && !isa<RangeOp>(node.op)) {
    operators.push_back(node.op);
    nameColumns(node, /*mayWait=*/true);
  } else if (!node.op) {
    leafNodes.push_back(index);
  }
}

std::string CanonicalForm::freshName() {
  return "c" + std::to_string(fresh++);
}

/// Columns take the names that they have in the operands, and give leaves and
/// views of leaves that are read for the first time theirs.
void CanonicalForm::nameColumns(Node &node, bool mayWait) {
  if (mayWait && isa<RekeyOp>(node.op) && !nodes[node.edges[0].node].op &&
      llvm::all_of(nodes[node.edges[0].node].names,
                   [](const std::string &name) { return name.empty(); }))
    return;
  auto free = [&](StringRef name) { return !llvm::is_contained(node.names, name); };
  /// The column of the node that a column of an operand is, if it is one.
  auto ownColumn = [](const Edge &edge, unsigned i) -> std::optional<unsigned> {
    if (edge.keys.empty())
      return edge.columns[i];
    unsigned column;
    auto symbol = edge.keys[i].asSymbol();
    if (!symbol || StringRef(*symbol).drop_front().getAsInteger(10, column))
      return std::nullopt;
    return column;
  };
  for (bool assign : {false, true}) {
    for (unsigned e : node.order) {
      const Edge &edge = node.edges[e];
      Node &operand = nodes[edge.node];
      for (unsigned i : columnOrder(operand)) {
        if (i >= typeOf(operand.value).getColumns().size())
          continue;
        auto column = ownColumn(edge, i);
        std::string &theirs = operand.names[i];
        if (!assign && column && node.names[*column].empty() &&
            !theirs.empty() && free(theirs))
          node.names[*column] = theirs;
        if (assign && theirs.empty())
          theirs = column ? node.names[*column]
                          : freshName();
      }
    }
    for (unsigned i : columnOrder(node))
      if (node.names[i].empty())
        node.names[i] = freshName();
  }
}

void CanonicalForm::print(llvm::raw_ostream &os, unsigned index) {
  Node &node = nodes[index];
  size_t own = typeOf(node.value).getColumns().size();
  os << node.number << '=' << (node.op ? kindOf(node.op) : "leaf") << '[';
  for (unsigned i : columnOrder(node))
    os << (i >= own ? "!" : "") << node.names[i] << ':'
       << node.columns[i].extent.getValue() << ',';
  os << ']' << typeOf(node.value).getElementType() << '(';
  for (unsigned e : node.order) {
    const Edge &edge = node.edges[e];
    const Node &operand = nodes[edge.node];
    os << operand.number << '[';
    for (unsigned i : columnOrder(operand)) {
      if (i < edge.columns.size())
        os << operand.names[i] << ' ' << node.names[edge.columns[i]] << ',';
      if (i < edge.keys.size())
        os << operand.names[i] << ' ' << namedKey(node, edge.keys[i]).str()
           << ',';
    }
    os << "],";
  }
  os << ')';
  if (auto unite = dyn_cast_or_null<UnionOp>(node.op))
    os << node.names[typeOf(node.value).find(unite.getColumn())];
  if (node.scalar) {
    SmallVector<unsigned> numbers;
    for (unsigned i : node.edgeOf)
      numbers.push_back(llvm::find(node.order, i) - node.order.begin());
    node.scalar->print(os, numbers);
  }
  os << '\n';
}

SymExpr CanonicalForm::namedKey(const Node &node, const SymExpr &key) const {
  return key.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
    unsigned column;
    if (!symbol.consume_front("#") || symbol.getAsInteger(10, column))
      return std::nullopt;
    return SymExpr::key(node.names[column]);
  });
}
