"""Quantised models where the last bit decides, against NumPy step by step.

Every instruction-set level, 1 and 2 threads, f32 and bf16. Required: values in the
middle of two levels end on the level that the file's own operations give, each
rounded to f32; products of integers are exact; dynamic scales look at all rows.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import harness

node = helper.make_node
f32 = np.float32


def save(path, nodes, inputs, outputs, weights):
    graph = helper.make_graph(
        nodes, "levels", [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def middles(path, rng):
    """Levels plus 1, in a range twice as large: half of the sums lie in the middle of two levels."""
    unit, one = f32(2 / 255), f32(1 / 255)
    weights = {"unit": unit, "zero": np.uint8(128), "ones": np.uint8(255), "one": one, "none": np.uint8(0)}
    save(path, [
        node("DequantizeLinear", ["x", "unit", "zero"], ["a"]),
        node("DequantizeLinear", ["ones", "one", "none"], ["b"]),
        node("Add", ["a", "b"], ["c"]), node("QuantizeLinear", ["c", "unit", "none"], ["y"]),
    ], [("x", TensorProto.UINT8, ["n"])], [("y", TensorProto.UINT8, ["n"])], weights)
    x = np.arange(256, dtype=np.uint8)
    sums = (x.astype(f32) - f32(128)) * unit + f32(255) * one
    return {"x": x}, {"y": np.clip(np.rint(sums / unit), 0, 255).astype(np.uint8)}


def products(path, rng):
    """Rows in levels of their whole batch times weights with zero points of their own."""
    k, n = 100, 37
    w = rng.integers(-128, 128, (k, n), dtype=np.int8)
    zeros = rng.integers(-9, 9, n, dtype=np.int8)
    save(path, [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z", "zeros"], ["sums"]),
    ], [("x", TensorProto.FLOAT, ["b", "s", k])],
        [("q", TensorProto.UINT8, ["b", "s", k]), ("sums", TensorProto.INT32, ["b", "s", n])],
        {"w": w, "zeros": zeros})
    x = (rng.standard_normal((3, 29, k)) + 0.3).astype(f32)
    low, high = np.minimum(x.min(), f32(0)), np.maximum(x.max(), f32(0))
    scale = (high - low) / f32(255)
    zero = np.rint(-low / scale)
    q = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    return {"x": x}, {"q": q, "sums": (q.astype(np.int64) - int(zero)) @ (w.astype(np.int64) - zeros)}


def main():
    report = harness.Report("levels")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for make in (middles, products):
            inputs, want = make(folder / "model.onnx", np.random.default_rng(5))
            np.savez(folder / "in.npz", **inputs)
            for precision in ("f32", "bf16"):
                prefix, result = folder / precision, folder / "out.npz"
                code, output = harness.joinery("compile", folder / "model.onnx", "-o", prefix, "--precision", precision)
                if not report.check(code == harness.DONE, make.__name__, precision, f"compile exits {code}"):
                    print(harness.first_lines(output))
                    continue
                for isa in harness.isa_levels(precision):
                    for threads in (1, 2):
                        where = (make.__name__, precision, isa, f"{threads} threads")
                        code, output = harness.joinery("run", prefix, "--inputs", folder / "in.npz", "--outputs", result,
                                                       "--threads", threads, isa=isa)
                        if not report.check(code == harness.DONE, *where, f"run exits {code}"):
                            print(harness.first_lines(output))
                            continue
                        with np.load(result) as got:
                            for name, expected in want.items():
                                wrong = np.count_nonzero(got[name] != expected)
                                report.check(wrong == 0, *where, f"{wrong} of {expected.size} elements of {name} differ")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
