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

/// Sequences one after the other: number i has the tokens from offsets[i] to
/// offsets[i + 1].
struct PackedBatch {
  const int64_t *offsets = nullptr;
  int64_t sequences = 0;
  /// Of the longest one; at least 1.
  int64_t length = 1;
  int64_t tokens = 0;

  /// Checks the caller's offsets.
  static Status read(const int64_t *offsets, uint64_t sequences,
                     PackedBatch &batch);
};

/// Symbols, sizes and places of one run. It keeps the last plan: binding the
/// same shapes again costs no planning. Only its constructor allocates, unless
/// an error is reported.
class RunPlan {
public:
  RunPlan(const Model &model, uint32_t threads);

  /// Checks the inputs' shapes, binds the symbols and checks the obligations
  /// over them.
  Status bind(const DLTensor *inputs, size_t count);
  /// The same for packed tokens: all inputs but the mask. The offsets must live
  /// until the next bind.
  Status bindPacked(const PackedBatch &batch, const DLTensor *inputs,
                    size_t count);
  /// The batch of a run on packed tokens; null if tokens are padded.
  const PackedBatch *packedBatch() const { return packed ? &batch : nullptr; }
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
  /// Of a step: its tasks and their grain; the most workers that find enough to
  /// do; the tasks of the phases before and after, if it has any, and the fewest
  /// for each worker that need none; a worker's scratch and what workers share,
  /// in bytes.
  struct StepSizes {
    int64_t tasks = 0;
    int64_t grain = 1;
    int64_t workers = 1;
    int64_t prepare = 0;
    int64_t finish = 0;
    int64_t alone = INT64_MAX;
    uint64_t scratch = 0;
    uint64_t shared = 0;
  };
  const StepSizes &stepSizes(size_t step) const { return sizesOfSteps[step]; }
  /// The bytes that workers share, counters included; they begin after the
  /// scratch of the last worker.
  uint64_t sharedBytes(size_t step) const { return sizesOfSteps[step].shared; }
  uint64_t sharedOffset(size_t step) const {
    return scratchOffset(step) + scratchStride(step) * threads;
  }
  /// Worker w's scratch begins at scratchOffset + w * scratchStride.
  uint64_t scratchOffset(size_t step) const {
    return placements[sizes.size() + access.size() + step].offset;
  }
  uint64_t scratchStride(size_t step) const {
    return sizesOfSteps[step].scratch;
  }
  /// Do the sizes that the step has for these symbols fit into what was
  /// planned? Gives them.
  bool resize(size_t step, const int64_t *symbols, StepSizes &sizes) const;

  /// A packed run's input as the steps see it; what is made from packed tokens
  /// has no data.
  const DLTensor &paddedInput(size_t input) const {
    return paddedInputs[input];
  }
  /// What the caller's tokens need to be packed row-major.
  const InputAccess &packedInput(size_t input) const {
    return packedAccess[input];
  }
  /// An output as the caller gets it.
  const Border &outputBorder(size_t output) const {
    return packed ? program.packing.outputBorders[output]
                  : program.outputs[output];
  }

  /// A dimension of an output as the caller gets it; errors name it.
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
  Status placePackedOutputs();

  const Model &model;
  const Program &program;
  const Level &level;
  uint32_t threads;

  std::vector<int64_t> values;
  std::vector<char> bound;
  std::vector<InputAccess> access;
  std::vector<int64_t> sizes;
  bool sizesOf(size_t step, const int64_t *symbols, StepSizes &sizes) const;
  std::vector<StepSizes> sizesOfSteps;
  bool packed = false;
  PackedBatch batch;
  std::vector<DLTensor> paddedInputs;
  std::vector<std::vector<int64_t>> paddedShapes;
  std::vector<InputAccess> packedAccess;
  /// Buffers, then copies of inputs, then the steps' scratch.
  std::vector<Placement> placements;
  WorkspacePlanner planner;
  uint64_t total = 0;

  /// What `placements` was planned for.
  bool planned = false;
  bool plannedPacked = false;
  std::vector<int64_t> plannedValues;
  std::vector<char> plannedCopies;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_RUNPLAN_H
