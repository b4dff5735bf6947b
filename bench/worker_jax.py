"""JAX as a peer: an encoder under jit, as Flax modules would trace it."""

import os
import sys

# XLA sizes its pool by the CPUs that it may run on, and has no other switch.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(sys.argv[-1]):])

import functools

import jax
import jax.numpy as jnp

import worker

ACTIVATIONS = {"gelu": functools.partial(jax.nn.gelu, approximate=False), "relu": jax.nn.relu}


def dense(x, weight, bias):
    return x @ weight + bias


def norm(x, gamma, beta, epsilon):
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + epsilon) * gamma + beta


def encode(config, weights, x, mask, types):
    epsilon = config["epsilon"]
    if types is not None:
        word, kind, position = weights["tables"]
        x = norm(word[x] + kind[types] + position[: x.shape[1]], *weights["norm"], epsilon)
    batch, length, hidden = x.shape
    for layer in weights["layers"]:
        qkv = dense(x, *layer["qkv"]).reshape(batch, length, 3, config["heads"], -1)
        context = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], mask=mask)
        x = norm(dense(context.reshape(batch, length, hidden), *layer["output"]) + x, *layer["attention_norm"], epsilon)
        inner = ACTIVATIONS[config["activation"]](dense(x, *layer["up"]))
        x = norm(dense(inner, *layer["down"]) + x, *layer["output_norm"], epsilon)
    return x


def load(variant, model, inputs, threads):
    config, read = worker.read_weights(model)
    dtype = jnp.bfloat16 if variant == "bf16" else jnp.float32

    def pair(name):
        return [jnp.asarray(read(f"{name}.{kind}"), dtype) for kind in ("weight", "bias")]

    weights = {"layers": [
        {"qkv": [jnp.asarray(part, dtype) for part in worker.fused_qkv(read, index)],
         **{part: pair(f"layer.{index}.{part}") for part in ("output", "up", "down", "attention_norm", "output_norm")}}
        for index in range(config["layers"])]}
    if config["vocabulary"]:
        weights["tables"] = [
            jnp.asarray(read(f"embeddings.{part}.weight"), dtype) for part in ("word", "type", "position")]
        weights["norm"] = pair("embeddings.norm")
        ids, mask = jnp.asarray(inputs["input_ids"]), inputs["attention_mask"] != 0
        given = (ids, None if mask.all() else jnp.asarray(mask[:, None, None, :]), jnp.zeros_like(ids))
    else:
        given = (jnp.asarray(inputs["x"], dtype), None, None)
    step = jax.jit(functools.partial(encode, config))
    return lambda: {"last_hidden_state": step(weights, *given).block_until_ready()}, jax.__version__


worker.main(load)
