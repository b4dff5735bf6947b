//===- Model.cpp - An open model ------------------------------------------===//
//
// Part of Joinery, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/Exec/Model.h"

#include "runtime/Exec/Cpu.h"
#include "runtime/Exec/Tensor.h"
#include "runtime/Store/Format.h"
#include "runtime/Support/File.h"

#include "catalog_generated.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <dlfcn.h>
#include <unistd.h>

namespace joinery::runtime {

static Status invalid(const std::string &what) {
  return {JN_INVALID_MODEL, what + "; compile the model again"};
}

static Status checkObject(const JnObject *object) {
  if (!object)
    return {JN_INVALID_ARGUMENT, "the object is a null pointer"};
  if (object->magic != JN_OBJECT_MAGIC)
    return invalid("this is not an object that Joinery compiled");
  if (object->abi < JN_ABI_OLDEST || object->abi > JN_ABI_VERSION)
    return {JN_MISMATCH,
            "the object has ABI " + std::to_string(object->abi) +
                ", this runtime opens ABI " + std::to_string(JN_ABI_OLDEST) +
                " to " + std::to_string(JN_ABI_VERSION) +
                (object->abi > JN_ABI_VERSION
                     ? "; use the runtime of the compiler that made it"
                     : "; compile the model again")};
  if (object->size < sizeof(JnObject) || !object->program ||
      (object->level_count && !object->levels))
    return invalid("the object's descriptor is malformed");
  return {};
}

static std::vector<std::vector<jn_dim>>
describeDims(const std::vector<Border> &borders) {
  std::vector<std::vector<jn_dim>> all;
  for (const Border &border : borders) {
    std::vector<jn_dim> dims;
    for (size_t i = 0; i < border.dims.size(); ++i)
      dims.push_back(
          {border.dims[i].isConstant() ? border.dims[i].constantValue() : -1,
           border.dimNames[i].c_str()});
    all.push_back(std::move(dims));
  }
  return all;
}

Model::~Model() {
  if (library)
    ::dlclose(library);
}

Status Model::open(const JnObject *object, const char *storePath,
                   const Options &options, std::shared_ptr<Model> &model) {
  JN_TRY(checkObject(object));
  std::shared_ptr<Model> made(new Model);
  JN_TRY(made->load(*object, storePath, options));
  model = std::move(made);
  return {};
}

Status Model::load(const JnObject &object, const char *storePath,
                   const Options &options) {
  JN_TRY(Program::decode(object.program, object.program_size, decoded));
  for (const auto *borders : {&decoded.inputs, &decoded.outputs})
    for (const Border &border : *borders)
      if (border.dims.size() > size_t(kMaxRank))
        return invalid("'" + border.name + "' has more than " +
                       std::to_string(kMaxRank) + " dimensions");
  inDims = describeDims(decoded.inputs);
  outDims = describeDims(decoded.outputs);
  JN_TRY(chooseLevel(object, options));
  JN_TRY(openStore(storePath, options));
  if (options.log) {
    std::string text = "opened '" + decoded.name + "' for " + chosen->name +
                       ", " + std::to_string(storeBytes()) + " bytes of store";
    options.log(options.logData, JN_LOG_INFO, text.c_str());
  }
  return {};
}

/// Success with `chosen` null if the object or the processor lacks the level.
Status Model::tryLevel(const JnObject &object, const std::string &name) {
  const JnLevel *level =
      std::find_if(object.levels, object.levels + object.level_count,
                   [&](const JnLevel &l) { return l.name && name == l.name; });
  auto facts =
      std::find_if(decoded.levels.begin(), decoded.levels.end(),
                   [&](const Level &level) { return level.name == name; });
  if (level == object.levels + object.level_count ||
      facts == decoded.levels.end() || !missingFeatures(name).empty())
    return {};
  for (const Step &step : decoded.steps)
    if (!level->kernels || step.kernel >= level->kernel_count ||
        !level->kernels[step.kernel])
      return invalid("the object lacks the kernel of step '" + step.name + "'");
  chosen = &*facts;
  kernels = level->kernels;
  return {};
}

Status Model::chooseLevel(const JnObject &object, const Options &options) {
  std::string has;
  for (uint64_t i = 0; i < object.level_count; ++i)
    has += (i ? ", " : "") +
           std::string(object.levels[i].name ? object.levels[i].name : "?");

  const char *variable = std::getenv("JOINERY_ISA");
  bool fromEnvironment = variable && *variable;
  std::string forced = fromEnvironment ? variable : options.isa;
  if (forced.empty()) {
    for (std::string_view level : kLevels)
      if (!chosen)
        JN_TRY(tryLevel(object, std::string(level)));
    if (chosen)
      return {};
    return {JN_UNSUPPORTED, "this processor can run none of the levels that "
                            "the object was compiled for (" +
                                has + "); 'avx2' needs it to have " +
                                missingFeatures("avx2")};
  }

  std::string source = fromEnvironment ? "JOINERY_ISA=" : "the level ";
  if (std::find(std::begin(kLevels), std::end(kLevels), forced) ==
      std::end(kLevels))
    return {fromEnvironment ? JN_UNSUPPORTED : JN_INVALID_ARGUMENT,
            source + forced + " is unknown; use avx2, avx512, avx512_bf16 or "
                                "amx"};
  if (std::string missing = missingFeatures(forced); !missing.empty())
    return {JN_UNSUPPORTED, source + forced +
                                " cannot be used: this processor lacks " +
                                missing};
  JN_TRY(tryLevel(object, forced));
  // An object leaves out levels that would only repeat the one they extend.
  if (!chosen && !baseLevel(forced).empty())
    JN_TRY(tryLevel(object, std::string(baseLevel(forced))));
  if (chosen)
    return {};
  return {JN_UNSUPPORTED, source + forced +
                              " cannot be used: the object was compiled for " +
                              has + " only"};
}

Status Model::openStore(const char *path, const Options &options) {
  bool needed = !decoded.storeHash.empty();
  for (const Buffer &buffer : decoded.buffers)
    needed |= buffer.kind == Buffer::Kind::Weight;
  if (!needed)
    return {};
  if (!path)
    return {JN_INVALID_ARGUMENT,
            "the model '" + decoded.name + "' has weights: name its store"};
  store = std::make_unique<StoreReader>();
  StoreReader::Options storeOptions;
  storeOptions.read = options.flags & JN_OPEN_READ;
  storeOptions.prefetch = !(options.flags & JN_OPEN_NO_PREFETCH);
  JN_TRY(store->open(path, storeOptions));
  if (store->catalog().content_hash != decoded.storeHash)
    return {JN_MISMATCH, std::string("the store '") + path +
                             "' belongs to another build of the model; "
                             "compile again"};
  // After the identity: a wrong store should not be read to its end first.
  if (options.flags & JN_OPEN_VERIFY)
    JN_TRY(store->verify());
  for (const Buffer &buffer : decoded.buffers) {
    if (buffer.kind != Buffer::Kind::Weight)
      continue;
    if (uint32_t(buffer.index) >= store->tableCount())
      return invalid("the program reads a table that the store lacks");
    if (buffer.bytes.isConstant() &&
        uint64_t(buffer.bytes.constantValue()) > weightBytes(buffer.index))
      return invalid("the program reads past the end of the table '" +
                     store->catalog().tables[buffer.index]->name + "'");
  }
  return {};
}

/// What dlopen said last, as std::string.
static std::string loaderError() {
  const char *text = ::dlerror();
  return text ? text : "unknown error";
}

Status Model::openShared(const std::string &path, const char *storePath,
                         const Options &options,
                         std::shared_ptr<Model> &model) {
  std::string prefix = path;
  if (prefix.ends_with(".so"))
    prefix.resize(prefix.size() - 3);
  // Without a slash the loader would search its own directories.
  if (prefix.find('/') == std::string::npos)
    prefix = "./" + prefix;
  std::string file = prefix + ".so";
  if (::access(file.c_str(), R_OK) != 0)
    return systemError("cannot open the model", file, errno);
  std::unique_ptr<void, int (*)(void *)> library(
      ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL), ::dlclose);
  if (!library)
    return invalid("cannot load '" + file + "' (" + loaderError() + ")");
  using GetObject = const JnObject *(*)();
  auto getObject =
      reinterpret_cast<GetObject>(::dlsym(library.get(), "joinery_object"));
  if (!getObject)
    return invalid("'" + file + "' is not a model that Joinery compiled");
  std::string store = storePath ? storePath : prefix + ".store";
  std::shared_ptr<Model> made;
  JN_TRY(open(getObject(), store.c_str(), options, made));
  made->library = library.release();
  model = std::move(made);
  return {};
}

} // namespace joinery::runtime
