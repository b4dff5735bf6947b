//===- Columns.cpp - Names, extents and digits of columns -----------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;
using rel::Column;
using rel::RelType;

using KeyMap = std::map<std::string, SymExpr>;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

std::string Importer::freshColumn(StringRef hint) {
  StringRef stem = hint.rtrim("0123456789");
  if (stem.empty())
    stem = "i";
  if (!impl->columns.count(stem.str()))
    return stem.str();
  // Numbers go on where the last column of that stem had them.
  for (unsigned &i = ++impl->lastNumber[stem];; ++i) {
    std::string name = (stem + Twine(i)).str();
    if (!impl->columns.count(name))
      return name;
  }
}

std::string Importer::newColumn(StringRef hint, const SymExpr &extent) {
  if (auto it = impl->symbolHints.find(extent.str());
      it != impl->symbolHints.end())
    hint = it->second;
  std::string name = freshColumn(hint);
  impl->columns[name] = extent;
  return name;
}

Dim Importer::newDim(StringRef hint, const SymExpr &extent) {
  Dim dim{extent, {}};
  if (!extent.isConst(1))
    dim.columns.push_back(newColumn(hint, extent));
  return dim;
}

SymExpr Importer::columnExtent(const Tensor &tensor, StringRef column) {
  return impl->columns.at(column.str());
}

//===----------------------------------------------------------------------===//
// Reading at other keys
//===----------------------------------------------------------------------===//

static bool isRename(const Importer::Impl &impl, const KeyMap &map) {
  std::set<std::string> used;
  for (const auto &[source, key] : map) {
    auto symbol = key.asSymbol();
    if (!symbol || (*symbol)[0] != '#' || !used.insert(*symbol).second)
      return false;
    auto it = impl.columns.find(symbol->substr(1));
    if (it == impl.columns.end() || it->second != impl.columns.at(source))
      return false;
  }
  return true;
}

Value Importer::Impl::remapValue(Importer &importer, Value relation,
                                 const KeyMap &map) {
  auto type = cast<RelType>(relation.getType());
  KeyMap relevant;
  for (Column column : type.getColumns())
    if (auto it = map.find(column.getName().str());
        it != map.end() && it->second != SymExpr::key(column.getName()))
      relevant.insert(*it);
  if (relevant.empty())
    return relation;
  OpBuilder &builder = importer.builder;
  SmallVector<Column> columns;
  auto add = [&](StringRef name) {
    if (llvm::none_of(columns,
                      [&](Column c) { return c.getName() == name; }))
      columns.push_back(Column(context, name, this->columns.at(name.str())));
  };
  for (Column column : type.getColumns()) {
    auto it = relevant.find(column.getName().str());
    if (it == relevant.end()) {
      add(column.getName());
      continue;
    }
    std::set<std::string> symbols;
    it->second.collect(symbols);
    for (const std::string &symbol : symbols)
      if (symbol[0] == '#')
        add(StringRef(symbol).drop_front());
  }
  // A scan names its columns itself. (Two columns may not become one.)
  auto scan = relation.getDefiningOp<rel::ScanOp>();
  if (scan && columns.size() == type.getColumns().size() &&
      isRename(*this, relevant))
    return rel::ScanOp::create(builder, importer.loc(),
                               RelType::get(columns, type.getElementType()),
                               scan.getTable());
  SmallVector<StringRef> sources;
  SmallVector<std::string> texts;
  for (const auto &[source, key] : relevant) {
    sources.push_back(source);
    texts.push_back(key.str());
  }
  SmallVector<StringRef> exprs(texts.begin(), texts.end());
  return rel::RekeyOp::create(
      builder, importer.loc(), RelType::get(columns, type.getElementType()),
      relation, builder.getStrArrayAttr(sources),
      builder.getStrArrayAttr(exprs), TypedAttr());
}

SymExpr Importer::Impl::opaqueSymbol(Value relation,
                                     std::optional<SymExpr> bound) {
  for (const auto &[symbol, known] : opaque)
    if (known.relation == relation)
      return SymExpr::symbol(symbol);
  std::string symbol = "#$" + std::to_string(opaque.size());
  opaque[symbol] = {relation, bound};
  return SymExpr::symbol(symbol);
}

void Importer::Impl::keysOf(const SymExpr &poly,
                            std::set<std::string> &names) const {
  std::set<std::string> symbols;
  poly.collect(symbols);
  for (const std::string &symbol : symbols) {
    if (auto it = opaque.find(symbol); it != opaque.end()) {
      for (Column column :
           cast<RelType>(it->second.relation.getType()).getColumns())
        names.insert(column.getName().str());
    } else if (symbol[0] == '#') {
      names.insert(symbol.substr(1));
    }
  }
}

SymExpr Importer::Impl::remapPoly(Importer &importer, const SymExpr &poly,
                                  const KeyMap &map) {
  return importer.simplify(
      poly.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
        if (auto it = opaque.find(symbol.str()); it != opaque.end()) {
          auto [relation, bound] = it->second;
          Value moved = remapValue(importer, relation, map);
          return moved == relation ? SymExpr::symbol(symbol)
                                   : opaqueSymbol(moved, bound);
        }
        if (auto it = map.find(symbol.drop_front().str());
            symbol[0] == '#' && it != map.end())
          return it->second;
        return std::nullopt;
      }));
}

void joinery::onnx_import::orderColumns(Value relation, ArrayRef<Dim> dims) {
  auto type = cast<RelType>(relation.getType());
  SmallVector<Column> columns;
  for (const std::string &name : columnsOf(dims))
    if (type.has(name))
      columns.push_back(type.getColumns()[type.find(name)]);
  for (Column column : type.getColumns())
    if (!llvm::is_contained(columns, column))
      columns.push_back(column);
  relation.setType(type.withColumns(columns));
}

Tensor Importer::remap(const Tensor &tensor, const KeyMap &map, Dims dims) {
  Tensor result;
  result.onnxType = tensor.onnxType;
  bool renamed = isRename(*impl, map);
  if (renamed) {
    // The same elements in the same order: only where the dimensions are the
    // same but for names do stored forms stay.
    bool same = dims.size() == tensor.dims.size();
    for (size_t i = 0; same && i < dims.size(); ++i) {
      same = dims[i].columns.size() == tensor.dims[i].columns.size();
      for (size_t k = 0; same && k < dims[i].columns.size(); ++k) {
        const std::string &source = tensor.dims[i].columns[k];
        auto it = map.find(source);
        same = (it == map.end() ? SymExpr::key(source) : it->second) ==
               SymExpr::key(dims[i].columns[k]);
      }
    }
    if (same) {
      result.constant = tensor.constant;
      result.elements = tensor.elements;
    }
  }
  result.dims = std::move(dims);
  if (tensor.poly)
    result.poly = impl->remapPoly(*this, *tensor.poly, map);
  for (const Tensor &part : tensor.parts) {
    Dims partDims(result.dims.begin(), result.dims.end());
    if (!partDims.empty())
      partDims.pop_back();
    result.parts.push_back(remap(part, map, std::move(partDims)));
  }
  if (tensor.relation || (!result.poly && result.parts.empty() &&
                          !result.constant && !result.elements)) {
    Value source = relation(tensor);
    result.relation = impl->remapValue(*this, source, map);
    // A scan's columns are in the table's order.
    if (result.relation != source &&
        result.relation.getDefiningOp<rel::RekeyOp>())
      orderColumns(result.relation, result.dims);
  }
  return result;
}

Tensor
Importer::rename(const Tensor &tensor,
                 const std::vector<std::pair<std::string, std::string>> &map) {
  KeyMap keys;
  for (const auto &[from, to] : map) {
    impl->columns.try_emplace(to, impl->columns.at(from));
    keys[from] = SymExpr::key(to);
  }
  Dims dims = tensor.dims;
  for (Dim &dim : dims) {
    bool changed = false;
    for (std::string &column : dim.columns)
      if (auto it = keys.find(column); it != keys.end()) {
        std::string to = it->second.asSymbol()->substr(1);
        changed |= impl->columns.at(to) != impl->columns.at(column);
        column = to;
      }
    // An equal extent that is written differently.
    if (!changed)
      continue;
    dim.extent = 1;
    for (const std::string &column : dim.columns)
      dim.extent = dim.extent * impl->columns.at(column);
  }
  return remap(tensor, keys, std::move(dims));
}

//===----------------------------------------------------------------------===//
// Digits
//===----------------------------------------------------------------------===//

FailureOr<Tensor> Importer::withDigits(const Tensor &tensor, unsigned i,
                                       ArrayRef<std::string> columns,
                                       ArrayRef<SymExpr> extents) {
  const Dim &dim = tensor.dims[i];
  SymExpr product(1);
  for (const SymExpr &extent : extents)
    product = product * extent;
  if (simplify(product - dim.extent) != SymExpr(0))
    return failure();
  for (auto [column, extent] : llvm::zip_equal(columns, extents)) {
    auto [it, inserted] = impl->columns.try_emplace(column, extent);
    if (!inserted && simplify(it->second - extent) != SymExpr(0))
      return failure();
  }
  if (dim.columns.size() == 1 && columns.size() == 1)
    return rename(tensor, {{dim.columns[0], columns[0]}});
  Dims dims = tensor.dims;
  dims[i].columns.assign(columns.begin(), columns.end());
  // The position is a number in the new digits; the old ones are its digits.
  SymExpr position, stride(1);
  for (size_t k = columns.size(); k-- > 0;) {
    position = position + SymExpr::key(columns[k]) * stride;
    stride = stride * extents[k];
  }
  KeyMap map;
  stride = 1;
  for (size_t k = dim.columns.size(); k-- > 0;) {
    const SymExpr &extent = impl->columns.at(dim.columns[k]);
    SymExpr digit = SymExpr::floorDiv(position, stride);
    if (k)
      digit = SymExpr::mod(simplify(digit), extent);
    map[dim.columns[k]] = simplify(digit);
    stride = stride * extent;
  }
  return remap(tensor, map, std::move(dims));
}

Tensor Importer::withOneColumn(const Tensor &tensor, unsigned i) {
  const Dim &dim = tensor.dims[i];
  if (dim.columns.size() <= 1)
    return tensor;
  std::string column = newColumn(dim.columns[0], dim.extent);
  auto merged = withDigits(tensor, i, {column}, {dim.extent});
  assert(succeeded(merged) && "the digits multiply to the dimension");
  return *merged;
}

//===----------------------------------------------------------------------===//
// Broadcasting
//===----------------------------------------------------------------------===//

namespace {
/// One axis of the result: which dimension of which operand lies there.
struct Axis {
  SymExpr extent = 1;
  SmallVector<std::pair<size_t, size_t>> members; // operand, dimension
  SmallVector<std::string, 2> columns;
};
} // namespace

/// Brings the members' digits of one axis to one form and names them.
static void alignDigits(Importer &importer, Axis &axis,
                        SmallVectorImpl<Tensor> &tensors,
                        ArrayRef<unsigned> priority) {
  const auto &columns = importer.impl->columns;
  std::optional<std::pair<size_t, size_t>> pivot;
  auto rank = [&](std::pair<size_t, size_t> member) {
    const Dim &dim = tensors[member.first].dims[member.second];
    return std::tuple(dim.columns.size(), dim.extent == axis.extent,
                      priority[member.first]);
  };
  for (auto member : axis.members)
    if (!tensors[member.first].dims[member.second].columns.empty())
      if (!pivot || rank(member) > rank(*pivot))
        pivot = member;
  if (!pivot)
    return;
  axis.columns = tensors[pivot->first].dims[pivot->second].columns;
  SmallVector<SymExpr> extents;
  for (const std::string &column : axis.columns)
    extents.push_back(columns.at(column));
  bool split = true;
  for (auto [operand, i] : axis.members) {
    const Dim &dim = tensors[operand].dims[i];
    if (dim.columns.empty() || dim.extent.isConst(1))
      continue;
    if (dim.columns.size() == axis.columns.size()) {
      bool same = true;
      for (auto [column, extent] : llvm::zip(dim.columns, extents))
        same &= dim.columns.size() == 1 || columns.at(column) == extent;
      if (same)
        continue;
    }
    SmallVector<std::string> names;
    for (auto [column, extent] : llvm::zip(axis.columns, extents))
      names.push_back(importer.newColumn(column, extent));
    auto refined = importer.withDigits(tensors[operand], i, names, extents);
    if (failed(refined)) {
      split = false;
      break;
    }
    tensors[operand] = *refined;
  }
  if (split)
    return;
  for (auto [operand, i] : axis.members)
    tensors[operand] = importer.withOneColumn(tensors[operand], i);
  axis.columns = tensors[pivot->first].dims[pivot->second].columns;
}

FailureOr<Importer::Aligned>
Importer::broadcast(ArrayRef<const Tensor *> operands) {
  Aligned result;
  size_t rank = 0;
  SmallVector<unsigned> priority;
  for (const Tensor *tensor : operands) {
    rank = std::max<size_t>(rank, tensor->rank());
    result.tensors.push_back(*tensor);
    // Names of computed relations win: the others are renamed for nothing.
    bool computed = tensor->relation &&
                    !tensor->relation.getDefiningOp<rel::ScanOp>();
    priority.push_back((computed ? 1000 : 0) + unsigned(tensor->rank()));
  }
  SmallVector<Axis> axes(rank);
  for (size_t a = 0; a < rank; ++a) {
    Axis &axis = axes[a];
    for (auto [o, tensor] : llvm::enumerate(result.tensors)) {
      if (a + tensor.rank() < rank)
        continue;
      size_t i = a + tensor.rank() - rank;
      const SymExpr &extent = tensor.dims[i].extent;
      if (extent.isConst(1))
        continue;
      axis.members.push_back({o, i});
      if (axis.extent.isConst(1)) {
        axis.extent = extent;
        continue;
      }
      if (axis.extent == extent)
        continue;
      if (failed(requireEqual(axis.extent, extent,
                              "sizes of operands that are combined element "
                              "by element")))
        return failure();
      if (extent.isConst() || (!axis.extent.isConst() &&
                               extent.str().size() < axis.extent.str().size()))
        axis.extent = extent;
    }
    alignDigits(*this, axis, result.tensors, priority);
  }
  // Distinct names on distinct axes; a name's extent is the axis's.
  std::set<std::string> used;
  for (Axis &axis : axes) {
    for (std::string &column : axis.columns) {
      bool stale = axis.columns.size() == 1 &&
                   impl->columns.at(column) != axis.extent;
      if (used.count(column) || stale)
        column = newColumn(column, stale ? axis.extent
                                         : impl->columns.at(column));
      used.insert(column);
    }
    result.dims.push_back({axis.extent, axis.columns});
  }
  for (auto [o, tensor] : llvm::enumerate(result.tensors)) {
    std::vector<std::pair<std::string, std::string>> names;
    for (const Axis &axis : axes)
      for (auto [operand, i] : axis.members) {
        if (operand != o || tensor.dims[i].columns.empty())
          continue;
        for (auto [from, to] :
             llvm::zip_equal(tensor.dims[i].columns, axis.columns))
          if (from != to)
            names.push_back({from, to});
      }
    if (!names.empty())
      tensor = rename(tensor, names);
  }
  return result;
}
