//===- TileCompileTool.cpp - Compiles a model for emulated tiles ----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   joinery-tile-compile MODEL PREFIX PRECISION
//
// Compiles for one level, called avx2 so that any runtime takes it,
// whose contractions are on tiles. To be run with the emulator preloaded.
//
//===----------------------------------------------------------------------===//

#include "TileLevel.h"
#include "joinery/Pipelines/Pipelines.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"

using namespace joinery;

int main(int argc, char **argv) {
  if (argc != 4) {
    llvm::errs() << "usage: joinery-tile-compile MODEL PREFIX PRECISION\n";
    return int(Outcome::Usage);
  }
  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  CompileOptions options;
  options.input = argv[1];
  options.prefix = argv[2];
  options.precision = argv[3];
  options.artifacts = {Artifact::Shared, Artifact::Store};
  options.isas = {test::tilesOnAvx2("avx2")};
  return int(compileModel(&context, options));
}
