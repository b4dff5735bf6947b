//===- KernelEmitter.h - Values of relations as loops and vectors -*- C++ -*-=//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel's body is a pure expression over stored relations. The emitter
// answers one question: the value of a relation at given keys. Keys are
// expressions over atoms (loop variables, looked-up indices, and at most one
// lane: a variable that takes a vector's worth of consecutive values at once).
// Offsets into storage are formed symbolically and simplified, so a view
// through any chain of rekeys becomes a plain, contiguous load where it is one.
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CONVERSION_PIPETOLOOPS_KERNELEMITTER_H
#define JOINERY_LIB_CONVERSION_PIPETOLOOPS_KERNELEMITTER_H

#include "dialects/Pipe/Pipe.h"
#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include <functional>

namespace joinery::lowering {

/// The keys at which a relation is read: one expression per column.
using Keys = std::map<std::string, SymExpr>;

class KernelEmitter {
public:
  /// Starts the function `name` with the kernel ABI (see runtime/abi.h) in
  /// `module`. `checks` numbers the run-time checks of the kernel's lookups and
  /// masks.
  KernelEmitter(mlir::ModuleOp module, pipe::KernelOp kernel, const Isa &isa,
                llvm::StringRef name,
                const std::map<std::string, int64_t> &symbolNumbers,
                llvm::function_ref<int64_t(mlir::Operation *)> checkNumber);
  /// Ends the function.
  mlir::func::FuncOp finish();

  mlir::OpBuilder b;
  mlir::Location loc;
  const Isa &target;
  pipe::KernelOp kernel;
  /// Whether the kernel compares or rounds floats, or casts them to integers.
  const bool discretizes;
  mlir::func::FuncOp function;
  /// Arguments of the call: the tasks, the worker's scratch memory, the memory
  /// that workers share, how many they are, and the phase.
  mlir::Value begin, end, scratch, shared, workers, phase, out;

  //===--- Scalars --------------------------------------------------------===//
  mlir::Value index(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value ceilDiv(mlir::Value a, int64_t by);
  mlir::Value ceilDiv(mlir::Value a, mlir::Value by);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value a,
                      mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// `pointer` advanced by `elements` of `type`.
  mlir::Value offset(mlir::Value pointer, mlir::Value elements,
                     mlir::Type type);
  /// Asks for the line at `address`, to be read from the cache of level 1 or 2.
  void prefetch(mlir::Value address, int64_t level);
  using LoopBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      mlir::Value iv, mlir::ValueRange carried)>;
  /// for (iv = from; iv < to; iv += step); gives the carried values.
  llvm::SmallVector<mlir::Value> loop(mlir::Value from, mlir::Value to,
                                      mlir::Value step,
                                      mlir::ValueRange carried, LoopBody body);
  /// Does `body` where `condition` holds.
  void when(mlir::Value condition, llvm::function_ref<void()> body);

  //===--- Atoms and expressions ------------------------------------------===//
  /// A fresh atom `#...` with this value in [0, bound).
  SymExpr atom(mlir::Value value, std::optional<SymExpr> bound);
  /// Splits row number `row` into the keys of `columns` (the last the fastest).
  void splitRow(const SymExpr &row, llvm::ArrayRef<rel::Column> columns,
                Keys &keys);
  /// The value of an expression: i64, or a vector where it varies by lane.
  mlir::Value value(const SymExpr &expr);
  mlir::Value keyDigit(const SymExpr::Atom &atom, mlir::Value x, mlir::Value y);
  std::optional<SymExpr> bound(llvm::StringRef symbol);

  //===--- Lanes ----------------------------------------------------------===//
  /// Runs `body` for the lane taking every value of [from, to), a vector at a
  /// time. `from` must be a multiple of the vector length.
  llvm::SmallVector<mlir::Value>
  laneLoop(mlir::Value from, mlir::Value to, bool whole,
           std::optional<SymExpr> bound, mlir::ValueRange carried,
           llvm::function_ref<llvm::SmallVector<mlir::Value>(
               SymExpr lane, mlir::ValueRange carried)>
               body);
  /// Runs `body` once, for the vector whose lane takes the values from `first` on;
  /// those from `end` on, if given, are masked.
  void laneVector(mlir::Value first, mlir::Value end,
                  std::optional<SymExpr> bound,
                  llvm::function_ref<void(SymExpr lane)> body);
  bool inLane() const { return !lane.empty(); }
  mlir::Value laneMask() const { return mask; }
  mlir::VectorType vectorOf(mlir::Type element);
  mlir::Value broadcast(mlir::Value value);
  /// True if the expression takes different values in the lanes.
  bool variesByLane(const SymExpr &expr);

  //===--- Storage --------------------------------------------------------===//
  /// The offset in elements of `keys` in a relation stored as `type` says.
  SymExpr storageOffset(rel::RelType type, const Keys &keys);
  mlir::Value load(mlir::Value pointer, const SymExpr &offset,
                   mlir::Type element);
  void store(mlir::Value value, mlir::Value pointer, const SymExpr &offset,
             mlir::Type element);
  mlir::Value bufferOf(mlir::BlockArgument argument);
  /// Zeros in the first `lanes` of `count` rows of f32, `pitch` apart: whole vectors.
  void zeroRows(mlir::Value rows, mlir::Value count, int64_t pitch,
                int64_t lanes);

  //===--- Relations ------------------------------------------------------===//
  /// The value of `relation` at `keys`: a scalar, or a vector over the lanes.
  mlir::Value evaluate(mlir::Value relation, const Keys &keys);
  /// Evaluates now what `relation` at `keys` needs and the lane does not
  /// change, so that the lane's loop finds it.
  void hoist(mlir::Value relation, const Keys &keys);
  /// What stands for the lane in the keys that `hoist` takes.
  SymExpr futureLane(const SymExpr &bound);
  /// Where the value of a relation comes from while it is set: scratch memory.
  std::map<void *, std::function<mlir::Value(const Keys &)>> overrides;

  /// Where the parts of unions over the lane end among `lanes` lanes, at keys with
  /// a future lane: between two ends each is one part.
  std::set<int64_t> partEnds(mlir::Value relation, const Keys &keys,
                             int64_t lanes);

  /// Values found inside are forgotten at the end.
  struct Scope {
    explicit Scope(KernelEmitter &e) : e(e) { e.scopes.emplace_back(); }
    ~Scope() { e.scopes.pop_back(); }
    KernelEmitter &e;
  };

  /// Scratch memory: the offset in bytes of a new piece, 64-byte aligned.
  SymExpr allocateScratch(const SymExpr &bytes);
  /// The address of a new piece for so many elements of 32 bits.
  mlir::Value allocateElements(const SymExpr &elements);
  SymExpr scratchBytes;

  /// Reports a row of a masked softmax_sum whose greatest score is too near the
  /// mask's constant. `total` is its sum of weights; `keys` are the row's.
  void checkMask(rel::AggregateOp op, mlir::Value greatest, mlir::Value total,
                 const Keys &keys);

  /// Adds to the call's counters (JnCounters).
  void count(mlir::Value flops, mlir::Value bytes);

  mlir::Value constant(mlir::Type type, double value);
  /// The greatest of a vector's lanes, their sum …, in a fixed order.
  mlir::Value reduceLanes(rel::Monoid monoid, mlir::Value vector);
  mlir::Value combine(rel::Monoid monoid, mlir::Value a, mlir::Value b);
  mlir::Value identity(rel::Monoid monoid, mlir::Type element);

private:
  struct Atom {
    mlir::Value value; // i64, or a vector of i64
    std::optional<SymExpr> bound;
    bool isVector;
  };
  friend struct Scope;

  mlir::Value evaluateUncached(mlir::Value relation, const Keys &keys);
  mlir::Value evaluateJoin(rel::JoinOp op, const Keys &keys);
  mlir::Value safeDivision(mlir::Operation *division);
  mlir::Value floorDivision(mlir::Operation *division);
  mlir::Value evaluateRekey(rel::RekeyOp op, const Keys &keys);
  mlir::Value evaluateLookup(rel::LookupOp op, const Keys &keys);
  mlir::Value evaluateAggregate(rel::AggregateOp op, const Keys &keys);
  mlir::Value evaluateSoftmaxSum(rel::AggregateOp op, const Keys &keys);
  mlir::Value evaluateUnion(rel::UnionOp op, const Keys &keys);
  void findPartEnds(mlir::Value relation, const Keys &keys,
                    std::set<int64_t> &ends);
  /// The only part that a union's key can lie in, and the keys at which it is
  /// read; null if there may be several.
  std::pair<mlir::Value, Keys> onlyPart(rel::UnionOp op, const Keys &keys);
  mlir::Value evaluateUnpack(rel::UnpackOp op, const Keys &keys);
  /// The keys at which a pack reads its input.
  Keys packedKeys(rel::PackOp op, const Keys &keys);
  /// The atom that was made for `key` in a scope around, or a new one.
  SymExpr cachedAtom(const std::string &key,
                     llvm::function_ref<SymExpr()> make);
  /// The packed row of key number `flat`, and the condition that it is kept.
  std::pair<SymExpr, mlir::Value> rowOf(rel::UnpackOp op, const SymExpr &flat);
  Keys rekeyed(rel::RekeyOp op, const Keys &keys);
  /// `body` evaluated where `condition` holds, `otherwise` elsewhere.
  mlir::Value guarded(mlir::Value condition, mlir::Value otherwise,
                      llvm::function_ref<mlir::Value()> body);
  /// Null if the key is provably in range.
  mlir::Value inRange(const SymExpr &key, const SymExpr &extent);
  SymExpr lookupKey(rel::LookupOp op, llvm::StringRef name, mlir::Value index,
                    const Keys &keys);
  void reportFault(int64_t check, mlir::Value bad, mlir::Value value,
                   mlir::Value position);
  SymExpr positionOf(mlir::Value index, const Keys &keys);
  std::string cacheKey(mlir::Value relation, const Keys &keys);
  SymExpr laneRelative(const SymExpr &expr);
  mlir::Value symbolValue(llvm::StringRef symbol);

  const std::map<std::string, int64_t> &symbolNumbers;
  llvm::function_ref<int64_t(mlir::Operation *)> checkNumber;
  mlir::Value buffersPointer, symbolsPointer, faultPointer, countersPointer;
  std::map<std::string, Atom> atoms;
  std::map<std::string, mlir::Value> symbols;
  llvm::DenseMap<mlir::Value, mlir::Value> buffers;
  std::vector<std::map<std::string, mlir::Value>> scopes;
  std::vector<std::map<std::string, SymExpr>> atomScopes;
  std::string lane, laneBase; // atoms of the present lane, or empty
  mlir::Value mask;           // of the present lane's loop, or null
  int nextAtom = 0;
};

/// The columns that number the rows of a softmax_sum's scores.
llvm::SmallVector<rel::Column> maskRows(rel::AggregateOp op);

/// offset with a*(x floordiv a) + x mod a written as x.
SymExpr joinDigits(const SymExpr &expr);

/// An offset at `keys`, columns without one at 0.
SymExpr startOf(const SymExpr &offset, const Keys &keys);

} // namespace joinery::lowering

#endif
