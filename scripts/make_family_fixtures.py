#!/usr/bin/env python3
"""Makes the fixtures that every family of crates/make/encode is compared with: vectors from sentence-transformers and transformers.

    python scripts/make_family_fixtures.py [NAME...]

Writes crates/make/encode/tests/fixtures/families: texts.jsonl, and for each case a whole model directory with random weights, the requests
(case.json) and the vectors for them (expected-N.npy). versions.json says which libraries made them, or case.json for those
made one by one. Everything comes from seeds: running
it again with the same libraries gives the same files up to rounding of the vectors.

nomic-bert has no class in this release of transformers: that case needs KOKESHI_NOMIC_REFERENCE, a folder with a package nomicref that holds
modeling_hf_nomic_bert.py and configuration_hf_nomic_bert.py of the nomic-ai/contrastors repository (src/contrastors/models/huggingface, commit
613ddfd), and einops; without it the case is left as it is.
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
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MADE_WITH = {module.__name__: module.__version__ for module in (sentence_transformers, transformers, tokenizers, torch, np, safetensors)}
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


def smollm3():
    """Every third layer without positions."""
    return decoder(transformers.SmolLM3Config, transformers.SmolLM3Model, [pooling("lasttoken", "mean_tokens")], num_hidden_layers=3, no_rope_layer_interval=3)


def mpt(heads=4):
    """The penalties are those of 8 whatever the configuration says: this release of transformers does not read alibi_bias_max."""
    made = byte_level()
    config = transformers.MptConfig(vocab_size=made.get_vocab_size(), d_model=8 * heads, n_heads=heads, n_layers=2, max_seq_len=192, attn_config={"alibi_bias_max": 8})
    return transformers.MptModel(config), made, DECODER, 192, [pooling("weightedmean_tokens", width=8 * heads), ("Normalize", None)]


def mistral():
    return decoder(transformers.MistralConfig, transformers.MistralModel, [pooling("lasttoken")], sliding_window=24, head_dim=12)


def gpt2():
    made = byte_level()
    config = transformers.GPT2Config(vocab_size=made.get_vocab_size(), n_positions=128, n_embd=32, n_layer=2, n_head=4, n_inner=48, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    return transformers.GPT2Model(config), made, DECODER, 128, [pooling("weightedmean_tokens")]


def t5(**more):
    made = unigram()
    config = transformers.T5Config(vocab_size=made.get_vocab_size(), d_model=32, d_kv=12, num_heads=4, num_layers=2, d_ff=48, pad_token_id=1, eos_token_id=2, **more)
    return transformers.T5EncoderModel(config), made, ROBERTA, 192, [pooling("mean_tokens"), ("Normalize", None)]


def t5_gated():
    """As version 1.1 and Flan-T5, with other buckets."""
    return t5(feed_forward_proj="gated-gelu", relative_attention_num_buckets=16, relative_attention_max_distance=40)


def nomic_bert():
    from nomicref.configuration_hf_nomic_bert import NomicBertConfig
    from nomicref.modeling_hf_nomic_bert import NomicBertModel

    made = wordpiece()
    config = NomicBertConfig(vocab_size=made.get_vocab_size(), pad_vocab_size_multiple=16, n_positions=256, n_embd=32, n_layer=2, n_head=4, n_inner=48, activation_function="swiglu",
        rotary_emb_fraction=1.0, rotary_emb_base=1000, qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, causal=False, pad_token_id=0, layer_norm_epsilon=1e-12,
        embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0, rotary_scaling_factor=2.0, max_trained_positions=96)
    model = NomicBertModel(config, add_pooling_layer=False)
    return model, made, BERT, 192, [pooling("mean_tokens")]


def nomic_vectors(folder):
    """Each text by itself: the reference's dynamic base depends on the longest text that it has seen."""
    from nomicref.configuration_hf_nomic_bert import NomicBertConfig
    from nomicref.modeling_hf_nomic_bert import NomicBertModel
    from safetensors.torch import load_file

    config = NomicBertConfig(**json.loads((folder / "config.json").read_text()))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(192)
    vectors = []
    for text in TEXTS:
        model = NomicBertModel(config, add_pooling_layer=False).eval()
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            vectors.append(model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(0).numpy())
    return np.stack(vectors)


CASES = {
    "mpnet": (mpnet, [{}, {"layers": 1}]), "xlm-roberta": (xlm_roberta, [{}]), "modernbert": (modernbert, [{}, {"layers": 2}]), "modernbert-old": (old_modernbert, [{}]),
    "qwen3": (qwen3, [{}, {"layers": 1, "dims": 8, "normalize": True}]), "qwen2": (qwen2, [{}]), "qwen2-sliding": (qwen2_sliding, [{}]), "qwen2-bidirectional": (qwen2_bidirectional, [{}]),
    "llama": (llama, [{}]), "llama-yarn": (llama_yarn, [{}]), "mistral": (mistral, [{}]), "gpt2": (gpt2, [{}, {"layers": 1}]), "smollm3": (smollm3, [{}]), "mpt": (mpt, [{}, {"layers": 1}]), "mpt-6-heads": (lambda: mpt(6), [{}]), "t5": (t5, [{}]), "t5-gated": (t5_gated, [{}]), "nomic-bert": (nomic_bert, [{}]),
}
REFERENCE = os.environ.get("KOKESHI_NOMIC_REFERENCE")
if REFERENCE:
    sys.path.insert(0, REFERENCE)


def blocks(model):
    for inner in (model, getattr(model, "encoder", None)):
        for name in ("layers", "layer", "h", "blocks"):
            if hasattr(inner, name):
                return getattr(inner, name)


def expected(folder, request):
    if folder.name == "nomic-bert":
        return nomic_vectors(folder)
    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True, model_kwargs={"torch_dtype": "float32"})
    if "layers" in request:
        kept = blocks(model[0].auto_model)
        while len(kept) > request["layers"]:
            del kept[-1]
        config = model[0].auto_model.config
        config.num_hidden_layers = request["layers"]
    return model.encode(TEXTS, batch_size=8, normalize_embeddings=bool(request.get("normalize")), truncate_dim=request.get("dims"))


# ---- rerankers and sparse models ----

QUERIES = ["how small can a vector be?", " ".join(random.Random(99).choices(WORDS, k=60))]


def bert(model_class, **more):
    made = wordpiece()
    config = transformers.BertConfig(**SMALL, vocab_size=made.get_vocab_size(), max_position_embeddings=100, **more)
    return model_class(config), made, BERT, 100, []


def classifier_bert():
    return bert(transformers.BertForSequenceClassification, num_labels=1)


def classifier_bert_two():
    return *bert(transformers.BertForSequenceClassification, num_labels=2), {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}


def classifier_xlm_roberta():
    model, made, *rest = xlm_roberta()
    model.config.num_labels = 1
    model, *rest = transformers.XLMRobertaForSequenceClassification(model.config), *rest[:-1], []
    return model, made, *rest, {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}


def classifier_modernbert():
    model, *rest = modernbert(classifier_pooling="mean", num_labels=1)
    return transformers.ModernBertForSequenceClassification(model.config), *rest[:-1], []


def yes_no():
    made = byte_level()
    made.train_from_iterator(TEXTS + ["".join(PROMPT)] * 3, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    made.add_tokens(["yes", "no", "<think>", "</think>"])
    config = transformers.Qwen3Config(**DECODERS | {"max_position_embeddings": 320}, vocab_size=made.get_vocab_size(), head_dim=16, tie_word_embeddings=True)
    return transformers.Qwen3ForCausalLM(config), made, DECODER, 320, []


PROMPT = ["".join(line) for line in (
    ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',),
    ("<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: {query}\n<Document>: {text}",),
    ("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
)]


def rerank_scores(folder, limit):
    """What the model cards of cross-encoders and of Qwen3-Reranker do, pair by pair."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = transformers.AutoConfig.from_pretrained(folder)
    causal = config.architectures[0].endswith("ForCausalLM")
    model = (transformers.AutoModelForCausalLM if causal else transformers.AutoModelForSequenceClassification).from_pretrained(folder).eval()
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    scores = []
    for query in QUERIES:
        for text in TEXTS:
            if causal:
                start, end = encode(PROMPT[0]), encode(PROMPT[2])
                ids = start + encode(PROMPT[1].format(query=query, text=text))[: limit - len(start) - len(end)] + end
                with torch.no_grad():
                    logits = model(torch.tensor([ids])).logits[0, -1]
                pair = torch.stack([logits[tokenizer.token_to_id("no")], logits[tokenizer.token_to_id("yes")]])
                scores.append(torch.softmax(pair, 0)[1].item())
                continue
            tokenizer.enable_truncation(limit, strategy="longest_first")
            encoded = tokenizer.encode(query, text)
            inputs = {"input_ids": torch.tensor([encoded.ids]), "attention_mask": torch.ones(1, len(encoded.ids), dtype=torch.long)}
            if config.model_type == "bert":
                inputs["token_type_ids"] = torch.tensor([encoded.type_ids])
            with torch.no_grad():
                logits = model(**inputs).logits[0]
            raw = getattr(config, "sbert_ce_default_activation_function", None)
            scores.append((torch.softmax(logits, 0)[1] if len(logits) == 2 else logits[0] if raw else torch.sigmoid(logits[0])).item())
    return np.array(scores, dtype="<f4").reshape(len(QUERIES), len(TEXTS))


def splade_bert():
    return bert(transformers.BertForMaskedLM)


def splade_distilbert():
    made = wordpiece()
    config = transformers.DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=48, vocab_size=made.get_vocab_size(), max_position_embeddings=100)
    return transformers.DistilBertForMaskedLM(config), made, BERT, 100, []


def sparse_vectors(folder, limit):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(limit)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = [model(torch.tensor([tokenizer.encode(text).ids])).logits[0] for text in TEXTS]
    return np.stack([torch.log1p(torch.relu(logit)).amax(0).numpy() for logit in logits]).astype("<f4")


OTHERS = {
    "rerank-bert": (classifier_bert, rerank_scores), "rerank-bert-two-labels": (classifier_bert_two, rerank_scores), "rerank-xlm-roberta": (classifier_xlm_roberta, rerank_scores),
    "rerank-modernbert": (classifier_modernbert, rerank_scores), "rerank-yes-no": (yes_no, rerank_scores), "sparse-bert": (splade_bert, sparse_vectors), "sparse-distilbert": (splade_distilbert, sparse_vectors),
}


# ---- routes ----

def route_static_and_transformer():
    """Queries by a table, documents by a transformer, both made unit length."""
    torch.manual_seed(1)
    table = StaticEmbedding(wordpiece(), embedding_dim=32)
    return [Router.for_query_document(query_modules=[table], document_modules=list(SentenceTransformer(str(OUT / "xlm-roberta"), device="cpu").children())), Normalize()]


def route_heads():
    """One transformer, and a layer for each task behind it."""
    torch.manual_seed(2)
    layer = lambda: Dense(32, 24, activation_function=torch.nn.Tanh())
    return [*SentenceTransformer(str(OUT / "qwen2-bidirectional"), device="cpu").children(), Router({"query": [layer()], "doc": [layer()]}, default_route="doc", route_mappings={("document", "text"): "doc"})]


def as_before_release_5(folder):
    """Router was called Asym, had no mappings, and its file was config.json."""
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        if module["type"].endswith(".Router"):
            module["type"] = "sentence_transformers.models.Asym"
            (place := folder / module["path"]) and (place / "router_config.json").rename(place / "config.json")
            config = json.loads((place / "config.json").read_text())
            write_json(place / "config.json", config | {"parameters": {"allow_empty_key": True}})
    write_json(folder / "modules.json", modules)


ROUTED = {
    "route-static-and-transformer": (route_static_and_transformer, [{}, {"task": "query"}, {"task": "document"}]),
    "route-heads": (route_heads, [{}, {"task": "query"}, {"task": "document"}]), "route-asym": (route_heads, [{"task": "query"}, {"task": "document"}]),
}


def make_routed(name):
    build, requests = ROUTED[name]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = SentenceTransformer(modules=build(), device="cpu")
    model.save(str(folder), create_model_card=False)
    for at, request in enumerate(requests):
        encode = {"query": model.encode_query, "document": model.encode_document, None: model.encode}[request.get("task")]
        np.save(folder / f"expected-{at}.npy", encode(TEXTS, batch_size=8).astype("<f4"))
    if name == "route-asym":
        as_before_release_5(folder)
    write_json(folder / "case.json", {"requests": requests} | ({"made_with": MADE_WITH} if sys.argv[1:] else {}))


def make_other(name):
    build, reference = OTHERS[name]
    torch.manual_seed(1)
    model, tokenizer, names, limit, modules, *more = build()
    folder = save(name, random_weights(model, sum(map(ord, name))), tokenizer, names, limit, modules, *more)
    (folder / "modules.json").unlink()
    limit = {"rerank-xlm-roberta": 60, "rerank-modernbert": 90}.get(name, limit)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": limit})
    np.save(folder / "expected.npy", reference(folder, limit))


def make(name):
    build, requests = CASES[name]
    torch.manual_seed(1)
    model, tokenizer, names, limit, modules, *more = build()
    folder = save(name, random_weights(model, sum(map(ord, name))), tokenizer, names, limit, modules, *more)
    for at, request in enumerate(requests):
        np.save(folder / f"expected-{at}.npy", expected(folder, request).astype("<f4"))
    write_json(folder / "case.json", {"requests": requests} | ({"made_with": MADE_WITH} if sys.argv[1:] else {}))


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.jsonl").write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS), encoding="utf-8")
    (OUT / "queries.json").write_text(json.dumps(QUERIES) + "\n", encoding="utf-8")
    for name in sys.argv[1:] or [*CASES, *OTHERS, *ROUTED]:
        if name in ROUTED:
            print(name)
            make_routed(name)
            continue
        if name in OTHERS:
            print(name)
            make_other(name)
            continue
        if name != "nomic-bert" or REFERENCE:
            print(name)
            make(name)
    if not sys.argv[1:]:
        write_json(OUT / "versions.json", MADE_WITH)


if __name__ == "__main__":
    main()
