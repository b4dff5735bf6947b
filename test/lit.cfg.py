"""How lit finds and runs Joinery's tests."""

import importlib.util
import os
import sys

import lit.formats
from lit.llvm import llvm_config

source_root = config.joinery_source_root
sys.path.insert(0, os.path.join(source_root, "test", "Integration"))
import harness

config.name = "Joinery"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "unit", "zoo", "outside_project"]
config.test_source_root = os.path.join(source_root, "test")
config.test_exec_root = os.path.join(config.joinery_build_root, "test")

# Seconds after which a test counts as hung.
lit_config.maxIndividualTestTime = 900

# The fast suite leaves the slow tests out; their names say which they are.
config.fast = lit_config.params.get("suite", "full") == "fast"

llvm_config.use_default_substitutions()
llvm_config.with_environment("PATH", config.llvm_tools_dir, append_path=True)
llvm_config.with_environment("PATH", config.joinery_tools_dir, append_path=True)
llvm_config.with_system_environment(
    ["HOME", "TMPDIR", "CCACHE_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS"]
)
# A level that was forced outside must not leak into tests that choose their own.
config.environment.pop("JOINERY_ISA", None)
config.environment["JOINERY_TOOLS"] = config.joinery_tools_dir

config.substitutions += [
    ("%zoo", os.path.join(config.test_source_root, "zoo")),
    ("%integration", os.path.join(config.test_source_root, "Integration")),
    ("%source_root", source_root),
    ("%build_root", config.joinery_build_root),
    ("%clangxx", config.joinery_cxx),
    ("%clang", config.joinery_c),
    ("%cmake", config.joinery_cmake),
    ("%llvm_tools", config.llvm_tools_dir),
]

# Tools of ours by full path, so that no installed one is tested by mistake.
llvm_config.add_tool_substitutions(
    ["joinery", "joinery-opt", "joinery-compiler", "joinery-lsp-server"],
    [config.joinery_tools_dir],
)

for level in harness.isa_levels():
    config.available_features.add(level)
if harness.real_model() is not None:
    config.available_features.add("real-model")
if importlib.util.find_spec("onnxruntime"):
    config.available_features.add("onnxruntime")
if all(map(importlib.util.find_spec, ("jsonschema", "pygal"))):
    config.available_features.add("benchmark")
if config.joinery_sanitize:
    config.available_features.add("sanitizers")
