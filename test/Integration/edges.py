"""Edge blocks, extreme logits and empty inputs against NumPy in double.

    edges.py [--cases N] [--seed S]

Random sizes that are no multiples of blocks run on every level and on 1 and 2
threads: a linear layer with GELU and layer normalisation, and masked attention
whose logits reach +-1e4, with rows that have no key left, which give zeros; and
attention between the patches of an image.
"""

import argparse
import math
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import harness

BAR = 1e-4
SIZES = (1, 2, 3, 7, 15, 16, 17, 31, 33, 47, 48, 49, 65, 96, 100, 130)
erf = np.vectorize(math.erf)


def save(path, nodes, inputs, output, weights, opset=17):
    graph = helper.make_graph(
        nodes, "edges",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(a, n) for n, a in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)


def linear_model(path, rng, k, n):
    w = (rng.standard_normal((k, n)) / math.sqrt(k)).astype(np.float32)
    weights = {"w": w, "b": rng.standard_normal(n).astype(np.float32),
               "g": rng.standard_normal(n).astype(np.float32),
               "c": rng.standard_normal(n).astype(np.float32),
               "root": np.float32(math.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
    node = helper.make_node
    save(path, [
        node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["a"]),
        node("Div", ["a", "root"], ["d"]), node("Erf", ["d"], ["e"]),
        node("Add", ["e", "one"], ["f"]), node("Mul", ["a", "f"], ["g2"]),
        node("Mul", ["g2", "half"], ["h"]),
        node("LayerNormalization", ["h", "g", "c"], ["y"], axis=-1, epsilon=1e-5),
    ], [("x", TensorProto.FLOAT, ["b", "s", k])], ["b", "s", n], weights)

    def reference(inputs):
        a = inputs["x"].astype(np.float64) @ w.astype(np.float64) + weights["b"]
        h = a * (1 + erf(a / math.sqrt(2))) * 0.5 if a.size else a
        centred = h - h.mean(-1, keepdims=True) if h.size else h
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) if h.size else 1
        return centred / scale * weights["g"] + weights["c"]
    return reference


def attention_model(path, heads, depth, gain):
    weights = {"gain": np.float32(gain), "low": np.float32(np.finfo(np.float32).min),
               "one": np.int64(1), "axes": np.array([1, 2], np.int64)}
    node = helper.make_node
    save(path, [
        node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "kt"], ["raw"]), node("Mul", ["raw", "gain"], ["scaled"]),
        node("Sub", ["one", "mask"], ["dropped"]),
        node("Cast", ["dropped"], ["real"], to=TensorProto.FLOAT),
        node("Mul", ["real", "low"], ["bias"]), node("Unsqueeze", ["bias", "axes"], ["wide"]),
        node("Add", ["scaled", "wide"], ["scores"]), node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["y"]),
    ], [(n, TensorProto.FLOAT, ["b", heads, "s", depth]) for n in "qkv"]
        + [("mask", TensorProto.INT64, ["b", "s"])], ["b", heads, "s", depth], weights)

    def reference(inputs):
        q, k, v = (inputs[n].astype(np.float64) for n in "qkv")
        kept = inputs["mask"][:, None, None, :] != 0
        scores = np.where(kept, q @ k.swapaxes(-1, -2) * float(np.float32(gain)), -np.inf)
        top = scores.max(-1, keepdims=True, initial=-np.finfo(np.float64).max)
        weight = np.exp(scores - top)
        total = weight.sum(-1, keepdims=True)
        return np.divide(weight, total, out=np.zeros_like(weight), where=total > 0) @ v
    return reference


ROWS = 5


def grid_model(path, heads, depth):
    """Attention between the patches of an image, whose keys have two columns."""
    weights = {"gain": np.float32(1 / math.sqrt(depth)), "least": np.float32("-inf"), "zero": np.float32(0),
               "flat": np.array([0, 0, -1, depth], np.int64), "row": np.array([0, 1, 1, -1], np.int64)}
    node = helper.make_node
    save(path, [node("Reshape", [n, "flat"], [n + "f"]) for n in "qkv"] + [
        node("Transpose", ["kf"], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["qf", "kt"], ["raw"]), node("Mul", ["raw", "gain"], ["scaled"]),
        node("Reshape", ["mask", "row"], ["wide"]), node("Where", ["wide", "zero", "least"], ["bias"]),
        node("Add", ["scaled", "bias"], ["biased"]), node("Reshape", ["slope", "row"], ["slopes"]),
        node("Add", ["biased", "slopes"], ["scores"]), node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "vf"], ["y"]),
    ], [(n, TensorProto.FLOAT, ["b", heads, ROWS, "w", depth]) for n in "qkv"]
        + [("mask", TensorProto.BOOL, ["b", ROWS, "w"]), ("slope", TensorProto.FLOAT, ["b", ROWS, "w"])],
        ["b", heads, "s", depth], weights)

    def reference(inputs):
        b, _, _, w, _ = inputs["q"].shape
        q, k, v = (inputs[n].astype(np.float64).reshape(b, heads, ROWS * w, depth) for n in "qkv")
        row = lambda name: inputs[name].reshape(b, 1, 1, ROWS * w)
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(depth) + row("slope")
        weight = np.where(row("mask"), np.exp(scores - scores.max(-1, keepdims=True)), 0)
        return weight / weight.sum(-1, keepdims=True) @ v
    return reference


def check_grids(report, work, rng):
    heads, depth = 2, 24
    reference = grid_model(work / "g.onnx", heads, depth)
    code, output = harness.joinery("explain", work / "g.onnx")
    report.check(code == harness.DONE and " attention " in output, "grid: the scores are not streamed")
    code, output = harness.joinery("compile", work / "g.onnx", "-o", work / "g")
    if not report.check(code == harness.DONE, f"grid: compile exits {code}: {output[:200]}"):
        return
    for b, w in ((1, 1), (2, 7), (1, 16), (1, 101)):
        inputs = {n: rng.standard_normal((b, heads, ROWS, w, depth)).astype(np.float32) for n in "qkv"}
        inputs["slope"] = rng.standard_normal((b, ROWS, w)).astype(np.float32)
        inputs["mask"] = rng.random((b, ROWS, w)) < 0.7
        inputs["mask"][:, 1, 0] = True
        check(report, work, f"grid {b}x{heads}x{ROWS}x{w}x{depth}", work / "g", inputs, reference(inputs))


def check(report, work, where, prefix, inputs, want):
    np.savez(work / "in.npz", **inputs)
    before = None
    for isa in harness.isa_levels():
        for threads in (1, 2):
            code, output = harness.joinery("run", prefix, "--inputs", work / "in.npz", "--outputs",
                                           work / "out.npz", "--threads", str(threads), isa=isa)
            place = f"{where} {isa} {threads} threads"
            if not report.check(code == harness.DONE, f"{place}: run exits {code}: {output[:200]}"):
                continue
            got = np.load(work / "out.npz")["y"]
            if not report.check(got.shape == want.shape, f"{place}: shape {got.shape}, want {want.shape}"):
                continue
            error = harness.relative_error(got, want) if want.size else 0
            report.check(error <= BAR, f"{place}: error {error:.1e}")
            if threads == 2:
                report.check(np.array_equal(got, before), f"{place}: other bits than on 1 thread")
            before = got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    report = harness.Report("edges")
    pick = lambda: int(rng.choice(SIZES))
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        check_grids(report, work, rng)
        for case in range(arguments.cases):
            k, n = pick(), pick()
            reference = linear_model(work / "m.onnx", rng, k, n)
            code, output = harness.joinery("compile", work / "m.onnx", "-o", work / "m")
            if report.check(code == harness.DONE, f"linear {k}x{n}: compile exits {code}: {output[:200]}"):
                for b, s in ((1, 1), (int(rng.integers(1, 5)), pick()), (0, 3), (2, 0)):
                    inputs = {"x": rng.standard_normal((b, s, k)).astype(np.float32)}
                    check(report, work, f"linear {b}x{s}x{k}x{n}", work / "m", inputs, reference(inputs))
            heads, depth = int(rng.integers(1, 4)), pick()
            gain = float(rng.choice([0.1, 1.0, 100.0])) / math.sqrt(depth)
            if case % 4 == 3:
                gain = 1e4
            reference = attention_model(work / "a.onnx", heads, depth, gain)
            code, output = harness.joinery("compile", work / "a.onnx", "-o", work / "a")
            if not report.check(code == harness.DONE, f"attention {depth}: compile exits {code}: {output[:200]}"):
                continue
            # Longer than a block of keys once, so that blocks are merged.
            for b, s in ((1, 1), (3, pick()), (1, 500 if case == 0 else pick())):
                inputs = {n: rng.standard_normal((b, heads, s, depth)).astype(np.float32) for n in "qkv"}
                # Logits of 1e4 turn rounding into other winners: exact small integers do not.
                if gain == 1e4:
                    inputs.update({n: rng.integers(-1, 2, (b, heads, s, depth)).astype(np.float32) for n in "qk"})
                inputs["mask"] = (rng.random((b, s)) < 0.7).astype(np.int64)
                if b > 1:
                    inputs["mask"][0] = 0
                    inputs["mask"][1, : s // 2] = 0
                check(report, work, f"attention {b}x{heads}x{s}x{depth} gain {gain:.2g}", work / "a", inputs,
                      reference(inputs))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
