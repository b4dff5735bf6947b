"""CTranslate2 as a peer: an encoder as its converter for BERT writes it."""

import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

import worker

COMPUTE = {"f32": "float32", "bf16": "bfloat16", "int8": "int8_float32"}
ACTIVATIONS = {"gelu": common_spec.Activation.GELU, "relu": common_spec.Activation.RELU}


def set_dense(spec, weight, bias):
    spec.weight, spec.bias = np.ascontiguousarray(weight.T), bias


def set_norm(spec, read, name):
    spec.gamma, spec.beta = read(f"{name}.weight"), read(f"{name}.bias")


def prepare(variant, source, target):
    config, read = worker.read_weights(source)
    if not config["vocabulary"]:
        raise SystemExit("CTranslate2 takes token ids only, and this encoder takes vectors")
    encoder = transformer_spec.TransformerEncoderSpec(
        config["layers"], config["heads"], pre_norm=False, activation=ACTIVATIONS[config["activation"]],
        layernorm_embedding=True, num_source_embeddings=2, embeddings_merge=common_spec.EmbeddingsMerge.ADD)
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = read("embeddings.word.weight")
    encoder.embeddings[1].weight = read("embeddings.type.weight")
    encoder.position_encodings.encodings = read("embeddings.position.weight")
    set_norm(encoder.layernorm_embedding, read, "embeddings.norm")
    for index, layer in enumerate(encoder.layer):
        name = f"layer.{index}"
        set_dense(layer.self_attention.linear[0], *worker.fused_qkv(read, index))
        for spec, part in ((layer.self_attention.linear[1], "output"), (layer.ffn.linear_0, "up"),
                           (layer.ffn.linear_1, "down")):
            set_dense(spec, read(f"{name}.{part}.weight"), read(f"{name}.{part}.bias"))
        set_norm(layer.self_attention.layer_norm, read, f"{name}.attention_norm")
        set_norm(layer.ffn.layer_norm, read, f"{name}.output_norm")
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    spec.config.layer_norm_epsilon = config["epsilon"]
    spec.register_vocabulary([f"token{index}" for index in range(config["vocabulary"])])
    spec.validate()
    # Converting to bf16 needs torch; the loader does it as well.
    spec.optimize(quantization="int8" if variant == "int8" else None)
    target.mkdir(exist_ok=True)
    spec.save(str(target))
    return {"files": [str(target)]}


def load(variant, model, inputs, threads):
    encoder = ctranslate2.Encoder(
        str(model), device="cpu", inter_threads=1, intra_threads=threads, compute_type=COMPUTE[variant])
    mask = inputs["attention_mask"]
    ids = ctranslate2.StorageView.from_array(inputs["input_ids"].astype(np.int32))
    lengths = ctranslate2.StorageView.from_array(mask.sum(axis=1).astype(np.int32))
    # One list per sequence, as long as its row of ids.
    types = np.zeros_like(mask).tolist()

    def run():
        hidden = encoder.forward_batch(ids, lengths, token_type_ids=types).last_hidden_state
        return {"last_hidden_state": np.array(hidden.to(ctranslate2.DataType.float32), copy=False)}

    return run, ctranslate2.__version__


worker.main(load, prepare)
