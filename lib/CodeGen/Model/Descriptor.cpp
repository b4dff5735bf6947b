//===- Descriptor.cpp - What a generated object exports -------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/runtime/abi.h"
#include "lib/CodeGen/Model/Model.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace joinery;

std::string joinery::descriptorSymbol(StringRef name) {
  return (name + "_joinery_object").str();
}
std::string joinery::descriptorFunction(StringRef name) {
  return (name + "_joinery_get_object").str();
}

namespace {
/// Builds constant globals: their initialisers are small regions of inserts.
class GlobalBuilder {
public:
  explicit GlobalBuilder(ModuleOp module)
      : module(module), b(module.getContext()), loc(module.getLoc()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}

  LLVM::GlobalOp bytes(StringRef name, StringRef value) {
    b.setInsertionPointToEnd(module.getBody());
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), value.size());
    return LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true,
                                  LLVM::Linkage::Private, name,
                                  b.getStringAttr(value), /*alignment=*/64);
  }

  /// A constant of `type` whose fields are what `fields` gives.
  LLVM::GlobalOp record(StringRef name, Type type, LLVM::Linkage linkage,
                        function_ref<SmallVector<Value>()> fields) {
    b.setInsertionPointToEnd(module.getBody());
    auto global = LLVM::GlobalOp::create(b, loc, type, true, linkage, name,
                                         Attribute(), /*alignment=*/8);
    b.createBlock(&global.getInitializerRegion());
    Value value = LLVM::UndefOp::create(b, loc, type);
    for (auto [i, field] : llvm::enumerate(fields()))
      value = LLVM::InsertValueOp::create(b, loc, value, field,
                                          ArrayRef<int64_t>{int64_t(i)});
    LLVM::ReturnOp::create(b, loc, value);
    return global;
  }

  Value address(LLVM::GlobalOp global) {
    return LLVM::AddressOfOp::create(b, loc, global);
  }
  Value function(StringRef name) {
    return LLVM::AddressOfOp::create(b, loc, pointer, name);
  }
  Value integer(unsigned bits, uint64_t value) {
    return LLVM::ConstantOp::create(b, loc, b.getIntegerType(bits),
                                    b.getIntegerAttr(b.getIntegerType(bits),
                                                     value));
  }

  ModuleOp module;
  OpBuilder b;
  Location loc;
  Type pointer;
};
} // namespace

void joinery::addDescriptor(const LoweredModule &lowered,
                            const std::string &program,
                            const ModelOptions &options) {
  ModuleOp module = *lowered.module;
  GlobalBuilder g(module);
  Type i32 = g.b.getI32Type(), i64 = g.b.getI64Type();
  MLIRContext *context = g.b.getContext();
  auto programGlobal = g.bytes("joinery.program", program);
  auto nameGlobal = g.bytes("joinery.name", options.name + std::string(1, 0));

  auto levelType = LLVM::LLVMStructType::getLiteral(
      context, {g.pointer, g.pointer, i64});
  SmallVector<LLVM::GlobalOp> names, tables;
  for (const LoweredLevel &level : lowered.levels) {
    const std::string &isa = level.isa->name;
    names.push_back(g.bytes("joinery.level." + isa, isa + std::string(1, 0)));
    auto type = LLVM::LLVMArrayType::get(g.pointer, level.kernels.size());
    tables.push_back(g.record("joinery.kernels." + isa, type,
                              LLVM::Linkage::Private, [&] {
                                SmallVector<Value> entries;
                                for (const auto &kernel : level.kernels)
                                  entries.push_back(
                                      g.function(kernel.function));
                                return entries;
                              }));
  }
  auto levelsType =
      LLVM::LLVMArrayType::get(levelType, lowered.levels.size());
  auto levelsGlobal =
      g.record("joinery.levels", levelsType, LLVM::Linkage::Private, [&] {
        SmallVector<Value> entries;
        for (auto [i, level] : llvm::enumerate(lowered.levels)) {
          Value entry = LLVM::UndefOp::create(g.b, g.loc, levelType);
          Value fields[] = {g.address(names[i]), g.address(tables[i]),
                            g.integer(64, level.kernels.size())};
          for (int64_t f = 0; f < 3; ++f)
            entry = LLVM::InsertValueOp::create(g.b, g.loc, entry, fields[f],
                                                ArrayRef<int64_t>{f});
          entries.push_back(entry);
        }
        return entries;
      });
  auto objectType = LLVM::LLVMStructType::getLiteral(
      context, {i32, i32, i64, g.pointer, g.pointer, i64, g.pointer, i64});
  auto object = g.record(
      descriptorSymbol(options.name), objectType, LLVM::Linkage::External,
      [&] {
        return SmallVector<Value>{
            g.integer(32, JN_OBJECT_MAGIC), g.integer(32, JN_ABI_VERSION),
            g.integer(64, sizeof(JnObject)), g.address(nameGlobal),
            g.address(programGlobal), g.integer(64, program.size()),
            g.address(levelsGlobal), g.integer(64, lowered.levels.size())};
      });
  g.b.setInsertionPointToEnd(module.getBody());
  auto getter = LLVM::LLVMFuncOp::create(
      g.b, g.loc, descriptorFunction(options.name),
      LLVM::LLVMFunctionType::get(g.pointer, {}));
  Block *entry = getter.addEntryBlock(g.b);
  g.b.setInsertionPointToStart(entry);
  Value address = g.address(object);
  LLVM::ReturnOp::create(g.b, g.loc, address);
}
