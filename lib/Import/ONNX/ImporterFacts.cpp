//===- ImporterFacts.cpp - What is known of extents and keys --------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImporterImpl.h"
#include "dialects/Rel/SymExprQuotients.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::onnx_import;

//===----------------------------------------------------------------------===//
// Simplification
//===----------------------------------------------------------------------===//

std::optional<SymExpr> Importer::Impl::bound(StringRef symbol) const {
  if (auto it = opaque.find(symbol.str()); it != opaque.end())
    return it->second.bound;
  if (symbol[0] == '#') {
    auto it = columns.find(symbol.drop_front().str());
    return it == columns.end() ? std::nullopt : std::optional(it->second);
  }
  auto it = upperBounds.find(symbol.str());
  return it == upperBounds.end() ? std::nullopt : std::optional(it->second);
}

SymExpr Importer::simplify(const SymExpr &expr) {
  SymExpr result = expr;
  if (!impl->equalities.empty())
    result = result.substitute([&](StringRef symbol) -> std::optional<SymExpr> {
      auto it = impl->equalities.find(symbol.str());
      return it == impl->equalities.end() ? std::nullopt
                                          : std::optional(it->second);
    });
  return result.simplify(
      [&](StringRef symbol) { return impl->bound(symbol); });
}

bool Importer::isNonNegative(const SymExpr &expr) {
  // An opaque relation without a bound may be negative, unlike an extent.
  std::set<std::string> symbols;
  expr.collect(symbols);
  for (const std::string &symbol : symbols)
    if (auto it = impl->opaque.find(symbol);
        it != impl->opaque.end() && !it->second.bound)
      return false;
  auto bounds = [&](StringRef symbol) { return impl->bound(symbol); };
  SymExpr simple = simplify(expr);
  if (simple.provablyNonNegative(bounds))
    return true;
  SymExpr plain = withoutQuotients(simple);
  return llvm::any_of(impl->nonNegative, [&](const SymExpr &fact) {
    return (plain - fact).provablyNonNegative(bounds);
  });
}

bool Importer::isLess(const SymExpr &a, const SymExpr &b) {
  return isNonNegative(b - a - SymExpr(1));
}

//===----------------------------------------------------------------------===//
// Obligations
//===----------------------------------------------------------------------===//

void Importer::Impl::addNonNegative(const SymExpr &expr) {
  SymExpr plain = withoutQuotients(expr);
  if (!plain.isConst() && !llvm::is_contained(nonNegative, plain))
    nonNegative.push_back(std::move(plain));
}

void Importer::Impl::addCheck(StringRef kind, const SymExpr &lhs,
                              const SymExpr &rhs, const Twine &why) {
  for (const Check &check : checks)
    if (check.kind == kind && check.lhs == lhs && check.rhs == rhs)
      return;
  std::string message = why.str();
  if (node)
    message = "node '" + node->name().str() + "' (" + node->op().str() +
              "): " + message;
  checks.push_back({kind.str(), lhs, rhs, message});
}

LogicalResult Importer::requireAtMost(const SymExpr &a, const SymExpr &b,
                                      const Twine &why) {
  SymExpr x = simplify(a), y = simplify(b);
  if (!x.isValid() || !y.isValid())
    return refuse(why + ": sizes leave 64 bits");
  if (isNonNegative(y - x))
    return success();
  if (isLess(y, x))
    return refuse(why + ": " + x.str() + " is more than " + y.str());
  if (x.hasKeys() || y.hasKeys())
    return refuse(why + ": it can't be proved that " + x.str() +
                  " is at most " + y.str());
  impl->addCheck("at_most", x, y, why);
  impl->addNonNegative(y - x);
  if (auto symbol = x.asSymbol(); symbol && y.isConst()) {
    SymExpr bound = y + SymExpr(1);
    auto [it, inserted] = impl->upperBounds.try_emplace(*symbol, bound);
    if (!inserted && *bound.asConst() < *it->second.asConst())
      it->second = bound;
  }
  return success();
}

LogicalResult Importer::requireNonNegative(const SymExpr &expr,
                                           const Twine &why) {
  if (!expr.isValid())
    return refuse(why + ": sizes leave 64 bits");
  SymExpr below, above;
  for (const auto &[monomial, coefficient] : expr.terms()) {
    SymExpr term(coefficient);
    for (const SymExpr::Atom &atom : monomial)
      term = term * SymExpr::of(atom);
    if (coefficient < 0)
      below = below - term;
    else
      above = above + term;
  }
  return requireAtMost(below, above, why);
}

/// min(a, b) == a is a <= b.
static const SymExpr::Atom *asMin(const SymExpr &expr) {
  if (expr.terms().size() != 1 || expr.terms().begin()->second != 1 ||
      expr.terms().begin()->first.size() != 1 ||
      expr.terms().begin()->first[0].kind != SymExpr::Atom::Min)
    return nullptr;
  return &expr.terms().begin()->first[0];
}

LogicalResult Importer::requireEqual(const SymExpr &a, const SymExpr &b,
                                     const Twine &why) {
  SymExpr x = simplify(a), y = simplify(b);
  if (!x.isValid() || !y.isValid())
    return refuse(why + ": sizes leave 64 bits");
  SymExpr difference = simplify(x - y);
  if (difference.isConst(0))
    return success();
  if (difference.isConst() || isLess(x, y) || isLess(y, x))
    return refuse(why + ": " + x.str() + " and " + y.str() + " differ");
  if (x.hasKeys() || y.hasKeys())
    return refuse(why + ": it can't be proved that " + x.str() + " equals " +
                  y.str());
  for (auto [p, q] : {std::pair(x, y), std::pair(y, x)})
    if (const SymExpr::Atom *min = asMin(p)) {
      if (*min->lhs == q)
        return requireAtMost(q, *min->rhs, why);
      if (*min->rhs == q)
        return requireAtMost(q, *min->lhs, why);
    }
  impl->addCheck("equal", x, y, why);
  impl->addNonNegative(difference);
  impl->addNonNegative(-difference);
  // From now on one stands for the other.
  auto xs = x.asSymbol(), ys = y.asSymbol();
  if (ys && !x.uses(*ys))
    impl->equalities[*ys] = x;
  else if (xs && !y.uses(*xs))
    impl->equalities[*xs] = y;
  return success();
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

void joinery::onnx_import::normalise(Importer &importer, Tensor &tensor) {
  bool isOne = true;
  for (const Dim &dim : tensor.dims)
    isOne &= dim.extent.isConst(1);
  bool integral = isInteger(tensor.onnxType) || tensor.onnxType == Bool;
  if (integral) {
    if (tensor.elements && !tensor.poly && !tensor.elements->empty() &&
        llvm::all_equal(*tensor.elements))
      tensor.poly = tensor.elements->front();
    // A shape of equal sizes is a list like any other.
    std::optional<int64_t> count;
    if (isOne)
      count = 1;
    else if (tensor.rank() == 1)
      count = tensor.dims[0].extent.asConst();
    if (tensor.poly && !tensor.elements && count && *count <= 64 &&
        !tensor.poly->hasKeys())
      tensor.elements.emplace(*count, *tensor.poly);
  }
  if (tensor.constant || (tensor.elements && !tensor.poly) ||
      !tensor.parts.empty())
    return;
  // Columns that the value does not depend on leave the dimensions.
  std::set<std::string> used;
  if (tensor.poly)
    importer.impl->keysOf(*tensor.poly, used);
  if (tensor.relation)
    for (rel::Column column :
         cast<rel::RelType>(tensor.relation.getType()).getColumns())
      used.insert(column.getName().str());
  for (Dim &dim : tensor.dims)
    if (llvm::none_of(dim.columns, [&](const std::string &column) {
          return used.count(column);
        }))
      dim.columns.clear();
}

//===----------------------------------------------------------------------===//
// Attributes and small inputs
//===----------------------------------------------------------------------===//

FailureOr<int64_t> Importer::axisOf(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= std::max<int64_t>(rank, 1))
    return refuse("axis " + Twine(axis) + " is out of range for rank " +
                  Twine(rank));
  return axis < 0 ? axis + rank : axis;
}

FailureOr<std::vector<int64_t>> Importer::constantInts(unsigned i,
                                                       StringRef what) {
  const Tensor *tensor = input(i);
  if (!tensor)
    return refuse("input " + Twine(i) + " (" + what + ") is missing");
  auto elements = symbolicElements(*tensor);
  std::vector<int64_t> result;
  if (elements)
    for (const SymExpr &element : *elements) {
      auto value = element.asConst();
      if (!value)
        break;
      result.push_back(*value);
    }
  if (!elements || result.size() != elements->size())
    return refuse(what + " is not known at compile time");
  return result;
}

FailureOr<std::vector<int64_t>>
Importer::axes(unsigned i, int64_t inputSince, int64_t rank) {
  std::vector<int64_t> axes;
  if (node().opset() < inputSince) {
    axes = node().getInts("axes");
  } else if (node().hasInput(i)) {
    auto values = constantInts(i, "axes");
    if (failed(values))
      return failure();
    axes = *values;
  }
  for (int64_t &axis : axes) {
    auto normal = axisOf(axis, rank);
    if (failed(normal))
      return failure();
    axis = *normal;
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end())
    return refuse("an axis is named twice");
  return axes;
}
