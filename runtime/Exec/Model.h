//===- Model.h - An open model ----------------------------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_EXEC_MODEL_H
#define JOINERY_EXEC_MODEL_H

#include "joinery/runtime/Status.h"
#include "runtime/Exec/Program.h"
#include "runtime/Store/StoreReader.h"

#include <memory>
#include <string>
#include <vector>

namespace joinery::runtime {

/// A program, the kernels of the chosen level, and the weights. Immutable once
/// it is open.
class Model {
public:
  struct Options {
    uint32_t flags = 0;
    /// "" for the best level; JOINERY_ISA overrides it.
    std::string isa;
    jn_log_fn log = nullptr;
    void *logData = nullptr;
  };

  /// Opens an object with its store; `storePath` may be null for a model
  /// without weights.
  static Status open(const JnObject *object, const char *storePath,
                     const Options &options, std::shared_ptr<Model> &model);
  /// Loads `path` (with or without ".so") and opens the object in it.
  static Status openShared(const std::string &path, const char *storePath,
                           const Options &options,
                           std::shared_ptr<Model> &model);
  ~Model();

  const Program &program() const { return decoded; }
  const Level &level() const { return *chosen; }
  JnKernel kernel(uint32_t number) const { return kernels[number]; }
  const void *weightData(uint32_t table) const {
    return store->tableData(table);
  }
  uint64_t weightBytes(uint32_t table) const {
    return store->tableBytes(table);
  }
  void makeResident(uint32_t table) const { store->makeResident(table); }
  bool isResident(uint32_t table) const { return store->isResident(table); }
  /// An error if the mapped store was cut since it was opened.
  Status checkStore() const { return store ? store->checkSize() : Status(); }
  uint64_t storeBytes() const { return store ? store->fileBytes() : 0; }

  /// What the queries of the C interface point into: one entry per dimension.
  const std::vector<std::vector<jn_dim>> &inputDims() const { return inDims; }
  const std::vector<std::vector<jn_dim>> &outputDims() const { return outDims; }

private:
  Model() = default;
  Status load(const JnObject &object, const char *storePath,
              const Options &options);
  Status chooseLevel(const JnObject &object, const Options &options);
  Status tryLevel(const JnObject &object, const std::string &name);
  Status openStore(const char *path, const Options &options);

  Program decoded;
  const Level *chosen = nullptr;
  const JnKernel *kernels = nullptr;
  std::unique_ptr<StoreReader> store;
  std::vector<std::vector<jn_dim>> inDims;
  std::vector<std::vector<jn_dim>> outDims;
  void *library = nullptr;
};

} // namespace joinery::runtime

#endif // JOINERY_EXEC_MODEL_H
