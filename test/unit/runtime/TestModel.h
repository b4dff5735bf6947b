//===- TestModel.h - Compiled models made by hand ---------------*- C++ -*-===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef JOINERY_TEST_UNIT_RUNTIME_TESTMODEL_H
#define JOINERY_TEST_UNIT_RUNTIME_TESTMODEL_H

#include "joinery/runtime/joinery.h"

#include "program_generated.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace joinery::test {

namespace prog = joinery::program;

/// A directory that is removed with all that is in it.
class TempDir {
public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir &) = delete;
  TempDir &operator=(const TempDir &) = delete;
  std::string operator/(const std::string &name) const;

private:
  std::string path;
};

std::string readFile(const std::string &path);
void writeFile(const std::string &path, const std::string &bytes);

using ExprPtr = std::unique_ptr<prog::ExprT>;
ExprPtr constant(int64_t value);
ExprPtr symbol(int64_t number);
/// `a op b`
ExprPtr binary(prog::Opcode op, ExprPtr a, ExprPtr b);
ExprPtr times(ExprPtr a, ExprPtr b);

std::unique_ptr<prog::TensorT> tensor(const std::string &name,
                                      prog::DType dtype);
void addDim(prog::TensorT &tensor, ExprPtr extent, const std::string &name);

/// Appends an expression, a buffer, or a level and gives its number.
uint32_t addExpr(prog::ProgramT &program, ExprPtr expr);
uint32_t addBuffer(prog::ProgramT &program, prog::BufferKind kind,
                   int32_t index, ExprPtr bytes);
/// Appends a step with the next kernel's number.
void addStep(prog::ProgramT &program, const std::string &name,
             const std::vector<uint32_t> &operands);

/// What a level says about one kernel; what is left out is 0. A program in which
/// no kernel has a grain and shares memory is as before ABI 2.
struct KernelFacts {
  ExprPtr tasks, scratch, flops, grain, shared;
  /// The most workers, tasks of the phases before and after, and the fewest for a
  /// worker without phases: all of them for all kernels, or none.
  std::vector<ExprPtr> sharing;
  std::vector<ExprPtr> bytes;
};
void addLevel(prog::ProgramT &program, const std::string &name,
              std::vector<KernelFacts> kernels);

/// x[n] to y[n], of int64, in one step; `facts` gives what each level says of it.
prog::ProgramT stepProgram(const std::string &name,
                           const std::function<KernelFacts()> &facts);

/// After `step`, `symbol` is the int64 at buffer[index].
void addDefinition(prog::ProgramT &program, uint32_t step, uint32_t symbol,
                   uint32_t buffer, ExprPtr index);

/// An object that owns what its descriptor points to.
struct TestObject {
  std::vector<uint8_t> program;
  std::vector<JnKernel> kernels;
  std::vector<JnLevel> levels;
  JnObject object = {};

  TestObject() = default;
  TestObject(const TestObject &) = delete;
  /// Packs the program and describes it, for the levels avx2 and avx512.
  void build(const prog::ProgramT &source);
};

/// y[b,s] = table[ids[b,s]] * x[b,s] * mask[b,s], in three steps, with checks:
/// ids in [0, 100), mask binary, s at most 64. Writes the store if `path` is
/// given, and remembers its hash.
enum { kTableRows = 100, kMaxLength = 64 };
prog::ProgramT lookupProgram(const std::string &storePath);
std::vector<JnKernel> lookupKernels();
float tableValue(int64_t row);
/// Makes the object for `program`; both levels have the same kernels.
void makeObject(const prog::ProgramT &program, std::vector<JnKernel> kernels,
                TestObject &object);

/// A row-major array on the heap with its DLTensor.
template <typename T> struct Tensor {
  std::vector<int64_t> shape;
  std::vector<T> values;

  Tensor() = default;
  explicit Tensor(std::vector<int64_t> dims) : shape(std::move(dims)) {
    int64_t count = 1;
    for (int64_t dim : shape)
      count *= dim;
    values.resize(size_t(count));
  }
  DLTensor view() {
    DLTensor result = {};
    result.data = values.data();
    result.device = {kDLCPU, 0};
    result.ndim = int(shape.size());
    result.dtype.code = std::is_floating_point_v<T> ? kDLFloat
                        : std::is_signed_v<T>       ? kDLInt
                                                    : kDLUInt;
    result.dtype.bits = uint8_t(8 * sizeof(T));
    result.dtype.lanes = 1;
    result.shape = shape.data();
    return result;
  }
};

} // namespace joinery::test

#endif // JOINERY_TEST_UNIT_RUNTIME_TESTMODEL_H
