//===- joinery-opt.cpp - Runs passes over textual IR ----------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "joinery/Optimize/Passes.h"
#include "joinery/Pipelines/Pipelines.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  joinery::registerDialects(registry);
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  joinery::optimize::registerOptimizePasses();
  joinery::registerPhasePasses();
  joinery::registerCodeGenPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "Joinery's optimiser driver\n", registry));
}
