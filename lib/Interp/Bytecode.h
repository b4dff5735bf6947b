//===- Bytecode.h - Scalar regions over blocks of lanes ---------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_INTERP_BYTECODE_H
#define JOINERY_LIB_INTERP_BYTECODE_H

#include "KeyProgram.h"
#include "mlir/IR/Block.h"
#include "mlir/IR/Types.h"
#include "mlir/Support/LLVM.h"

namespace joinery::interp {

/// The value that `type` holds for `x`, to nearest even; integers wrap.
double roundTo(double x, mlir::Type type);
int64_t wrapTo(int64_t x, mlir::Type type);
/// The same for many values at once.
void roundLanes(double *x, int64_t n, mlir::Type type);
/// Conversion to an integer type saturates; NaN gives 0.
int64_t toInteger(double x, mlir::Type type);

/// Room for the values of one block: doubles or integers, never both.
class Lanes {
public:
  Lanes() : bytes(new std::byte[blockLanes * 8]) {}
  double *f() const { return reinterpret_cast<double *>(bytes.get()); }
  int64_t *i() const { return reinterpret_cast<int64_t *>(bytes.get()); }

private:
  std::unique_ptr<std::byte[]> bytes;
};

/// One operation of a region: result = kernel(a, b, c).
struct Step {
  void (*kernel)(const Step &, const std::vector<Lanes> &, int64_t n);
  unsigned result, a = 0, b = 0, c = 0;
  mlir::Type from, to;
  bool round = false;
};

/// A join's region, compiled once and run block by block.
class Bytecode {
public:
  /// Emits an error at the operation that has no interpretation.
  static mlir::FailureOr<Bytecode> compile(mlir::Block &block, bool roundSteps);

  unsigned numArguments() const { return arguments; }
  /// The register that argument `i` is loaded into before run().
  const Lanes &argument(unsigned i) const { return registers[i]; }
  /// Gives the register that holds the region's value.
  const Lanes &run(int64_t n) const;

private:
  std::vector<Lanes> registers;
  std::vector<Step> steps;
  unsigned arguments = 0, result = 0;
};

} // namespace joinery::interp

#endif // JOINERY_LIB_INTERP_BYTECODE_H
