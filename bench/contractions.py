"""Measures contractions as they are compiled, with weights from memory.

    contractions.py --build DIR [--precision P ...] [--rows N ...] [--isa LEVEL] [--seconds S]
                    [--epilogue none|gelu|layernorm] [--rounds N]

Each model is a chain of contractions with a bias, one after another with weights of
its own, so that none finds its weights in a cache; in between lies what a contraction
leaves for the next. The share is of a burst of multiply-adds on registers right after
a run (`joinery bench`), in the products that the level multiplies with: on tiles six
of bf16 for one of f32. GB/s are those of the weights alone.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPES = [(768, 768), (768, 2304), (768, 3072), (3072, 768), (384, 384), (384, 1536), (1536, 384)]
# Enough weights that the last are gone when the first come again.
WEIGHT_BYTES = 96 << 20
EDGE = 64


def write(path, depth, width, count, epilogue):
    """`count` contractions of depth x width, with ones back to `depth` between them where the two differ."""
    rng = np.random.default_rng(1)
    weights, nodes, value = {}, [], "x"

    def contraction(k, n, followed):
        nonlocal value
        number = len(nodes)
        weights[f"w{number}"] = (rng.standard_normal((k, n)) / math.sqrt(k)).astype(np.float32)
        weights[f"b{number}"] = rng.standard_normal(n).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [value, f"w{number}"], [f"m{number}"]))
        nodes.append(helper.make_node("Add", [f"m{number}", f"b{number}"], [f"a{number}"]))
        value = f"a{number}"
        if followed and epilogue == "gelu":
            nodes.append(helper.make_node("Gelu", [value], [f"g{number}"]))
            value = f"g{number}"
        if followed and epilogue == "layernorm":
            weights[f"s{number}"] = np.ones(n, np.float32)
            nodes.append(helper.make_node("LayerNormalization", [value, f"s{number}", f"b{number}"], [f"g{number}"], axis=-1))
            value = f"g{number}"

    contraction(EDGE, depth, False)
    for i in range(count):
        contraction(depth, width, True)
        if depth != width and i + 1 < count:
            contraction(width, depth, False)
    contraction(width, EDGE, False)
    graph = helper.make_graph(
        nodes, "contractions", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", EDGE])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["rows", EDGE])],
        [numpy_helper.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def tool(build, *arguments):
    return subprocess.run([build / "bin" / "joinery", *map(str, arguments)], check=True, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--precision", nargs="+", default=["bf16", "f32"])
    parser.add_argument("--rows", nargs="+", type=int, default=[128, 384, 1024])
    parser.add_argument("--isa")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epilogue", choices=["none", "gelu", "layernorm"], default="none")
    arguments = parser.parse_args()
    print("| precision | k x n | rows | us | GFLOP/s | of the peak beside it | weights GB/s |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for precision in arguments.precision:
            element = 2 if precision == "bf16" else 4
            for depth, width in SHAPES:
                count = max(4, WEIGHT_BYTES // (element * depth * width * (1 if depth == width else 2)))
                model = pathlib.Path(scratch) / "chain.onnx"
                prefix = pathlib.Path(scratch) / "chain"
                write(model, depth, width, count, arguments.epilogue)
                tool(arguments.build, "compile", model, "-o", prefix, f"--precision={precision}", "--emit=shared")
                for rows in arguments.rows:
                    report_case(arguments, prefix, precision, depth, width, rows, element)
    return 0


def report_case(arguments, prefix, precision, depth, width, rows, element):
    """The steps of k = depth, n = width alone: the chain has others between them."""
    times, shares = [], []
    for _ in range(arguments.rounds):
        run = json.loads(tool(arguments.build, "bench", prefix, "--threads", 1, "--dim", f"rows={rows}", "--seconds",
                              arguments.seconds, "--json", "--trace", *(["--isa", arguments.isa] if arguments.isa else [])))
        flops = 2 * rows * depth * width
        steps = [step["s"] for step in run["steps"] if 0.9 * flops < step["flops"] < 1.5 * flops]
        steps = sorted(steps[::1 if depth == width else 2])
        peak = run["flops"] / run["median_s"] / run["share_of_peak"]
        times.append(steps[len(steps) // 2])
        shares.append(flops / times[-1] / peak)
    time, share = np.median(times), np.median(shares)
    print(f"| {precision} | {depth} x {width} | {rows} | {1e6 * time:.0f} | {2e-9 * rows * depth * width / time:.0f} | {share:.0%} | "
          f"{1e-9 * element * depth * width / time:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
