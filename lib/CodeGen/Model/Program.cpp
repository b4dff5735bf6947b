//===- Program.cpp - The executable plan ----------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Pipe/Pipe.h"
#include "lib/CodeGen/Model/Model.h"
#include "lib/CodeGen/Model/PackProgram.h"
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
  void push(const SymExpr &e, std::vector<prog::Instr> &code);
  std::unique_ptr<prog::TensorT> tensor(Type type, ArrayAttr shape,
                                        StringRef name);
  std::unique_ptr<prog::PlanT> plan(const LoweredLevel &level);
  void checks(prog::ProgramT &program);

  func::FuncOp function;
  const LoweredModule &lowered;
  std::map<std::string, int64_t> symbols;
  llvm::DenseMap<StringAttr, int64_t> kernels;
};
} // namespace

static std::optional<prog::DType> dtypeOf(Type type) {
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
  if (type.isInteger(16))
    return prog::DType::I16;
  if (type.isInteger(8))
    return prog::DType::I8;
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

std::unique_ptr<prog::TensorT>
ProgramBuilder::tensor(Type type, ArrayAttr shape, StringRef name) {
  auto result = std::make_unique<prog::TensorT>();
  result->name = name.str();
  result->dtype = *dtypeOf(cast<RelType>(type).getElementType());
  for (StringRef text : shape.getAsValueRange<StringAttr>()) {
    SymExpr extent = *SymExpr::parse(text);
    result->dims.push_back(expr(extent));
    auto symbol = extent.asSymbol();
    result->dim_names.push_back(symbol          ? symbol->substr(1)
                                : extent.isConst() ? ""
                                                   : extent.str());
  }
  return result;
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

void ProgramBuilder::checks(prog::ProgramT &program) {
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

std::unique_ptr<prog::PlanT> ProgramBuilder::plan(const LoweredLevel &level) {
  auto plan = std::make_unique<prog::PlanT>();
  plan->level = level.isa->name;
  llvm::DenseMap<Value, int32_t> buffers;
  auto buffer = [&](Value value, prog::BufferKind kind, int32_t index,
                    int32_t step) {
    auto type = cast<RelType>(value.getType());
    auto entry = std::make_unique<prog::BufferT>();
    entry->kind = kind;
    entry->index = index;
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
                             ? SymExpr::floorDiv(type.extentOf(name) +
                                                     SymExpr(width - 1),
                                                 width)
                             : SymExpr(width));
      }
    }
    entry->bytes = expr(bytes);
    entry->first_step = entry->last_step = step;
    buffers[value] = plan->buffers.size();
    plan->buffers.push_back(std::move(entry));
  };
  Block &body = function.getBody().front();
  for (BlockArgument argument : body.getArguments())
    buffer(argument, prog::BufferKind::Input, argument.getArgNumber(), 0);
  int32_t tables = 0;
  std::map<std::string, int> names;
  Operation *end = body.getTerminator();
  for (Operation &op : body) {
    if (auto table = dyn_cast<MaterializeOp>(op)) {
      buffer(table.getResult(), prog::BufferKind::Weight, tables++, 0);
      continue;
    }
    auto run = dyn_cast<pipe::RunOp>(op);
    if (!run)
      continue;
    int32_t number = plan->steps.size();
    int32_t output = -1;
    for (auto [i, result] : llvm::enumerate(end->getOperands()))
      if (result == run.getResult())
        output = i;
    buffer(run.getResult(),
           output < 0 ? prog::BufferKind::Workspace : prog::BufferKind::Output,
           output, number);
    auto step = std::make_unique<prog::StepT>();
    step->kernel = kernels.lookup(run.getKernelAttr().getAttr());
    const LoweredKernel &kernel = level.kernels[step->kernel];
    for (Value input : run.getInputs()) {
      int32_t operand = buffers.lookup(input);
      step->operands.push_back(operand);
      plan->buffers[operand]->last_step = number;
    }
    step->operands.push_back(buffers.lookup(run.getResult()));
    std::string name = nodeName(run.getLoc());
    if (name.empty())
      name = run.getKernel().str();
    if (int repeat = names[name]++)
      name += "#" + std::to_string(repeat);
    step->name = name;
    step->tasks = expr(kernel.tasks);
    step->scratch = expr(kernel.scratch);
    step->flops = expr(kernel.flops);
    step->bytes = expr(kernel.bytes);
    plan->steps.push_back(std::move(step));
  }
  return plan;
}

llvm::Expected<std::string>
ProgramBuilder::run(const std::string &storeHash, const ModelOptions &options) {
  prog::ProgramT program;
  program.name = options.name;
  program.compiler = options.compiler;
  program.store_hash = storeHash;
  program.precision = options.precision;
  for (const std::string &symbol : lowered.symbols) {
    auto entry = std::make_unique<prog::SymbolT>();
    entry->name = symbol;
    program.symbols.push_back(std::move(entry));
  }
  auto refuse = [](StringRef what, StringRef name, Type type) {
    std::string text;
    llvm::raw_string_ostream(text)
        << what << " '" << name << "' holds " << type
        << ", which the runtime has no array type for";
    return llvm::createStringError(text);
  };
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    Type type = function.getArgument(i).getType();
    StringRef name = function.getArgAttrOfType<StringAttr>(i, "rel.name");
    if (!dtypeOf(cast<RelType>(type).getElementType()))
      return refuse("input", name, cast<RelType>(type).getElementType());
    program.inputs.push_back(tensor(
        type, function.getArgAttrOfType<ArrayAttr>(i, "rel.shape"), name));
  }
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    Type type = function.getResultTypes()[i];
    StringRef name = function.getResultAttrOfType<StringAttr>(i, "rel.name");
    if (!dtypeOf(cast<RelType>(type).getElementType()))
      return refuse("output", name, cast<RelType>(type).getElementType());
    program.outputs.push_back(tensor(
        type, function.getResultAttrOfType<ArrayAttr>(i, "rel.shape"), name));
  }
  checks(program);
  for (const LoweredLevel &level : lowered.levels)
    program.plans.push_back(plan(level));
  return packProgram(program);
}

llvm::Expected<std::string>
joinery::buildProgram(ModuleOp fused, const LoweredModule &lowered,
                      const std::string &storeHash,
                      const ModelOptions &options) {
  return ProgramBuilder(fused, lowered).run(storeHash, options);
}
