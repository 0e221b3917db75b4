"""Writes a sentence-transformers directory with random weights, for timing models that no package carries.

usage: shapes.py SHAPE DIRECTORY MINILM   (SHAPE: bert-12x384, bert-12x768 or qwen3-0.6b)

The tokenizer is MiniLM's, and so is the vocabulary's size (Qwen3's own of 151,669 words costs memory, but no time a token); the mean of the
last layer is pooled. Qwen3 is written in bf16, as it is published; the others in f32.
"""
import json
import pathlib
import shutil
import sys

import torch
from transformers import BertConfig, BertModel, Qwen3Config, Qwen3Model

VOCABULARY = 30_522


def bert(width):
    sizes = {"num_hidden_layers": 12, "hidden_size": width, "num_attention_heads": 12, "intermediate_size": 4 * width}
    return BertModel(BertConfig(vocab_size=VOCABULARY, **sizes), add_pooling_layer=False)


def qwen3():
    sizes = {"num_hidden_layers": 28, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
    return Qwen3Model(Qwen3Config(vocab_size=VOCABULARY, intermediate_size=3072, max_position_embeddings=8192, rope_theta=1e6, **sizes))


SHAPES = {"bert-12x384": lambda: bert(384), "bert-12x768": lambda: bert(768), "qwen3-0.6b": qwen3}
shape, directory, source = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
torch.manual_seed(3)
model = SHAPES[shape]()
with torch.no_grad():
    # At the initial 0.02 all texts have nearly one vector, and a cosine would say little about the arithmetic.
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "embed" not in name:
            weight.normal_(0, weight.shape[1] ** -0.5)
        elif weight.dim() == 2:
            weight.normal_(0, 1)
shutil.copytree(source, directory, ignore=shutil.ignore_patterns("model.safetensors", "config.json", "*.md", ".git*"))
model.to(torch.bfloat16 if shape.startswith("qwen3") else torch.float32).save_pretrained(directory)
(directory / "sentence_bert_config.json").write_text('{"max_seq_length": 512, "do_lower_case": false}')
width = model.config.hidden_size
(directory / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}))
print(directory, sum(weight.numel() for weight in model.parameters()) // 1_000_000, "million weights")
