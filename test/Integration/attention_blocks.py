"""Attention between contractions, of heads that fill tiles and of heads that do not.

    attention_blocks.py

Levels with tiles store queries, keys, values and the heads' output in blocks of 32
columns where a head is whole blocks. ONNX Runtime says what is right.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import harness
from convolutions import BARS, check


LIMIT = np.float32(0.7)


@dataclasses.dataclass(frozen=True)
class Form:
    heads: int
    depth: int
    groups: int = 0  # heads of keys and values, if fewer
    fused: bool = False  # queries, keys and values are parts of one contraction
    masked: bool = False  # keys whose first feature is large have no weight
    shift: float = 0  # about what all scores have in common: with 60 or more, e^score leaves the range of sums
    shape: tuple = ("batch", "length")


FORMS = [Form(2, 32), Form(3, 64, fused=True), Form(2, 96, masked=True), Form(4, 48), Form(1, 160, fused=True, masked=True),
         Form(4, 32, groups=2), Form(4, 16, fused=True), Form(2, 64, shape=(2, 40)), Form(6, 32, groups=1, masked=True),
         Form(2, 64, shift=100), Form(3, 32, masked=True, shift=-70), Form(3, 26, masked=True), Form(1, 33, fused=True)]
ROWS = [(1, 1), (2, 17), (3, 40), (1, 301), (0, 5)]


def write(path, form):
    rng = np.random.default_rng(5)
    node, nodes = helper.make_node, []
    width, groups = form.heads * form.depth, form.groups or form.heads
    weights = {"out": (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32),
               "scale": np.float32(1 / np.sqrt(form.depth)), "axis": np.array([2], np.int64),
               "first": np.array([0], np.int64), "low": np.float32(-1e30), "zero": np.float32(0), "limit": LIMIT}
    counts = {"q": form.heads, "k": groups, "v": groups}
    for name, heads in counts.items():
        weights["w" + name] = (rng.standard_normal((width, heads * form.depth)) / np.sqrt(width)).astype(np.float32)
        weights["b" + name] = rng.standard_normal(heads * form.depth).astype(np.float32)
        if name != "v":
            common = np.sqrt(np.abs(form.shift) / np.sqrt(form.depth))
            weights["b" + name] += np.float32(common * (np.sign(form.shift) if name == "k" else 1))
    if form.fused:
        for kind in "wb":
            weights[kind] = np.concatenate([weights.pop(kind + name) for name in counts], axis=-1)
        weights["sizes"] = np.array([heads * form.depth for heads in counts.values()], np.int64)
        nodes += [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["a"]),
                  node("Split", ["a", "sizes"], [name + "0" for name in counts], axis=2)]
    for name, heads in counts.items():
        if not form.fused:
            nodes += [node("MatMul", ["x", "w" + name], [name + "m"]), node("Add", [name + "m", "b" + name], [name + "0"])]
        weights["split" + name] = np.array([0, 0, heads, form.depth], np.int64)
        nodes.append(node("Reshape", [name + "0", "split" + name], [name + "1"]))
        each = form.heads // heads
        if each > 1:
            weights["wide" + name] = np.array([1, 1, 1, each, 1], np.int64)
            weights["merge" + name] = np.array([0, 0, form.heads, form.depth], np.int64)
            weights["at3"] = np.array([3], np.int64)
            nodes += [node("Unsqueeze", [name + "1", "at3"], [name + "2"]),
                      node("Expand", [name + "2", "wide" + name], [name + "3"]),
                      node("Reshape", [name + "3", "merge" + name], [name + "4"])]
        nodes.append(node("Transpose", [name + ("4" if each > 1 else "1")], [name],
                          perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]))
    nodes += [node("MatMul", ["q", "k"], ["raw"]), node("Mul", ["raw", "scale"], ["scores"])]
    if form.masked:
        weights["axes"] = np.array([1, 2], np.int64)
        nodes += [node("Gather", ["x", "first"], ["one"], axis=2), node("Squeeze", ["one", "axis"], ["feature"]),
                  node("Greater", ["feature", "limit"], ["large"]), node("Where", ["large", "low", "zero"], ["bias"]),
                  node("Unsqueeze", ["bias", "axes"], ["mask"]), node("Add", ["scores", "mask"], ["kept"])]
    weights["merge"] = np.array([0, 0, width], np.int64)
    nodes += [node("Softmax", ["kept" if form.masked else "scores"], ["p"], axis=-1), node("MatMul", ["p", "v"], ["c"]),
              node("Transpose", ["c"], ["t"], perm=[0, 2, 1, 3]), node("Reshape", ["t", "merge"], ["h"]),
              node("MatMul", ["h", "out"], ["o"]), node("Add", ["o", "x"], ["y"])]
    dims = [*form.shape, width]
    graph = helper.make_graph(
        nodes, "attention", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def small(x):
    """The rows that the mask keeps."""
    return x[..., 0] <= LIMIT


def main():
    report = harness.Report("attention in blocks")
    with tempfile.TemporaryDirectory() as scratch:
        for form in FORMS:
            rows = ROWS if isinstance(form.shape[0], str) else [form.shape]
            shapes = [(*row, form.heads * form.depth) for row in rows]
            for precision in BARS:
                check(report, pathlib.Path(scratch), form, precision, lambda path: write(path, form), shapes,
                      kept=small if form.masked else None)
                # Without the mask's rows the keys are packed, with them they are listed.
                if form.masked and precision == "bf16":
                    check(report, pathlib.Path(scratch), f"{form} keep", precision, lambda path: write(path, form), shapes,
                          ["--padding=keep"])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
