#!/usr/bin/env python3
"""Trains small decoders from scratch that differ in how tokens know where they are (The Impact of Positional Encoding on Length
Generalization, arXiv 2305.19466), on copying.

    python scripts/train_nope.py [--steps N] [--seeds N,...] [--only SCHEME,...] [--to DIR]

A text is <bos>, n of 16 symbols, <sep>, the same symbols, <eos>; n is 1 to 8 in training, and losses count from <sep> on. The decoders have the
layout of a Llama of 3 layers, 64 dims and 4 heads, and each scheme is written as `kokeshi_position` into config.json: none, ape (sinusoids),
t5, alibi, rotary:0.25 (the first quarter of a head's dims). Writes copy-decoder/SCHEME-SEED under $KOKESHI_MODELS or ~/.cache/kokeshi/models, each a
model directory, with training.json (the recipe, the versions, the last loss). Fifteen decoders take one thread about half an hour. Smaller than the paper:
one of its ten tasks, 150,000 parameters and not 107 million, lengths to 8 and not to 20. Nothing of it belongs into the repository.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

SYMBOLS, LONGEST, CONTEXT = 16, 8, 64
BOS, SEP, EOS, PAD = SYMBOLS, SYMBOLS + 1, SYMBOLS + 2, SYMBOLS + 3
VOCABULARY, LAYERS, DIMS, HEADS, INNER = SYMBOLS + 4, 3, 64, 4, 176
HEAD_DIMS, BUCKETS, FARTHEST, BASE, EPSILON = DIMS // HEADS, 32, 128, 10000.0, 1e-6
SCHEMES = ["none", "ape", "t5", "alibi", "rotary:0.25"]


def sinusoids():
    speeds = BASE ** (-2 * torch.arange(DIMS // 2) / DIMS)
    angles = torch.arange(CONTEXT)[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], 1)


def bucket(distance):
    """Of a key `distance` tokens before its query: half of the buckets for one distance each, half by the logarithm."""
    exact = BUCKETS // 2
    if distance < exact:
        return distance
    return min(BUCKETS - 1, exact + int(math.log(distance / exact) / math.log(FARTHEST / exact) * (BUCKETS - exact)))


class Decoder(torch.nn.Module):
    def __init__(self, scheme):
        super().__init__()
        self.scheme, self.turned = scheme, int(HEAD_DIMS * float(scheme.split(":")[1])) if ":" in scheme else 0
        linear = lambda inputs, outputs: torch.nn.Linear(inputs, outputs, bias=False)
        self.embed_tokens = torch.nn.Embedding(VOCABULARY, DIMS)
        self.embed_tokens.weight.data.normal_(0, 0.02 if scheme != "ape" else 0.5)
        self.layers = torch.nn.ModuleList()
        for _ in range(LAYERS):
            block = torch.nn.Module()
            block.input_layernorm, block.post_attention_layernorm = torch.nn.RMSNorm(DIMS, EPSILON), torch.nn.RMSNorm(DIMS, EPSILON)
            block.self_attn, block.mlp = torch.nn.Module(), torch.nn.Module()
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                setattr(block.self_attn, name, linear(DIMS, DIMS))
            block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj = linear(DIMS, INNER), linear(DIMS, INNER), linear(INNER, DIMS)
            self.layers.append(block)
        self.norm = torch.nn.RMSNorm(DIMS, EPSILON)
        self.lm_head = linear(DIMS, VOCABULARY)
        if scheme == "t5":
            self.relative_attention_bias = torch.nn.Embedding(BUCKETS, HEADS)
            self.relative_attention_bias.weight.data.zero_()
        places = torch.arange(CONTEXT)
        distance = (places[:, None] - places).clamp(min=0)
        self.buckets = torch.tensor([[bucket(value) for value in row] for row in distance.tolist()])
        slopes = 2.0 ** (-8 * torch.arange(1, HEADS + 1) / HEADS)
        self.alibi = -slopes[:, None, None] * distance
        self.hidden = torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1)
        self.table = sinusoids()

    def turn(self, x):
        """The first `turned` dims of every head, halves as pairs."""
        half = self.turned // 2
        angles = torch.arange(x.shape[2])[:, None] * BASE ** (-2 * torch.arange(half) / self.turned)
        a, b = x[..., :half], x[..., half : 2 * half]
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), x[..., 2 * half :]], -1)

    def forward(self, ids):
        count, length = ids.shape
        x = self.embed_tokens(ids)
        if self.scheme == "ape":
            x = x + self.table[:length]
        bias = self.hidden[:length, :length]
        if self.scheme == "alibi":
            bias = bias + self.alibi[:, :length, :length]
        if self.scheme == "t5":
            bias = bias + self.relative_attention_bias(self.buckets[:length, :length]).permute(2, 0, 1)
        for block in self.layers:
            normed, attention = block.input_layernorm(x), block.self_attn
            split = lambda part: part(normed).view(count, length, HEADS, HEAD_DIMS).transpose(1, 2)
            queries, keys, values = split(attention.q_proj), split(attention.k_proj), split(attention.v_proj)
            if self.turned:
                queries, keys = self.turn(queries), self.turn(keys)
            weights = (queries @ keys.transpose(2, 3) / math.sqrt(HEAD_DIMS) + bias).softmax(-1)
            x = x + attention.o_proj((weights @ values).transpose(1, 2).reshape(count, length, DIMS))
            normed, network = block.post_attention_layernorm(x), block.mlp
            x = x + network.down_proj(torch.nn.functional.silu(network.gate_proj(normed)) * network.up_proj(normed))
        return self.lm_head(self.norm(x))


def texts(lengths, generator):
    """`[count, longest]` ids, padded behind, and which of them are to be told (those behind <sep>)."""
    width = 2 * int(lengths.max()) + 3
    ids, told = torch.full((len(lengths), width), PAD), torch.zeros(len(lengths), width, dtype=torch.bool)
    for row, length in enumerate(lengths.tolist()):
        symbols = torch.randint(SYMBOLS, (length,), generator=generator)
        ids[row, : 2 * length + 3] = torch.cat([torch.tensor([BOS]), symbols, torch.tensor([SEP]), symbols, torch.tensor([EOS])])
        told[row, length + 2 : 2 * length + 3] = True
    return ids, told


def accuracy(model, length, seed, count=200):
    ids, told = texts(torch.full((count,), length), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        best = model(ids[:, :-1]).argmax(-1)
    return ((best == ids[:, 1:]) | ~told[:, 1:]).all(1).float().mean().item()


def save(model, folder, record):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    if model.scheme == "ape":
        tensors["embed_positions.weight"] = model.table.contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    write = lambda name, value: ((folder / name).parent.mkdir(exist_ok=True), (folder / name).write_text(json.dumps(value, indent=1) + "\n"))
    write("config.json", {
        "model_type": "llama", "kokeshi_position": model.scheme, "vocab_size": VOCABULARY, "hidden_size": DIMS, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT, "rms_norm_eps": EPSILON, "rope_theta": BASE,
        "hidden_act": "silu", "tie_word_embeddings": False,
    })
    names = [f"s{at}" for at in range(SYMBOLS)] + ["<bos>", "<sep>", "<eos>", "<pad>"]
    words = {"type": "WordLevel", "vocab": {name: at for at, name in enumerate(names)}, "unk_token": "<pad>"}
    write("tokenizer.json", {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None, "decoder": None, "model": words})
    write("modules.json", [{"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"} for at, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])])
    write("1_Pooling/config.json", {"word_embedding_dimension": DIMS, "pooling_mode_lasttoken": True})
    write("training.json", record)


def train(scheme, seed, given):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Decoder(scheme)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    warm = max(1, given.steps * 6 // 100)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm) * (1 - step / given.steps))
    started = time.process_time()
    for step in range(given.steps):
        ids, told = texts(torch.randint(1, LONGEST + 1, (64,), generator=generator), generator)
        logits = model(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits[told[:, 1:]], ids[:, 1:][told[:, 1:]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    name = f"{scheme.split(':')[0]}-{seed}"
    record = {
        "scheme": scheme, "seed": seed, "steps": given.steps, "last_loss": round(loss.item(), 5), "torch": torch.__version__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()), "cpu_seconds": round(time.process_time() - started, 1),
        "accuracy": {length: round(accuracy(model, length, 1000 + seed), 3) for length in [4, *range(8, 17)]},
    }
    save(model, given.to / "copy-decoder" / name, record)
    print(json.dumps(record), flush=True)


def main():
    models = Path(os.environ.get("KOKESHI_MODELS", Path.home() / ".cache/kokeshi/models"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default=",".join(SCHEMES))
    parser.add_argument("--to", type=Path, default=models)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, given.seeds.split(",")):
        for scheme in given.only.split(","):
            train(scheme, seed, given)


if __name__ == "__main__":
    main()
