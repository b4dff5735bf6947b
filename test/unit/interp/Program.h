//===- Program.h - Parses and runs plans in tests ---------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_INTERP_PROGRAM_H
#define JOINERY_TEST_UNIT_INTERP_PROGRAM_H

#include "joinery/Interp/Interp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"

/// A parsed module whose `@main` is run on relations.
struct Program {
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string diagnostics;

  explicit Program(llvm::StringRef text) {
    context.loadDialect<joinery::rel::RelDialect, mlir::arith::ArithDialect,
                        mlir::math::MathDialect, mlir::func::FuncDialect>();
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &d) {
      diagnostics += d.str() + "\n";
    });
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  }
  mlir::func::FuncOp main() {
    return module->lookupSymbol<mlir::func::FuncOp>("main");
  }
  mlir::FailureOr<std::vector<joinery::Relation>>
  run(llvm::ArrayRef<joinery::Relation> arguments = {},
      const joinery::InterpOptions &options = {}) {
    return joinery::interpret(main(), arguments, options);
  }
  /// What `@main` returns first.
  mlir::Value result() {
    return main().getBody().front().getTerminator()->getOperand(0);
  }
};

inline std::vector<double> floats(const joinery::Relation &relation) {
  return std::get<0>(relation.values);
}
inline std::vector<int64_t> integers(const joinery::Relation &relation) {
  return std::get<1>(relation.values);
}

#endif // JOINERY_TEST_UNIT_INTERP_PROGRAM_H
