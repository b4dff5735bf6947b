"""PyTorch as a peer: eager in f32 and bf16, and compiled by Inductor."""

import numpy as np
import torch
import torch.nn.functional as F

import worker

DTYPES = {"eager": torch.float32, "bf16": torch.bfloat16, "compile": torch.float32, "compile-bf16": torch.bfloat16}
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}


class Layer(torch.nn.Module):
    def __init__(self, config, read, index):
        super().__init__()
        name, self.heads = f"layer.{index}", config["heads"]
        self.activation = ACTIVATIONS[config["activation"]]
        self.qkv = dense(*worker.fused_qkv(read, index))
        for part in ("output", "up", "down"):
            setattr(self, part, dense(read(f"{name}.{part}.weight"), read(f"{name}.{part}.bias")))
        for part in ("attention_norm", "output_norm"):
            setattr(self, part, norm(read, f"{name}.{part}", config["epsilon"]))

    def forward(self, x, mask):
        batch, length, hidden = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        context = context.transpose(1, 2).reshape(batch, length, hidden)
        x = self.attention_norm(self.output(context) + x)
        return self.output_norm(self.down(self.activation(self.up(x))) + x)


class Encoder(torch.nn.Module):
    def __init__(self, config, read):
        super().__init__()
        if config["vocabulary"]:
            for part in ("word", "position", "type"):
                table = torch.from_numpy(read(f"embeddings.{part}.weight"))
                setattr(self, f"{part}_table", torch.nn.Embedding.from_pretrained(table))
            self.norm = norm(read, "embeddings.norm", config["epsilon"])
        self.layers = torch.nn.ModuleList(Layer(config, read, index) for index in range(config["layers"]))

    def forward(self, x, mask=None, types=None):
        if types is not None:
            positions = torch.arange(x.shape[1]).unsqueeze(0)
            x = self.norm(self.word_table(x) + self.type_table(types) + self.position_table(positions))
        for layer in self.layers:
            x = layer(x, mask)
        return x


def dense(weight, bias):
    layer = torch.nn.Linear(*weight.shape, device="meta")
    layer.weight = torch.nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight.T)), requires_grad=False)
    layer.bias = torch.nn.Parameter(torch.from_numpy(bias), requires_grad=False)
    return layer


def norm(read, name, epsilon):
    gamma, beta = (torch.from_numpy(read(f"{name}.{kind}")) for kind in ("weight", "bias"))
    layer = torch.nn.LayerNorm(gamma.shape, eps=epsilon, device="meta")
    layer.weight, layer.bias = (torch.nn.Parameter(tensor, requires_grad=False) for tensor in (gamma, beta))
    return layer


def prepare(variant, source, target):
    torch.save(Encoder(*worker.read_weights(source)).to(DTYPES[variant]), target)
    return {"files": [str(target)]}


def load(variant, model, inputs, threads):
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    encoder = torch.load(model, weights_only=False, mmap=True).eval()
    given = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if variant.startswith("compile"):
        # Frozen weights are constants, which oneDNN may lay out as it likes.
        torch._inductor.config.freezing = True
        encoder = torch.compile(encoder)

    @torch.inference_mode()
    def run():
        if "x" in given:
            hidden = encoder(given["x"].to(DTYPES[variant]))
        else:
            ids, mask = given["input_ids"], given["attention_mask"].bool()
            types = given.get("token_type_ids", torch.zeros_like(ids))
            # Without padding there is nothing to mask, and attention is faster.
            hidden = encoder(ids, None if mask.all() else mask[:, None, None, :], types)
        return {"last_hidden_state": hidden.float().numpy()}

    return run, torch.__version__


worker.main(load, prepare)
