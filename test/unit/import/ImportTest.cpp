//===- ImportTest.cpp - Imports small graphs ------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "joinery/Import/ONNX.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "dialects/Rel/Rel.h"
#include "mlir/IR/Diagnostics.h"
#include "onnx/defs/parser.h"
#include "onnx/onnx_pb.h"
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace joinery;

namespace {
/// A folder for the files of one test.
struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/joinery-import-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string &name, const std::string &bytes) {
    std::ofstream(path + "/" + name, std::ios::binary) << bytes;
    return path + "/" + name;
  }
};

/// What an import printed and said.
struct Imported {
  std::string text, errors;
  unsigned errorCount = 0;
  bool has(const std::string &what) const {
    return text.find(what) != std::string::npos;
  }
  bool says(const std::string &what) const {
    return errors.find(what) != std::string::npos;
  }
};

Imported importFile(const std::string &path,
                    std::vector<std::string> outputs = {}) {
  Imported result;
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &d) {
    result.errors += d.str() + "\n";
    for (mlir::Diagnostic &note : d.getNotes())
      result.errors += note.str() + "\n";
    result.errorCount += d.getSeverity() == mlir::DiagnosticSeverity::Error;
    return mlir::success();
  });
  auto module = importONNX(&context, path, {outputs});
  if (module) {
    llvm::raw_string_ostream stream(result.text);
    module->print(stream);
  }
  return result;
}

onnx::ModelProto parse(const std::string &graph, int opset = 17,
                       const std::string &functions = "") {
  onnx::ModelProto model;
  std::string text = "<ir_version: 8, opset_import: [\"\" : " +
                     std::to_string(opset) + ", \"local\" : 1]>\n" + graph +
                     functions;
  auto status = onnx::OnnxParser::Parse(model, text.c_str());
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  return model;
}

Imported import(const onnx::ModelProto &model) {
  Folder folder;
  return importFile(folder.write("m.onnx", model.SerializeAsString()));
}

Imported import(const std::string &graph, int opset = 17,
                const std::string &functions = "") {
  return import(parse(graph, opset, functions));
}

// Tests that an output that echoes an input is that argument, whatever views
// lie between.
TEST(Import, ViewsVanish) {
  Imported m = import(R"(g (float[B, S, 8] x) => (float[B, S, 8] y) {
    t = Transpose <perm = [2, 0, 1]> (x)
    a = Constant <value = int64[1] {1}> ()
    u = Unsqueeze (t, a)
    q = Squeeze (u, a)
    i = Identity (q)
    y = Transpose <perm = [1, 2, 0]> (i)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_TRUE(m.has("return %arg0"));
  EXPECT_FALSE(m.has("rel.rekey"));
}

// Tests that heads are digits of the hidden column, split by a computed target.
TEST(Import, SplitsHeadsIntoDigits) {
  Imported m = import(R"(g (float[B, S, 64] x) => (float[B, 4, S, 16] y) {
    s = Shape (x)
    z = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    two = Constant <value = int64[1] {2}> ()
    b = Slice (s, z, one)
    t = Slice (s, one, two)
    rest = Constant <value = int64[2] {-1, 16}> ()
    shape = Concat <axis = 0> (b, t, rest)
    r = Reshape (x, shape)
    y = Transpose <perm = [0, 2, 1, 3]> (r)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_TRUE(m.has("rel.rekey %arg0 [h = \"#d + 16 * #n\"]")) << m.text;
  EXPECT_TRUE(m.has("rel.shape = [\"?B\", \"4\", \"?S\", \"16\"]"));
  EXPECT_FALSE(m.has("rel.table"));
}

// Tests that boundaries that do not nest become one rekey by position.
TEST(Import, ReshapesAcrossBoundaries) {
  Imported m = import(R"(g (float[3, 16] x) => (float[2, 24] y) {
    shape = Constant <value = int64[2] {2, 24}> ()
    y = Reshape (x, shape)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_TRUE(m.has("floordiv 16")) << m.text;
  EXPECT_TRUE(m.has("mod 16"));
}

// Tests that a mask read at flat positions b*S + t is a renaming.
TEST(Import, FlatGatherIsARename) {
  Imported m = import(R"(g (bool[B, S] m) => (bool[B, S] y) {
    f = Flatten <axis = 2> (m)
    s = Shape (m)
    i0 = Constant <value = int64 {0}> ()
    i1 = Constant <value = int64 {1}> ()
    b = Gather (s, i0)
    t = Gather (s, i1)
    rb = Range (i0, b, i1)
    rt = Range (i0, t, i1)
    a1 = Constant <value = int64[1] {1}> ()
    ub = Unsqueeze (rb, a1)
    row = Mul (ub, t)
    at = Add (row, rt)
    g = Gather (f, at)
    y = Squeeze (g)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_FALSE(m.has("rel.lookup")) << m.text;
  EXPECT_FALSE(m.has("floordiv"));
  EXPECT_FALSE(m.has("rel.range"));
  EXPECT_TRUE(m.has("rel.rekey %arg0"));
}

// Tests the same mask read by index tuples.
TEST(Import, GatherNDOfGridsIsARename) {
  Imported m = import(R"(g (bool[B, S] m) => (bool[B, S] y) {
    s = Shape (m)
    i0 = Constant <value = int64 {0}> ()
    i1 = Constant <value = int64 {1}> ()
    b = Gather (s, i0)
    t = Gather (s, i1)
    rb = Range (i0, b, i1)
    rt = Range (i0, t, i1)
    a1 = Constant <value = int64[1] {1}> ()
    ub = Unsqueeze (rb, a1)
    eb = Expand (ub, s)
    et = Expand (rt, s)
    last = Constant <value = int64[1] {-1}> ()
    lb = Unsqueeze (eb, last)
    lt = Unsqueeze (et, last)
    at = Concat <axis = -1> (lb, lt)
    y = GatherND (m, at)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_FALSE(m.has("rel.lookup")) << m.text;
  EXPECT_FALSE(m.has("rel.union"));
}

// Tests that a table of positions leaves the obligation that it is long enough.
TEST(Import, ObligationsAreChecks) {
  Imported m = import(R"(g (float[B, S] x, float[B, T] z, float[64] p)
      => (float[B, S] y) {
    s = Shape <start = 1> (x)
    zero = Constant <value = int64[1] {0}> ()
    q = Slice (p, zero, s)
    a = Add (x, q)
    y = Add (a, z)
  })");
  EXPECT_EQ(m.errors, "");
  EXPECT_TRUE(m.has("kind = \"at_most\", lhs = \"?S\"")) << m.text;
  EXPECT_TRUE(m.has("rhs = \"64\""));
  EXPECT_TRUE(m.has("kind = \"equal\""));
}

// Tests that every refused node is reported, and none that only follows one.
TEST(Import, ReportsEveryRefusalOnce) {
  Imported m = import(R"(g (float[4] x) => (float[4] y) {
    a = Frobnicate (x)
    b = Relu (a)
    c = Quuxify (x)
    unused = Whatever (x)
    y = Add (b, c)
  })");
  EXPECT_EQ(m.errorCount, 2u) << m.errors;
  EXPECT_TRUE(m.says("node 'a' (Frobnicate, opset 17)"));
  EXPECT_TRUE(m.says("node 'c' (Quuxify, opset 17)"));
}

// Tests that sizes that can't agree are refused with both.
TEST(Import, RefusesSizesThatDiffer) {
  Imported m = import("g (float[3] x, float[4] z) => (float[4] y) "
                      "{ y = Add (x, z) }");
  EXPECT_EQ(m.errorCount, 1u);
  EXPECT_TRUE(m.says("3 and 4 differ")) << m.errors;
}

// Tests inlining: nested calls, and a function's attribute in its body.
TEST(Import, InlinesFunctions) {
  const char *functions = R"(
    <opset_import: ["" : 17, "local" : 1], domain: "local">
    inner (x) => (y) { y = Neg (x) }
    <opset_import: ["" : 17, "local" : 1], domain: "local">
    outer (x) => (y) { t = local.inner (x)
                       y = local.inner (t) })";
  Imported m = import("g (float[4] x) => (float[4] y) { y = local.outer (x) }",
                      17, functions);
  EXPECT_EQ(m.errors, "");
  EXPECT_TRUE(m.has("arith.negf")) << m.text;
}

// Tests that a function that calls itself is an error, not a hang.
TEST(Import, RefusesRecursion) {
  Imported m = import("g (float[4] x) => (float[4] y) { y = local.f (x) }", 17,
                      R"(
    <opset_import: ["" : 17, "local" : 1], domain: "local">
    f (x) => (y) { t = local.f (x)
                   y = Neg (t) })");
  EXPECT_EQ(m.errorCount, 1u);
  EXPECT_TRUE(m.says("function 'f' calls itself")) << m.errors;
}

// Tests that a graph that reads what comes later is malformed.
TEST(Import, RefusesCycles) {
  Imported m = import("g (float[4] x) => (float[4] y) { a = Add (x, b)\n"
                      "b = Neg (a)\n y = Neg (b) }");
  EXPECT_EQ(m.errorCount, 1u);
  EXPECT_TRUE(m.says("reads 'b', which nothing computes before it"));
}

/// y = x + w, with the elements of w where `set` puts them.
onnx::ModelProto withWeight(int64_t rows,
                            void (*set)(onnx::TensorProto &tensor)) {
  onnx::ModelProto model =
      parse("g (float[B, 8] x) => (float[B, 8] y) { y = Add (x, w) }");
  onnx::TensorProto *w = model.mutable_graph()->add_initializer();
  w->set_name("w");
  w->set_data_type(onnx::TensorProto::FLOAT);
  if (rows != 1)
    w->add_dims(rows);
  w->add_dims(8);
  set(*w);
  return model;
}

void external(onnx::TensorProto &tensor, const char *location,
              const char *offset = "0") {
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  auto *entry = tensor.add_external_data();
  entry->set_key("location");
  entry->set_value(location);
  entry = tensor.add_external_data();
  entry->set_key("offset");
  entry->set_value(offset);
}

// Tests that a weight stays in the file: its table names the bytes.
TEST(ImportFiles, WeightsStayInTheFile) {
  // Large enough not to be kept, and with a pattern to look for.
  auto model = withWeight(32, [](onnx::TensorProto &tensor) {
    tensor.set_raw_data(std::string(1024, '\x3f'));
  });
  Folder folder;
  std::string bytes = model.SerializeAsString();
  Imported m = importFile(folder.write("m.onnx", bytes));
  // [B, 8] + [32, 8]: B must be 32.
  EXPECT_EQ(m.errors, "");
  size_t at = bytes.find(std::string(1024, '\x3f'));
  EXPECT_TRUE(m.has("at " + std::to_string(at) + " length 1024")) << m.text;
}

// Tests that external data is read only from beside the model.
TEST(ImportFiles, ContainsExternalData) {
  Folder folder;
  folder.write("w.bin", std::string(32, '\0'));
  auto run = [&](void (*set)(onnx::TensorProto &)) {
    return importFile(
        folder.write("m.onnx", withWeight(1, set).SerializeAsString()));
  };
  Imported good =
      run([](onnx::TensorProto &t) { external(t, "w.bin"); });
  EXPECT_EQ(good.errors, "");
  EXPECT_TRUE(good.has("w.bin\" at 0 length 32")) << good.text;
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "../w.bin");
              }).says("outside the model's folder"));
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "/etc/passwd");
              }).says("outside the model's folder"));
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "w.bin", "8");
              }).says("lies outside 'w.bin'"));
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "w.bin", "18446744073709551608");
              }).says("lies outside 'w.bin'"));
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "none.bin");
              }).says("cannot be read"));
  ASSERT_EQ(symlink("w.bin", (folder.path + "/soft.bin").c_str()), 0);
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "soft.bin");
              }).says("symbolic link"));
  ASSERT_EQ(link((folder.path + "/w.bin").c_str(),
                 (folder.path + "/hard.bin").c_str()),
            0);
  EXPECT_TRUE(run([](onnx::TensorProto &t) {
                external(t, "hard.bin");
              }).says("hard link"));
}

// Tests that data that does not fit its shape, or a shape that fits no memory,
// is an error.
TEST(ImportFiles, ChecksSizes) {
  EXPECT_TRUE(import(withWeight(1, [](onnx::TensorProto &t) {
                t.set_raw_data(std::string(28, '\0'));
              })).says("has 28 bytes of data, its shape needs 32"));
  EXPECT_TRUE(import(withWeight(int64_t(1) << 60, [](onnx::TensorProto &t) {
                t.set_raw_data(std::string(32, '\0'));
              })).says("overflows"));
  EXPECT_TRUE(import(withWeight(-1, [](onnx::TensorProto &t) {
                t.set_raw_data(std::string(32, '\0'));
              })).says("negative dimension"));
}

// Tests that what is no model says so.
TEST(ImportFiles, RefusesOtherFiles) {
  Folder folder;
  EXPECT_TRUE(importFile(folder.path + "/none.onnx").says("cannot open"));
  EXPECT_TRUE(importFile(folder.path).says("not a regular file"));
  EXPECT_TRUE(importFile(folder.write("e.onnx", "")).says("is empty"));
  EXPECT_TRUE(importFile(folder.write("t.onnx", "once upon a time"))
                  .says("is not an ONNX model"));
}

// Tests that a model cut anywhere is refused with one error.
TEST(ImportFiles, RefusesTruncation) {
  Folder folder;
  std::string bytes = withWeight(1, [](onnx::TensorProto &t) {
                        t.set_raw_data(std::string(32, '\1'));
                      }).SerializeAsString();
  unsigned refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    Imported m = importFile(folder.write("m.onnx", bytes.substr(0, size)));
    EXPECT_LE(m.errorCount, 1u);
    refused += m.errorCount;
  }
  // Cut between two fields at the end the model may still be whole.
  EXPECT_GE(refused, bytes.size() - 40);
}

// Tests that kept outputs decide what is imported.
TEST(ImportFiles, KeepsOutputsOnly) {
  Folder folder;
  std::string path = folder.write(
      "m.onnx", parse("g (float[4] x) => (float[4] y, float[4] z) "
                      "{ y = Neg (x)\n z = Frobnicate (x) }")
                    .SerializeAsString());
  EXPECT_EQ(importFile(path, {"y"}).errors, "");
  EXPECT_TRUE(importFile(path).says("Frobnicate"));
  EXPECT_TRUE(importFile(path, {"w"}).says("its outputs are: y, z"));
}

// Tests that the support table has every category.
TEST(ImportTable, ListsOperators) {
  bool sum = false, reshape = false, attention = false;
  for (const SupportedOp &op : supportedOps()) {
    sum |= op.name == "ReduceSum";
    reshape |= op.name == "Reshape";
    attention |= op.name == "Attention" && op.domain == "com.microsoft";
  }
  EXPECT_TRUE(sum && reshape && attention);
}
} // namespace
