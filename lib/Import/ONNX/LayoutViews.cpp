//===- LayoutViews.cpp - Views: reshape, slice, expand --------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include <deque>

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

Tensor joinery::onnx_import::pickElements(
    Importer &importer, const Tensor &tensor, Dims dims,
    llvm::function_ref<void(MutableArrayRef<int64_t>)> source) {
  Tensor result;
  result.onnxType = tensor.onnxType;
  int64_t count = 1;
  for (Dim &dim : dims) {
    count *= *dim.extent.asConst();
    // The elements are not a function of the old columns.
    dim = importer.newDim("i", dim.extent);
  }
  result.elements.emplace();
  for (int64_t i = 0; i < count; ++i) {
    SmallVector<int64_t> key(dims.size());
    int64_t rest = i, at = 0;
    for (size_t d = dims.size(); d-- > 0;) {
      key[d] = rest % *dims[d].extent.asConst();
      rest /= *dims[d].extent.asConst();
    }
    source(key);
    for (auto [k, dim] : llvm::zip_equal(key, tensor.dims))
      at = at * *dim.extent.asConst() + k;
    result.elements->push_back((*tensor.elements)[at]);
  }
  result.dims = std::move(dims);
  normalise(importer, result);
  return result;
}

Tensor joinery::onnx_import::viewOf(Importer &importer, const Tensor &tensor,
                                    Dims dims) {
  Tensor result = tensor;
  bool ordered = columnsOf(tensor.dims) == columnsOf(dims);
  bool inner = !tensor.parts.empty();
  if ((!ordered || inner) && !result.relation && !result.poly)
    result.relation = importer.relation(tensor);
  if (!ordered) {
    result.constant = nullptr;
    result.elements.reset();
  }
  result.parts.clear();
  result.dims = std::move(dims);
  return result;
}

//===----------------------------------------------------------------------===//
// Reshape
//===----------------------------------------------------------------------===//

namespace {
/// A factor of the source's shape: a column, or a part of one, or (without a
/// name) a factor that the relation is constant along.
struct Digit {
  std::string column;
  SymExpr extent;
};

/// Matches the factors of the source with the dimensions of the target.
class Reshaper {
public:
  Reshaper(Importer &importer, const Tensor &tensor,
           ArrayRef<SymExpr> extents)
      : importer(importer), tensor(tensor), extents(extents) {
    for (const Dim &dim : tensor.dims) {
      if (dim.columns.empty() && !dim.extent.isConst(1))
        digits.push_back({"", importer.simplify(dim.extent)});
      for (const std::string &column : dim.columns)
        digits.push_back(
            {column, importer.simplify(importer.impl->columns.at(column))});
    }
  }

  FailureOr<Tensor> run() {
    dims.resize(extents.size());
    for (size_t j = 0; j < extents.size(); ++j) {
      dims[j].extent = extents[j];
      if (extents[j].isConst(1) || fill(j))
        continue;
      size_t last = j;
      if (failed(window(j, last)))
        return failure();
      j = last;
    }
    // What is left must be one key.
    for (const Digit &digit : digits) {
      if (failed(importer.requireEqual(digit.extent, 1,
                                       "sizes before and after the reshape")))
        return failure();
      if (!digit.column.empty())
        define(digit.column, 0);
    }
    if (map.empty())
      return viewOf(importer, tensor, std::move(dims));
    return importer.remap(tensor, map, std::move(dims));
  }

private:
  Importer &importer;
  const Tensor &tensor;
  ArrayRef<SymExpr> extents;
  std::deque<Digit> digits;
  std::map<std::string, SymExpr> map;
  Dims dims;

  /// `column` is `key` from now on, also inside earlier definitions.
  void define(const std::string &column, const SymExpr &key) {
    for (auto &[source, expr] : map)
      expr = importer.simplify(
          expr.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
            if (symbol == "#" + column)
              return key;
            return std::nullopt;
          }));
    for (const Dim &dim : tensor.dims)
      if (llvm::is_contained(dim.columns, column))
        map[column] = key;
  }

  /// Makes dimension `j` of whole factors, or of one that is split in two.
  bool fill(size_t j) {
    SymExpr need = importer.simplify(extents[j]);
    std::deque<Digit> rest = digits;
    SmallVector<Digit> taken;
    std::optional<std::pair<Digit, SymExpr>> split; // the factor, its low part
    while (!need.isConst(1)) {
      if (rest.empty())
        return false;
      Digit front = rest.front();
      if (need == front.extent) {
        taken.push_back(front);
        rest.pop_front();
        break;
      }
      if (need.isConst(0) || front.extent.isConst(0))
        return false;
      if (auto quotient = need.exactDiv(front.extent)) {
        taken.push_back(front);
        rest.pop_front();
        need = *quotient;
        continue;
      }
      auto low = front.extent.exactDiv(need);
      if (!low || split)
        return false;
      split = {front, *low};
      rest.pop_front();
      Digit high{"", need}, remaining{"", *low};
      if (!front.column.empty()) {
        high.column = importer.newColumn("n", need);
        remaining.column = importer.newColumn("d", *low);
        define(front.column, SymExpr::key(high.column) * *low +
                                 SymExpr::key(remaining.column));
      }
      taken.push_back(high);
      rest.push_front(remaining);
      break;
    }
    digits = std::move(rest);
    bool constant = llvm::all_of(
        taken, [](const Digit &digit) { return digit.column.empty(); });
    if (!constant)
      for (Digit &digit : taken) {
        if (digit.column.empty())
          digit.column = importer.newColumn("i", digit.extent);
        dims[j].columns.push_back(digit.column);
      }
    return true;
  }

  /// Boundaries do not nest: fresh columns for the dimensions from `j` to
  /// `last`, whose number in the row-major order gives the factors' keys.
  LogicalResult window(size_t j, size_t &last) {
    SymExpr have(1), need = importer.simplify(extents[j]);
    SmallVector<Digit> inside;
    last = j;
    while (importer.simplify(have - need) != SymExpr(0)) {
      bool more = last + 1 < extents.size();
      bool shortTarget = inside.size() && more &&
                         (have.exactDiv(need) || digits.empty());
      if (shortTarget) {
        need = need * importer.simplify(extents[++last]);
      } else if (!digits.empty()) {
        inside.push_back(digits.front());
        have = have * digits.front().extent;
        digits.pop_front();
      } else if (more) {
        need = need * importer.simplify(extents[++last]);
      } else {
        if (failed(importer.requireEqual(
                have, need, "sizes before and after the reshape")))
          return failure();
        break;
      }
    }
    bool constant = llvm::all_of(
        inside, [](const Digit &digit) { return digit.column.empty(); });
    if (constant)
      return success();
    SymExpr position, stride(1);
    for (size_t k = last + 1; k-- > j;) {
      if (!extents[k].isConst(1)) {
        std::string column = importer.newColumn("i", extents[k]);
        dims[k].columns = {column};
        position = position + SymExpr::key(column) * stride;
        stride = stride * importer.simplify(extents[k]);
      }
      dims[k].extent = extents[k];
    }
    stride = 1;
    for (size_t k = inside.size(); k-- > 0;) {
      SymExpr key = importer.simplify(SymExpr::floorDiv(position, stride));
      if (k)
        key = importer.simplify(SymExpr::mod(key, inside[k].extent));
      if (!inside[k].column.empty())
        define(inside[k].column, key);
      stride = stride * inside[k].extent;
    }
    return success();
  }
};
} // namespace

FailureOr<Tensor> joinery::onnx_import::reshapeTo(Importer &importer,
                                                  const Tensor &tensor,
                                                  ArrayRef<SymExpr> extents) {
  // A few elements keep their order whatever the shape.
  SymExpr size(1);
  for (const SymExpr &extent : extents)
    size = size * extent;
  if (tensor.elements && !tensor.poly && size == sizeOf(tensor)) {
    Tensor result;
    result.onnxType = tensor.onnxType;
    result.elements = tensor.elements;
    for (const SymExpr &extent : extents)
      result.dims.push_back(importer.newDim("i", extent));
    normalise(importer, result);
    return result;
  }
  return Reshaper(importer, tensor, extents).run();
}

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

Tensor joinery::onnx_import::sliceOf(Importer &importer, const Tensor &tensor,
                                     unsigned i, const SymExpr &start,
                                     int64_t step, const SymExpr &extent) {
  const Dim &dim = tensor.dims[i];
  if (start.isConst(0) && step == 1 && extent == dim.extent)
    return tensor;
  auto from = start.asConst(), count = extent.asConst();
  // A few elements of a shape.
  bool affine = tensor.poly && tensor.poly->hasKeys();
  if (tensor.elements && !affine && from && count) {
    Dims dims = tensor.dims;
    dims[i] = importer.newDim("i", extent);
    return pickElements(importer, tensor, std::move(dims),
                        [&](MutableArrayRef<int64_t> key) {
                          key[i] = *from + key[i] * step;
                        });
  }
  bool lastOfParts = !tensor.parts.empty() && i + 1 == tensor.dims.size();
  if (lastOfParts && from && count) {
    Tensor result = tensor;
    result.parts.clear();
    for (int64_t k = 0; k < *count; ++k)
      result.parts.push_back(tensor.parts[*from + k * step]);
    result.dims[i] = importer.newDim("i", extent);
    if (*count != 1)
      return result;
    Tensor part = result.parts[0];
    Dims dims = part.dims;
    dims.push_back({1, {}});
    return viewOf(importer, part, std::move(dims));
  }
  Tensor source = importer.withOneColumn(tensor, i);
  Dims dims = source.dims;
  if (source.dims[i].columns.empty()) {
    if (!source.poly && !source.relation)
      source.relation = importer.relation(source);
    source.elements.reset();
    source.constant = nullptr;
    dims[i].extent = extent;
    return viewOf(importer, source, std::move(dims));
  }
  std::string column = source.dims[i].columns[0];
  dims[i] = importer.newDim(column, extent);
  SymExpr key = start;
  if (!dims[i].columns.empty())
    key = key + SymExpr(step) * SymExpr::key(dims[i].columns[0]);
  return importer.remap(source, {{column, key}}, std::move(dims));
}

Tensor joinery::onnx_import::lastOf(Importer &importer, const Tensor &tensor,
                                    int64_t k) {
  if (!tensor.parts.empty())
    return tensor.parts[k];
  Tensor part = sliceOf(importer, tensor, tensor.rank() - 1, k, 1, 1);
  Dims dims(part.dims.begin(), part.dims.end() - 1);
  return viewOf(importer, part, std::move(dims));
}

//===----------------------------------------------------------------------===//
// Expand
//===----------------------------------------------------------------------===//

FailureOr<Tensor> joinery::onnx_import::expandTo(Importer &importer,
                                                 const Tensor &tensor,
                                                 ArrayRef<SymExpr> extents) {
  size_t rank = std::max<size_t>(extents.size(), tensor.rank());
  Dims dims;
  bool same = true;
  for (size_t a = 0; a < rank; ++a) {
    SymExpr target(1);
    if (a + extents.size() >= rank)
      target = importer.simplify(extents[a + extents.size() - rank]);
    if (a + tensor.rank() < rank) {
      dims.push_back({target, {}});
      same &= target.isConst(1);
      continue;
    }
    const Dim &dim = tensor.dims[a + tensor.rank() - rank];
    if (dim.extent.isConst(1)) {
      dims.push_back({target, {}});
      same &= target.isConst(1);
      continue;
    }
    if (!target.isConst(1) &&
        failed(importer.requireEqual(dim.extent, target,
                                     "the size to expand to")))
      return failure();
    dims.push_back(dim);
  }
  Tensor source = tensor;
  if (!same) {
    if (!source.poly && !source.relation && source.parts.empty())
      source.relation = importer.relation(source);
    source.elements.reset();
    source.constant = nullptr;
  }
  return viewOf(importer, source, std::move(dims));
}
