//===- Aggregate.cpp - Folds, by their definition -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Nodes.h"
#include <cmath>
#include <limits>

using namespace joinery;
using namespace joinery::interp;
using namespace mlir;
using rel::Monoid;

namespace {
/// The loops of an aggregate. Lanes run along one column, kept or folded; the
/// folded product is never stored.
class Fold {
public:
  Fold(Machine &machine, rel::AggregateOp op)
      : machine(machine), op(op), monoid(op.getMonoid()),
        element(op.getType().getElementType()) {}

  FailureOr<Relation> run() {
    Relation result;
    if (failed(prepare(result)))
      return failure();
    int64_t size = 1;
    for (int64_t extent : result.extents)
      if (llvm::MulOverflow(size, extent, size) ||
          size > machine.options.limit)
        return op.emitError() << "the relation has more than "
                              << machine.options.limit << " elements";
    if (isa<FloatType>(element))
      result.values.emplace<0>(size);
    else
      result.values.emplace<1>(size);
    bool apart = true;
    if (monoid == Monoid::SoftmaxSum)
      apart = softmaxSum(std::get<0>(result.values));
    else if (monoid == Monoid::ArgMax ||
             monoid == Monoid::ArgMin)
      bestKey(std::get<1>(result.values));
    else if (auto *floats = std::get_if<0>(&result.values))
      simple(*floats);
    else
      simple(std::get<1>(result.values));
    if (!apart)
      return op.emitError() << "a row's greatest score is at most half of the "
                               "mask's constant";
    if (machine.options.roundEachStep)
      if (auto *floats = std::get_if<0>(&result.values))
        roundLanes(floats->data(), floats->size(),
                   op.getType().getElementType());
    if (failed(machine.check()))
      return failure();
    return result;
  }

private:
  LogicalResult prepare(Relation &result) {
    for (Value value : op.getInputs()) {
      FailureOr<Node *> node = machine.node(value);
      if (failed(node))
        return failure();
      inputs.push_back(*node);
    }
    auto extentOf = [&](StringRef column) {
      for (Node *input : inputs)
        if (int i = input->find(column); i >= 0)
          return input->extents[i];
      return int64_t(1);
    };
    for (rel::Column column : op.getType().getColumns()) {
      result.columns.push_back(column.getName().str());
      result.extents.push_back(extentOf(column.getName()));
    }
    for (const auto &column : result.columns)
      columns.push_back(column);
    kept = result.extents;
    for (StringRef column : op.getOver().getAsValueRange<StringAttr>()) {
      columns.push_back(column.str());
      folded.push_back(extentOf(column));
    }
    for (Node *input : inputs) {
      auto &map = positions.emplace_back();
      for (const std::string &column : input->columns)
        map.push_back(llvm::find(columns, column) - columns.begin());
    }
    return success();
  }

  void load(unsigned input, ArrayRef<Key> keys, int64_t n, const Lanes &out) {
    SmallVector<Key, 8> own;
    for (int position : positions[input])
      own.push_back(keys[position]);
    inputs[input]->evaluate(own.data(), n, out);
  }
  bool uses(unsigned input, int position) {
    return llvm::is_contained(positions[input], position);
  }

  /// Calls `body(offset, keys, lane, n)` for every block of kept keys, where
  /// the column at `lane` runs over n keys (lane -1: one key at a time).
  template <typename F> void forKept(int lane, F body) {
    std::vector<int64_t> outer = kept, strides(kept.size());
    int64_t stride = 1;
    for (size_t i = kept.size(); i--; stride *= kept[i])
      strides[i] = stride;
    int64_t width = lane >= 0 ? kept[lane] : 1;
    if (lane >= 0)
      outer[lane] = width ? 1 : 0;
    for (Odometer at(outer); !at.done(); at.next())
      for (int64_t first = 0; first < width; first += blockLanes) {
        int64_t n = std::min(blockLanes, width - first), offset = 0;
        SmallVector<Key, 8> keys(columns.size());
        for (size_t i = 0; i < kept.size(); ++i) {
          keys[i].base = at.at()[i];
          if (static_cast<int>(i) == lane)
            keys[i] = {first, 1, nullptr};
          offset += keys[i].base * strides[i];
        }
        body(offset, keys, lane >= 0 ? strides[lane] : 0, n);
      }
  }
  /// Calls `body` for every key of the folded columns.
  template <typename F> void forFolded(SmallVectorImpl<Key> &keys, F body) {
    for (Odometer at(folded); !at.done(); at.next()) {
      for (size_t i = 0; i < folded.size(); ++i)
        keys[kept.size() + i] = {at.at()[i], 0, nullptr};
      body();
    }
  }
  int widestKept() const {
    if (kept.empty())
      return -1;
    return std::max_element(kept.begin(), kept.end()) - kept.begin();
  }

  template <typename T> T identity() const {
    bool isFloat = std::is_same_v<T, double>;
    auto extreme = [&](bool low) -> T {
      if (isFloat)
        return low ? -HUGE_VAL : HUGE_VAL;
      return static_cast<T>(toInteger(low ? -HUGE_VAL : HUGE_VAL, element));
    };
    switch (monoid) {
    case Monoid::Prod:
    case Monoid::All:
      return 1;
    case Monoid::Max:
      return extreme(true);
    case Monoid::Min:
      return extreme(false);
    default:
      return 0;
    }
  }
  template <typename T> void merge(T &a, T b) const {
    switch (monoid) {
    case Monoid::Sum:
      if constexpr (std::is_same_v<T, double>)
        a += b;
      else
        a = static_cast<T>(uint64_t(a) + uint64_t(b));
      break;
    case Monoid::Prod:
      if constexpr (std::is_same_v<T, double>)
        a *= b;
      else
        a = static_cast<T>(uint64_t(a) * uint64_t(b));
      break;
    case Monoid::Max:
      // NaN wins, as in arith.maximumf.
      a = b > a || b != b ? b : a;
      break;
    case Monoid::Min:
      a = b < a || b != b ? b : a;
      break;
    case Monoid::Any:
      a = a != 0 || b != 0;
      break;
    case Monoid::All:
      a = a != 0 && b != 0;
      break;
    default:
      break;
    }
  }
  template <typename T> static const T *data(const Lanes &lanes) {
    if constexpr (std::is_same_v<T, double>)
      return lanes.f();
    else
      return lanes.i();
  }

  template <typename T> void simple(std::vector<T> &out) {
    int lane = widestKept();
    int64_t last = folded.back();
    Lanes lanes;
    bool wide = lane >= 0 && (kept[lane] >= 64 || kept[lane] >= last);
    std::vector<int64_t> others = folded;
    if (!wide)
      others.back() = last ? 1 : 0;
    forKept(wide ? lane : -1, [&](int64_t offset, SmallVectorImpl<Key> &keys,
                                  int64_t stride, int64_t n) {
      std::vector<T> state(n, identity<T>());
      for (Odometer at(others); !at.done(); at.next()) {
        for (size_t i = 0; i < folded.size(); ++i)
          keys[kept.size() + i] = {at.at()[i], 0, nullptr};
        if (wide) {
          load(0, keys, n, lanes);
          accumulate(state.data(), data<T>(lanes), n);
          continue;
        }
        for (int64_t first = 0; first < last; first += blockLanes) {
          int64_t m = std::min(blockLanes, last - first);
          keys.back() = {first, 1, nullptr};
          load(0, keys, m, lanes);
          for (int64_t i = 0; i < m; ++i)
            merge(state[0], data<T>(lanes)[i]);
        }
      }
      const Format format = element;
      for (int64_t i = 0; i < n; ++i) {
        T value = state[i];
        if constexpr (!std::is_same_v<T, double>)
          value = wrapTo(value, format);
        out[offset + i * stride] = value;
      }
    });
  }
  template <typename T> void accumulate(T *state, const T *x, int64_t n) const {
    if constexpr (std::is_same_v<T, double>)
      if (monoid == Monoid::Sum) {
        for (int64_t i = 0; i < n; ++i)
          state[i] += x[i];
        return;
      }
    for (int64_t i = 0; i < n; ++i)
      merge(state[i], x[i]);
  }

  /// Keys come in ascending order, so the first best is the smallest.
  void bestKey(std::vector<int64_t> &out) {
    bool greatest = monoid == Monoid::ArgMax;
    bool isFloat = inputs[0]->isFloat();
    Lanes lanes;
    forKept(widestKept(), [&](int64_t offset, SmallVectorImpl<Key> &keys,
                              int64_t stride, int64_t n) {
      std::vector<double> bestF(n);
      std::vector<int64_t> bestI(n), key(n, 0);
      for (int64_t at = 0; at < folded[0]; ++at) {
        keys.back() = {at, 0, nullptr};
        load(0, keys, n, lanes);
        for (int64_t i = 0; i < n; ++i) {
          bool better = at == 0;
          if (isFloat)
            better |= greatest ? lanes.f()[i] > bestF[i]
                               : lanes.f()[i] < bestF[i];
          else
            better |= greatest ? lanes.i()[i] > bestI[i]
                               : lanes.i()[i] < bestI[i];
          if (!better)
            continue;
          key[i] = at;
          if (isFloat)
            bestF[i] = lanes.f()[i];
          else
            bestI[i] = lanes.i()[i];
        }
      }
      for (int64_t i = 0; i < n; ++i)
        out[offset + i * stride] = key[i];
    });
  }

  /// False if the scores of a row are too near the constant of its mask.
  bool softmaxSum(std::vector<double> &out) {
    double least = op.leastPeak().value_or(-HUGE_VAL);
    bool apart = true;
    int lane = widestKept();
    bool perLane = lane >= 0 && uses(0, lane);
    Lanes scores, values;
    forKept(lane, [&](int64_t offset, SmallVectorImpl<Key> &keys,
                      int64_t stride, int64_t n) {
      int64_t m = perLane ? n : 1;
      std::vector<double> greatest(m, -HUGE_VAL), z(m, 0), sum(n, 0);
      forFolded(keys, [&] {
        load(0, keys, m, scores);
        for (int64_t i = 0; i < m; ++i) {
          double s = scores.f()[i];
          greatest[i] = s > greatest[i] || std::isnan(s) ? s : greatest[i];
        }
      });
      forFolded(keys, [&] {
        load(0, keys, m, scores);
        load(1, keys, n, values);
        for (int64_t i = 0; i < m; ++i) {
          scores.f()[i] = greatest[i] == -HUGE_VAL
                              ? 0
                              : std::exp(scores.f()[i] - greatest[i]);
          z[i] += scores.f()[i];
          apart &= !(greatest[i] <= least && z[i] > 0);
        }
        // A key of weight 0 is not there: its value may be anything.
        for (int64_t i = 0; i < n; ++i)
          if (double weight = scores.f()[perLane ? i : 0]; weight != 0)
            sum[i] += weight * values.f()[i];
      });
      for (int64_t i = 0; i < n; ++i) {
        double total = z[perLane ? i : 0];
        out[offset + i * stride] = total == 0 ? 0 : sum[i] / total;
      }
    });
    return apart;
  }

  Machine &machine;
  rel::AggregateOp op;
  Monoid monoid;
  Type element;
  std::vector<Node *> inputs;
  std::vector<std::string> columns; // kept, then folded
  std::vector<int64_t> kept, folded;
  std::vector<std::vector<int>> positions;
};
} // namespace

FailureOr<Relation> Machine::aggregate(rel::AggregateOp op) {
  return Fold(*this, op).run();
}
