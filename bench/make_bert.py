"""Writes a BERT encoder with random weights as ONNX, as exporters decompose it.

    make_bert.py OUT.onnx [--shape NAME] [--mask add|where] [--seed N]

Opset 17, dynamic batch and length, inputs input_ids, attention_mask and
token_type_ids, output last_hidden_state. A shape without a vocabulary takes
vectors instead, as input x and without a mask.
"""

import argparse
import dataclasses
import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int = 30522
    positions: int = 512
    types: int = 2
    activation: str = "gelu"
    epsilon: float = 1e-12


SHAPES = {
    "bert-base": Shape(layers=12, hidden=768, heads=12, inner=3072),
    "minilm-l6": Shape(layers=6, hidden=384, heads=12, inner=1536),
    "tiny": Shape(layers=2, hidden=48, heads=4, inner=96, vocabulary=101, positions=64),
    # The two-block encoder of the NetsDB encoder paper, over 10 vectors.
    "netsdb": Shape(layers=2, hidden=64, heads=4, inner=16, vocabulary=0, activation="relu", epsilon=1e-5),
}


def flops(shape, batch, length):
    """Multiply-adds count twice; contractions only."""
    tokens = batch * length
    dense = 4 * shape.hidden**2 + 2 * shape.hidden * shape.inner
    return shape.layers * (2 * tokens * dense + 4 * tokens * length * shape.hidden)


class Graph:
    def __init__(self, seed, epsilon):
        self.rng, self.epsilon = np.random.default_rng(seed), epsilon
        self.nodes, self.initialisers, self.names = [], [], set()

    def tensor(self, array, name):
        if name not in self.names:
            self.names.add(name)
            self.initialisers.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name, *dims, scale=0.04):
        return self.tensor(self.rng.standard_normal(dims, dtype=np.float32) * np.float32(scale), name)

    def scalar(self, value, name):
        return self.tensor(np.float32(value), name)

    def ints(self, values, name):
        return self.tensor(np.array(values, np.int64), name)

    def op(self, kind, *inputs, out=None, **attributes):
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"/{out}", **attributes))
        return out

    def dense(self, x, name, rows, columns):
        product = self.op("MatMul", x, self.weight(f"{name}.weight", rows, columns))
        return self.op("Add", product, self.weight(f"{name}.bias", columns))

    def norm(self, x, name, width):
        gamma = self.tensor(
            1 + self.rng.standard_normal(width, dtype=np.float32) * np.float32(0.1), f"{name}.weight")
        return self.op(
            "LayerNormalization", x, gamma, self.weight(f"{name}.bias", width), epsilon=self.epsilon, axis=-1)


def embeddings(g, shape):
    length = g.op("Gather", g.op("Shape", "input_ids"), g.ints(1, "one"), axis=0)
    positions = g.op(
        "Slice", g.ints([range(shape.positions)], "embeddings.position_ids"),
        g.ints([0], "first"), g.op("Unsqueeze", length, g.ints([0], "axis0")), g.ints([1], "axis1"))
    word = g.op("Gather", g.weight("embeddings.word.weight", shape.vocabulary, shape.hidden), "input_ids")
    kind = g.op("Gather", g.weight("embeddings.type.weight", shape.types, shape.hidden), "token_type_ids")
    place = g.op("Gather", g.weight("embeddings.position.weight", shape.positions, shape.hidden), positions)
    return g.norm(g.op("Add", g.op("Add", word, kind), place), "embeddings.norm", shape.hidden)


def attention_mask(g, form):
    mask = g.op("Unsqueeze", "attention_mask", g.ints([1], "axis1"))
    mask = g.op("Unsqueeze", mask, g.ints([2], "axis2"))
    if form == "where":
        return g.op("Where", g.op("Cast", mask, to=TensorProto.BOOL), g.scalar(0, "keep"), g.scalar(-1e4, "drop"))
    dropped = g.op("Sub", g.scalar(1, "one_f"), g.op("Cast", mask, to=TensorProto.FLOAT))
    return g.op("Mul", dropped, g.scalar(-1e4, "drop"))


def layer(g, x, mask, shape, name):
    width = shape.hidden // shape.heads

    def heads(part, order):
        projected = g.dense(x, f"{name}.{part}", shape.hidden, shape.hidden)
        split = g.op("Reshape", projected, g.ints([0, 0, shape.heads, width], "split_heads"))
        return g.op("Transpose", split, perm=order)

    query, value = heads("query", [0, 2, 1, 3]), heads("value", [0, 2, 1, 3])
    key = heads("key", [0, 2, 3, 1])
    scores = g.op("Div", g.op("MatMul", query, key), g.scalar(math.sqrt(width), "root_width"))
    weights = g.op("Softmax", g.op("Add", scores, mask) if mask else scores, axis=-1)
    context = g.op("Transpose", g.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    merged = g.op("Reshape", context, g.ints([0, 0, shape.hidden], "merge_heads"))
    attended = g.dense(merged, f"{name}.output", shape.hidden, shape.hidden)
    x = g.norm(g.op("Add", attended, x), f"{name}.attention_norm", shape.hidden)

    up = g.dense(x, f"{name}.up", shape.hidden, shape.inner)
    if shape.activation == "relu":
        active = g.op("Relu", up)
    else:
        erf = g.op("Erf", g.op("Div", up, g.scalar(math.sqrt(2), "root2")))
        active = g.op("Mul", g.op("Mul", up, g.op("Add", erf, g.scalar(1, "one_f"))), g.scalar(0.5, "half"))
    down = g.dense(active, f"{name}.down", shape.inner, shape.hidden)
    return g.norm(g.op("Add", down, x), f"{name}.output_norm", shape.hidden)


def make(shape, mask="add", seed=0):
    g = Graph(seed, shape.epsilon)
    x = embeddings(g, shape) if shape.vocabulary else "x"
    additive = attention_mask(g, mask) if shape.vocabulary else None
    for index in range(shape.layers):
        x = layer(g, x, additive, shape, f"layer.{index}")
    g.op("Identity", x, out="last_hidden_state")

    def value(name, kind, *dims):
        return helper.make_tensor_value_info(name, kind, dims)

    inputs = [value(name, TensorProto.INT64, "batch", "seq")
              for name in ("input_ids", "attention_mask", "token_type_ids")]
    if not shape.vocabulary:
        inputs = [value("x", TensorProto.FLOAT, "batch", "seq", shape.hidden)]
    outputs = [value("last_hidden_state", TensorProto.FLOAT, "batch", "seq", shape.hidden)]
    graph = helper.make_graph(g.nodes, "bert", inputs, outputs, g.initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                             producer_name="make_bert")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", choices=SHAPES, default="bert-base")
    parser.add_argument("--mask", choices=("add", "where"), default="add")
    parser.add_argument("--seed", type=int, default=0)
    for field in dataclasses.fields(Shape):
        parser.add_argument("--" + field.name, type=field.type, help="instead of the shape's own")
    arguments = parser.parse_args()
    given = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Shape)}
    shape = dataclasses.replace(SHAPES[arguments.shape], **{k: v for k, v in given.items() if v is not None})
    onnx.save(make(shape, arguments.mask, arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
