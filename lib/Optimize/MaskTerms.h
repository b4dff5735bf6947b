//===- MaskTerms.h - The masks among the terms of a score -------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_LIB_OPTIMIZE_MASKTERMS_H
#define JOINERY_LIB_OPTIMIZE_MASKTERMS_H

#include "Laws.h"

namespace joinery::optimize {

/// A scalar as a function of one binary value; constants have no binary value.
struct BinaryFunction {
  mlir::Value binary;
  mlir::Attribute yes, no;
  /// The binary value is a region argument that is 0 or 1 by assumption.
  bool assumed = false;
};

/// Evaluates scalars of a region at both values of one binary value.
class BinaryAnalysis {
public:
  std::optional<BinaryFunction> of(mlir::Value value);

private:
  std::optional<BinaryFunction> compute(mlir::Value value);
  std::optional<BinaryFunction> fold(mlir::Operation *op);

  llvm::DenseMap<mlir::Value, std::optional<BinaryFunction>> known;
};

/// A condition under which a key stays, as a scalar of the region.
struct Keep {
  mlir::Value binary;
  bool assumed, negated;
};

/// Takes masks out of the terms of a score.
class MaskTerms {
public:
  explicit MaskTerms(bool keepFinite) : keepFinite(keepFinite) {}

  llvm::SmallVector<mlir::Value> terms;
  llvm::SmallVector<Keep> keeps;
  /// The greatest constant that the run must find far below the kept scores,
  /// and whether some such constant takes a score's place.
  std::optional<double> mask;
  bool fills = false;

  void strip(mlir::Value value);

private:
  std::optional<Keep> additive(mlir::Value term);
  void addCondition(mlir::Value condition, bool negated);
  bool removes(std::optional<double> constant) const;
  void noteConstant(double constant, bool takesPlace);

  BinaryAnalysis analysis;
  bool keepFinite;
};

/// The terms of a sum.
void flattenSum(mlir::Value value, llvm::SmallVectorImpl<mlir::Value> &terms);

/// A conjunction of conditions is several conditions (De Morgan for negated
/// disjunctions): each keeps only the columns that it depends on.
void splitConjunction(Keep keep, llvm::SmallVectorImpl<Keep> &out);

} // namespace joinery::optimize

#endif // JOINERY_LIB_OPTIMIZE_MASKTERMS_H
