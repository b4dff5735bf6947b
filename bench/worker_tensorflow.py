"""TensorFlow as a peer: an encoder as a tf.function, plain and through XLA."""

import tensorflow as tf

import worker

ACTIVATIONS = {"gelu": lambda x: tf.nn.gelu(x, approximate=False), "relu": tf.nn.relu}
LOWEST = -1e9


class Encoder(tf.Module):
    def __init__(self, config, read):
        super().__init__()
        self.config = config
        if config["vocabulary"]:
            self.tables = [tf.constant(read(f"embeddings.{part}.weight")) for part in ("word", "type", "position")]
            self.norm = self.pair(read, "embeddings.norm")
        self.layers = [
            {"qkv": [tf.constant(part) for part in worker.fused_qkv(read, index)],
             **{part: self.pair(read, f"layer.{index}.{part}")
                for part in ("output", "up", "down", "attention_norm", "output_norm")}}
            for index in range(config["layers"])]

    @staticmethod
    def pair(read, name):
        return [tf.constant(read(f"{name}.{kind}")) for kind in ("weight", "bias")]

    def normalised(self, x, gamma, beta):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.config["epsilon"])

    def __call__(self, x, mask=None, types=None):
        heads = self.config["heads"]
        if types is not None:
            word, kind, position = self.tables
            x = tf.gather(word, x) + tf.gather(kind, types) + position[: x.shape[1]]
            x = self.normalised(x, *self.norm)
        batch, length, hidden = x.shape

        def dense(x, weight, bias):
            flat = tf.nn.bias_add(tf.matmul(tf.reshape(x, [batch * length, -1]), weight), bias)
            return tf.reshape(flat, [batch, length, -1])

        for layer in self.layers:
            qkv = tf.transpose(
                tf.reshape(dense(x, *layer["qkv"]), [batch, length, 3, heads, hidden // heads]), [2, 0, 3, 1, 4])
            scores = tf.matmul(qkv[0] * (hidden // heads) ** -0.5, qkv[1], transpose_b=True)
            context = tf.matmul(tf.nn.softmax(scores if mask is None else scores + mask), qkv[2])
            context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, hidden])
            x = self.normalised(dense(context, *layer["output"]) + x, *layer["attention_norm"])
            inner = ACTIVATIONS[self.config["activation"]](dense(x, *layer["up"]))
            x = self.normalised(dense(inner, *layer["down"]) + x, *layer["output_norm"])
        return x


def load(variant, model, inputs, threads):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    encoder = Encoder(*worker.read_weights(model))
    if "x" in inputs:
        given = [tf.constant(inputs["x"])]
    else:
        ids, mask = tf.constant(inputs["input_ids"]), inputs["attention_mask"] != 0
        added = None if mask.all() else tf.constant((~mask[:, None, None, :]).astype("float32") * LOWEST)
        given = [ids, added, tf.zeros_like(ids)]
    step = tf.function(encoder.__call__, jit_compile=variant == "xla")
    return lambda: {"last_hidden_state": step(*given).numpy()}, tf.__version__


worker.main(load)
