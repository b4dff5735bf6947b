"""What a run counts: operations and bytes, against what the model's sizes say.

    counters.py FOLDER

Operations are those of the contractions. Bytes of intermediates are affine in
the length: no relation over two positions is stored, with a mask or a bias for
each pair of positions (MPNet) or without. A model that gives its attention's
weights away has to store them, and the counter says so.
"""

import dataclasses
import importlib.util
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

import harness

BATCH, LENGTHS = 2, (16, 32, 64)


def generator():
    path = harness.TEST.parent / "bench" / "make_bert.py"
    spec = importlib.util.spec_from_file_location("make_bert", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def compiled(model, prefix):
    code, text = harness.joinery("compile", model, "-o", prefix)
    assert code == harness.DONE, text
    return prefix


def bench(prefix, length, *more):
    code, text = harness.joinery(
        "bench", prefix, "--batch", BATCH, "--seq", length, "--seconds", 0.01, "--json", *more)
    assert code == harness.DONE, text
    return json.loads(text)


def operations(shape, batch, length):
    """Of the contractions of an encoder; a multiplication and an addition are two."""
    tokens = batch * length
    dense = 4 * shape.hidden**2 + 2 * shape.hidden * shape.inner
    return shape.layers * (2 * tokens * dense + 4 * tokens * length * shape.hidden)


def masks(length):
    """Three batch rows each: masks at the right, at the left, scattered, with an empty row, and none."""
    position = np.arange(length)
    counts = np.array([length, length // 3, 1])[:, None]
    scattered = np.stack([position % step == 0 for step in (1, 3, 7)])
    empty = np.stack([position < 5, position < 0, position >= length - 3])
    return {"right": position < counts, "left": position >= length - counts, "scattered": scattered,
            "empty": empty, "full": np.ones((3, length), bool)}


def masked(prefix, folder, mask):
    ids = np.ones(mask.shape, np.int64)
    np.savez(folder / "in.npz", input_ids=ids, attention_mask=mask.astype(np.int64), token_type_ids=0 * ids)
    code, text = harness.joinery("bench", prefix, "--inputs", folder / "in.npz", "--seconds", 0.01, "--json")
    assert code == harness.DONE, text
    return json.loads(text)


def is_affine(values):
    """Lengths double: so do the differences of what is affine in them."""
    return values[2] - values[1] == 2 * (values[1] - values[0])


def check(name, truth):
    print(f"{'ok' if truth else 'FAIL'}: {name}")
    return bool(truth)


def main():
    folder = pathlib.Path(sys.argv[1])
    make_bert = generator()
    tiny = dataclasses.replace(make_bert.SHAPES["tiny"], layers=1, hidden=64, inner=256)
    model = make_bert.make(tiny)
    onnx.save(model, folder / "bert.onnx")
    prefix = compiled(folder / "bert.onnx", folder / "bert")
    passed = []

    for level in harness.isa_levels():
        for threads in (1, 3):
            found = [bench(prefix, length, "--threads", threads, "--isa", level) for length in LENGTHS]
            for length, figures in zip(LENGTHS, found):
                want = operations(tiny, BATCH, length)
                passed.append(check(
                    f"{level}, {threads} threads, length {length}: {figures['flops']:.0f} operations for {want}",
                    abs(figures["flops"] / want - 1) <= 0.02))
            for key in ("written_bytes", "read_bytes"):
                values = [figures[key] for figures in found]
                passed.append(check(f"{key} {values} are affine in the length", is_affine(values)))

    for name, mask in masks(64).items():
        # Each row of the batch alone, as long as its tokens are.
        want = sum(operations(tiny, 1, int(count)) for count in mask.sum(1))
        flops = masked(prefix, folder, mask)["flops"]
        passed.append(check(f"{name} mask: {flops:.0f} operations for {want} of real tokens",
                            abs(flops / want - 1) <= 0.02))

    full, ragged = bench(prefix, 64), bench(prefix, 64, "--ragged")
    passed.append(check(
        f"{ragged['tokens']} of {full['tokens']} tokens need fewer operations and reads",
        ragged["flops"] < full["flops"] and ragged["read_bytes"] < full["read_bytes"]))

    mpnet = compiled(harness.ZOO / "mpnet-dy18-eager-lhs" / "model.onnx", folder / "mpnet")
    values = [bench(mpnet, length)["written_bytes"] for length in LENGTHS]
    passed.append(check(f"bytes written with a bias per pair of positions {values} are affine", is_affine(values)))

    # Parallel blocks: the attention's projection shares a kernel with the
    # feed-forward's second one, and both count.
    paf = compiled(harness.ZOO / "paf_block-ts17" / "model.onnx", folder / "paf")
    shape = dataclasses.replace(tiny, layers=2, hidden=48, inner=111)
    flops, want = bench(paf, 32)["flops"], operations(shape, BATCH, 32)
    passed.append(check(f"parallel blocks: {flops:.0f} operations for {want}", abs(flops / want - 1) <= 0.02))

    weights = next(node.output[0] for node in model.graph.node if node.op_type == "Softmax")
    model.graph.output.append(
        helper.make_tensor_value_info(weights, TensorProto.FLOAT, ["batch", tiny.heads, "seq", "seq"]))
    onnx.save(model, folder / "weights.onnx")
    prefix = compiled(folder / "weights.onnx", folder / "weights")
    values = [bench(prefix, length)["written_bytes"] for length in LENGTHS]
    grown = [value - other for value, other in zip(values, (f["written_bytes"] for f in found))]
    # Scores, a product, and the weights; the rest is bytes for each row.
    least = [2 * 4 * BATCH * tiny.heads * length**2 for length in LENGTHS]
    passed.append(check(
        f"a model that returns its weights writes {grown} bytes more, they are {least}",
        not is_affine(values) and is_affine([g - l for g, l in zip(grown, least)])))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
