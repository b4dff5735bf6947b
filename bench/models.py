"""The models that are measured, and their inputs.

Every peer gets the same weights: as the ONNX file, or as the arrays that
`weights` reads out of it, under make_bert's names.
"""

import json
import math
import re

import numpy as np
import onnx
from onnx import numpy_helper

import make_bert
from make_bert import SHAPES, Shape
from paths import harness

# The demo's model, the only one here with trained weights.
REAL = "paraphrase-minilm-l3"
MODELS = {**SHAPES, REAL: Shape(layers=3, hidden=384, heads=12, inner=1536)}

# How exporters name the parameters of BERT, and how make_bert does.
EXPORTED = (
    (r"embeddings\.word_embeddings\.", "embeddings.word."),
    (r"embeddings\.position_embeddings\.", "embeddings.position."),
    (r"embeddings\.token_type_embeddings\.", "embeddings.type."),
    (r"embeddings\.LayerNorm\.", "embeddings.norm."),
    (r"encoder\.layer\.(\d+)\.attention\.self\.", r"layer.\1."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layer.\1.output."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"layer.\1.attention_norm."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"layer.\1.up."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"layer.\1.down."),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"layer.\1.output_norm."),
)
DENSE = ("query", "key", "value", "output", "up", "down")
NORMS = ("attention_norm", "output_norm")


def names():
    return [name for name in MODELS if name != REAL or harness.real_model()]


def write(name, path):
    """The model as ONNX with one output, the hidden states."""
    if name != REAL:
        onnx.save(make_bert.make(MODELS[name]), path)
        return
    model = onnx.load(harness.real_model())
    norms = [node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"]
    hidden = [output for output in model.graph.output if output.name == norms[-1]]
    del model.graph.output[:]
    model.graph.output.extend(hidden)
    onnx.save(model, path)


def uniform_name(name):
    for exported, ours in EXPORTED:
        found = re.search(exported, name)
        if found:
            return found.expand(ours) + name[found.end():]
    return name


def weights(shape, path):
    """{name: array} of an encoder's ONNX file, dense weights as [in, out]."""
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    found = {uniform_name(name): name for name in stored}
    for node in graph.node:
        # Exporters keep the name of a bias, but not of the weight beside it.
        bias = [name for name in node.input if name.endswith(".bias")] if node.op_type == "Add" else []
        for product in (made_by.get(name) for name in node.input):
            if bias and product is not None and product.op_type == "MatMul" and product.input[1] in stored:
                found[uniform_name(bias[0])[: -len("bias")] + "weight"] = product.input[1]
    parts = [f"layer.{i}.{part}" for i in range(shape.layers) for part in DENSE + NORMS]
    wanted = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    if shape.vocabulary:
        wanted += [f"embeddings.{part}.weight" for part in ("word", "position", "type", "norm")]
        wanted += ["embeddings.norm.bias"]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{path} has no parameter {', '.join(missing)}")
    return {name: numpy_helper.to_array(stored[found[name]]) for name in wanted}


def write_weights(name, model, path):
    shape = MODELS[name]
    config = {key: getattr(shape, key) for key in ("layers", "hidden", "heads", "activation", "epsilon", "vocabulary")}
    np.savez(path, config=json.dumps(config), **weights(shape, model))


def lengths(size, length, ragged, seed=0):
    """Ragged lengths are log-normal around 0.38 of the longest, which occurs once."""
    if not ragged:
        return np.full(size, length)
    rng = np.random.default_rng(seed)
    drawn = np.clip((np.exp(rng.normal(math.log(0.38), 0.5, size)) * length).astype(int), 1, length)
    drawn[int(rng.integers(size))] = length
    return drawn


def inputs(name, size, length, ragged=False, seed=0):
    shape, rng = MODELS[name], np.random.default_rng(seed + 1)
    if not shape.vocabulary:
        return {"x": rng.standard_normal((size, length, shape.hidden), dtype=np.float32)}
    mask = (np.arange(length) < lengths(size, length, ragged, seed)[:, None]).astype(np.int64)
    given = {"input_ids": rng.integers(1, shape.vocabulary, (size, length)) * mask, "attention_mask": mask}
    if name != REAL:  # its file has no such input
        given["token_type_ids"] = np.zeros_like(mask)
    return given


def kept(given):
    """Which rows count; None says all of them."""
    return given["attention_mask"] != 0 if "attention_mask" in given else None


def gflop(name, lengths):
    """Contractions only, on real tokens."""
    return sum(make_bert.flops(MODELS[name], 1, int(length)) for length in lengths) * 1e-9
