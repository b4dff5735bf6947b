"""Scores and weights of an attention that more than its sum reads.

    shared_scores.py

Two sums over one softmax, scores or weights that are outputs, statistics of
them, two masks on the same scores, scores that are a sum of contractions. ONNX Runtime says what is right.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import harness

BAR = 1e-5
HEADS, DEPTH, BATCH = 3, 8, 2
WIDTH = HEADS * DEPTH

# What reads the scores `s`: nodes as (operator, inputs, output, attributes), and
# the outputs. `v` and `u` are values by head.
LAST = {"axis": -1}
READERS = {
    "two sums": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}), ("MatMul", "p u", "x2", {})], "x1 x2"),
    "scores out": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {})], "x1 s"),
    "weights out": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {})], "x1 p"),
    "all out": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}), ("MatMul", "p u", "x2", {})], "x1 p s x2"),
    "two masks": ([("Add", "s mask", "m", {}), ("Softmax", "s", "p", LAST), ("Softmax", "m", "w", LAST),
                   ("MatMul", "p v", "x1", {}), ("MatMul", "w v", "x2", {})], "x1 x2"),
    "statistic": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}),
                   ("ReduceMean", "s", "g", {"axes": [3]}), ("Mul", "x1 g", "x2", {})], "x2"),
    "greatest": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}),
                  ("ReduceMax", "p", "x2", {"axes": [3]})], "x1 x2"),
    "no softmax": ([("Sigmoid", "s", "g", {}), ("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}),
                    ("MatMul", "g u", "x2", {})], "x1 x2"),
    "sum of scores": ([("Transpose", "u", "ut", {"perm": [0, 1, 3, 2]}), ("MatMul", "v ut", "c", {}),
                       ("Add", "s c", "z", {}), ("Softmax", "z", "p", LAST), ("MatMul", "p v", "x1", {})], "x1"),
    "sum of scores out": ([("Transpose", "u", "ut", {"perm": [0, 1, 3, 2]}), ("MatMul", "v ut", "c", {}),
                           ("Add", "s c", "z", {}), ("Add", "z mask", "m", {}), ("Softmax", "m", "p", LAST),
                           ("MatMul", "p v", "x1", {})], "x1 c m"),
    "products only": ([("Transpose", "u", "ut", {"perm": [0, 1, 3, 2]}), ("MatMul", "v ut", "c", {}),
                       ("Relu", "c", "r", {}), ("MatMul", "r q", "x1", {}), ("MatMul", "ut v", "x2", {})], "x1 x2"),
    "transposed": ([("Softmax", "s", "p", LAST), ("MatMul", "p v", "x1", {}),
                    ("Transpose", "s", "st", {"perm": [0, 1, 3, 2]}), ("Softmax", "st", "pt", LAST),
                    ("MatMul", "pt u", "x2", {})], "x1 x2"),
}


def write(path, name):
    rng = np.random.default_rng(1)
    readers, outputs = READERS[name]
    weights = {"split": np.array([0, 0, HEADS, DEPTH], np.int64), "scale": np.float32(0.35)}
    nodes = []
    for head in "qkvu":
        weights["w" + head] = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 4
        nodes += [helper.make_node("MatMul", ["x", "w" + head], ["f" + head]),
                  helper.make_node("Reshape", ["f" + head, "split"], ["h" + head]),
                  helper.make_node("Transpose", ["h" + head], [head], perm=[0, 2, 3, 1] if head == "k" else [0, 2, 1, 3])]
    nodes += [helper.make_node("MatMul", ["q", "k"], ["raw"]), helper.make_node("Mul", ["raw", "scale"], ["s"])]
    nodes += [helper.make_node(op, ins.split(), [out], **attributes) for op, ins, out, attributes in readers]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "sequence", WIDTH]),
              helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 1, 1, "sequence"])]
    used = {i for n in nodes for i in n.input}
    graph = helper.make_graph(
        nodes, "shared", [i for i in inputs if i.name in used],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs.split()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def check(report, work, name):
    write(work / "m.onnx", name)
    code, output = harness.joinery("compile", work / "m.onnx", "-o", work / "m")
    if not report.check(code == harness.DONE, name, f"compile exits {code}: {output[:300]}"):
        return
    session = onnxruntime.InferenceSession(work / "m.onnx", providers=["CPUExecutionProvider"])
    for length in (1, 5, 37, 201):
        rng = np.random.default_rng(length)
        given = {"x": rng.standard_normal((BATCH, length, WIDTH)).astype(np.float32),
                 "mask": rng.standard_normal((BATCH, 1, 1, length)).astype(np.float32)}
        given = {i.name: given[i.name] for i in session.get_inputs()}
        wants = session.run(None, given)
        np.savez(work / "in.npz", **given)
        for isa in harness.isa_levels():
            code, output = harness.joinery("run", work / "m", "--inputs", work / "in.npz", "--outputs",
                                           work / "out.npz", isa=isa)
            if not report.check(code == harness.DONE, name, f"{isa}: run exits {code}: {output[:300]}"):
                continue
            with np.load(work / "out.npz") as archive:
                for out, want in zip(session.get_outputs(), wants):
                    error = harness.relative_error(archive[out.name], want)
                    report.check(error <= BAR, name, f"{isa} {out.name} of length {length}: error {error:.1e}")


def main():
    report = harness.Report("shared scores")
    with tempfile.TemporaryDirectory() as scratch:
        for name in READERS:
            check(report, pathlib.Path(scratch), name)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
