"""MXNet as a peer: an encoder as a hybridized Gluon block over oneDNN."""

import mxnet as mx
import numpy as np

import worker

LOWEST = -1e9


class Builder:
    """Grows a symbol and keeps the parameters that it names."""

    def __init__(self, config, read):
        self.config, self.read, self.parameters = config, read, {}

    def parameter(self, name, array):
        self.parameters[name] = np.ascontiguousarray(array, np.float32)
        return mx.sym.var(name, shape=array.shape)

    def dense(self, x, name, weight, bias):
        return mx.sym.FullyConnected(
            x, self.parameter(f"{name}.weight", weight.T), self.parameter(f"{name}.bias", bias),
            num_hidden=len(bias), flatten=False)

    def part(self, x, name):
        return self.dense(x, name, self.read(f"{name}.weight"), self.read(f"{name}.bias"))

    def norm(self, x, name):
        gamma, beta = (self.parameter(f"{name}.{kind}", self.read(f"{name}.{kind}")) for kind in ("weight", "bias"))
        return mx.sym.LayerNorm(x, gamma, beta, axis=-1, eps=self.config["epsilon"])

    def embed(self, ids, name):
        table = self.read(f"embeddings.{name}.weight")
        return mx.sym.Embedding(ids, self.parameter(f"embeddings.{name}.weight", table), *table.shape)

    def heads(self, x, begin):
        """One of query, key and value as [batch * heads, length, width]."""
        part = mx.sym.slice_axis(x, axis=2, begin=begin, end=begin + 1)
        part = mx.sym.transpose(mx.sym.reshape(part, (0, 0, -3, 0)), (0, 2, 1, 3))
        return mx.sym.reshape(part, (-3, 0, 0))

    def layer(self, x, mask, index):
        name, heads, hidden = f"layer.{index}", self.config["heads"], self.config["hidden"]
        qkv = self.dense(x, f"{name}.qkv", *worker.fused_qkv(self.read, index))
        qkv = mx.sym.reshape(qkv, (0, 0, 3, heads, hidden // heads))
        query, key, value = (self.heads(qkv, begin) for begin in range(3))
        scores = mx.sym.batch_dot(query * (hidden // heads) ** -0.5, key, transpose_b=True)
        if mask is not None:
            scores = mx.sym.broadcast_add(scores, mask)
        context = mx.sym.batch_dot(mx.sym.softmax(scores, axis=-1), value)
        context = mx.sym.transpose(mx.sym.reshape(context, (-4, -1, heads, 0, 0)), (0, 2, 1, 3))
        attended = self.part(mx.sym.reshape(context, (0, 0, -3)), f"{name}.output")
        x = self.norm(attended + x, f"{name}.attention_norm")
        inner = mx.sym.LeakyReLU(self.part(x, f"{name}.up"), act_type="gelu") \
            if self.config["activation"] == "gelu" else mx.sym.relu(self.part(x, f"{name}.up"))
        return self.norm(self.part(inner, f"{name}.down") + x, f"{name}.output_norm")


def load(variant, model, inputs, threads):
    config, read = worker.read_weights(model)
    builder, mask = Builder(config, read), None
    if config["vocabulary"]:
        ids, kept = inputs["input_ids"].astype(np.int32), inputs["attention_mask"] != 0
        given = {"ids": ids, "types": np.zeros_like(ids), "positions": np.arange(ids.shape[1], dtype=np.int32)[None]}
        if not kept.all():
            added = np.where(kept, 0, LOWEST).astype(np.float32)
            given["mask"] = np.repeat(added, config["heads"], axis=0)[:, None, :]
            mask = mx.sym.var("mask")
        x = builder.embed(mx.sym.var("ids"), "word") + builder.embed(mx.sym.var("types"), "type")
        x = mx.sym.broadcast_add(x, builder.embed(mx.sym.var("positions"), "position"))
        x = builder.norm(x, "embeddings.norm")
    else:
        given, x = {"x": inputs["x"]}, mx.sym.var("x")
    for index in range(config["layers"]):
        x = builder.layer(x, mask, index)
    block = mx.gluon.SymbolBlock(x, [mx.sym.var(name) for name in given])
    for name, parameter in block.collect_params().items():
        parameter._load_init(mx.nd.array(builder.parameters[name]), mx.cpu())
    block.hybridize(static_alloc=True, static_shape=True)
    arrays = [mx.nd.array(array, dtype=array.dtype) for array in given.values()]
    return lambda: {"last_hidden_state": block(*arrays).asnumpy()}, mx.__version__


worker.main(load)
