//===- Context.h - The state of a run ---------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_CONTEXT_H
#define JOINERY_EXEC_CONTEXT_H

#include "runtime/Exec/Model.h"
#include "runtime/Exec/RunPlan.h"
#include "runtime/Exec/StepCall.h"
#include "runtime/Exec/ThreadPool.h"

#include <atomic>
#include <memory>
#include <vector>

namespace joinery::runtime {

/// Runs a model. One thread at a time may call it; a second one is refused.
class Context {
public:
  struct Options {
    uint32_t threads = 1;
    bool grow = false;
    void *workspace = nullptr;
    uint64_t workspaceBytes = 0;
    jn_trace_fn trace = nullptr;
    void *traceData = nullptr;
    /// The caller's threads, if it has a function.
    jn_thread_pool pool = {};
  };

  Context(std::shared_ptr<const Model> model, const Options &options);
  ~Context();

  Status reserve(const DLTensor *inputs, size_t count);
  Status reservePacked(const PackedBatch &batch, const DLTensor *inputs,
                       size_t count);
  Status run(const DLTensor *inputs, size_t inputCount, DLTensor *outputs,
             size_t outputCount);
  /// A run on packed tokens: all inputs but the mask.
  Status runPacked(const PackedBatch &batch, const DLTensor *inputs,
                   size_t inputCount, DLTensor *outputs, size_t outputCount);
  Status setTrace(jn_trace_fn trace, void *data);

  uint64_t workspaceBytes() const {
    return options.workspace ? options.workspaceBytes : memory.size();
  }
  uint32_t threads() const { return options.threads; }

private:
  /// Marks the context as busy; its status is an error if it was already.
  class InUse {
  public:
    explicit InUse(std::atomic<bool> &flag)
        : flag(flag), mine(!flag.exchange(true, std::memory_order_acquire)) {}
    ~InUse() {
      if (mine)
        flag.store(false, std::memory_order_release);
    }
    Status status() const {
      if (mine)
        return {};
      return {JN_INVALID_ARGUMENT,
              "the context is in use by another thread; make one per thread"};
    }

  private:
    std::atomic<bool> &flag;
    bool mine;
  };

  Status runBound(const DLTensor *inputs, DLTensor *outputs,
                  size_t outputCount);
  Status ensureWorkspace(bool grow);
  Status prepareInput(size_t input, const DLTensor &tensor);
  Status prepareInputs(const DLTensor *inputs);
  Status scanInput(size_t input);
  Status prepareOutputs(DLTensor *outputs, size_t count);
  Status preparePackedInputs(const DLTensor *inputs);
  Status spreadTokens(size_t input, const DLTensor &tensor, char *to);
  void fillMask(char *to) const;
  void locateBuffers(DLTensor *outputs);
  void locatePackedOutputs(DLTensor *outputs);
  void copyPackedOutputs(DLTensor *outputs) const;
  Status execute();
  Status runSteps(Team &team);
  Status runStep(Team &team, size_t number);
  void mapWeights(const Step &step) const;
  Status checkJobs(const Step &step, uint32_t jobs) const;
  void traceStep(size_t number, uint64_t ns, int64_t tasks,
                 uint32_t threads) const;
  Status define(const Step &step, bool ran);
  std::string placeOf(const std::vector<Expr> &dims, int64_t position) const;
  Status faultStatus(const JnFault &fault, size_t step) const;
  Status maskStatus(const Check &check, const JnFault &fault,
                    size_t step) const;
  Status finishOutputs(DLTensor *outputs) const;
  /// The workers of the process's that the context counts on.
  uint32_t ownWorkers() const {
    return options.pool.parallel ? 0 : options.threads - 1;
  }
  char *workspace() const {
    return static_cast<char *>(options.workspace ? options.workspace
                                                 : memory.data());
  }

  std::shared_ptr<const Model> model;
  const Program &program;
  const Level &level;
  Options options;
  RunPlan runPlan;
  WorkspaceMemory memory;
  std::atomic<bool> inUse{false};

  /// This run's: symbols, data of inputs, and addresses of buffers.
  std::vector<int64_t> symbols;
  std::vector<const void *> inputData;
  std::vector<void *> bufferData;
  /// The operands of all steps, one after the other.
  std::vector<void *> operands;
  std::vector<size_t> firstOperand;
  /// The caller's capacity, per output.
  std::vector<int64_t> capacities;
  /// One per worker.
  std::vector<WorkerReport> reports;
  /// Counts the steps of all runs.
  uint64_t round = 0;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_CONTEXT_H
