//===- Header.cpp - The typed C header of a model -------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/CodeGen/Model/Model.h"
#include "program_generated.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace joinery;
using llvm::StringRef;
namespace prog = joinery::program;

namespace {
/// Words that no field may be called, in C or in C++.
bool isKeyword(StringRef word) {
  static const llvm::StringSet<> words = {
      "alignas",  "alignof",  "and",      "asm",      "auto",     "bool",
      "break",    "case",     "catch",    "char",     "class",    "const",
      "continue", "default",  "delete",   "do",       "double",   "else",
      "enum",     "explicit", "export",   "extern",   "false",    "float",
      "for",      "friend",   "goto",     "if",       "inline",   "int",
      "long",     "mutable",  "namespace", "new",     "not",      "operator",
      "or",       "private",  "protected", "public",  "register", "restrict",
      "return",   "short",    "signed",   "sizeof",   "static",   "struct",
      "switch",   "template", "this",     "throw",    "true",     "try",
      "typedef",  "typeid",   "typename", "union",    "unsigned", "using",
      "virtual",  "void",     "volatile", "while",    "xor"};
  return words.contains(word);
}

/// A C identifier for an ONNX name: other characters become '_'.
std::string mangle(StringRef name) {
  std::string result;
  for (char c : name)
    result += llvm::isAlnum(c) || c == '_' ? c : '_';
  if (result.empty() || llvm::isDigit(result[0]) || isKeyword(result))
    result = "_" + result;
  return result;
}

/// Mangled names of tensors, or the collision.
llvm::Expected<std::vector<std::string>>
fieldNames(const std::vector<std::unique_ptr<prog::TensorT>> &tensors,
           const std::map<std::string, std::string> &rename) {
  std::vector<std::string> names;
  llvm::StringMap<std::string> seen;
  for (const auto &tensor : tensors) {
    auto given = rename.find(tensor->name);
    std::string name =
        mangle(given == rename.end() ? tensor->name : given->second);
    auto [it, fresh] = seen.try_emplace(name, tensor->name);
    if (!fresh)
      return llvm::createStringError(
          "'" + it->second + "' and '" + tensor->name +
          "' have the same name in C, '" + name +
          "'; rename one with --rename old=new");
    names.push_back(name);
  }
  return names;
}

/// Text for a comment: no end of comment, no line breaks.
std::string comment(StringRef text) {
  std::string result;
  for (char c : text)
    result += c == '\n' || c == '\r' || c == '*' ? ' ' : c;
  return result;
}

std::string shape(const prog::TensorT &tensor) {
  std::string text = "[";
  for (size_t i = 0; i < tensor.dims.size(); ++i) {
    const auto &code = tensor.dims[i]->code;
    bool constant = code.size() == 1 && code[0].op() == prog::Opcode::Const;
    text += (i ? ", " : "") +
            (constant ? std::to_string(code[0].imm()) : tensor.dim_names[i]);
  }
  return comment(text + "]");
}

/// Code that collects the tensors of a struct in an array.
void gatherTensors(llvm::raw_ostream &os, StringRef n,
                   const std::vector<std::string> &names, StringRef what,
                   StringRef array) {
  for (const std::string &name : names)
    os << "  if (!" << what << "->" << name << ")\n    return " << n
       << "_missing(\"" << what << "->" << name << "\", error);\n";
  for (size_t i = 0; i < names.size(); ++i)
    os << "  " << array << "[" << i << "] = *" << what << "->" << names[i]
       << ";\n";
}

/// The functions for packed tokens, or why there are none.
void packedEntry(llvm::raw_ostream &os, StringRef n, const prog::ProgramT &p,
                 const std::vector<std::string> &inputs,
                 const std::vector<std::string> &outputs) {
  if (!p.packing->refusal.empty()) {
    os << "/* No " << n << "_run_packed: " << comment(p.packing->refusal)
       << ". */\n\n";
    return;
  }
  std::set<size_t> tokens(p.packing->tokens.begin(), p.packing->tokens.end());
  auto field = [&](const prog::TensorT &tensor, bool packed, StringRef type,
                   StringRef name) {
    std::string rest = shape(tensor);
    if (packed) {
      StringRef tail = StringRef(rest).split(", ").second;
      auto comma = tail.find(", ");
      rest = "[tokens" +
             (comma == StringRef::npos ? "]" : tail.substr(comma).str());
    }
    os << "  /** '" << comment(tensor.name)
       << "': " << prog::EnumNameDType(tensor.dtype) << " " << rest
       << " */\n  " << type << name << ";\n";
  };
  std::vector<std::string> given;
  os << "/** The inputs of a run on packed tokens: no mask. */\n"
     << "typedef struct " << n << "_packed_inputs {\n";
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (int(i) == p.packing->mask)
      continue;
    field(*p.inputs[i], tokens.count(i), "const DLTensor *", inputs[i]);
    given.push_back(inputs[i]);
  }
  if (given.empty())
    os << "  char unused;\n";
  std::set<size_t> packed;
  for (const prog::PackedOutput &output : p.packing->outputs)
    packed.insert(output.output());
  os << "} " << n << "_packed_inputs;\n\n"
     << "/** The outputs of a run on packed tokens. */\n"
     << "typedef struct " << n << "_packed_outputs {\n";
  for (size_t i = 0; i < outputs.size(); ++i)
    field(*p.outputs[i], packed.count(i), "DLTensor *", outputs[i]);
  if (outputs.empty())
    os << "  char unused;\n";
  os << "} " << n << "_packed_outputs;\n\n";
  auto begin = [&](StringRef about, StringRef name, StringRef first,
                   StringRef rest) {
    os << "/** " << about << " */\nstatic inline jn_status " << n << "_" << name
       << "(" << first << ",\n    const int64_t *offsets, uint64_t sequences, "
       << "const " << n << "_packed_inputs *inputs,\n    " << rest
       << "jn_error *error) {\n  jn_packed_batch batch;\n  DLTensor in["
       << std::max<size_t>(given.size(), 1) << "];\n";
  };
  auto collect = [&] {
    os << "  memset(&batch, 0, sizeof(batch));\n"
       << "  batch.size = sizeof(batch);\n  batch.sequences = sequences;\n"
       << "  batch.offsets = offsets;\n";
    gatherTensors(os, n, given, "inputs", "in");
  };
  begin("The workspace that a run on packed tokens needs on `threads` threads.",
        "workspace_bytes_packed", "const " + n.str() + "_model *model",
        "uint32_t threads, uint64_t *bytes, ");
  collect();
  os << "  return jn_workspace_bytes_packed(model, &batch, in, " << given.size()
     << ", threads, bytes,\n                                   error);\n}\n\n";
  begin("Runs the model once on packed tokens: sequence i has the tokens from "
        "offsets[i] to\n    offsets[i + 1], of `sequences` + 1 offsets: see "
        "jn_run_packed.",
        "run_packed", n.str() + "_context *context",
        "const " + n.str() + "_packed_outputs *outputs, ");
  os << "  DLTensor out[" << std::max<size_t>(outputs.size(), 1)
     << "];\n  jn_status status;\n";
  collect();
  gatherTensors(os, n, outputs, "outputs", "out");
  os << "  status = jn_run_packed(context, &batch, in, " << given.size()
     << ", out, " << outputs.size() << ",\n                         error);\n";
  for (size_t i = 0; i < outputs.size(); ++i)
    os << "  *outputs->" << outputs[i] << " = out[" << i << "];\n";
  os << "  return status;\n}\n\n";
}
} // namespace

llvm::Expected<std::string> joinery::buildHeader(const std::string &program,
                                                 const ModelOptions &options) {
  prog::ProgramT p;
  prog::GetProgram(program.data())->UnPackTo(&p);
  auto inputs = fieldNames(p.inputs, options.rename);
  auto outputs = fieldNames(p.outputs, options.rename);
  if (!inputs)
    return inputs.takeError();
  if (!outputs)
    return outputs.takeError();
  const std::string &n = options.name;
  std::string guard = StringRef(n).upper() + "_JOINERY_MODEL_H";
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "/* " << n << ": a model compiled by " << comment(options.compiler)
     << ".\n   Generated; C99 and C++. Link " << n
     << ".o with the Joinery runtime. */\n"
     << "#ifndef " << guard << "\n#define " << guard << "\n\n"
     << "#include <joinery/runtime/joinery.h>\n#include <stdio.h>\n"
     << "#include <string.h>\n\n"
     << "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
     << "/** The compiled object; " << n << "_open opens it. */\n"
     << "extern const JnObject " << descriptorSymbol(n) << ";\n\n"
     << "typedef jn_model " << n << "_model;\n"
     << "typedef jn_context " << n << "_context;\n\n";
  auto record = [&](StringRef kind, const auto &tensors,
                    const std::vector<std::string> &names, StringRef type,
                    StringRef about) {
    os << "/** " << about << " */\ntypedef struct " << n << "_" << kind
       << " {\n";
    for (size_t i = 0; i < names.size(); ++i)
      os << "  /** '" << comment(tensors[i]->name) << "': "
         << prog::EnumNameDType(tensors[i]->dtype) << " " << shape(*tensors[i])
         << " */\n  " << type << names[i] << ";\n";
    if (names.empty())
      os << "  char unused;\n";
    os << "} " << n << "_" << kind << ";\n\n";
  };
  record("inputs", p.inputs, *inputs, "const DLTensor *",
         "The inputs of a run; all are needed.");
  record("outputs", p.outputs, *outputs, "DLTensor *",
         "The outputs of a run: row-major, the caller's memory. The shape says "
         "how much\n    room there is on entry, and the output's shape on "
         "return.");
  os << "static inline jn_status " << n
     << "_missing(const char *what, jn_error *error) {\n  if (error) {\n"
     << "    error->status = JN_INVALID_ARGUMENT;\n"
     << "    snprintf(error->message, sizeof(error->message), \"%s is null\", "
        "what);\n  }\n  return JN_INVALID_ARGUMENT;\n}\n\n";
  os << "/** Opens the model with its store (" << n
     << ".store); close it with " << n << "_close. */\n"
     << "static inline jn_status " << n
     << "_open(const char *store_path, " << n
     << "_model **model,\n    jn_error *error) {\n  return jn_model_open(&"
     << descriptorSymbol(n) << ", store_path, 0, model, error);\n}\n\n"
     << "static inline void " << n << "_close(" << n
     << "_model *model) { jn_model_close(model); }\n\n"
     << "/** Makes a context that runs on `threads` threads (0: all that the "
        "process may\n    use) and grows its workspace when a run needs more. "
        "*/\n"
     << "static inline jn_status " << n << "_context_create(const " << n
     << "_model *model,\n    uint32_t threads, " << n
     << "_context **context, jn_error *error) {\n"
     << "  jn_context_options options;\n"
     << "  memset(&options, 0, sizeof(options));\n"
     << "  options.size = sizeof(options);\n"
     << "  options.flags = JN_CONTEXT_GROW;\n"
     << "  options.threads = threads;\n"
     << "  return jn_context_create(model, &options, context, error);\n}\n\n"
     << "/** The same on threads of the caller's, all of the pool's: see "
        "jn_thread_pool. */\n"
     << "static inline jn_status " << n
     << "_context_create_on_pool(const " << n
     << "_model *model,\n    const jn_thread_pool *pool, " << n
     << "_context **context, jn_error *error) {\n"
     << "  jn_context_options options;\n"
     << "  if (!pool)\n    return " << n << "_missing(\"pool\", error);\n"
     << "  memset(&options, 0, sizeof(options));\n"
     << "  options.size = sizeof(options);\n"
     << "  options.flags = JN_CONTEXT_GROW;\n"
     << "  options.pool = pool;\n"
     << "  return jn_context_create(model, &options, context, error);\n}\n\n"
     << "static inline void " << n << "_context_destroy(" << n
     << "_context *context) {\n  jn_context_destroy(context);\n}\n\n";
  size_t ni = inputs->size(), no = outputs->size();
  os << "/** The workspace that a run on inputs of these shapes needs on "
        "`threads` threads\n    (their data may be null). */\n"
     << "static inline jn_status " << n << "_workspace_bytes(const " << n
     << "_model *model,\n    const " << n
     << "_inputs *inputs, uint32_t threads, uint64_t *bytes,\n    jn_error "
        "*error) {\n  DLTensor in["
     << std::max<size_t>(ni, 1) << "];\n";
  auto gather = [&](const std::vector<std::string> &names, StringRef what,
                    StringRef array) {
    gatherTensors(os, n, names, what, array);
  };
  gather(*inputs, "inputs", "in");
  os << "  return jn_workspace_bytes(model, in, " << ni
     << ", threads, bytes, error);\n}\n\n";
  os << "/** Runs the model once: see jn_run. */\n"
     << "static inline jn_status " << n << "_run(" << n
     << "_context *context, const " << n << "_inputs *inputs,\n    const " << n
     << "_outputs *outputs, jn_error *error) {\n";
  os << "  DLTensor in[" << std::max<size_t>(ni, 1) << "], out["
     << std::max<size_t>(no, 1) << "];\n  jn_status status;\n";
  gather(*inputs, "inputs", "in");
  gather(*outputs, "outputs", "out");
  os << "  status = jn_run(context, in, " << ni << ", out, " << no
     << ", error);\n";
  for (size_t i = 0; i < no; ++i)
    os << "  *outputs->" << (*outputs)[i] << " = out[" << i << "];\n";
  os << "  return status;\n}\n\n";
  packedEntry(os, n, p, *inputs, *outputs);
  os << "#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
  return text;
}
