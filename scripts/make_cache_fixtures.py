#!/usr/bin/env python3
"""Makes the fixtures that crates/make/cache is compared with: logits of transformers for decoders with random weights.

    python scripts/make_cache_fixtures.py

Writes crates/make/cache/tests/fixtures/{llama,qwen2,qwen3}: config.json, model.safetensors, and logits.json with token ids and the logits of
every tenth vocabulary entry. versions.json says which libraries made them. Everything comes from seeds.
"""

import json
import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FIXTURES = Path(__file__).resolve().parent.parent / "crates/make/cache/tests/fixtures"

SMALL = dict(
    vocab_size=40,
    hidden_size=24,
    intermediate_size=36,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=0,
    eos_token_id=0,
    pad_token_id=None,
)

MODELS = {
    # Linear scaling of positions, as many key heads as query heads, tied.
    "llama": (LlamaForCausalLM, LlamaConfig(**SMALL, num_key_value_heads=4, head_dim=6, tie_word_embeddings=True,
              rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})),
    # Biases, shared key heads, an output layer of its own.
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=False, rope_theta=5000.0)),
    # Norms of heads, heads wider than their share of the hidden size.
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SMALL, num_key_value_heads=1, head_dim=10, tie_word_embeddings=True)),
}


def main():
    torch.manual_seed(7)
    for name, (kind, config) in MODELS.items():
        folder = FIXTURES / name
        shutil.rmtree(folder, ignore_errors=True)
        model = kind(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        ids = torch.randint(0, SMALL["vocab_size"], (1, 30))
        with torch.no_grad():
            logits = model(ids).logits[0, :, ::10]
        record = {"tokens": ids[0].tolist(), "logits": [[round(value, 6) for value in row] for row in logits.tolist()]}
        (folder / "logits.json").write_text(json.dumps(record) + "\n")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "script": "scripts/make_cache_fixtures.py"}
    (FIXTURES / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
