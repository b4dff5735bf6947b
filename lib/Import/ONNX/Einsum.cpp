//===- Einsum.cpp - Einsum ------------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Building.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

/// The labels of one term: letters, and for an ellipsis the labels -1, -2, …
/// from its last dimension to its first.
static FailureOr<SmallVector<int>> labelsOf(Importer &im, StringRef term,
                                            int64_t ellipsisRank) {
  SmallVector<int> labels;
  while (!term.empty()) {
    if (term.consume_front("...")) {
      for (int64_t i = ellipsisRank; i > 0; --i)
        labels.push_back(-i);
      continue;
    }
    if (!llvm::isAlpha(term.front()))
      return im.refuse("the equation holds '" + term.take_front(1) + "'");
    labels.push_back(term.front());
    term = term.drop_front();
  }
  return labels;
}

/// A label that a term repeats takes the diagonal: the later dimension is read
/// at the key of the earlier one.
static FailureOr<Tensor> diagonal(Importer &im, Tensor x,
                                  SmallVectorImpl<int> &labels) {
  for (size_t i = 0; i < labels.size(); ++i)
    for (size_t j = labels.size(); --j > i;) {
      if (labels[i] != labels[j])
        continue;
      if (failed(im.requireEqual(x.dims[i].extent, x.dims[j].extent,
                                 "a repeated label has one extent")))
        return failure();
      if (!x.dims[j].extent.isConst(1)) {
        x = withColumn(im, withColumn(im, x, i), j);
        std::string kept = x.dims[i].columns[0], dropped = x.dims[j].columns[0];
        x.relation =
            rekey(im, im.relation(x), {{dropped, SymExpr::key(kept)}}, {});
        x.poly.reset();
      } else {
        x = insertUnitDim(im, x, 0);
        x.dims.erase(x.dims.begin());
      }
      x.dims.erase(x.dims.begin() + j);
      labels.erase(labels.begin() + j);
    }
  return x;
}

static LogicalResult importEinsum(Importer &im) {
  std::string equation = im.node().getString("equation", "");
  llvm::erase(equation, ' ');
  auto [left, right] = StringRef(equation).split("->");
  bool isExplicit = StringRef(equation).contains("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  if (terms.size() != im.node().numInputs())
    return im.refuse("the equation has " + Twine(terms.size()) + " terms for " +
                     Twine(im.node().numInputs()) + " operands");
  std::vector<Tensor> operands;
  SmallVector<SmallVector<int>> labels;
  int64_t ellipsis = 0;
  for (auto [i, term] : llvm::enumerate(terms)) {
    const Tensor *x = required(im, i);
    if (!x)
      return failure();
    if (!im.elementType(x->onnxType) || x->onnxType == Bool)
      return im.refuse("elements of type " + dataTypeName(x->onnxType) +
                       " are not supported");
    int64_t rest = 0;
    if (term.contains("...")) {
      rest = x->rank() - (int64_t(term.size()) - 3);
      ellipsis = std::max(ellipsis, rest);
    }
    auto parsed = labelsOf(im, term, rest);
    if (failed(parsed))
      return failure();
    if (int64_t(parsed->size()) != x->rank() || rest < 0)
      return im.refuse("term '" + term + "' does not fit an operand of rank " +
                       Twine(x->rank()));
    auto reduced = diagonal(im, *x, *parsed);
    if (failed(reduced))
      return failure();
    operands.push_back(*reduced);
    labels.push_back(*parsed);
  }

  SmallVector<int> result;
  if (isExplicit) {
    auto parsed = labelsOf(im, right, ellipsis);
    if (failed(parsed))
      return failure();
    result = *parsed;
  } else {
    // The ellipsis, then all labels that occur once, in alphabetical order.
    for (int64_t i = ellipsis; i > 0; --i)
      result.push_back(-i);
    for (char c = 'A'; c <= 'z'; ++c)
      if (llvm::isAlpha(c) && left.count(c) == 1)
        result.push_back(c);
  }
  SmallVector<int> broadcasts;
  for (int64_t i = ellipsis; i > 0; --i)
    broadcasts.push_back(-i);
  for (auto [i, label] : llvm::enumerate(result)) {
    bool found = llvm::any_of(labels, [&, l = label](auto &term) {
      return llvm::is_contained(term, l);
    });
    if (!found || llvm::is_contained(ArrayRef(result).take_front(i), label))
      return im.refuse("the equation's result names a label twice, or one "
                       "that no term has");
  }

  if (operands.size() == 1)
    return setResult(im,
                     product(im, operands[0], labels[0], nullptr, {}, result));
  Tensor folded = operands[0];
  SmallVector<int> foldedLabels = labels[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    // What the result or a later term still needs is kept.
    SmallVector<int> kept;
    bool last = i + 1 == operands.size();
    if (last) {
      kept = result;
    } else {
      for (ArrayRef<int> side : {ArrayRef(foldedLabels), ArrayRef(labels[i])})
        for (int label : side) {
          bool later = llvm::is_contained(result, label);
          for (size_t j = i + 1; j < operands.size(); ++j)
            later |= llvm::is_contained(labels[j], label);
          if (later && !llvm::is_contained(kept, label))
            kept.push_back(label);
        }
    }
    auto next = product(im, folded, foldedLabels, &operands[i], labels[i], kept,
                        broadcasts);
    if (failed(next))
      return failure();
    folded = *next;
    foldedLabels = kept;
  }
  im.setOutput(0, std::move(folded));
  return success();
}

static const OpEntry table[] = {
    {"", "Einsum", 12, 0, importEinsum, "labels of one extent each"},
};

ArrayRef<OpEntry> onnx_import::einsumOps() { return table; }
