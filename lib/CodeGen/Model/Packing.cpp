//===- Packing.cpp - How a model takes packed tokens ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Selection pushdown leaves one step that ranks the rows that a mask keeps, and
// steps that spread packed rows over padded outputs. A run on packed tokens
// makes the mask from the sequences' lengths and leaves those last steps out.
//
//===----------------------------------------------------------------------===//

#include "lib/CodeGen/Model/Packing.h"

#include "dialects/Pipe/Pipe.h"
#include "joinery/Conversion/Conversion.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;
namespace prog = joinery::program;

namespace {
class PackingFinder {
public:
  PackingFinder(func::FuncOp function,
                const std::map<std::string, int64_t> &symbols,
                const llvm::DenseMap<Value, uint32_t> &buffers)
      : function(function), symbols(symbols), buffers(buffers),
        packing(std::make_unique<prog::PackingT>()) {}

  std::unique_ptr<prog::PackingT> run() {
    if (findMask() && findTokens())
      findOutputs();
    return std::move(packing);
  }

private:
  bool refuse(const Twine &why) {
    packing->refusal = why.str();
    return false;
  }
  pipe::KernelOp kernelOf(pipe::RunOp run) {
    return symbolTables.lookupNearestSymbolFrom<pipe::KernelOp>(
        run, run.getKernelAttr());
  }
  std::string inputName(unsigned i) {
    return function.getArgAttrOfType<StringAttr>(i, "rel.name").str();
  }
  bool findMask();
  bool findKept(RankOp rank, BlockArgument mask);
  std::optional<bool> rowForEachToken(ArrayAttr shape) const;
  bool findTokens();
  bool findOutputs();
  Value packedRows(pipe::RunOp run);

  func::FuncOp function;
  SymbolTableCollection symbolTables;
  const std::map<std::string, int64_t> &symbols;
  const llvm::DenseMap<Value, uint32_t> &buffers;
  std::unique_ptr<prog::PackingT> packing;
  std::string batch, sequence;
  Value rank; // what the rank step stores
};
} // namespace

/// The value before renamings of its columns.
static Value renamedFrom(Value value) {
  while (auto rekey = value.getDefiningOp<RekeyOp>()) {
    // A key alone is a name; anything else has blanks or is no key.
    for (StringRef key : rekey.getExprs().getAsValueRange<StringAttr>())
      if (!key.starts_with("#") || key.contains(' '))
        return value;
    value = rekey.getInput();
  }
  return value;
}

/// What a 0/1 value must be for a condition of it alone to be true; nothing if
/// that is not plain to see.
static std::optional<int> trueFor(JoinOp join) {
  Block &body = join.getBody().front();
  Value result = body.getTerminator()->getOperand(0);
  bool negated = false;
  if (auto flip = result.getDefiningOp<arith::XOrIOp>();
      flip && matchPattern(flip.getRhs(), m_One())) {
    negated = true;
    result = flip.getLhs();
  }
  if (result == body.getArgument(0))
    return negated ? 0 : 1;
  auto constant = [](Value value) -> std::optional<int> {
    if (matchPattern(value, m_Zero()) || matchPattern(value, m_AnyZeroFloat()))
      return 0;
    if (matchPattern(value, m_One()) || matchPattern(value, m_OneFloat()))
      return 1;
    return std::nullopt;
  };
  std::optional<int> with;
  bool equal = false;
  if (auto compare = result.getDefiningOp<arith::CmpIOp>();
      compare && compare.getLhs() == body.getArgument(0)) {
    equal = compare.getPredicate() == arith::CmpIPredicate::eq;
    if (equal || compare.getPredicate() == arith::CmpIPredicate::ne)
      with = constant(compare.getRhs());
  } else if (auto compare = result.getDefiningOp<arith::CmpFOp>();
             compare && compare.getLhs() == body.getArgument(0)) {
    using P = arith::CmpFPredicate;
    P predicate = compare.getPredicate();
    equal = predicate == P::OEQ || predicate == P::UEQ;
    if (equal || predicate == P::ONE || predicate == P::UNE)
      with = constant(compare.getRhs());
  }
  if (!with)
    return std::nullopt;
  return (*with != 0) == (equal != negated) ? 1 : 0;
}

/// Is it `operand`, or other rows beside?
static bool addsRows(JoinOp join, unsigned operand) {
  Block &body = join.getBody().front();
  auto either =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::OrIOp>();
  return either && either.getLhs() == body.getArgument(operand) &&
         join.getInputs().size() > 1;
}

bool PackingFinder::findMask() {
  pipe::RunOp ranks;
  RankOp op;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>())
    for (auto found : kernelOf(run).getBody().front().getOps<RankOp>()) {
      if (ranks)
        return refuse("more than one mask selects rows");
      ranks = run;
      op = found;
    }
  if (!ranks)
    return refuse("no mask selects the rows that are computed");
  rank = ranks.getResult();
  BlockArgument mask;
  for (auto [input, argument] :
       llvm::zip(ranks.getInputs(),
                 kernelOf(ranks).getBody().front().getArguments())) {
    auto border = dyn_cast<BlockArgument>(input);
    if (!border || !function.getArgAttr(border.getArgNumber(), "rel.binary"))
      continue;
    if (mask)
      return refuse("inputs '" + inputName(packing->mask) + "' and '" +
                    inputName(border.getArgNumber()) +
                    "' select rows together");
    packing->mask = border.getArgNumber();
    mask = argument;
  }
  if (!mask)
    return refuse("what selects rows is no input of zeros and ones");
  auto shape =
      function.getArgAttrOfType<ArrayAttr>(packing->mask, "rel.shape");
  SmallVector<StringRef> dims(shape.getAsValueRange<StringAttr>());
  if (dims.size() != 2 || dims[0] == dims[1] || !symbols.count(dims[0].str()) ||
      !symbols.count(dims[1].str()))
    return refuse("the dimensions of input '" + inputName(packing->mask) +
                  "' are not a batch and a sequence of any size");
  batch = dims[0].str();
  sequence = dims[1].str();
  return findKept(op, mask);
}

/// Finds which tokens the mask keeps, and whether there are rows for others.
bool PackingFinder::findKept(RankOp op, BlockArgument mask) {
  RelType where = op.getWhere().getType();
  SmallVector<StringRef> over(op.getOver().getAsValueRange<StringAttr>());
  bool ordered = over.size() == 2 && where.extentOf(over[0]).str() == batch &&
                 where.extentOf(over[1]).str() == sequence;
  JoinOp condition;
  bool plain = ordered;
  for (JoinOp join : mask.getOwner()->getOps<JoinOp>())
    for (auto [i, input] : llvm::enumerate(join.getInputs()))
      if (renamedFrom(input) == mask && !addsRows(join, i)) {
        plain &= !condition && join.getInputs().size() == 1;
        condition = join;
      }
  std::optional<int> kept = 1;
  if (condition && plain)
    kept = trueFor(condition);
  else if (!cast<RelType>(mask.getType()).getElementType().isInteger(1))
    plain = false;
  if (!plain || !kept)
    return refuse("input '" + inputName(packing->mask) +
                  "' selects rows in a way that packing would change");
  packing->kept = *kept;
  Value base = condition ? condition.getResult() : Value(mask);
  if (renamedFrom(op.getWhere()) == base)
    for (DefinedSymbol &defined : definedSymbols(function))
      if (defined.run.getResult() == rank)
        packing->rows = symbols.at("?" + defined.symbol);
  return true;
}

/// True for [batch, sequence, ...], false without a sequence; nothing for
/// anything else.
std::optional<bool> PackingFinder::rowForEachToken(ArrayAttr shape) const {
  bool has = false;
  bool leads = shape.size() >= 2;
  for (auto [i, text] : llvm::enumerate(shape.getAsValueRange<StringAttr>())) {
    std::set<std::string> used;
    SymExpr::parse(text)->collect(used);
    has |= used.count(sequence);
    if (i < 2)
      leads &= text == (i ? sequence : batch);
    else
      leads &= used.empty();
  }
  if (!has)
    return false;
  return leads ? std::optional(true) : std::nullopt;
}

bool PackingFinder::findTokens() {
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    if (int(i) == packing->mask)
      continue;
    auto each = rowForEachToken(
        function.getArgAttrOfType<ArrayAttr>(i, "rel.shape"));
    if (!each)
      return refuse("input '" + inputName(i) +
                    "' has the sequence's dimension, but not a row for each "
                    "token");
    if (*each)
      packing->tokens.push_back(i);
  }
  return true;
}

/// The stored rows that a step spreads over its result, if it does only that.
Value PackingFinder::packedRows(pipe::RunOp run) {
  Block &body = kernelOf(run).getBody().front();
  auto stored = body.getTerminator()->getOperand(0)
                    .getDefiningOp<MaterializeOp>();
  auto unpack =
      stored ? stored.getInput().getDefiningOp<UnpackOp>() : UnpackOp();
  auto rows = unpack ? dyn_cast<BlockArgument>(unpack.getInput())
                     : BlockArgument();
  auto by = unpack ? dyn_cast<BlockArgument>(unpack.getRank())
                   : BlockArgument();
  if (!rows || !by || run.getInputs()[by.getArgNumber()] != rank)
    return {};
  // The rows lie as they do in the output.
  auto digits = [](Type type) {
    return llvm::to_vector(
        cast<RelType>(type).getLayout().getAsValueRange<StringAttr>());
  };
  SmallVector<StringRef> packed = digits(rows.getType());
  SmallVector<StringRef> padded = digits(stored.getResult().getType());
  SmallVector<StringRef> over(unpack.getOver().getAsValueRange<StringAttr>());
  if (over.size() != 2 || packed.empty() || packed[0] != unpack.getRow() ||
      padded.size() != packed.size() + 1 || padded[0] != over[0] ||
      padded[1] != over[1] ||
      ArrayRef(packed).drop_front() != ArrayRef(padded).drop_front(2))
    return {};
  Value source = run.getInputs()[rows.getArgNumber()];
  return source.getDefiningOp<pipe::RunOp>() ? source : Value();
}

bool PackingFinder::findOutputs() {
  Operation *end = function.getBody().front().getTerminator();
  llvm::DenseMap<Operation *, int32_t> steps;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>())
    steps.insert({run, int32_t(steps.size())});
  std::set<int32_t> bound;
  for (auto [i, result] : llvm::enumerate(end->getOperands())) {
    std::string name =
        function.getResultAttrOfType<StringAttr>(i, "rel.name").str();
    auto each = rowForEachToken(
        function.getResultAttrOfType<ArrayAttr>(i, "rel.shape"));
    if (!each)
      return refuse("output '" + name +
                    "' has the sequence's dimension, but not a row for each "
                    "token");
    if (!*each)
      continue;
    auto run = result.getDefiningOp<pipe::RunOp>();
    Value rows = packing->rows >= 0 && run && result.hasOneUse()
                     ? packedRows(run)
                     : Value();
    bool alone = rows && !llvm::is_contained(end->getOperands(), rows) &&
                 bound.insert(buffers.lookup(rows)).second;
    packing->outputs.emplace_back(
        i, alone ? steps.lookup(run) : -1,
        alone ? int32_t(buffers.lookup(rows)) : -1);
  }
  return true;
}

std::unique_ptr<prog::PackingT>
joinery::describePacking(func::FuncOp function,
                         const std::map<std::string, int64_t> &symbols,
                         const llvm::DenseMap<Value, uint32_t> &buffers) {
  return PackingFinder(function, symbols, buffers).run();
}
