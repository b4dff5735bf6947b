//===- RunPlan.h - What a run's shapes decide -------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_RUNPLAN_H
#define JOINERY_EXEC_RUNPLAN_H

#include "runtime/Exec/Model.h"
#include "runtime/Exec/Tensor.h"
#include "runtime/Exec/Workspace.h"

#include <vector>

namespace joinery::runtime {

/// Symbols, sizes and places of one run. It keeps the last plan: binding the
/// same shapes again costs no planning. Only its constructor allocates, unless
/// an error is reported.
class RunPlan {
public:
  RunPlan(const Model &model, uint32_t threads);

  /// Checks the inputs' shapes, binds the symbols and checks the obligations
  /// over them.
  Status bind(const DLTensor *inputs, size_t count);
  /// Sizes and places everything for the symbols that are bound.
  Status layout();

  uint64_t workspaceBytes() const { return total; }
  /// All symbols; those that steps define have their upper bounds.
  const std::vector<int64_t> &symbols() const { return values; }
  const InputAccess &input(size_t number) const { return access[number]; }
  int64_t bufferBytes(size_t buffer) const { return sizes[buffer]; }
  uint64_t bufferOffset(size_t buffer) const {
    return placements[buffer].offset;
  }
  /// Where the copy of an input goes.
  uint64_t copyOffset(size_t input) const {
    return placements[sizes.size() + input].offset;
  }
  int64_t tasks(size_t step) const { return stepTasks[step]; }
  /// Worker w's scratch begins at scratchOffset + w * scratchStride.
  uint64_t scratchOffset(size_t step) const {
    return placements[sizes.size() + access.size() + step].offset;
  }
  uint64_t scratchStride(size_t step) const { return stepScratch[step]; }

  /// A dimension of an output; errors name it.
  Status outputExtent(size_t output, size_t dim, const int64_t *symbols,
                      int64_t &extent) const;

private:
  Status bindDim(size_t input, size_t dim, int64_t extent);
  Status boundByOther(size_t input, size_t dim, int64_t extent) const;
  Status checkDims(const DLTensor *inputs) const;
  Status checkObligations(bool divisors) const;
  Status boundDefinedSymbols();
  Status sizeBuffers();
  Status sizeSteps();

  const Model &model;
  const Program &program;
  const Level &level;
  uint32_t threads;

  std::vector<int64_t> values;
  std::vector<char> bound;
  std::vector<InputAccess> access;
  std::vector<int64_t> sizes;
  std::vector<int64_t> stepTasks;
  std::vector<uint64_t> stepScratch;
  /// Buffers, then copies of inputs, then the steps' scratch.
  std::vector<Placement> placements;
  WorkspacePlanner planner;
  uint64_t total = 0;

  /// What `placements` was planned for.
  bool planned = false;
  std::vector<int64_t> plannedValues;
  std::vector<char> plannedCopies;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_RUNPLAN_H
