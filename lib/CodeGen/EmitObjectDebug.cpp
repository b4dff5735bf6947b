//===- EmitObjectDebug.cpp - Line tables that name ONNX nodes -------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A node takes the place of a source file: a debugger or profiler shows an
// address as `/encoder/layer.0/MatMul:1`, in the kernel's function.
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/BinaryFormat/Dwarf.h"

using namespace mlir;

namespace joinery {

/// The first name in a location, or null.
static StringAttr findName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName();
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (StringAttr name = findName(part))
        return name;
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return findName(call.getCallee());
  return {};
}

void addLineTables(ModuleOp llvmModule, StringRef name) {
  MLIRContext *context = llvmModule.getContext();
  auto unique = [&] { return DistinctAttr::create(UnitAttr::get(context)); };
  auto file = LLVM::DIFileAttr::get(context, (name + ".onnx").str(), "");
  auto unit = LLVM::DICompileUnitAttr::get(
      unique(), llvm::dwarf::DW_LANG_C, file,
      StringAttr::get(context, "joinery"), /*isOptimized=*/true,
      LLVM::DIEmissionKind::LineTablesOnly);
  auto type = LLVM::DISubroutineTypeAttr::get(context, {});
  for (auto func : llvmModule.getOps<LLVM::LLVMFuncOp>()) {
    if (func.isExternal() ||
        func.getLoc()->findInstanceOf<FusedLocWith<LLVM::DISubprogramAttr>>())
      continue;
    auto subprogram = LLVM::DISubprogramAttr::get(
        context, unique(), unit, file, func.getSymNameAttr(),
        func.getSymNameAttr(), file, /*line=*/1, /*scopeLine=*/1,
        LLVM::DISubprogramFlags::Definition |
            LLVM::DISubprogramFlags::Optimized,
        type, /*retainedNodes=*/{}, /*annotations=*/{});
    StringAttr fallback = findName(func.getLoc());
    if (!fallback)
      fallback = func.getSymNameAttr();

    llvm::DenseMap<StringAttr, Location> places;
    auto place = [&](StringAttr node) -> Location {
      auto known = places.find(node);
      if (known != places.end())
        return known->second;
      auto nodeFile =
          LLVM::DIFileAttr::get(context, node, StringAttr::get(context, ""));
      auto scope =
          LLVM::DILexicalBlockFileAttr::get(context, subprogram, nodeFile, 0);
      Location line = FileLineColLoc::get(node, 1, 1);
      Location made = FusedLoc::get(context, {line}, scope);
      places.try_emplace(node, made);
      return made;
    };
    func.getBody().walk([&](Operation *op) {
      StringAttr node = findName(op->getLoc());
      op->setLoc(place(node ? node : fallback));
    });
    func->setLoc(FusedLoc::get(
        context, {FileLineColLoc::get(file.getName(), 1, 1)}, subprogram));
  }
}

} // namespace joinery
