//===- EmitObjectTest.cpp - Tests of objects and of linking ---------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/CodeGen/EmitObject.h"
#include "CompiledModule.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"

#include <dlfcn.h>

using namespace joinery;
using namespace joinery::test;

namespace {

class EmitObject : public testing::Test {
protected:
  void SetUp() override { context = makeContext(); }

  mlir::OwningOpRef<mlir::ModuleOp> parse(const char *text) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    EXPECT_TRUE(module);
    return module;
  }
  /// The code, or the error's text.
  std::string run(const char *text, const EmitOptions &options) {
    auto module = parse(text);
    if (failed(lowerToLLVM(*module)))
      return "lowering failed";
    auto code = emit(*module, options);
    if (!code)
      return llvm::toString(code.takeError());
    return std::string(code->data(), code->size());
  }

  std::unique_ptr<mlir::MLIRContext> context;
};

constexpr const char *kTwo = R"(
  func.func @answer() -> i64 {
    %0 = func.call @half() : () -> i64
    %1 = arith.addi %0, %0 : i64
    return %1 : i64
  }
  func.func @half() -> i64 {
    %0 = arith.constant 21 : i64
    return %0 : i64
  }
)";

// Tests that a shared object has what was exported, under its aliases too, and
// nothing else.
TEST_F(EmitObject, ExportsAndAliases) {
  EmitOptions options;
  options.exports = {"answer"};
  std::string object = run(kTwo, options);
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("joinery-test", "so", path));
  LinkOptions link;
  link.soname = "libanswer.so";
  link.aliases = {{"joinery_object", "answer"}};
  llvm::Error error = linkShared({object, "object"}, path, link);
  ASSERT_FALSE(bool(error)) << llvm::toString(std::move(error));
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  llvm::sys::fs::remove(path);
  ASSERT_NE(handle, nullptr) << dlerror();
  auto *answer = reinterpret_cast<int64_t (*)()>(dlsym(handle, "answer"));
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer(), 42);
  EXPECT_EQ(dlsym(handle, "joinery_object"), reinterpret_cast<void *>(answer));
  EXPECT_EQ(dlsym(handle, "half"), nullptr);
  dlclose(handle);
}

// Tests that objects don't ask for an executable stack.
TEST_F(EmitObject, StackNote) {
  std::string object = run(kTwo, {});
  auto file = llvm::object::ObjectFile::createELFObjectFile({object, "object"});
  ASSERT_TRUE(bool(file)) << object;
  bool found = false;
  for (const auto &section : (*file)->sections())
    found |= llvm::cantFail(section.getName()) == ".note.GNU-stack";
  EXPECT_TRUE(found);
}

// Tests the other kinds of output.
TEST_F(EmitObject, Text) {
  EmitOptions options;
  options.kind = EmitKind::Assembly;
  EXPECT_NE(run(kTwo, options).find("answer:"), std::string::npos);
  options.kind = EmitKind::LLVMIR;
  EXPECT_NE(run(kTwo, options).find("i64 @answer()"), std::string::npos);
}

// Tests that line tables name the nodes that operations come from, and that
// they can be left out.
TEST_F(EmitObject, LineTables) {
  const char *text = R"(
    func.func @f(%x: f32) -> f32 {
      %0 = arith.mulf %x, %x : f32 loc("/layer.0/Mul")
      %1 = arith.addf %0, %x : f32 loc(fused["/layer.0/Add", "/layer.1/Sub"])
      return %1 : f32
    }
  )";
  EmitOptions options;
  options.kind = EmitKind::Assembly;
  std::string with = run(text, options);
  EXPECT_NE(with.find("/layer.0/Mul:1"), std::string::npos) << with;
  EXPECT_NE(with.find("/layer.0/Add:1"), std::string::npos);
  options.lineTables = false;
  EXPECT_EQ(run(text, options).find("/layer.0"), std::string::npos);
}

// Tests that the same module gives the same bytes.
TEST_F(EmitObject, Reproducible) { EXPECT_EQ(run(kTwo, {}), run(kTwo, {})); }

// Tests that code which needs a library is refused, with the symbol's name.
TEST_F(EmitObject, UndefinedSymbol) {
  const char *text = R"(
    func.func private @expf(f32) -> f32
    func.func @f(%x: f32) -> f32 {
      %0 = func.call @expf(%x) : (f32) -> f32
      return %0 : f32
    }
  )";
  EXPECT_EQ(run(text, {}),
            "the generated code needs 'expf', which it doesn't define");
  EmitOptions options;
  options.externals = {"expf"};
  EXPECT_EQ(run(text, options).substr(0, 4), "\x7f"
                                             "ELF");
}

// Tests that loops which clear or copy memory don't become calls of memset
// and memcpy.
TEST_F(EmitObject, NoLoopIdioms) {
  EXPECT_EQ(run(R"(
    func.func @clear(%p: !llvm.ptr, %q: !llvm.ptr, %n: i64) {
      %c0 = arith.constant 0 : i64
      %c1 = arith.constant 1 : i64
      %zero = arith.constant 0 : i8
      scf.for %i = %c0 to %n step %c1 : i64 {
        %a = llvm.getelementptr %p[%i] : (!llvm.ptr, i64) -> !llvm.ptr, i8
        llvm.store %zero, %a : i8, !llvm.ptr
      }
      scf.for %i = %c0 to %n step %c1 : i64 {
        %a = llvm.getelementptr %p[%i] : (!llvm.ptr, i64) -> !llvm.ptr, i8
        %b = llvm.getelementptr %q[%i] : (!llvm.ptr, i64) -> !llvm.ptr, i8
        %x = llvm.load %a : !llvm.ptr -> i8
        llvm.store %x, %b : i8, !llvm.ptr
      }
      return
    }
  )",
                {})
                .substr(0, 4),
            "\x7f"
            "ELF");
}

// Tests that an operation which kernels can't have is a diagnostic.
TEST_F(EmitObject, UnknownOperation) {
  std::string text;
  mlir::ScopedDiagnosticHandler collect(
      context.get(), [&](mlir::Diagnostic &d) { text += d.str(); });
  context->allowUnregisteredDialects();
  EXPECT_EQ(run(R"(
    func.func @f() {
      "strange.operation"() : () -> ()
      return
    }
  )",
                {}),
            "lowering failed");
  EXPECT_NE(text.find("strange.operation"), std::string::npos) << text;
}

// Tests that the linker's errors come back as errors, and that it runs again.
TEST_F(EmitObject, LinkErrors) {
  llvm::Error noObject = linkShared({"not an object", "x"}, "/tmp/x.so", {});
  ASSERT_TRUE(bool(noObject));
  EXPECT_NE(llvm::toString(std::move(noObject)).find("/tmp/x.so"),
            std::string::npos);
  std::string object = run(kTwo, {});
  llvm::Error noDirectory =
      linkShared({object, "object"}, "/nonexistent/directory/x.so", {});
  ASSERT_TRUE(bool(noDirectory));
  EXPECT_NE(llvm::toString(std::move(noDirectory)).find("/nonexistent"),
            std::string::npos);
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("joinery-test", "so", path));
  llvm::Error fine = linkShared({object, "object"}, path, {});
  EXPECT_FALSE(bool(fine));
  llvm::consumeError(std::move(fine));
  llvm::sys::fs::remove(path);
}

} // namespace
