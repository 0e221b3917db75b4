#!/usr/bin/env python3
"""Makes the fixtures that crates/make/encode is compared with: vectors from sentence-transformers and transformers.

    python scripts/make_encoder_fixtures.py [MINILM_DIRECTORY]

Writes crates/make/encode/tests/fixtures/minilm_parity (300 texts and their vectors from the real all-MiniLM-L6-v2, which
scripts/fetch-model.sh puts under ~/.cache/kokeshi/models) and .../small (encoders with random weights, and for each case the files
that are laid over one of them, the requests and the vectors). versions.json says which libraries made them. Everything comes from
seeds: running it again with the same libraries gives the same files up to rounding of the vectors.
"""

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors
import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

FIXTURES = Path(__file__).resolve().parent.parent / "crates/make/encode/tests/fixtures"
MODELS = Path(os.environ.get("KOKESHI_MODELS", Path.home() / ".cache/kokeshi/models"))

WORDS = (
    "the of and a to in is was for on that by with from as at an be this which or are not have model vector search small large "
    "embedding doll wooden lathe maple Kyoto river mountain paper query document token layer width depth budget frugal Turkish "
    "coffee börek ILIK ışık İstanbul ğüşöç Straße naïve façade coöperate Ångström Zürich São Paulo résumé 北京 東京 kokeshi こけし "
    "서울 Москва Ελλάδα مرحبا שלום नमस्ते สวัสดี 😀 👩‍👩‍👧‍👦 🇹🇷 ½ 3.14 1,000,000 1e-12 x² E=mc² $5 50% C++ C# a/b user@example.org "
    "https://example.org/path?q=1#top #hashtag @someone don't it's rock'n'roll state-of-the-art (see) [1] {x} <b>bold</b> &amp; "
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis qwrtpsdfg zzzzzzzz"
).split(" ")


def long_text(count, step):
    """The rule for a text that is too long to be written down; the test knows it too."""
    return " ".join(WORDS[(i * step + i // len(WORDS)) % len(WORDS)] for i in range(count))


def parity_texts():
    """300 lines: {"text": ...}, or {"words": count, "step": step} for long_text."""
    rng = random.Random(20)
    lines = [{"text": text} for text in [
        "", " ", "\n", "\t\t", "\u00a0", "\u3000", "a", ".", "!?", "[CLS]", "[SEP] [PAD] [MASK]", "[UNK]x", "\0", "\x01\x02\x03",
        "a\0b", "a\x07b\x7fc\x80d", "tab\tnew\nline\rreturn\r\n", "\u200b", "zero\u200bwidth\u200djoin", "\ufeffbom", "\u2028line\u2029",
        "e\u0301 = é", "A\u030angström", "\u0130stanbul", "I\u0307", "ﬁ ligature", "Ⅷ", "½ ¾", "\U0001d4d0\U0001d4d1", "\U0010ffff", "\ufffd",
        "😀", "😀😀😀", "👩‍👩‍👧‍👦", "🇹🇷🇯🇵", "👍🏽", "x" * 99, "x" * 100, "x" * 101, "x" * 5000, "ab " * 3000, "漢" * 600, "a" * 50 + "é" * 60,
        "İstanbul'da ışıl ışıl bir gece; ağaçlar, çiçekler, şiirler ve öğüt.", "DİYARBAKIR ILICA ığdır", "Çok güzel bir gün, değil mi?",
        "Pijamalı hasta yağız şoföre çabucak güvendi.", "Straße STRASSE straße", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก",
        "こんにちは世界", "你好，世界！", "안녕하세요", "Здравствуй, мир", "Γειά σου Κόσμε ΣΑΣ", "1234567890", "3.14159, 2.71828", "-1e-12", "U.S.A.", "don't can't",
        "def f(x):\n    return x**2  # square", "SELECT * FROM t WHERE a <> 'b';", "<html><body>&nbsp;</body></html>", "{\"key\": [1, 2, null]}",
        "C:\\path\\file.txt", "~!@#$%^&*()_+`-={}|[]:\";'<>?,./", "«quotes» “curly” ‘single’ — dash – en … dots", "mixed İ ı 😀 漢字 \x1b[31m العربية é",
    ]]
    for count, step in [(5000, 1), (5000, 7), (5000, 13), (300, 3), (250, 5), (254, 1), (120, 11), (1000, 17)]:
        lines.append({"words": count, "step": step})
    while len(lines) < 300:
        count = rng.choice([1, 2, 3, 5, 8, 12, 20, 40, 80, 150, 220])
        words = [rng.choice(WORDS) for _ in range(count)]
        kind = rng.random()
        if kind < 0.15:
            words = [word.upper() for word in words]
        elif kind < 0.25:
            words.insert(rng.randrange(len(words) + 1), rng.choice(["\x00", "\x1f", "\t", "\u200d", "\ufffd", "\u0301"]))
        lines.append({"text": rng.choice([" ", " ", " ", "  ", "\n", ", "]).join(words)})
    return lines


def expand(line):
    return line["text"] if "text" in line else long_text(line["words"], line["step"])


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def minilm(directory):
    out = FIXTURES / "minilm_parity"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    lines = parity_texts()
    vectors = SentenceTransformer(str(directory), device="cpu").encode([expand(line) for line in lines], batch_size=32)
    write_lines(out / "texts.jsonl", lines)
    write_json(out / "words.json", WORDS)
    np.save(out / "vectors.npy", vectors.astype("<f4"))


# ---- small encoders with random weights ----

SMALL_TEXTS = [
    "", " ", "a", "the quick dog", "The Quick Dog", "dog dog dog dog", "zebra 42!", "how small can a vector be?", "é İ ß 漢 😀", "\x01 x \x00",
    "a bat cat dig elf fog gum hat ink jet keg lab map net oak pen quiz rag", "[CLS] the [SEP] dog [PAD] cat [MASK]", "q" * 150,
    "the cat and the dog and the bat and the map and the net and the hat and the pen and the jet and the oak",
] + [" ".join(random.Random(n).choices("the a dog cat small vector quick how can be map oak zq 7 ! , xyz".split(), k=n)) for n in range(1, 19)]


def vocabulary(special):
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789") + list("!?.,'-") + list("ABCDQT")
    words = "the a an of and how can be small vector quick dog cat bat map net hat pen jet oak zebra The Dog".split()
    return special + [w for w in dict.fromkeys(letters + words)] + ["##" + c for c in letters[:36]] + ["##at", "##ick", "##ector"]


def tokenizer(tokens, special, lowercase):
    """special: names of unknown, start, end tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    unknown, start, end = special
    ids = {token: at for at, token in enumerate(tokens)}
    made = Tokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} $B {end}", special_tokens=[(start, ids[start]), (end, ids[end])]
    )
    made.add_special_tokens([token for token in tokens if token[0] in "[<"])
    return made


def base(name, config_class, model_class, special, names, lowercase=True, **sizes):
    out = FIXTURES / "small/bases" / name
    out.mkdir(parents=True)
    tokens = vocabulary(special)
    torch.manual_seed(sum(map(ord, name)))
    config = config_class(vocab_size=len(tokens), pad_token_id=tokens.index(names["pad_token"]), **sizes)
    model = model_class(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            # Far from what training starts with, so that every part shows in the result.
            value.add_(torch.randn_like(value) * (0.3 if value.dim() > 1 else 0.2))
    if "pooler.dense.weight" in model.state_dict():
        model.pooler = None
    model.save_pretrained(out)
    tokenizer(tokens, (names["unk_token"], names["cls_token"], names["sep_token"]), lowercase).save(str(out / "tokenizer.json"))
    limit = sizes["max_position_embeddings"] - (2 if name == "roberta" else 0)
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": limit, "bos_token": names["cls_token"], "eos_token": names["sep_token"], **names
    })


BERT_NAMES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
ROBERTA_NAMES = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}


def bases():
    shutil.rmtree(FIXTURES / "small", ignore_errors=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bert = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=40)
    base("bert", transformers.BertConfig, transformers.BertModel, special, BERT_NAMES, **bert)
    odd = dict(hidden_size=27, num_hidden_layers=3, num_attention_heads=3, intermediate_size=35, max_position_embeddings=24, hidden_act="gelu_new", layer_norm_eps=1e-5)
    base("bert-odd-cased", transformers.BertConfig, transformers.BertModel, special, BERT_NAMES, lowercase=False, **odd)
    roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    base("roberta", transformers.RobertaConfig, transformers.RobertaModel, roberta, ROBERTA_NAMES, type_vocab_size=1, layer_norm_eps=1e-5, **(bert | {"num_attention_heads": 2}))
    base("distilbert", transformers.DistilBertConfig, transformers.DistilBertModel, special, BERT_NAMES, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=40)


OLD, NEW = "sentence_transformers.models.", "sentence_transformers."
NEW_TYPES = {
    "Transformer": NEW + "base.modules.transformer.Transformer", "Dense": NEW + "base.modules.dense.Dense", "Normalize": NEW + "base.modules.normalize.Normalize",
    "Pooling": NEW + "sentence_transformer.modules.pooling.Pooling", "LayerNorm": NEW + "sentence_transformer.modules.layer_norm.LayerNorm",
}


def overlay(folder, modules, prompts=None, default=None, sentence=None, new=True):
    """modules: (kind, config, tensors) after the Transformer."""
    listed = [("Transformer", None, None)] + modules
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": NEW_TYPES[kind] if new else OLD + kind}
        for i, (kind, _, _) in enumerate(listed)
    ])
    for i, (kind, config, tensors) in enumerate(listed):
        if config is not None:
            write_json(folder / f"{i}_{kind}/config.json", config)
        if tensors is not None:
            save_file(tensors, folder / f"{i}_{kind}/model.safetensors")
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": default, "similarity_fn_name": "dot"})
    if sentence is not None:
        write_json(folder / "sentence_bert_config.json", sentence)


def pooling(modes, width=32, **more):
    return ("Pooling", {"embedding_dimension": width, "pooling_mode": modes, **more}, None)


def old_pooling(modes, width=32, **more):
    names = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    return ("Pooling", {"word_embedding_dimension": width, **{"pooling_mode_" + name: name in modes for name in names}, **more}, None)


def dense(inputs, outputs, activation, seed, bias=True, residual=False):
    generator = torch.Generator().manual_seed(seed)
    random_of = lambda *shape: torch.randn(*shape, generator=generator) * 0.2
    tensors = {"linear.weight": random_of(outputs, inputs)}
    if bias:
        tensors["linear.bias"] = random_of(outputs)
    config = {"in_features": inputs, "out_features": outputs, "bias": bias, "activation_function": activation}
    if residual:
        config["use_residual"] = True
        if inputs != outputs:
            tensors["residual.weight"] = random_of(outputs, inputs)
    return ("Dense", config, tensors)


TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
ALL = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
NORMALIZE = ("Normalize", None, None)
PROMPTS = {"query": "how can ", "document": "the vector: ", "other": "dog!"}


def cases():
    """name -> (base, keyword arguments of overlay, requests)."""
    plain = [{}]
    found = {mode: ("bert", dict(modules=[pooling(mode)]), plain) for mode in ALL}
    norm_tensors = {"norm.weight": torch.linspace(0.5, 1.5, 32), "norm.bias": torch.linspace(-1, 1, 32)}
    found |= {
        "old-concatenation": ("bert", dict(modules=[old_pooling(["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"])], new=False), plain),
        "old-mean": ("bert", dict(modules=[old_pooling(["mean_tokens"]), NORMALIZE], new=False), plain),
        "listed-concatenation": ("bert", dict(modules=[pooling(["mean", "cls"])]), plain),
        "dense-tanh": ("bert", dict(modules=[old_pooling(["mean_tokens"]), dense(32, 20, TANH, 1)], new=False), plain),
        "dense-chain": ("bert", dict(modules=[pooling(["cls", "mean"]), dense(64, 32, "torch.nn.modules.activation.GELU", 2, bias=False), dense(32, 32, IDENTITY, 3, residual=True), dense(32, 17, "torch.nn.modules.activation.ReLU", 4, residual=True), NORMALIZE]), plain + [{"dims": 5}]),
        "layer-norm": ("bert", dict(modules=[pooling("mean"), ("LayerNorm", {"dimension": 32}, norm_tensors)]), plain),
        "prompts": ("bert", dict(modules=[pooling("mean")], prompts=PROMPTS, default="other"), [{}, {"task": "query"}, {"task": "document"}, {"prompt_name": "query"}, {"prompt": "a cat "}, {"prompt": "", "task": "query"}]),
        "prompt-left-out": ("bert", dict(modules=[pooling(ALL, include_prompt=False)], prompts=PROMPTS), [{}, {"task": "query"}, {"prompt_name": "other"}]),
        "no-prompts": ("bert", dict(modules=[pooling("mean")]), [{"task": "query"}, {"task": "document"}]),
        "truncated-unit": ("bert", dict(modules=[pooling("mean"), NORMALIZE]), [{"dims": 8, "normalize": True}, {"dims": 8, "normalize": False}, {"normalize": True}]),
        "truncated-raw": ("bert", dict(modules=[pooling("mean")]), [{"dims": 8}, {"dims": 31, "normalize": True}]),
        "early-exit": ("bert", dict(modules=[pooling("mean")]), [{"layers": 1}, {"layers": 2}]),
        "odd-early-exit": ("bert-odd-cased", dict(modules=[pooling(["cls", "max"], 27), NORMALIZE]), [{"layers": 1}, {"layers": 2, "dims": 13, "normalize": True}, {}]),
        "lower-cased": ("bert-odd-cased", dict(modules=[pooling("mean", 27)], sentence={"max_seq_length": 16, "do_lower_case": True}), plain),
        "short": ("bert", dict(modules=[pooling(["mean", "lasttoken"])], sentence={"max_seq_length": 6}), plain),
        "roberta-mean": ("roberta", dict(modules=[pooling(["mean", "cls"])]), plain + [{"layers": 1}]),
        "distilbert-mean": ("distilbert", dict(modules=[pooling("mean")]), plain + [{"layers": 1}]),
        "half": ("bert", dict(modules=[pooling("mean")]), plain),
        "bfloat": ("bert", dict(modules=[pooling("mean")]), plain),
        "sharded": ("bert", dict(modules=[pooling("mean")]), plain),
        "prefixed": ("bert", dict(modules=[pooling("mean")]), plain),
        "undeclared": ("bert", None, plain),
    }
    return found


def other_weights(name, folder, source):
    tensors = load_file(source / "model.safetensors")
    if name in ("half", "bfloat"):
        kind = torch.float16 if name == "half" else torch.bfloat16
        save_file({key: value.to(kind) for key, value in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    elif name == "prefixed":
        save_file({"bert." + key: value for key, value in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    elif name == "sharded":
        files = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
        keys = sorted(tensors)
        parts = {files[0]: keys[::2], files[1]: keys[1::2]}
        for file, keys in parts.items():
            save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": {key: file for file, keys in parts.items() for key in keys}})


def expected(model, request):
    """What sentence-transformers gives; an early exit swaps the last hidden state for that of the layer asked for."""
    model = model.__class__(modules=list(model), prompts=model.prompts, default_prompt_name=model.default_prompt_name, device="cpu")
    options = {"normalize_embeddings": bool(request.get("normalize")), "truncate_dim": request.get("dims"), "batch_size": 8}
    options |= {key: request[key] for key in ("prompt", "prompt_name") if key in request}
    encode = {"query": model.encode_query, "document": model.encode_document}.get(request.get("task"), model.encode)
    handle = None
    if "layers" in request:
        inner = model[0].auto_model
        blocks = inner.transformer.layer if hasattr(inner, "transformer") else inner.encoder.layer
        kept = list(blocks)
        while len(blocks) > request["layers"]:
            del blocks[-1]
    vectors = encode(SMALL_TEXTS, **options)
    if "layers" in request:
        while len(blocks):
            del blocks[-1]
        blocks.extend(kept)
    # Kokeshi keeps unit length when it cuts a normalised vector, unless told not to.
    if "normalize" not in request and "dims" in request and type(list(model)[-1]).__name__ == "Normalize":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def early_exit_is_a_hidden_state():
    """Cutting the list of blocks gives transformers' hidden_states[L]."""
    folder = FIXTURES / "small/bases/bert"
    model = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.no_grad():
        state = model(ids, output_hidden_states=True).hidden_states[1]
        del model.encoder.layer[-1]
        assert torch.equal(model(ids).last_hidden_state, state)


def small():
    bases()
    early_exit_is_a_hidden_state()
    write_lines(FIXTURES / "small/texts.jsonl", [{"text": text} for text in SMALL_TEXTS])
    for name, (base_name, parts, requests) in cases().items():
        folder = FIXTURES / "small/cases" / name
        folder.mkdir(parents=True)
        source = FIXTURES / "small/bases" / base_name
        if parts is not None:
            overlay(folder, **parts)
        other_weights(name, folder, source)
        with tempfile.TemporaryDirectory() as work:
            work = Path(work) / "model"
            shutil.copytree(source, work)
            shutil.copytree(folder, work, dirs_exist_ok=True)
            if name == "sharded":
                (work / "model.safetensors").unlink()
            kind = {"model_kwargs": {"torch_dtype": "float32"}} if name in ("half", "bfloat") else {}
            model = SentenceTransformer(str(work), device="cpu", **kind)
            for at, request in enumerate(requests):
                np.save(folder / f"expected-{at}.npy", expected(model, request).astype("<f4"))
        write_json(folder / "case.json", {"base": base_name, "requests": requests})


def main():
    torch.set_num_threads(1)
    small()
    minilm(Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS / "all-MiniLM-L6-v2")
    made_with = {module.__name__: module.__version__ for module in (sentence_transformers, transformers, tokenizers, torch, np, safetensors)}
    write_json(FIXTURES / "versions.json", made_with)


main()
