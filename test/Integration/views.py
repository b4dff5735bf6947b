"""Chains of views whose key arithmetic leaves quotients and remainders, against
ONNX Runtime.

    views.py [--cases N] [--seed S]

Each model reinterprets its input by random reshapes to symbolic sizes, slices,
transposes, pads and concatenations (the relative shift of XLNet is such a chain),
then adds along the last dimension, on every level and on 1 and 2 threads.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import edges
import harness

SIZES = ((3, 4), (5, 7), (16, 9), (8, 24))
FAR = np.iinfo(np.int64).max


class Chain:
    """Nodes from `x` [s, t] on, with the dimensions that each size gives."""

    def __init__(self, rng, dims=("s", "t"), sizes=SIZES):
        self.rng, self.nodes, self.weights, self.value = rng, [], {}, "x"
        self.dims, self.sizes = dims, sizes
        self.shapes = [list(size) for size in sizes]

    @property
    def rank(self):
        return len(self.shapes[0])

    def constant(self, value):
        name = f"c{len(self.weights)}"
        self.weights[name] = np.array(value, np.int64)
        return name

    def add(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [*inputs], [name], **attributes))
        return name

    def reshape(self, order):
        """To the products of groups of the present dimensions."""
        shape, sizes = self.add("Shape", self.value), []
        for group in order:
            size = self.add("Gather", shape, self.constant([group[0]]))
            for axis in group[1:]:
                size = self.add("Mul", size, self.add("Gather", shape, self.constant([axis])))
            sizes.append(size)
        self.value = self.add("Reshape", self.value, self.add("Concat", *sizes, axis=0))
        self.shapes = [[int(np.prod([s[a] for a in group])) for group in order] for s in self.shapes]

    def step(self):
        axis = int(self.rng.integers(self.rank))
        kind = self.rng.choice(["swap", "swap", "merge", "transpose", "slice", "slice", "pad", "concat"])
        least = min(s[axis] for s in self.shapes)
        if kind == "swap" and self.rank > 1:
            order = [[a] for a in range(self.rank)]
            axis = min(axis, self.rank - 2)
            order[axis], order[axis + 1] = order[axis + 1], order[axis]
            self.reshape(order)
        elif kind == "merge" and self.rank > 2:
            axis = min(axis, self.rank - 2)
            self.reshape([[a] for a in range(axis)] + [[axis, axis + 1]] + [[a] for a in range(axis + 2, self.rank)])
        elif kind == "transpose" and self.rank > 1:
            order = [int(a) for a in self.rng.permutation(self.rank)]
            self.value = self.add("Transpose", self.value, perm=order)
            self.shapes = [[s[a] for a in order] for s in self.shapes]
        elif kind == "slice" and least > 3:
            start, end = int(self.rng.integers(0, 3)), int(self.rng.choice([FAR, -1]))
            self.value = self.add("Slice", self.value, *map(self.constant, ([start], [end], [axis])))
            for s in self.shapes:
                s[axis] -= start + (end == -1)
        elif kind == "pad":
            pads = [0] * (2 * self.rank)
            pads[axis], pads[axis + self.rank] = int(self.rng.integers(0, 2)), 1
            self.value = self.add("Pad", self.value, self.constant(pads))
            for s in self.shapes:
                s[axis] += pads[axis] + 1
        elif kind == "concat" and max(s[axis] for s in self.shapes) < 100:
            self.value = self.add("Concat", self.value, self.value, axis=axis)
            for s in self.shapes:
                s[axis] *= 2


def relative_shift(chain):
    """[s, 2s] to [s, s]: row i moves left by s - i."""
    chain.value = chain.add("Concat", "x", "x", axis=1)
    chain.reshape([[1], [0]])
    chain.value = chain.add("Slice", chain.value, *map(chain.constant, ([1], [FAR], [0])))
    shape = chain.add("Shape", "x")
    rows, columns = (chain.add("Gather", shape, chain.constant([a])) for a in (0, 1))
    wide = chain.add("Sub", chain.add("Mul", columns, chain.constant([2])), chain.constant([1]))
    chain.value = chain.add("Reshape", chain.value, chain.add("Concat", rows, wide, axis=0))
    chain.value = chain.add("Slice", chain.value, chain.constant([0]), columns, chain.constant([1]))
    # All rows, counted back by their number.
    back = chain.add("Neg", rows)
    chain.value = chain.add("Slice", chain.value, back, chain.constant([FAR]), chain.constant([0]))
    chain.shapes = [list(size) for size in chain.sizes]


def check(report, work, where, chain):
    nodes = chain.nodes + [helper.make_node("ReduceSum", [chain.value, "last"], ["sums"], keepdims=1),
                           helper.make_node("Add", [chain.value, "sums"], ["y"])]
    dims = [f"d{a}" for a in range(len(chain.shapes[0]))]
    edges.save(work / "m.onnx", nodes, [("x", TensorProto.FLOAT, chain.dims)], dims,
               {**chain.weights, "last": np.array([-1], np.int64)}, opset=18)
    session = onnxruntime.InferenceSession(work / "m.onnx", providers=["CPUExecutionProvider"])
    code, output = harness.joinery("compile", work / "m.onnx", "-o", work / "m")
    if not report.check(code == harness.DONE, f"{where}: compile exits {code}: {output[:300]}"):
        return
    for size in chain.sizes:
        inputs = {"x": np.random.default_rng(7).standard_normal(size).astype(np.float32)}
        edges.check(report, work, f"{where} {size}", work / "m", inputs, session.run(None, inputs)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = harness.Report("views")
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        for dims, sizes in ((("s", "s"), [(s, s) for s, _ in SIZES]), (("s", "t"), SIZES)):
            chain = Chain(np.random.default_rng(0), dims, sizes)
            relative_shift(chain)
            check(report, work, f"relative shift {dims}", chain)
        for case in range(arguments.seed, arguments.seed + arguments.cases):
            chain = Chain(np.random.default_rng(case))
            for _ in range(5):
                chain.step()
            check(report, work, f"chain {case}", chain)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
