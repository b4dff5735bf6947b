"""Imports a model and evaluates it by the algebra's definition."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

REPO = pathlib.Path(__file__).resolve().parents[3]


def tool():
    folder = os.environ.get("JOINERY_TOOLS") or REPO / "build" / "bin"
    return str(pathlib.Path(folder) / "joinery-import-test")


# How the importer and the border name what they do not take.
REFUSALS = (": node '", "has elements of type", "check failed")


class Refused(Exception):
    """The importer refused a node, with a reason."""


class Broken(Exception):
    """Anything that must not happen: a crash, an invalid module."""


def arguments(model):
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in stored]


def evaluate(model, inputs):
    """The outputs of `model` for a dictionary of arrays, as float64 arrays."""
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        for i, name in enumerate(arguments(model)):
            array = inputs[name]
            (folder / f"in.{i}.shape").write_text("".join(f"{n}\n" for n in array.shape))
            kind = np.float64 if array.dtype.kind == "f" else np.int64
            (folder / f"in.{i}.bin").write_bytes(np.ascontiguousarray(array, kind).tobytes())
        done = subprocess.run(
            [tool(), str(path), f"--run={folder}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        if done.returncode:
            text = done.stdout.strip()
            if done.returncode == 1 and any(mark in text for mark in REFUSALS):
                raise Refused(text)
            raise Broken(f"exit {done.returncode}: {text[-2000:]}")
        results = []
        for i in range(len(model.graph.output)):
            shape = [int(n) for n in (folder / f"out.{i}.shape").read_text().split()]
            values = np.frombuffer((folder / f"out.{i}.bin").read_bytes(), np.float64)
            results.append(values.reshape(shape))
        return results
    finally:
        shutil.rmtree(folder)


def fix_parameters(model, inputs):
    """The model with its small integer inputs (axes, shapes) as constants."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in list(fixed.graph.input):
        array = inputs.get(value.name)
        if array is None or array.dtype.kind not in "iub" or array.ndim > 1 or array.size > 16:
            continue
        fixed.graph.initializer.append(numpy_helper.from_array(array, value.name))
        fixed.graph.input.remove(value)
    return fixed


def difference(actual, expected, tolerance=1e-4):
    """None if the arrays agree within `tolerance` of the range, else why not."""
    expected = np.asarray(expected)
    if actual.shape != expected.shape:
        return f"shape {actual.shape} where {expected.shape} is expected"
    if expected.dtype.kind in "iub":
        bits = 8 * expected.dtype.itemsize
        wrong = actual.astype(np.int64) != expected.astype(np.int64)
        if expected.dtype.kind == "u" and bits < 64:
            wrong = (actual.astype(np.int64) - expected.astype(np.int64)) % (1 << bits) != 0
        return f"{wrong.sum()} of {wrong.size} differ" if wrong.any() else None
    expected = expected.astype(np.float64)
    if expected.size == 0:
        return None
    special = ~np.isfinite(expected)
    same = np.array_equal(actual[special], expected[special], equal_nan=True)
    if not same or not np.isfinite(actual[~special]).all():
        return "infinities or NaNs differ"
    if special.all():
        return None
    finite = expected[~special]
    scale = max(finite.max() - finite.min(), np.abs(finite).max(), 1e-30)
    worst = np.abs(actual[~special] - finite).max() / scale
    return f"differs by {worst:.1e} of the range" if worst > tolerance else None
