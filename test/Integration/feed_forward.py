"""Two contractions and a residual, of widths and rows that fill no tile.

    feed_forward.py

What lies between the two is read by a product alone, so levels that multiply
pairs store it in bf16; the sums of the second wait for a normalisation, or for
nothing. ONNX Runtime says what is right.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import harness
from convolutions import BARS, check

# Width, inner width, and whether a LayerNorm follows: depths of a step and less, of
# whole steps and not, past what stays in a cache, and odd numbers of panels.
MODELS = [(32, 64, True), (96, 144, False), (160, 80, True), (312, 500, True), (384, 1536, True), (544, 336, False),
          (1056, 100, True), (64, 3200, False), (50, 192, True), (17, 33, True), (111, 1, False)]
ROWS = [(1, 1), (1, 15), (1, 16), (2, 16), (1, 33), (3, 21), (2, 65), (4, 129), (0, 7)]


def write(path, width, inner, normalised):
    rng = np.random.default_rng(3)

    def weight(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    weights = {"up": weight(width, inner), "up_bias": weight(1, inner)[0], "down": weight(inner, width),
               "bias": weight(1, width)[0], "scale": 1 + weight(1, width)[0]}
    steps = [("MatMul", ["x", "up"]), ("Add", ["t0", "up_bias"]), ("Tanh", ["t1"]), ("MatMul", ["t2", "down"]),
             ("Add", ["t3", "bias"]), ("Add", ["t4", "x"])]
    if normalised:
        steps.append(("LayerNormalization", ["t5", "scale", "bias"]))
    nodes = [helper.make_node(op, inputs, [f"t{i}"], name=f"{op}{i}") for i, (op, inputs) in enumerate(steps)]
    dims = ["batch", "length", width]
    graph = helper.make_graph(
        nodes, "feed_forward", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(f"t{len(steps) - 1}", TensorProto.FLOAT, dims)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main():
    report = harness.Report("feed-forward blocks")
    with tempfile.TemporaryDirectory() as scratch:
        for model in MODELS:
            shapes = [(*rows, model[0]) for rows in ROWS]
            for precision in BARS:
                check(report, pathlib.Path(scratch), model, precision, lambda path: write(path, *model), shapes)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
