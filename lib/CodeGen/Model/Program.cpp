//===- Program.cpp - The executable plan ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Pipe/Pipe.h"
#include "lib/CodeGen/Model/Model.h"
#include "lib/CodeGen/Model/Packing.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "program_generated.h"

using namespace mlir;
using namespace joinery;
using namespace joinery::rel;
namespace prog = joinery::program;

namespace {
class ProgramBuilder {
public:
  ProgramBuilder(ModuleOp fused, const LoweredModule &lowered)
      : function(fused.lookupSymbol<func::FuncOp>("main")), lowered(lowered) {
    for (auto [i, symbol] : llvm::enumerate(lowered.symbols))
      symbols["?" + symbol] = i;
    int64_t number = 0;
    for (auto kernel : fused.getOps<pipe::KernelOp>())
      kernels[kernel.getSymNameAttr()] = number++;
  }
  llvm::Expected<std::string> run(const std::string &storeHash,
                                  const ModelOptions &options);

private:
  std::unique_ptr<prog::ExprT> expr(const SymExpr &e);
  uint32_t number(const SymExpr &e);
  void push(const SymExpr &e, std::vector<prog::Instr> &code);
  llvm::Expected<std::unique_ptr<prog::TensorT>>
  tensor(StringRef what, Type type, DictionaryAttr facts);
  void buffer(Value value, prog::BufferKind kind, int32_t index);
  void step(pipe::RunOp run, const std::string &name);
  void steps();
  void defines();
  void level(const LoweredLevel &level);
  void checks();
  void maskNodes(const KernelCheck &check, prog::CheckT &entry);

  func::FuncOp function;
  const LoweredModule &lowered;
  std::map<std::string, int64_t> symbols;
  llvm::DenseMap<StringAttr, int64_t> kernels;

  prog::ProgramT program;
  std::map<std::string, uint32_t> numbers;
  llvm::DenseMap<Value, uint32_t> buffers;
  std::string lastName;
};
} // namespace

/// Relations are signless: the border says what the model's file calls them.
static std::optional<prog::DType> dtypeOf(Type type, bool isUnsigned) {
  if (type.isF32())
    return prog::DType::F32;
  if (type.isF64())
    return prog::DType::F64;
  if (type.isF16())
    return prog::DType::F16;
  if (type.isBF16())
    return prog::DType::BF16;
  if (type.isInteger(64))
    return prog::DType::I64;
  if (type.isInteger(32))
    return prog::DType::I32;
  if (type.isInteger(16) && !isUnsigned)
    return prog::DType::I16;
  if (type.isInteger(8))
    return isUnsigned ? prog::DType::U8 : prog::DType::I8;
  if (type.isInteger(1))
    return prog::DType::Bool;
  return std::nullopt;
}

static int64_t bytesOf(Type type) {
  return std::max<int64_t>(1, type.getIntOrFloatBitWidth() / 8);
}

void ProgramBuilder::push(const SymExpr &e, std::vector<prog::Instr> &code) {
  using prog::Opcode;
  auto emit = [&](Opcode op, int64_t imm) {
    code.push_back(prog::Instr(op, imm));
  };
  if (!e.isValid()) {
    // No run has a value for it: dividing by 0 says so.
    emit(Opcode::Const, 1);
    emit(Opcode::Const, 0);
    emit(Opcode::FloorDiv, 0);
    return;
  }
  if (e.terms().empty()) {
    emit(Opcode::Const, 0);
    return;
  }
  bool first = true;
  for (const auto &[monomial, coefficient] : e.terms()) {
    bool started = false;
    if (coefficient != 1 || monomial.empty()) {
      emit(Opcode::Const, coefficient);
      started = true;
    }
    for (const SymExpr::Atom &atom : monomial) {
      if (atom.kind == SymExpr::Atom::Symbol) {
        emit(Opcode::Symbol, symbols.at(atom.text));
      } else {
        push(*atom.lhs, code);
        push(*atom.rhs, code);
        emit(atom.kind == SymExpr::Atom::FloorDiv ? Opcode::FloorDiv
             : atom.kind == SymExpr::Atom::Mod    ? Opcode::Mod
             : atom.kind == SymExpr::Atom::Min    ? Opcode::Min
                                                  : Opcode::Max,
             0);
      }
      if (started)
        emit(Opcode::Mul, 0);
      started = true;
    }
    if (!first)
      emit(Opcode::Add, 0);
    first = false;
  }
}

std::unique_ptr<prog::ExprT> ProgramBuilder::expr(const SymExpr &e) {
  auto result = std::make_unique<prog::ExprT>();
  push(e, result->code);
  return result;
}

/// The number of an expression that structs refer to: equal ones exist once.
uint32_t ProgramBuilder::number(const SymExpr &e) {
  auto [it, fresh] = numbers.try_emplace(e.str(), program.exprs.size());
  if (fresh)
    program.exprs.push_back(expr(e));
  return it->second;
}

llvm::Expected<std::unique_ptr<prog::TensorT>>
ProgramBuilder::tensor(StringRef what, Type type, DictionaryAttr facts) {
  auto result = std::make_unique<prog::TensorT>();
  result->name = facts.getAs<StringAttr>("rel.name").str();
  Type element = cast<RelType>(type).getElementType();
  auto dtype = dtypeOf(element, facts.contains("rel.unsigned"));
  if (!dtype) {
    std::string text;
    llvm::raw_string_ostream(text)
        << what << " '" << result->name << "' holds " << element
        << ", which the runtime has no array type for";
    return llvm::createStringError(text);
  }
  result->dtype = *dtype;
  auto shape = facts.getAs<ArrayAttr>("rel.shape");
  for (StringRef text : shape.getAsValueRange<StringAttr>()) {
    SymExpr extent = *SymExpr::parse(text);
    result->dims.push_back(expr(extent));
    auto symbol = extent.asSymbol();
    result->dim_names.push_back(symbol          ? symbol->substr(1)
                                : extent.isConst() ? ""
                                                   : extent.str());
  }
  return std::move(result);
}

int64_t joinery::borderCheckCount(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  int64_t count = 0;
  if (auto checks = function->getAttrOfType<ArrayAttr>("rel.checks"))
    count += checks.size();
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    count += bool(function.getArgAttr(i, "rel.binary"));
  return count;
}

void ProgramBuilder::checks() {
  auto add = [&](prog::CheckKind kind, const SymExpr &lhs, const SymExpr &rhs,
                 std::string message) {
    auto check = std::make_unique<prog::CheckT>();
    check->kind = kind;
    check->lhs = expr(lhs);
    check->rhs = expr(rhs);
    check->message = std::move(message);
    program.checks.push_back(std::move(check));
    return program.checks.back().get();
  };
  if (auto list = function->getAttrOfType<ArrayAttr>("rel.checks"))
    for (auto entry : list.getAsRange<DictionaryAttr>()) {
      StringRef kind = entry.getAs<StringAttr>("kind").getValue();
      auto side = [&](StringRef name) {
        auto text = entry.getAs<StringAttr>(name);
        return text ? *SymExpr::parse(text.getValue()) : SymExpr(0);
      };
      add(kind == "equal"     ? prog::CheckKind::Equal
          : kind == "at_most" ? prog::CheckKind::AtMost
                              : prog::CheckKind::NonZero,
          side("lhs"), side("rhs"),
          entry.getAs<StringAttr>("message").getValue().str());
    }
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, "rel.binary")) {
      std::string name =
          function.getArgAttrOfType<StringAttr>(i, "rel.name").str();
      add(prog::CheckKind::Binary, 0, 2,
          "input '" + name +
              "' is used as a mask and must hold only 0 and 1")
          ->input = i;
      if (program.mask_input < 0)
        program.mask_input = i;
    }
  for (const KernelCheck &check : lowered.checks) {
    if (check.isMask) {
      maskNodes(check, *add(prog::CheckKind::Mask, 0, 0, check.message));
      continue;
    }
    auto *entry = add(prog::CheckKind::InRange, SymExpr(0) - check.limit,
                      check.limit, check.message);
    // The check is the input's only if every run of the kernel reads that one.
    std::set<int> inputs;
    for (auto run : function.getBody().front().getOps<pipe::RunOp>()) {
      if (run.getKernel() != check.kernel)
        continue;
      auto argument =
          check.operand < 0
              ? BlockArgument()
              : dyn_cast<BlockArgument>(run.getInputs()[check.operand]);
      inputs.insert(argument ? int(argument.getArgNumber()) : -1);
    }
    if (inputs.size() == 1)
      entry->input = *inputs.begin();
  }
}

/// What a message about a row of scores names: the row's keys and the node.
void ProgramBuilder::maskNodes(const KernelCheck &check, prog::CheckT &entry) {
  for (const SymExpr &extent : check.rows)
    entry.rows.push_back(expr(extent));
  uint32_t step = 0;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>()) {
    auto node = run->getAttrOfType<StringAttr>(kMaskNode);
    if (node && run.getKernel() == check.kernel) {
      entry.steps.push_back(step);
      entry.nodes.push_back(node.str());
    }
    ++step;
  }
}

void ProgramBuilder::buffer(Value value, prog::BufferKind kind,
                            int32_t index) {
  auto type = cast<RelType>(value.getType());
  SymExpr bytes(bytesOf(type.getElementType()));
  for (StringRef digit : type.getLayout().getAsValueRange<StringAttr>()) {
    // A panel's digits: the number of panels times their width.
    auto [name, block] = digit.split(digit.contains('/') ? '/' : '%');
    int64_t width = 0;
    if (block.empty()) {
      bytes = bytes * type.extentOf(name);
    } else {
      block.getAsInteger(10, width);
      bytes = bytes * (digit.contains('/')
                           ? SymExpr::ceilDiv(type.extentOf(name), width)
                           : SymExpr(width));
    }
  }
  buffers[value] = program.buffers.size();
  program.buffers.emplace_back(index, number(bytes), kind);
}

void ProgramBuilder::step(pipe::RunOp run, const std::string &name) {
  size_t prefix = 0, most = std::min(name.size(), lastName.size());
  while (prefix < most && name[prefix] == lastName[prefix])
    ++prefix;
  program.step_names += name.substr(prefix);
  lastName = name;
  for (Value input : run.getInputs())
    program.operands.push_back(buffers.lookup(input));
  program.operands.push_back(buffers.lookup(run.getResult()));
  program.steps.emplace_back(kernels.lookup(run.getKernelAttr().getAttr()),
                             run.getInputs().size() + 1, prefix,
                             name.size() - prefix);
}

void ProgramBuilder::steps() {
  // The runtime takes names of up to 1000 bytes; some are left for the number.
  constexpr size_t longest = 980;
  Block &body = function.getBody().front();
  for (BlockArgument argument : body.getArguments())
    buffer(argument, prog::BufferKind::Input, argument.getArgNumber());
  int32_t tables = 0;
  std::map<std::string, int> names;
  Operation *end = body.getTerminator();
  for (Operation &op : body) {
    if (auto table = dyn_cast<MaterializeOp>(op)) {
      buffer(table.getResult(), prog::BufferKind::Weight, tables++);
      continue;
    }
    auto run = dyn_cast<pipe::RunOp>(op);
    if (!run)
      continue;
    int32_t output = -1;
    for (auto [i, result] : llvm::enumerate(end->getOperands()))
      if (result == run.getResult())
        output = i;
    buffer(run.getResult(),
           output < 0 ? prog::BufferKind::Workspace : prog::BufferKind::Output,
           output);
    std::string name = nodeName(run.getLoc());
    if (name.empty())
      name = run.getKernel().str();
    if (name.size() > longest)
      name.resize(longest);
    if (int repeat = names[name]++)
      name += "#" + std::to_string(repeat);
    step(run, name);
  }
}

void ProgramBuilder::defines() {
  llvm::DenseMap<Operation *, uint32_t> steps;
  for (auto run : function.getBody().front().getOps<pipe::RunOp>())
    steps.insert({run, steps.size()});
  for (DefinedSymbol &defined : definedSymbols(function)) {
    int64_t symbol = symbols.at("?" + defined.symbol);
    program.symbols[symbol]->bound = expr(defined.bound);
    program.defines.emplace_back(steps.lookup(defined.run), symbol,
                                 buffers.lookup(defined.run.getResult()),
                                 number(defined.bound));
  }
}

void ProgramBuilder::level(const LoweredLevel &level) {
  auto result = std::make_unique<prog::LevelT>();
  result->name = level.isa->name;
  for (const LoweredKernel &kernel : level.kernels) {
    result->kernels.emplace_back(number(kernel.tasks), number(kernel.scratch),
                                 number(kernel.fixedFlops),
                                 kernel.fixedBytes.size());
    result->grains.push_back(number(kernel.grain));
    result->shared.push_back(number(kernel.shared));
    for (const SymExpr &expr :
         {kernel.workers, kernel.prepare, kernel.finish, kernel.alone})
      result->sharing.push_back(number(expr));
    for (const SymExpr &bytes : kernel.fixedBytes)
      result->operand_bytes.push_back(number(bytes));
  }
  program.levels.push_back(std::move(result));
}

llvm::Expected<std::string>
ProgramBuilder::run(const std::string &storeHash, const ModelOptions &options) {
  program.name = options.name;
  program.compiler = options.compiler;
  program.store_hash = storeHash;
  program.precision = options.precision;
  for (const std::string &symbol : lowered.symbols) {
    auto entry = std::make_unique<prog::SymbolT>();
    entry->name = symbol;
    program.symbols.push_back(std::move(entry));
  }
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto input = tensor("input", function.getArgument(i).getType(),
                        function.getArgAttrDict(i));
    if (!input)
      return input.takeError();
    program.inputs.push_back(std::move(*input));
  }
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    auto output = tensor("output", function.getResultTypes()[i],
                         function.getResultAttrDict(i));
    if (!output)
      return output.takeError();
    program.outputs.push_back(std::move(*output));
  }
  checks();
  steps();
  defines();
  program.packing = describePacking(function, symbols, buffers);
  for (const LoweredLevel &lowered : this->lowered.levels)
    level(lowered);
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(prog::Program::Pack(builder, &program),
                 prog::ProgramIdentifier());
  return std::string(reinterpret_cast<const char *>(builder.GetBufferPointer()),
                     builder.GetSize());
}

llvm::Expected<std::string>
joinery::buildProgram(ModuleOp fused, const LoweredModule &lowered,
                      const std::string &storeHash,
                      const ModelOptions &options) {
  return ProgramBuilder(fused, lowered).run(storeHash, options);
}
