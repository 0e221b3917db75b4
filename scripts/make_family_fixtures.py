#!/usr/bin/env python3
"""Makes the fixtures that every family of crates/make/encode is compared with: vectors from sentence-transformers and transformers.

    python scripts/make_family_fixtures.py [NAME...]

Writes crates/make/encode/tests/fixtures/families: texts.jsonl, and for each case a whole model directory with random weights, the requests
(case.json) and the vectors for them (expected-N.npy). versions.json says which libraries made them. Everything comes from seeds: running
it again with the same libraries gives the same files up to rounding of the vectors.

nomic-bert has no class in this release of transformers: that case needs KOKESHI_NOMIC_REFERENCE, a folder with the modelling file of the
nomic-ai/contrastors repository (Apache-2.0; src/contrastors/models/huggingface), and is left as it is without.
"""

import json
import os
import random
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors
import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(__file__).resolve().parent.parent / "crates/make/encode/tests/fixtures/families"

WORDS = "the a dog cat small vector quick how can be map oak zq 7 ! , xyz embedding layer river".split()
TEXTS = [
    "", " ", "a", "the quick dog", "The Quick Dog", "dog dog dog dog", "zebra 42!", "how small can a vector be?", "é İ ß 漢 😀", "👩‍👩‍👧‍👦 🇹🇷 flags",
    "\x01 x \x00", "tab\tnew\nline", "don't, can't; won't", "q" * 60, "Kyoto, 北京 and İstanbul in 2024", "x" * 7 + " " + "y" * 9,
] + [" ".join(random.Random(n).choices(WORDS, k=n)) for n in (1, 2, 3, 5, 8, 11, 14, 17, 21, 26, 32, 40, 55, 80, 130, 400)]
assert len(TEXTS) == 32


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- tokenizers ----

def wordpiece(special=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), names=("[CLS]", "[SEP]", "[UNK]")):
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789!?.,'-;")
    tokens = list(special) + letters + sorted(set(word for word in WORDS if len(word) > 1)) + ["##" + letter for letter in letters[:36]]
    ids = {token: at for at, token in enumerate(tokens)}
    start, end, unknown = names
    made = Tokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single=f"{start}:0 $A:0 {end}:0", pair=f"{start}:0 $A:0 {end}:0 $B:1 {end}:1", special_tokens=[(start, ids[start]), (end, ids[end])]
    )
    made.add_special_tokens(list(special))
    return made


def byte_level(end="<|endoftext|>", more=()):
    """Byte-level BPE as Qwen's, with the end token behind every text; ModernBERT's with [CLS] and [SEP]."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = [end, *more]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    if "[CLS]" in more:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        )
    else:
        made.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, made.token_to_id(end))])
    return made


def unigram():
    """SentencePiece's Unigram as XLM-R's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece, 0.0) for piece in special] + [("▁", -3.0)]
    pieces += [("▁" + word, -4.0 - at / 10) for at, word in enumerate(WORDS) if word.isalpha()]
    pieces += [(letter, -6.0 - at / 20) for at, letter in enumerate("abcdefghijklmnopqrstuvwxyzTQDK0123456789!?.,'-;éß北京")] + [("<mask>", 0.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens(special + ["<mask>"])
    return made


BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
ROBERTA = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
MPNET = (("<s>", "<pad>", "</s>", "[UNK]", "<mask>"), ("<s>", "</s>", "[UNK]"))
DECODER = {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


# ---- models ----

def random_weights(model, seed):
    """Far from what training starts with, so that every part shows in the result."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * (0.3 if value.dim() > 1 else 0.2))
    return model.eval()


def save(name, model, tokenizer, names, limit, modules, more=None):
    """A sentence-transformers directory; `more` is written over config.json."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= more or {}
    write_json(folder / "config.json", {key: value for key, value in config.items() if value != "DROP"})
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": limit, **names})
    listed = [("Transformer", None)] + modules
    write_json(folder / "modules.json", [
        {"idx": at, "name": str(at), "path": "" if at == 0 else f"{at}_{kind}", "type": f"sentence_transformers.models.{kind}"} for at, (kind, _) in enumerate(listed)
    ])
    for at, (kind, config) in enumerate(listed):
        if config is not None:
            write_json(folder / f"{at}_{kind}/config.json", config)
    return folder


def pooling(*modes, width=32):
    names = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    return ("Pooling", {"word_embedding_dimension": width, **{"pooling_mode_" + name: name in modes for name in names}})


SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
DECODERS = dict(SMALL, num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, eos_token_id=0, bos_token_id=0)


def mpnet():
    config = transformers.MPNetConfig(**SMALL, vocab_size=wordpiece(*MPNET).get_vocab_size(), max_position_embeddings=130, layer_norm_eps=1e-5)
    return transformers.MPNetModel(config, add_pooling_layer=False), wordpiece(*MPNET), ROBERTA | {"unk_token": "[UNK]"}, 128, [pooling("mean_tokens", "cls_token"), ("Normalize", None)]


def xlm_roberta():
    made = unigram()
    config = transformers.XLMRobertaConfig(**SMALL, vocab_size=made.get_vocab_size(), max_position_embeddings=130, layer_norm_eps=1e-5, type_vocab_size=1, pad_token_id=1)
    return transformers.XLMRobertaModel(config, add_pooling_layer=False), made, ROBERTA, 128, [pooling("mean_tokens")]


def modernbert(**more):
    made = byte_level("[PAD]", ("[CLS]", "[SEP]", "[MASK]", "[UNK]"))
    config = transformers.ModernBertConfig(**dict(SMALL, num_hidden_layers=4), vocab_size=made.get_vocab_size(), max_position_embeddings=256, local_attention=16,
        pad_token_id=made.token_to_id("[PAD]"), cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2, **more)
    return transformers.ModernBertModel(config), made, BERT, 192, [pooling("mean_tokens", "cls_token")]


def old_modernbert():
    """The configuration as releases before 5 wrote it, with biases and other names for the bases."""
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 5000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}
    old = {"rope_parameters": "DROP", "layer_types": "DROP", "global_rope_theta": 5000.0, "local_rope_theta": 300.0, "global_attn_every_n_layers": 2}
    kinds = ["full_attention", "sliding_attention"] * 2
    return *modernbert(rope_parameters=rope, layer_types=kinds, norm_bias=True, attention_bias=True, mlp_bias=True), old


def decoder(config_class, model_class, modules, **more):
    made = byte_level()
    config = config_class(**(DECODERS | more), vocab_size=made.get_vocab_size())
    return model_class(config), made, DECODER, 192, modules


def qwen3():
    return decoder(transformers.Qwen3Config, transformers.Qwen3Model, [pooling("lasttoken"), ("Normalize", None)], head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})


def qwen2():
    return decoder(transformers.Qwen2Config, transformers.Qwen2Model, [pooling("lasttoken", "weightedmean_tokens")])


def qwen2_sliding():
    return decoder(transformers.Qwen2Config, transformers.Qwen2Model, [pooling("lasttoken")], num_hidden_layers=3, use_sliding_window=True, sliding_window=20, max_window_layers=1)


def qwen2_bidirectional():
    """As KaLM's: what the last token says reaches the first."""
    return *decoder(transformers.Qwen2Config, transformers.Qwen2Model, [pooling("mean_tokens"), ("Normalize", None)], is_causal=False), {"is_causal": False}


def llama():
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    return decoder(transformers.LlamaConfig, transformers.LlamaModel, [pooling("lasttoken")], rope_parameters=rope, attention_bias=True, mlp_bias=True)


def llama_yarn():
    """With the fields of releases before 5."""
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    old = {"rope_parameters": "DROP", "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, "rope_theta": 500.0}
    return *decoder(transformers.LlamaConfig, transformers.LlamaModel, [pooling("mean_tokens")], rope_parameters=rope | {"rope_theta": 500.0}), old


def mistral():
    return decoder(transformers.MistralConfig, transformers.MistralModel, [pooling("lasttoken")], sliding_window=24, head_dim=12)


def gpt2():
    made = byte_level()
    config = transformers.GPT2Config(vocab_size=made.get_vocab_size(), n_positions=128, n_embd=32, n_layer=2, n_head=4, n_inner=48, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    return transformers.GPT2Model(config), made, DECODER, 128, [pooling("weightedmean_tokens")]


CASES = {
    "mpnet": (mpnet, [{}, {"layers": 1}]), "xlm-roberta": (xlm_roberta, [{}]), "modernbert": (modernbert, [{}, {"layers": 2}]), "modernbert-old": (old_modernbert, [{}]),
    "qwen3": (qwen3, [{}, {"layers": 1, "dims": 8, "normalize": True}]), "qwen2": (qwen2, [{}]), "qwen2-sliding": (qwen2_sliding, [{}]), "qwen2-bidirectional": (qwen2_bidirectional, [{}]),
    "llama": (llama, [{}]), "llama-yarn": (llama_yarn, [{}]), "mistral": (mistral, [{}]), "gpt2": (gpt2, [{}, {"layers": 1}]),
}


def blocks(model):
    for inner in (model, getattr(model, "encoder", None)):
        for name in ("layers", "layer", "h"):
            if hasattr(inner, name):
                return getattr(inner, name)


def expected(folder, request):
    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True, model_kwargs={"torch_dtype": "float32"})
    if "layers" in request:
        kept = blocks(model[0].auto_model)
        while len(kept) > request["layers"]:
            del kept[-1]
        config = model[0].auto_model.config
        config.num_hidden_layers = request["layers"]
    return model.encode(TEXTS, batch_size=8, normalize_embeddings=bool(request.get("normalize")), truncate_dim=request.get("dims"))


def make(name):
    build, requests = CASES[name]
    torch.manual_seed(1)
    model, tokenizer, names, limit, modules, *more = build()
    folder = save(name, random_weights(model, sum(map(ord, name))), tokenizer, names, limit, modules, *more)
    for at, request in enumerate(requests):
        np.save(folder / f"expected-{at}.npy", expected(folder, request).astype("<f4"))
    write_json(folder / "case.json", {"requests": requests})


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.jsonl").write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS), encoding="utf-8")
    for name in sys.argv[1:] or CASES:
        print(name)
        make(name)
    made_with = {module.__name__: module.__version__ for module in (sentence_transformers, transformers, tokenizers, torch, np, safetensors)}
    write_json(OUT / "versions.json", made_with)


main()
