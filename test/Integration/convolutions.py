"""Convolutions as encoders have them: front ends of audio, positions, depthwise.

    convolutions.py

Strided windows that overlap, with and without padding, in groups, between
statistics and activations. ONNX Runtime says what is right. `tiles` is bf16 on
tile registers, emulated where the machine has none.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import harness

# By precision; "tiles" are emulated.
BARS = {"f32": 1e-5, "bf16": 3e-2, "f32 tiles": 1e-5, "bf16 tiles": 3e-2}

# Name: the input's channels and spatial dimensions, and the layers: (channels,
# kernel, stride, padding, groups, what follows).
MODELS = {
    "audio": (1, 1, [(32, 10, 5, 0, 1, "norm"), (48, 3, 2, 0, 1, "gelu"), (40, 2, 2, 0, 1, "gelu")]),
    "padded": (24, 1, [(48, 3, 1, 1, 1, "gelu"), (32, 3, 2, 1, 1, "gelu")]),
    "positions": (48, 1, [(48, 16, 1, 8, 4, "gelu")]),
    "sparse": (8, 1, [(24, 2, 3, 0, 1, "gelu")]),
    "depthwise": (16, 2, [(16, 3, 1, 1, 16, "gelu"), (24, 1, 1, 0, 1, "none"), (24, 3, 2, 1, 24, "norm")]),
    "image": (3, 2, [(16, 3, 2, 1, 1, "gelu"), (24, 3, 1, 1, 1, "gelu"), (16, 2, 2, 0, 1, "none")]),
}
# Spatial sizes; products of two of them where there are two dimensions.
LENGTHS = {1: (60, 97, 400, 1203), 2: (5, 16, 33)}


def write(path, name):
    rng = np.random.default_rng(2)
    channels, rank, layers = MODELS[name]
    nodes, weights, value = [], {"half": np.float32(0.5), "one": np.float32(1), "root": np.float32(2**-0.5)}, "x"

    def add(op, inputs, **attributes):
        out = f"{op}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    dims = ["batch", channels] + [f"d{i}" for i in range(rank)]
    for number, (width, kernel, stride, padding, groups, then) in enumerate(layers):
        shape = (width, channels // groups) + (kernel,) * rank
        weights[f"w{number}"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        weights[f"b{number}"] = rng.standard_normal(width).astype(np.float32)
        value = add("Conv", [value, f"w{number}", f"b{number}"], group=groups, strides=[stride] * rank,
                    pads=[padding] * (2 * rank))
        channels = width
        if then == "norm":
            weights[f"s{number}"] = rng.standard_normal(width).astype(np.float32)
            value = add("InstanceNormalization", [value, f"s{number}", f"b{number}"])
        if then == "gelu":
            erf = add("Add", [add("Erf", [add("Mul", [value, "root"])]), "one"])
            value = add("Mul", [add("Mul", [value, "half"]), erf])
    graph = helper.make_graph(
        nodes, "convolutions", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def shapes(name):
    channels, rank, _ = MODELS[name]
    for batch in (1, 3):
        for i, length in enumerate(LENGTHS[rank]):
            yield (batch, channels, length) if rank == 1 else (batch, channels, length, LENGTHS[rank][i - 1])
    yield (0, channels) + LENGTHS[rank][-1:] * rank


def check(report, work, title, precision, write, shapes, options=(), kept=None):
    """A model that `write` makes, of input x, against ONNX Runtime at every level.

    `kept` says which rows of the result count for an x, if not all do.
    """
    title, bar = f"{title} {precision}", BARS[precision]
    write(work / "m.onnx")
    precision, _, tiles = precision.partition(" ")
    if tiles:
        code, output = harness.run(harness.test_tool("joinery-tile-compile"), work / "m.onnx", work / "m", precision)
    else:
        code, output = harness.joinery("compile", work / "m.onnx", "-o", work / "m", f"--precision={precision}",
                                       *options)
    if not report.check(code == harness.DONE, title, f"compile exits {code}: {output[:300]}"):
        return
    session = onnxruntime.InferenceSession(work / "m.onnx", providers=["CPUExecutionProvider"])
    out = session.get_outputs()[0].name
    for shape in shapes:
        x = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
        want = session.run(None, {"x": x})[0] if x.size else None
        np.savez(work / "in.npz", x=x)
        for isa in ["avx2"] if tiles else harness.isa_levels(precision):
            same = set()
            for threads in (1, 3):
                code, output = harness.joinery(
                    "run", work / "m", "--inputs", work / "in.npz", "--outputs", work / "out.npz", "--threads", threads,
                    isa=isa, preload=harness.test_tool("joinery-tile-emulator.so") if tiles else None)
                if not report.check(code == harness.DONE, title, f"{isa} {shape}: run exits {code}: {output[:300]}"):
                    continue
                with np.load(work / "out.npz") as archive:
                    got = archive[out]
                same.add(got.tobytes())
                if want is None:
                    report.check(got.shape[0] == 0, title, f"{isa} {shape}: result of {got.shape}")
                    continue
                rows = kept(x) if kept else ...
                error = (harness.relative_error(got[rows], want[rows])
                         if got.shape == want.shape else float("inf"))
                report.check(error <= bar, title, f"{isa} {shape}: error {error:.1e}")
            report.check(len(same) == 1, title, f"{isa} {shape}: other bits on 3 threads")


def main():
    report = harness.Report("convolutions")
    with tempfile.TemporaryDirectory() as scratch:
        for name in MODELS:
            for precision in BARS:
                check(report, pathlib.Path(scratch), name, precision, lambda path: write(path, name), shapes(name))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
