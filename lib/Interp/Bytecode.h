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

/// What arithmetic asks of an element type. MLIR's queries take longer than the
/// arithmetic itself.
struct Format {
  enum Kind { F64, F32, F16, BF16, OtherFloat, Integer };
  Kind kind = Integer;
  int bits = 64;
  bool isUnsigned = false; // i1 too: it is held as 0 and 1

  Format() = default;
  Format(mlir::Type type);
  bool isFloat() const { return kind != Integer; }
};

/// The integer that the format holds for `x`, which wraps.
inline int64_t wrapTo(int64_t x, Format format) {
  int unused = 64 - format.bits;
  uint64_t high = static_cast<uint64_t>(x) << unused;
  return format.isUnsigned ? static_cast<int64_t>(high >> unused)
                           : static_cast<int64_t>(high) >> unused;
}
/// The values that the format holds for `x`, to nearest even.
void roundLanes(double *x, int64_t n, Format format);
/// Conversion to an integer saturates; NaN gives 0.
int64_t toInteger(double x, Format format);

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
  Format from, to;
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
