"""Runs the ONNX project's own tests of the operators that the registry lists.

    conformance.py FOLDER [--filter TEXT] [--list]

Each test agrees, or names what is refused. Exit code 1 if any does neither.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from evaluate import Broken, Refused, difference, evaluate, fix_parameters, tool


# Half precision files are rounded at every step, bfloat16 ones are truncated.
TOLERANCE = {onnx.TensorProto.FLOAT16: 2e-3, onnx.TensorProto.BFLOAT16: 1e-2}


def kind(value):
    return value.type.tensor_type.elem_type


def supported():
    text = subprocess.run([tool(), "--ops"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {tuple(line.split()[:2]) for line in text.splitlines()}


def operators(model):
    return {(node.domain or "ai.onnx", node.op_type) for node in model.graph.node}


def read(path, declared):
    if not declared.type.HasField("tensor_type"):
        return None
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    if kind(declared) == onnx.TensorProto.BFLOAT16:
        tensor.data_type = onnx.TensorProto.BFLOAT16  # stored as bits
    array = numpy_helper.to_array(tensor)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def check(folder):
    """(outcome, detail) of one test."""
    model = onnx.load(folder / "model.onnx")
    refusal = None
    for data in sorted(folder.glob("test_data_set_*")):
        inputs = {
            value.name: read(data / f"input_{i}.pb", value)
            for i, value in enumerate(model.graph.input)
            if (data / f"input_{i}.pb").exists()
        }
        expected = [
            read(data / f"output_{i}.pb", value) for i, value in enumerate(model.graph.output)
        ]
        for value in model.graph.input:
            shape = value.type.tensor_type.shape.dim
            if inputs.get(value.name) is not None and inputs[value.name].ndim != len(shape):
                return "refused", "the test's data do not fit its model"
        arrays = list(inputs.values()) + expected
        if any(array is None or array.dtype.kind not in "fiub" for array in arrays):
            return "refused", "values that are not tensors of numbers"
        outcome = "agrees"
        for attempt in (model, fix_parameters(model, inputs)):
            try:
                actual = evaluate(attempt, inputs)
                break
            except Refused as error:
                refusal = str(error)
            except (Broken, subprocess.TimeoutExpired) as error:
                return "broken", str(error)
            outcome = "agrees with constant parameters"
        else:
            return "refused", refusal
        for a, e, value in zip(actual, expected, model.graph.output):
            why = difference(a, e, TOLERANCE.get(kind(value), 1e-4))
            if why:
                return "differs", why
    return outcome, refusal or ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--filter", default="")
    parser.add_argument("--list", action="store_true", help="print every test")
    options = parser.parse_args()
    known = supported()
    folders = []
    for path in sorted(options.folder.rglob("model.onnx")):
        if options.filter in path.parent.name and operators(onnx.load(path)) <= known:
            folders.append(path.parent)
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for folder, (outcome, detail) in zip(folders, pool.map(check, folders)):
            counts[outcome] += 1
            if options.list or outcome in ("differs", "broken"):
                print(f"{outcome}: {folder.name}: {detail}".strip())
    for outcome, count in sorted(counts.items()):
        print(f"{count} {outcome}")
    sys.exit(bool(counts["differs"] or counts["broken"]) or not counts)


if __name__ == "__main__":
    main()
