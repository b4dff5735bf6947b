//===- LayoutBorders.cpp - Concat, Pad and Trilu --------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

//===----------------------------------------------------------------------===//
// Concat
//===----------------------------------------------------------------------===//

/// `relation` with its column `from` named `to`, whatever extent `to` has
/// elsewhere: the operands of a union all name its column.
static Value nameUnionColumn(Importer &importer, Value relation,
                             StringRef from, StringRef to) {
  auto type = cast<RelType>(relation.getType());
  if (from.empty() || !type.has(from))
    return relation; // constant along it
  SmallVector<Column> columns(type.getColumns());
  for (Column &column : columns)
    if (column.getName() == from)
      column.name = StringAttr::get(importer.impl->context, to);
  OpBuilder &builder = importer.builder;
  RelType renamed = RelType::get(columns, type.getElementType());
  if (auto scan = relation.getDefiningOp<rel::ScanOp>())
    return rel::ScanOp::create(builder, importer.loc(), renamed,
                               scan.getTable());
  return rel::RekeyOp::create(builder, importer.loc(), renamed, relation,
                              builder.getStrArrayAttr({from}),
                              builder.getStrArrayAttr({("#" + to).str()}),
                              TypedAttr());
}

FailureOr<Tensor>
joinery::onnx_import::unite(Importer &importer,
                            ArrayRef<const Tensor *> pieces, unsigned axis) {
  // The other axes are aligned with this one hidden: its columns get names of
  // their own, so that no renaming can meet them.
  std::vector<Tensor> hidden;
  std::vector<const Tensor *> operands;
  std::vector<std::string> own;
  SmallVector<SymExpr> sizes;
  SymExpr total;
  for (const Tensor *piece : pieces) {
    Tensor tensor = importer.withOneColumn(*piece, axis);
    sizes.push_back(importer.simplify(tensor.dims[axis].extent));
    total = total + sizes.back();
    own.emplace_back();
    if (!tensor.dims[axis].columns.empty()) {
      own.back() = tensor.dims[axis].columns[0];
      bool collides = llvm::any_of(pieces, [&](const Tensor *other) {
        for (auto [i, dim] : llvm::enumerate(other->dims))
          if (i != axis && llvm::is_contained(dim.columns, own.back()))
            return true;
        return false;
      });
      if (collides) {
        std::string fresh = importer.newColumn(
            own.back(), importer.columnExtent(tensor, own.back()));
        tensor = importer.rename(tensor, {{own.back(), fresh}});
        own.back() = fresh;
      }
    }
    tensor.relation = importer.relation(tensor);
    tensor.constant = nullptr;
    tensor.elements.reset();
    tensor.poly.reset();
    tensor.parts.clear();
    tensor.dims[axis] = {1, {}};
    hidden.push_back(std::move(tensor));
  }
  for (const Tensor &tensor : hidden)
    operands.push_back(&tensor);
  auto aligned = importer.broadcast(operands);
  if (failed(aligned))
    return failure();
  Tensor result;
  result.onnxType = pieces[0]->onnxType;
  result.dims = aligned->dims;
  total = importer.simplify(total);
  StringRef hint = "s";
  for (const std::string &name : own)
    if (!name.empty())
      hint = name;
  result.dims[axis] = importer.newDim(hint, total);
  std::string column = result.dims[axis].columns.empty()
                           ? importer.newColumn(hint, total)
                           : result.dims[axis].columns[0];
  SmallVector<Value> inputs;
  SmallVector<std::string> texts;
  SmallVector<Column> columns;
  for (size_t i = 0; i < hidden.size(); ++i) {
    // An operand's size may be written otherwise than its column's extent.
    Value value = aligned->tensors[i].relation;
    auto type = cast<RelType>(value.getType());
    if (!own[i].empty() && type.has(own[i]))
      sizes[i] = type.extentOf(own[i]);
    inputs.push_back(nameUnionColumn(importer, value, own[i], column));
    texts.push_back(sizes[i].str());
    for (Column c : cast<RelType>(inputs.back().getType()).getColumns())
      if (c.getName() != column &&
          llvm::none_of(columns, [&](Column k) { return k.name == c.name; }))
        columns.push_back(c);
  }
  SymExpr written;
  for (const SymExpr &size : sizes)
    written = written + size;
  importer.impl->columns[column] = written;
  result.dims[axis] = {written, {column}};
  columns.push_back(Column(importer.impl->context, column, written));
  SmallVector<StringRef> sizeTexts(texts.begin(), texts.end());
  OpBuilder &builder = importer.builder;
  result.relation = rel::UnionOp::create(
      builder, importer.loc(),
      RelType::get(columns, importer.elementType(result.onnxType)),
      builder.getStringAttr(column), inputs,
      builder.getStrArrayAttr(sizeTexts));
  orderColumns(result.relation, result.dims);
  return result;
}

static LogicalResult importConcat(Importer &importer) {
  const Node &node = importer.node();
  std::vector<const Tensor *> pieces;
  bool symbolic = true;
  for (unsigned i = 0; i < node.numInputs(); ++i) {
    const Tensor *piece = importer.input(i);
    if (!piece)
      return importer.refuse("input " + Twine(i) + " is missing");
    pieces.push_back(piece);
    symbolic &= piece->elements && piece->rank() == 1;
    if (piece->rank() != pieces[0]->rank())
      return importer.refuse("the operands differ in rank");
  }
  if (pieces.empty())
    return importer.refuse("there are no operands");
  auto axis = importer.axisOf(node.getInt("axis", 0), pieces[0]->rank());
  if (failed(axis))
    return failure();
  if (symbolic) {
    std::vector<SymExpr> elements;
    for (const Tensor *piece : pieces)
      elements.insert(elements.end(), piece->elements->begin(),
                      piece->elements->end());
    if (elements.size() > (1 << 16))
      return importer.refuse("the list of sizes or indices is too long");
    importer.setOutput(
        0, importer.vector(std::move(elements), pieces[0]->onnxType));
    return success();
  }
  std::erase_if(pieces, [&](const Tensor *piece) {
    return pieces.size() > 1 && piece->dims[*axis].extent.isConst(0);
  });
  if (pieces.size() == 1) {
    importer.setOutput(0, Tensor(*pieces[0]));
    return success();
  }
  if (!importer.elementType(pieces[0]->onnxType))
    return importer.refuse("elements of type " +
                           dataTypeName(pieces[0]->onnxType) +
                           " have no relation");
  // Index tuples for GatherND: kept as a stack.
  bool tuples = *axis + 1 == pieces[0]->rank() &&
                isInteger(pieces[0]->onnxType) &&
                llvm::all_of(pieces, [&](const Tensor *piece) {
                  return piece->dims[*axis].extent.isConst(1);
                });
  if (!tuples) {
    auto result = unite(importer, pieces, *axis);
    if (failed(result))
      return failure();
    importer.setOutput(0, std::move(*result));
    return success();
  }
  auto aligned = importer.broadcast(pieces);
  if (failed(aligned))
    return failure();
  Tensor result;
  result.onnxType = pieces[0]->onnxType;
  result.dims = aligned->dims;
  for (Tensor &piece : aligned->tensors) {
    Dims dims(result.dims.begin(), result.dims.end() - 1);
    for (auto [dim, own] : llvm::zip(dims, piece.dims))
      if (own.columns.empty())
        dim.columns.clear();
    result.parts.push_back(viewOf(importer, piece, std::move(dims)));
  }
  result.dims.back() = importer.newDim("i", int64_t(pieces.size()));
  importer.setOutput(0, std::move(result));
  return success();
}

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

/// `before` elements in front of dimension `i`, `after` behind it.
static FailureOr<Tensor> pad(Importer &importer, const Tensor &tensor,
                             unsigned i, const SymExpr &before,
                             const SymExpr &after, TypedAttr value) {
  Tensor source = importer.withOneColumn(tensor, i);
  SymExpr extent = importer.simplify(source.dims[i].extent);
  Tensor result;
  result.onnxType = tensor.onnxType;
  result.dims = source.dims;
  OpBuilder &builder = importer.builder;
  Value relation = importer.relation(source);
  auto type = cast<RelType>(relation.getType());
  result.dims[i] =
      importer.newDim(source.dims[i].columns.empty()
                          ? StringRef("i")
                          : StringRef(source.dims[i].columns[0]),
                      importer.simplify(before + extent + after));
  if (result.dims[i].columns.empty())
    return importer.refuse("a dimension of size 0 is padded to 1");
  std::string column = result.dims[i].columns[0];
  SymExpr key = SymExpr::key(column) - before;
  if (!source.dims[i].columns.empty() &&
      type.has(source.dims[i].columns[0])) {
    const std::string &from = source.dims[i].columns[0];
    SmallVector<Column> columns;
    for (Column c : type.getColumns())
      columns.push_back(c.getName() == from
                            ? Column(importer.impl->context, column,
                                     importer.impl->columns.at(column))
                            : c);
    result.relation = rel::RekeyOp::create(
        builder, importer.loc(),
        RelType::get(columns, type.getElementType()), relation,
        builder.getStrArrayAttr({from}), builder.getStrArrayAttr({key.str()}),
        value);
    return result;
  }
  // Constant along the dimension: the support is the inner keys.
  Tensor inner = importer.polynomial(SymExpr::key(column) - before,
                                     {result.dims[i]}, Int64);
  Tensor size = importer.polynomial(extent, {}, Int64);
  auto support = importer.map(
      {&inner, &size}, Bool,
      [](OpBuilder &b, Location loc, ValueRange x) -> Value {
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        Value low = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                          x[0], zero);
        Value high = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                           x[0], x[1]);
        return arith::AndIOp::create(b, loc, low, high);
      });
  if (failed(support))
    return failure();
  SmallVector<Column> columns =
      rel::JoinOp::joinColumns({relation, support->relation});
  result.relation = rel::SelectOp::create(
      builder, importer.loc(), RelType::get(columns, type.getElementType()),
      relation, support->relation, value);
  return result;
}

static LogicalResult importPad(Importer &importer) {
  const Node &node = importer.node();
  Tensor x = *importer.input(0);
  std::string mode = node.getString("mode", "constant");
  if (mode != "constant")
    return importer.refuse("mode '" + mode + "' is not supported, only "
                           "'constant'");
  std::vector<SymExpr> pads;
  double value = 0;
  if (node.opset() < 11) {
    for (int64_t amount : node.getInts("pads"))
      pads.push_back(amount);
    value = node.getFloat("value", 0);
  } else {
    auto given = importer.symbolicElements(*importer.input(1));
    if (!given)
      return importer.refuse("the pads depend on data");
    pads = *given;
    if (node.hasInput(2)) {
      auto elements = importer.constantElements(*importer.input(2), 1);
      if (!elements || elements->size() != 1)
        return importer.refuse("the value to pad with is not a constant");
      value = (*elements)[0];
    }
  }
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < x.rank(); ++i)
    axes.push_back(i);
  if (node.opset() >= 18 && node.hasInput(3)) {
    auto given = importer.constantInts(3, "axes");
    if (failed(given))
      return failure();
    axes = *given;
  }
  if (pads.size() != 2 * axes.size())
    return importer.refuse("there are " + Twine(pads.size()) + " pads for " +
                           Twine(axes.size()) + " axes");
  Type element = importer.elementType(x.onnxType);
  if (!element)
    return importer.refuse("elements of type " + dataTypeName(x.onnxType) +
                           " have no relation");
  TypedAttr attr =
      isa<FloatType>(element)
          ? TypedAttr(importer.builder.getFloatAttr(element, value))
          : TypedAttr(importer.builder.getIntegerAttr(element, int64_t(value)));
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = importer.axisOf(axes[i], x.rank());
    if (failed(axis))
      return failure();
    SymExpr amount[2] = {importer.simplify(pads[i]),
                         importer.simplify(pads[i + axes.size()])};
    SymExpr cut[2];
    for (int side = 0; side < 2; ++side) {
      if (importer.isNonNegative(amount[side]))
        continue;
      if (!importer.isNonNegative(-amount[side])) {
        if (failed(importer.requireNonNegative(amount[side],
                                               "a pad is not negative")))
          return failure();
        continue;
      }
      cut[side] = -amount[side];
      amount[side] = 0;
    }
    SymExpr rest = importer.simplify(x.dims[*axis].extent - cut[0] - cut[1]);
    if (failed(importer.requireAtMost(0, rest, "what negative pads leave")))
      return failure();
    x = sliceOf(importer, x, *axis, cut[0], 1, rest);
    if (amount[0].isConst(0) && amount[1].isConst(0))
      continue;
    auto padded = pad(importer, x, *axis, amount[0], amount[1], attr);
    if (failed(padded))
      return failure();
    x = std::move(*padded);
  }
  importer.setOutput(0, std::move(x));
  return success();
}

//===----------------------------------------------------------------------===//
// Trilu
//===----------------------------------------------------------------------===//

static LogicalResult importTrilu(Importer &importer) {
  const Node &node = importer.node();
  Tensor x = *importer.input(0);
  if (x.rank() < 2)
    return importer.refuse("the operand has fewer than two dimensions");
  SymExpr k;
  if (node.hasInput(1)) {
    auto given = importer.symbolicElements(*importer.input(1));
    if (!given || given->size() != 1)
      return importer.refuse("the diagonal depends on data");
    k = (*given)[0];
  }
  bool upper = node.getInt("upper", 1);
  // Both dimensions need a column, also where the operand is constant.
  SymExpr keys[2];
  for (unsigned side = 0; side < 2; ++side) {
    unsigned i = x.rank() - 2 + side;
    x = importer.withOneColumn(x, i);
    if (x.dims[i].extent.isConst(1))
      continue;
    if (x.dims[i].columns.empty()) {
      if (!x.relation)
        x.relation = importer.relation(x);
      x.elements.reset();
      x.poly.reset();
      x.constant = nullptr;
      x.dims[i].columns = {importer.newColumn("i", x.dims[i].extent)};
    }
    keys[side] = SymExpr::key(x.dims[i].columns[0]);
  }
  Value relation = importer.relation(x);
  // Kept: column - row >= k (upper), or <= k.
  SymExpr distance = upper ? keys[1] - keys[0] - k : keys[0] - keys[1] + k;
  Dims square(x.dims.end() - 2, x.dims.end());
  Tensor measure = importer.polynomial(distance, square, Int64);
  auto support = importer.map(
      {&measure}, Bool, [](OpBuilder &b, Location loc, ValueRange x) -> Value {
        Value zero = arith::ConstantIntOp::create(b, loc, 0, 64);
        return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, x[0],
                                     zero);
      });
  if (failed(support))
    return failure();
  Type element = cast<RelType>(relation.getType()).getElementType();
  Tensor result;
  result.onnxType = x.onnxType;
  result.dims = x.dims;
  result.relation = rel::SelectOp::create(
      importer.builder, importer.loc(),
      RelType::get(rel::JoinOp::joinColumns({relation, support->relation}),
                   element),
      relation, support->relation,
      cast<TypedAttr>(importer.builder.getZeroAttr(element)));
  importer.setOutput(0, std::move(result));
  return success();
}

ArrayRef<OpEntry> joinery::onnx_import::layoutBorderOps() {
  static const OpEntry entries[] = {
      {"", "Concat", 4, 0, importConcat, "", true},
      {"", "Pad", 2, 0, importPad, "mode 'constant' only"},
      {"", "Trilu", 14, 0, importTrilu, ""},
  };
  return entries;
}
