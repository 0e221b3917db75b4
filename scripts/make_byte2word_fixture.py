"""A small encoder that makes words of bytes (Byte2Word, arXiv 2211.12677) by PyTorch and transformers, for crates/make/encode/tests/byte2word.rs: its
directory, and the mean-pooled vectors of some texts after each layer.

python scripts/make_byte2word_fixture.py      (torch, transformers; the versions are written into the fixture)

Words are made here by PyTorch alone; the blocks are transformers' BertModel, which is given their vectors (`inputs_embeds`) in the place of token ids.
"""
import json, pathlib, unicodedata

import torch, transformers
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import BertConfig, BertModel

folder = pathlib.Path(__file__).resolve().parent.parent / "crates/make/encode/tests/fixtures/byte2word"
HIDDEN, LAYERS, HEADS, INNER, LONGEST, BYTE_HEADS = 24, 2, 3, 40, 16, 4
UNSPACED = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]
TEXTS = [
    "a", "", "The quick dog jumps over the lazy fox.", "stop", "spot", "Don't stop, v2.0!", "ÉTÉ in 北京", "ภาษาไทย",
    "Donaudampfschifffahrtsgesellschaft", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
    "\U0001f9ff \x00 x", "the the the",
]


def words(text):
    found, open_word = [], False
    for letter in text:
        joins = letter.isalnum() and not any(a <= ord(letter) <= b for a, b in UNSPACED)
        if joins and open_word:
            found[-1] += letter
        elif not letter.isspace() and unicodedata.category(letter) != "Cc":
            found.append(letter)
        open_word = joins
    return [word.encode() for word in found]


def cut(word):
    return word if len(word) <= 16 else word[:8] + word[-8:]


torch.manual_seed(5)
d = HIDDEN
tensors = {
    "bytes.weight": torch.randn(256, d), "positions.weight": torch.randn(16, d), "query": torch.randn(1, d),
    "to_kv.weight": torch.randn(2 * d, d) * d**-0.5, "to_out.weight": torch.randn(d, d) * d**-0.5,
    "norm.weight": 1 + 0.1 * torch.randn(d), "norm.bias": 0.1 * torch.randn(d),
    "net.0.weight": torch.randn(4 * d, d) * d**-0.5, "net.0.bias": 0.1 * torch.randn(4 * d),
    "net.2.weight": torch.randn(d, 2 * d) * d**-0.5, "net.2.bias": 0.1 * torch.randn(d),
}
special = torch.randn(2, d)


def vector(word):
    word = cut(word)
    x = tensors["bytes.weight"][list(word)] + tensors["positions.weight"][: len(word)]
    keys, values = (x @ tensors["to_kv.weight"].T).split(d, dim=1)
    heads = lambda rows: rows.view(len(rows), BYTE_HEADS, d // BYTE_HEADS).transpose(0, 1)
    mixed = F.scaled_dot_product_attention(heads(tensors["query"]), heads(keys), heads(values))
    word = mixed.transpose(0, 1).reshape(d) @ tensors["to_out.weight"].T
    normed = F.layer_norm(word, (d,), tensors["norm.weight"], tensors["norm.bias"])
    value, gate = (normed @ tensors["net.0.weight"].T + tensors["net.0.bias"]).split(2 * d)
    return word + (value * F.gelu(gate)) @ tensors["net.2.weight"].T + tensors["net.2.bias"]


config = BertConfig(
    vocab_size=2, hidden_size=d, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
    max_position_embeddings=LONGEST, type_vocab_size=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3,
)
model = BertModel(config, add_pooling_layer=False).eval()
with torch.no_grad():
    for name, value in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            value.add_(0.1 * torch.randn_like(value))
    model.embeddings.token_type_embeddings.weight.zero_()
    expected = []
    for text in TEXTS:
        made = [vector(word) for word in words(text.lower())][: LONGEST - 2]
        inputs = torch.stack([special[0], *made, special[1]])[None]
        states = model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[1:]
        expected.append({"text": text, "layers": [[round(x, 6) for x in state[0].mean(0).tolist()] for state in states]})

saved = {name: value for name, value in model.state_dict().items() if "word_embeddings" not in name and "token_type" not in name}
saved = {name: value.contiguous() for name, value in saved.items() if value.is_floating_point()}
saved["embeddings.special_embeddings.weight"] = special
saved.update({f"embeddings.byte_words.{name}": value for name, value in tensors.items()})
folder.mkdir(parents=True, exist_ok=True)
save_file(saved, folder / "model.safetensors", metadata={"format": "pt"})
write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
write("config.json", {
    "model_type": "kokeshi_byte2word", "hidden_size": d, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER,
    "hidden_act": "gelu", "max_position_embeddings": LONGEST, "vocab_size": 2, "byte_heads": BYTE_HEADS, "layer_norm_eps": config.layer_norm_eps,
})
write("sentence_bert_config.json", {"max_seq_length": LONGEST, "do_lower_case": True})
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
(folder / "expected.json").write_text(
    json.dumps({"versions": versions, "texts": expected}, ensure_ascii=False) + "\n"
)
