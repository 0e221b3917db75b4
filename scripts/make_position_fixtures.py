#!/usr/bin/env python3
"""Makes fixtures for what no class of transformers computes, from plain PyTorch written down here after the papers.

    python scripts/make_position_fixtures.py [NAME...]

Writes into crates/make/encode/tests/fixtures/families, beside those of make_family_fixtures.py and in the same layout:

- jina-bert, jina-bert-6-heads: BERT with ALiBi on both sides and a GeGLU network (arXiv 2310.19923; ALiBi: 2108.12409);
- nv-embed: a Mistral that sees everything (transformers' MistralModel under a mask of zeros), latents (arXiv 2405.17428, section 3.1), the prompt left out;
- lambda: LM-Infinite's mask and ceiling (arXiv 2308.16137) on a Llama that was trained on 32 tokens, chosen at load;
- position-none, -ape, -t5, -alibi, -rotary: the decoders of train_nope.py with random weights.
"""

import json
import math
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import MistralConfig, MistralModel

import make_family_fixtures as families
import train_nope
from make_family_fixtures import BERT, DECODER, OUT, TEXTS, byte_level, pooling, wordpiece, write_json

WIDTH, INNER, LAYERS = 32, 48, 2
VERSIONS = families.MADE_WITH


def tensors(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    norm = lambda name: 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
    return {name: norm(name) + torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.2) for name, shape in shapes.items()}


def write(name, weights, config, tokenizer, names, limit, modules, requests, expected, load=None):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    write_json(folder / "config.json", config)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": limit, **names})
    listed = [("Transformer", None)] + modules
    write_json(folder / "modules.json", [
        {"idx": at, "name": str(at), "path": "" if at == 0 else f"{at}_{kind}", "type": f"sentence_transformers.models.{kind}"} for at, (kind, _) in enumerate(listed)
    ])
    for at, (kind, settings) in enumerate(listed):
        if settings is not None:
            write_json(folder / f"{at}_{kind}/config.json", settings)
    for at, vectors in enumerate(expected):
        np.save(folder / f"expected-{at}.npy", np.stack(vectors).astype("<f4"))
    write_json(folder / "case.json", {"requests": requests, "made_with": VERSIONS} | ({"load": load} if load else {}))


def ids_of(tokenizer, limit, texts=TEXTS):
    tokenizer.enable_truncation(limit)
    ids = [tokenizer.encode(text).ids for text in texts]
    tokenizer.no_truncation()
    return ids


def attend(queries, keys, values, heads, scores):
    """`[len, width]` each; `scores(head, products)` may change the scaled products `[len, len]` of a head."""
    out = []
    for head, (q, k, v) in enumerate(zip(*(part.chunk(heads, -1) for part in (queries, keys, values)))):
        products = q @ k.T / math.sqrt(q.shape[-1])
        out.append(scores(head, products).softmax(-1) @ v)
    return torch.cat(out, -1)


# ---- Jina ----

def slopes(heads):
    """By the recursion of ALiBi's authors."""
    if math.log2(heads).is_integer():
        return [2.0 ** (-8 * step / heads) for step in range(1, heads + 1)]
    lower = 2 ** int(math.log2(heads))
    return slopes(lower) + slopes(2 * lower)[0::2][: heads - lower]


def jina(heads):
    tokenizer, width, limit = wordpiece(), 8 * heads, 128
    shapes = {"embeddings.word_embeddings.weight": (tokenizer.get_vocab_size(), width), "embeddings.token_type_embeddings.weight": (2, width)}
    both = lambda name, *shape: {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    shapes |= both("embeddings.LayerNorm", width)
    for layer in range(LAYERS):
        of = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= both(f"{of}.{name}", width, width)
        shapes |= both(f"{of}.attention.output.LayerNorm", width) | both(f"{of}.mlp.layernorm", width) | both(f"{of}.mlp.wo", width, INNER)
        shapes[f"{of}.mlp.gated_layers.weight"] = (2 * INNER, width)
    weights = tensors(shapes, 5)
    linear = lambda name, x: torch.nn.functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
    norm = lambda name, x: torch.nn.functional.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    def vector(ids):
        x = norm("embeddings.LayerNorm", weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0])
        places = torch.arange(len(ids))
        distance = (places[:, None] - places).abs()
        for layer in range(LAYERS):
            of = f"encoder.layer.{layer}"
            parts = [linear(f"{of}.attention.self.{name}", x) for name in ("query", "key", "value")]
            mixed = attend(*parts, heads, lambda head, products: products - slopes(heads)[head] * distance)
            x = norm(f"{of}.attention.output.LayerNorm", x + linear(f"{of}.attention.output.dense", mixed))
            gate, up = linear(f"{of}.mlp.gated_layers", x).chunk(2, -1)
            x = norm(f"{of}.mlp.layernorm", x + linear(f"{of}.mlp.wo", torch.nn.functional.gelu(gate) * up))
        return x.mean(0)

    config = {
        "architectures": ["JinaBertModel"], "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "geglu", "emb_pooler": "mean", "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": width, "num_hidden_layers": LAYERS, "num_attention_heads": heads, "intermediate_size": INNER, "max_position_embeddings": 8192, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    }
    expected = [[vector(ids).numpy() for ids in ids_of(tokenizer, limit)]]
    return weights, config, tokenizer, BERT, limit, [pooling("mean_tokens", width=width)], [{}], expected


# ---- NV-Embed ----

def nv_embed():
    tokenizer, limit, latents, heads, head_dims, prompt = byte_level(), 192, 7, 2, 12, "Instruct: map the dog\nQuery: "
    config = MistralConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2, intermediate_size=INNER,
        max_position_embeddings=256, head_dim=8, sliding_window=None, attn_implementation="eager")
    torch.manual_seed(1)
    decoder = families.random_weights(MistralModel(config), 6)
    cross = "cross_attend_blocks"
    shapes = {"latents": (latents, WIDTH), f"{cross}.0.fn.to_q.weight": (heads * head_dims, WIDTH), f"{cross}.0.fn.to_kv.weight": (2 * heads * head_dims, WIDTH),
        f"{cross}.0.fn.to_out.weight": (WIDTH, heads * head_dims), f"{cross}.1.fn.net.0.weight": (8 * WIDTH, WIDTH), f"{cross}.1.fn.net.0.bias": (8 * WIDTH,),
        f"{cross}.1.fn.net.2.weight": (WIDTH, 4 * WIDTH), f"{cross}.1.fn.net.2.bias": (WIDTH,)}
    for name in ("0.norm", "0.norm_context", "1.norm"):
        shapes |= {f"{cross}.{name}.weight": (WIDTH,), f"{cross}.{name}.bias": (WIDTH,)}
    own = tensors(shapes, 7)
    linear = lambda name, x: torch.nn.functional.linear(x, own[f"{cross}.{name}.weight"], own.get(f"{cross}.{name}.bias"))
    norm = lambda name, x: torch.nn.functional.layer_norm(x, (WIDTH,), own[f"{cross}.{name}.weight"], own[f"{cross}.{name}.bias"])

    def vector(ids, skip):
        everything = torch.zeros(1, 1, len(ids), len(ids))
        with torch.no_grad():
            x = decoder(torch.tensor([ids]), attention_mask=everything).last_hidden_state[0]
        keys, values = linear("0.fn.to_kv", norm("0.norm_context", own["latents"])).chunk(2, -1)
        x = x + linear("0.fn.to_out", attend(linear("0.fn.to_q", norm("0.norm", x)), keys, values, heads, lambda head, products: products))
        up, gate = linear("1.fn.net.0", norm("1.norm", x)).chunk(2, -1)
        x = x + linear("1.fn.net.2", up * torch.nn.functional.gelu(gate))
        return torch.nn.functional.normalize(x[skip:].mean(0), dim=0).numpy()

    skip = len(tokenizer.encode(prompt).ids) - 1
    expected = [[vector(ids, 0) for ids in ids_of(tokenizer, limit)], [vector(ids, skip) for ids in ids_of(tokenizer, limit, [prompt + text for text in TEXTS])]]
    weights = {f"embedding_model.{name}": value for name, value in decoder.state_dict().items()} | {f"latent_attention_model.{name}": value for name, value in own.items()}
    text = {key: value for key, value in config.to_dict().items() if value is not None} | {"model_type": "bidir_mistral"}
    whole = {"architectures": ["NVEmbedModel"], "model_type": "nvembed", "hidden_size": WIDTH, "add_eos": True, "is_mask_instruction": True, "padding_side": "right", "text_config": text,
        "latent_attention_config": {"model_type": "latent_attention", "num_latents_value": latents, "num_cross_heads": heads, "cross_dim_head": head_dims, "hidden_dim": WIDTH, "latent_dim": WIDTH}}
    kind, settings = pooling("mean_tokens")
    return weights, whole, tokenizer, DECODER, limit, [(kind, settings | {"include_prompt": False}), ("Normalize", None)], [{}, {"prompt": prompt}], expected


# ---- LM-Infinite ----

def lm_infinite():
    tokenizer, limit, trained, first, heads, base = byte_level(), 32, 32, 3, 4, 10000.0
    head_dims = WIDTH // heads
    shapes = {"embed_tokens.weight": (tokenizer.get_vocab_size(), WIDTH), "norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        of = f"layers.{layer}"
        shapes |= {f"{of}.self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes |= {f"{of}.mlp.gate_proj.weight": (INNER, WIDTH), f"{of}.mlp.up_proj.weight": (INNER, WIDTH), f"{of}.mlp.down_proj.weight": (WIDTH, INNER)}
        shapes |= {f"{of}.input_layernorm.weight": (WIDTH,), f"{of}.post_attention_layernorm.weight": (WIDTH,)}
    weights = tensors(shapes, 8)
    linear = lambda name, x: x @ weights[f"{name}.weight"].T
    norm = lambda name, x: torch.nn.functional.rms_norm(x, (WIDTH,), weights[f"{name}.weight"], 1e-6)

    def turn(x, places):
        angles = places[:, None] * base ** (-2 * torch.arange(head_dims // 2) / head_dims)
        parts = []
        for part in x.chunk(heads, -1):
            a, b = part.chunk(2, -1)
            parts.append(torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1))
        return torch.cat(parts, -1)

    def vector(ids):
        x, places = weights["embed_tokens.weight"][ids], torch.arange(len(ids))
        distance = places[:, None] - places
        seen = (distance >= 0) & ((distance < trained) | (places < first))
        for layer in range(LAYERS):
            of = f"layers.{layer}"
            q, k, v = (linear(f"{of}.self_attn.{name}_proj", norm(f"{of}.input_layernorm", x)) for name in "qkv")
            far_queries = turn(q, torch.full((len(ids),), float(trained)))
            far = [a @ b.T / math.sqrt(head_dims) for a, b in zip(far_queries.chunk(heads, -1), k.chunk(heads, -1))]
            mixed = attend(turn(q, places.float()), turn(k, places.float()), v, heads,
                lambda head, near: torch.where(distance >= trained, far[head], near).masked_fill(~seen, float("-inf")))
            x = x + linear(f"{of}.self_attn.o_proj", mixed)
            y = norm(f"{of}.post_attention_layernorm", x)
            x = x + linear(f"{of}.mlp.down_proj", torch.nn.functional.silu(linear(f"{of}.mlp.gate_proj", y)) * linear(f"{of}.mlp.up_proj", y))
        return norm("norm", x)[-1].numpy()

    config = {"model_type": "llama", "vocab_size": tokenizer.get_vocab_size(), "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": heads, "intermediate_size": INNER,
        "max_position_embeddings": trained, "rms_norm_eps": 1e-6, "rope_theta": base, "hidden_act": "silu"}
    load = {"context": 192, "position": f"lambda:n={first}"}
    expected = [[vector(ids) for ids in ids_of(tokenizer, 192)]]
    return weights, config, tokenizer, DECODER, limit, [pooling("lasttoken")], [{}], expected, load


# ---- the study of positions ----

def studied(scheme):
    """Texts of the symbols that train_nope.py's tokenizer knows, of 1 to 64 tokens."""
    torch.manual_seed(9)
    train_nope.LAYERS, train_nope.DIMS, train_nope.HEAD_DIMS, train_nope.INNER = LAYERS, WIDTH, WIDTH // train_nope.HEADS, INNER
    model = train_nope.Decoder(scheme)
    generator = torch.Generator().manual_seed(10)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.2)
    folder = OUT / f"position-{scheme.split(':')[0]}"
    shutil.rmtree(folder, ignore_errors=True)
    train_nope.save(model, folder, {"made_with": VERSIONS})
    tokenizer = families.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(train_nope.CONTEXT)
    hidden = []
    model.norm.register_forward_hook(lambda module, given, out: hidden.append(out[0, -1].detach().numpy()))
    draw = families.random.Random(11)
    texts = [" ".join(f"s{draw.randrange(train_nope.SYMBOLS)}" for _ in range(length)) for length in range(1, train_nope.CONTEXT + 1, 2)]
    for text in texts:
        with torch.no_grad():
            model(torch.tensor([tokenizer.encode(text).ids]))
    np.save(folder / "expected-0.npy", np.stack(hidden).astype("<f4"))
    (folder / "training.json").unlink()
    write_json(folder / "case.json", {"requests": [{}], "texts": texts, "made_with": VERSIONS})


CASES = {"jina-bert": lambda: jina(4), "jina-bert-6-heads": lambda: jina(6), "nv-embed": nv_embed, "lambda": lm_infinite}
STUDIED = {f"position-{scheme.split(':')[0]}": scheme for scheme in train_nope.SCHEMES}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or [*CASES, *STUDIED]:
        print(name, flush=True)
        if name in CASES:
            write(name, *CASES[name]())
        else:
            studied(STUDIED[name])
