//===- ImportTool.cpp - Imports a model; prints or evaluates it -----------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   joinery-import-test MODEL [--outputs=a,b] [--run=DIR] [--ops]
//
// MODEL may also be a printed plan (.mlir). Prints the imported module. With --run reads DIR/in.<i>.shape (one extent per
// line) and DIR/in.<i>.bin (doubles or int64s, row-major) for every argument,
// evaluates the module by the algebra's definition and writes DIR/out.<i>.shape
// and DIR/out.<i>.bin (doubles).
//
//===----------------------------------------------------------------------===//

#include "joinery/Import/ONNX.h"
#include "joinery/Interp/Interp.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace joinery;

namespace {
/// One argument or result as ONNX sees it.
struct Border {
  std::vector<SymExpr> shape;
  std::vector<std::vector<std::string>> dims;
  std::string name;
  bool isUnsigned; // relations are signless

  explicit Border(DictionaryAttr attrs) {
    name = cast<StringAttr>(attrs.get("rel.name")).str();
    isUnsigned = attrs.contains("rel.unsigned");
    for (StringRef text :
         cast<ArrayAttr>(attrs.get("rel.shape")).getAsValueRange<StringAttr>())
      shape.push_back(*SymExpr::parse(text));
    for (Attribute list : cast<ArrayAttr>(attrs.get("rel.dims"))) {
      dims.emplace_back();
      for (StringRef column :
           cast<ArrayAttr>(list).getAsValueRange<StringAttr>())
        dims.back().push_back(column.str());
    }
  }
};

using Symbols = std::map<std::string, int64_t>;

std::optional<int64_t> evaluate(const SymExpr &expr, const Symbols &symbols) {
  return expr.evaluate([&](StringRef symbol) -> std::optional<int64_t> {
    auto it = symbols.find(symbol.drop_front().str());
    return it == symbols.end() ? std::nullopt : std::optional(it->second);
  });
}

std::string readFile(const Twine &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

void writeFile(const Twine &path, StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream(path.str(), error) << bytes;
}

/// The value of a relation at every key of the ONNX shape.
std::vector<double> flatten(const Relation &relation, const Border &border,
                            ArrayRef<int64_t> shape, const Symbols &symbols,
                            rel::RelType type) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  std::vector<double> result(count);
  std::map<std::string, int64_t> keys;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (size_t d = shape.size(); d-- > 0;) {
      int64_t key = rest % shape[d];
      rest /= shape[d];
      for (const std::string &column : llvm::reverse(border.dims[d])) {
        // A digit that the relation lacks has no extent here; it may only be
        // the first of its dimension.
        int64_t extent = shape[d];
        if (type.has(column))
          extent = *evaluate(type.extentOf(column), symbols);
        keys[column] = key % extent;
        key /= extent;
      }
    }
    int64_t at = 0;
    for (auto [column, extent] : llvm::zip(relation.columns, relation.extents))
      at = at * extent + keys[column];
    result[i] = relation.isFloat() ? std::get<0>(relation.values)[at]
                                   : double(std::get<1>(relation.values)[at]);
    if (border.isUnsigned && result[i] < 0)
      result[i] += std::ldexp(1, type.getElementType().getIntOrFloatBitWidth());
  }
  return result;
}

int run(ModuleOp module, const std::string &directory) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  Symbols symbols;
  std::vector<Relation> arguments;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    Border border(function.getArgAttrDict(i));
    std::string stem = directory + "/in.";
    SmallVector<StringRef> lines;
    std::string text = readFile(stem + Twine(i).str() + ".shape");
    StringRef(text).split(lines, '\n', -1, false);
    if (lines.size() != border.shape.size()) {
      llvm::errs() << "input " << border.name << " has rank " << lines.size()
                   << ", not " << border.shape.size() << "\n";
      return 1;
    }
    Relation relation;
    auto type = cast<rel::RelType>(function.getArgument(i).getType());
    for (auto [d, line] : llvm::enumerate(lines)) {
      int64_t extent = 0;
      (void)line.getAsInteger(10, extent);
      if (auto symbol = border.shape[d].asSymbol())
        symbols[symbol->substr(1)] = extent;
      for (const std::string &column : border.dims[d]) {
        relation.columns.push_back(column);
        relation.extents.push_back(extent);
      }
    }
    std::string bytes = readFile(stem + Twine(i).str() + ".bin");
    if (isa<FloatType>(type.getElementType())) {
      std::vector<double> values(bytes.size() / 8);
      std::memcpy(values.data(), bytes.data(), bytes.size());
      relation.values = std::move(values);
    } else {
      std::vector<int64_t> values(bytes.size() / 8);
      std::memcpy(values.data(), bytes.data(), bytes.size());
      relation.values = std::move(values);
    }
    arguments.push_back(std::move(relation));
  }
  if (auto checks = function->getAttrOfType<ArrayAttr>("rel.checks"))
    for (Attribute attr : checks) {
      auto check = cast<DictionaryAttr>(attr);
      auto side = [&](StringRef name) {
        return evaluate(
            *SymExpr::parse(cast<StringAttr>(check.get(name)).getValue()),
            symbols);
      };
      auto lhs = side("lhs"), rhs = side("rhs");
      StringRef kind = cast<StringAttr>(check.get("kind")).getValue();
      bool holds = lhs && rhs && (kind == "equal" ? *lhs == *rhs : *lhs <= *rhs);
      if (!holds) {
        llvm::errs() << "check failed: "
                     << cast<StringAttr>(check.get("message")).getValue()
                     << "\n";
        return 1;
      }
    }
  InterpOptions options;
  options.symbols = symbols;
  options.roundEachStep = true;
  auto results = interpret(function, arguments, options);
  if (failed(results))
    return 1;
  for (auto [i, result] : llvm::enumerate(*results)) {
    Border border(function.getResultAttrDict(i));
    SmallVector<int64_t> shape;
    std::string text;
    for (const SymExpr &extent : border.shape) {
      auto value = evaluate(extent, symbols);
      if (!value) {
        llvm::errs() << "output " << border.name << " has extent "
                     << extent.str() << "\n";
        return 1;
      }
      shape.push_back(*value);
      text += std::to_string(*value) + "\n";
    }
    auto type = cast<rel::RelType>(function.getFunctionType().getResult(i));
    std::vector<double> values =
        flatten(result, border, shape, symbols, type);
    std::string stem = directory + "/out.";
    writeFile(stem + Twine(i).str() + ".shape", text);
    writeFile(stem + Twine(i).str() + ".bin",
              StringRef(reinterpret_cast<const char *>(values.data()),
                        values.size() * sizeof(double)));
  }
  return 0;
}
} // namespace

int main(int argc, char **argv) {
  std::string path, directory;
  ImportOptions options;
  for (StringRef argument : llvm::ArrayRef(argv + 1, argc - 1)) {
    if (argument == "--ops") {
      for (const SupportedOp &op : supportedOps())
        llvm::outs() << (op.domain.empty() ? "ai.onnx" : op.domain) << " "
                     << op.name << " " << op.since << " " << op.until << " "
                     << op.notes << "\n";
      return 0;
    }
    if (argument.consume_front("--outputs=")) {
      for (StringRef name : llvm::split(argument, ','))
        options.outputs.push_back(name.str());
    } else if (argument.consume_front("--run=")) {
      directory = argument.str();
    } else {
      path = argument.str();
    }
  }
  MLIRContext context(MLIRContext::Threading::DISABLED);
  OwningOpRef<ModuleOp> module;
  if (StringRef(path).ends_with(".mlir")) { // a plan that was printed before
    context.loadDialect<rel::RelDialect, arith::ArithDialect,
                        math::MathDialect, func::FuncDialect>();
    module = parseSourceFile<ModuleOp>(path, &context);
  } else {
    module = importONNX(&context, path, options);
  }
  if (!module)
    return 1;
  if (!directory.empty())
    return run(*module, directory);
  module->print(llvm::outs());
  return 0;
}
