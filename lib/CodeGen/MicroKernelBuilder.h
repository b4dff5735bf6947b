//===- MicroKernelBuilder.h - Shorthand for kernel generators ---*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_CODEGEN_MICROKERNELBUILDER_H
#define JOINERY_LIB_CODEGEN_MICROKERNELBUILDER_H

#include "joinery/CodeGen/Isa.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace joinery {

/// f32 elements in a cache line.
inline constexpr int64_t kCacheLine = 16;

/// Builds the body of one private kernel. Offsets and strides count f32
/// elements; loads and stores assume no more than the element's alignment.
class KernelBuilder {
public:
  using Value = mlir::Value;
  using Values = llvm::SmallVector<Value>;

  KernelBuilder(mlir::ModuleOp module, const Isa &isa, llvm::StringRef name)
      : b(mlir::NameLoc::get(mlir::StringAttr::get(module.getContext(), name)),
          module.getBodyRegion()),
        isa(isa), f32(b.getF32Type()), i64(b.getI64Type()),
        ptr(mlir::LLVM::LLVMPointerType::get(b.getContext())),
        vec(mlir::VectorType::get(isa.lanes, f32)), name(name) {}

  /// Opens a private function with these arguments, compiled for the level.
  mlir::func::FuncOp begin(mlir::TypeRange arguments) {
    auto func = mlir::func::FuncOp::create(
        b, name, b.getFunctionType(arguments, mlir::TypeRange()));
    func.setPrivate();
    setIsa(func, isa);
    // One copy serves all callers; inlined, it would compete for registers.
    auto attributes = llvm::to_vector(
        func->getAttrOfType<mlir::ArrayAttr>("passthrough").getValue());
    attributes.push_back(b.getStringAttr("noinline"));
    func->setAttr("passthrough", b.getArrayAttr(attributes));
    b.setInsertionPointToStart(func.addEntryBlock());
    return func;
  }
  void finish() { mlir::func::ReturnOp::create(b); }

  Value constant(int64_t value) {
    return mlir::arith::ConstantIntOp::create(b, i64, value);
  }
  Value add(Value x, Value y) { return mlir::arith::AddIOp::create(b, x, y); }
  Value add(Value x, int64_t y) { return y ? add(x, constant(y)) : x; }
  Value sub(Value x, Value y) { return mlir::arith::SubIOp::create(b, x, y); }
  Value mul(Value x, Value y) { return mlir::arith::MulIOp::create(b, x, y); }
  Value mul(Value x, int64_t y) { return mul(x, constant(y)); }
  Value min(Value x, Value y) { return mlir::arith::MinSIOp::create(b, x, y); }
  Value max(Value x, Value y) { return mlir::arith::MaxSIOp::create(b, x, y); }
  Value div(Value x, Value y) { return mlir::arith::DivSIOp::create(b, x, y); }
  /// x rounded down to a multiple of y.
  Value roundDown(Value x, int64_t y) {
    return mul(mlir::arith::DivSIOp::create(b, x, constant(y)), y);
  }
  Value ceilDiv(Value x, int64_t y) {
    return mlir::arith::DivSIOp::create(b, add(x, y - 1), constant(y));
  }
  Value ceilDiv(Value x, Value y) { return div(add(add(x, y), -1), y); }
  Value isNull(Value pointer) {
    return mlir::LLVM::ICmpOp::create(b, mlir::LLVM::ICmpPredicate::eq, pointer,
                                      mlir::LLVM::ZeroOp::create(b, ptr));
  }
  Value less(Value x, Value y) {
    return mlir::arith::CmpIOp::create(b, mlir::arith::CmpIPredicate::slt, x,
                                       y);
  }
  Value select(Value condition, Value x, Value y) {
    return mlir::arith::SelectOp::create(b, condition, x, y);
  }

  Value at(Value base, Value offset, mlir::Type element = {}) {
    return mlir::LLVM::GEPOp::create(
        b, ptr, element ? element : f32, base,
        mlir::ArrayRef<mlir::LLVM::GEPArg>(offset));
  }
  Value at(Value base, int64_t offset) {
    if (offset == 0)
      return base;
    return mlir::LLVM::GEPOp::create(
        b, ptr, f32, base,
        mlir::ArrayRef<mlir::LLVM::GEPArg>(static_cast<int32_t>(offset)));
  }
  /// The same pointer, of an origin that LLVM can't see. It would else rebuild
  /// the addresses of a tile from each other and run out of registers.
  Value opaque(Value pointer) {
    return mlir::LLVM::InlineAsmOp::create(
               b, ptr, pointer, /*asm_string=*/"", /*constraints=*/"=r,0",
               /*has_side_effects=*/false, /*is_align_stack=*/false,
               mlir::LLVM::TailCallKind::None, mlir::LLVM::AsmDialectAttr(),
               mlir::ArrayAttr())
        .getResult(0);
  }
  Value load(mlir::Type type, Value address) {
    return mlir::LLVM::LoadOp::create(b, type, address, /*alignment=*/4);
  }
  Value loadVector(Value address) { return load(vec, address); }
  void store(Value value, Value address) {
    mlir::LLVM::StoreOp::create(b, value, address, /*alignment=*/4);
  }
  Value zero() {
    return mlir::arith::ConstantOp::create(b, vec, b.getZeroAttr(vec));
  }
  /// The same 32 bits in all lanes.
  Value splat(uint32_t bits) {
    auto lanes = mlir::VectorType::get(isa.lanes, b.getI32Type());
    auto attr = b.getI32IntegerAttr(static_cast<int32_t>(bits));
    return mlir::arith::ConstantOp::create(
        b, lanes, mlir::DenseElementsAttr::get(lanes, mlir::Attribute(attr)));
  }
  /// The first (0) or second (1) bf16 of the pair in each lane as the bits of an
  /// f32, of which it is the upper half.
  Value half(Value pairs, int64_t which) {
    return which
               ? Value(mlir::arith::AndIOp::create(b, pairs, splat(0xffff0000)))
               : Value(mlir::arith::ShLIOp::create(b, pairs, splat(16)));
  }
  /// Fetches the cache line into level 2 and beyond.
  void prefetch(Value address) {
    mlir::LLVM::Prefetch::create(b, address, /*rw=*/0, /*hint=*/2, /*cache=*/1);
  }

  /// for (i = from; i < to; i += step) carried = body(i, carried)
  Values loop(Value from, Value to, Value step, mlir::ValueRange carried,
              llvm::function_ref<Values(Value, mlir::ValueRange)> body) {
    auto loop =
        mlir::scf::ForOp::create(b, from, to, step, carried,
                                 [&](mlir::OpBuilder &, mlir::Location loc,
                                     Value i, mlir::ValueRange values) {
                                   // The builder is `b` itself, inside the
                                   // loop.
                                   Values results = body(i, values);
                                   mlir::scf::YieldOp::create(b, loc, results);
                                 });
    return Values(loop.getResults());
  }
  Values loop(Value from, Value to, int64_t step, mlir::ValueRange carried,
              llvm::function_ref<Values(Value, mlir::ValueRange)> body) {
    return loop(from, to, constant(step), carried, body);
  }

  mlir::ImplicitLocOpBuilder b;
  const Isa &isa;
  mlir::Type f32, i64, ptr;
  mlir::VectorType vec;

private:
  std::string name;
};

} // namespace joinery

#endif // JOINERY_LIB_CODEGEN_MICROKERNELBUILDER_H
