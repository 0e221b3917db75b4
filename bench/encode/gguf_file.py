"""Writes a BERT of sentence-transformers as a GGUF file for llama.cpp: f16 or q8_0 weights, mean pooling.

usage: gguf_file.py MODEL FILE f16|q8_0
"""
import json
import pathlib
import sys

import gguf
import numpy
from safetensors.numpy import load_file

source, file, kind = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
config = json.loads((source / "config.json").read_text())
vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
words = sorted(vocabulary, key=vocabulary.get)
special = {name: vocabulary[f"[{name.upper()}]"] for name in ("cls", "sep", "unk", "pad", "mask")}


def spelt(word):
    """A word as llama.cpp's WordPiece wants it: pieces that begin a word have a mark, those that continue one have none."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word[2:] if word.startswith("##") else "\u2581" + word


writer = gguf.GGUFWriter(file, "bert")
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(config["hidden_size"])
writer.add_block_count(config["num_hidden_layers"])
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_head_count(config["num_attention_heads"])
writer.add_layer_norm_eps(config["layer_norm_eps"])
writer.add_causal_attention(False)
writer.add_pooling_type(gguf.PoolingType.MEAN)
writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0)
writer.add_tokenizer_model("bert")
writer.add_tokenizer_pre("default")
writer.add_token_list([spelt(word) for word in words])
writer.add_token_scores([-1000.0] * len(words))
control = set(special.values())
writer.add_token_types([gguf.TokenType.CONTROL if at in control else gguf.TokenType.NORMAL for at in range(len(words))])
writer.add_token_type_count(config["type_vocab_size"])
writer.add_bos_token_id(special["cls"])
writer.add_eos_token_id(special["sep"])
writer.add_unk_token_id(special["unk"])
writer.add_sep_token_id(special["sep"])
writer.add_pad_token_id(special["pad"])
writer.add_mask_token_id(special["mask"])
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config["num_hidden_layers"])
for name, weight in load_file(source / "model.safetensors").items():
    if "position_ids" in name or name.startswith("pooler"):
        continue
    weight = weight.astype(numpy.float32)
    if weight.ndim < 2 or "position" in name or "token_type" in name:
        how = gguf.GGMLQuantizationType.F32
    else:
        how = gguf.GGMLQuantizationType.F16 if kind == "f16" else gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(names.get_name(name, (".weight", ".bias")), gguf.quants.quantize(weight, how), raw_dtype=how)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
