#!/usr/bin/env python3
"""Trains the small byte-level decoders that cache policies and positions are tried on.

    python scripts/train_byte_decoder.py [--length 32|128] [--steps N] [--seed N] [--data DIR] [--to DIR]

Makes a Llama of 2 layers, 64 dims and 2 heads over the bytes 0..127 from the English texts of the shared data sets (printable ASCII,
blanks collapsed, the last 5 % of every file held out) and writes it as byte-decoder-LENGTH under $KOKESHI_MODELS or
~/.cache/kokeshi/models: config.json and model.safetensors as transformers writes them, calibration.txt (the texts' training parts,
256 KiB), heldout.txt (256 KiB that were never trained on) and training.json (the recipe, the versions, the losses). Without --length both
lengths are made, which takes one thread a few minutes. Nothing of it belongs into the repository.
"""

import argparse
import gzip
import json
import math
import os
import re
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = 256 << 10

# length -> (sequences a step, steps): the recipe of the specification.
RECIPES = {32: (32, 2000), 128: (8, 1800)}


def texts(folder):
    """The training and the held-out part of every file, as printable ASCII with single blanks."""
    for path in sorted(folder.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            text = re.sub(r"\s+", " ", file.read())
        text = re.sub(r"[^ -~]", "", text)
        cut = len(text) * 19 // 20
        yield text[:cut], text[cut:]


def sample(parts):
    """As much of every part as its share, SAMPLE bytes together."""
    total = sum(map(len, parts))
    return "".join(part[: SAMPLE * len(part) // total] for part in parts)


def tokens(text):
    return torch.frombuffer(bytearray(text.encode("ascii")), dtype=torch.uint8).long()


def loss_of(model, ids, length, sequences):
    """Mean loss in nats over the second half of evenly spaced sequences."""
    starts = torch.linspace(0, len(ids) - length - 1, sequences).long()
    batch = torch.stack([ids[start : start + length + 1] for start in starts])
    with torch.no_grad():
        logits = model(batch[:, :-1]).logits
    half = length // 2
    return torch.nn.functional.cross_entropy(logits[:, half:].flatten(0, 1), batch[:, 1 + half :].flatten()).item()


def train(length, steps, seed, parts, to):
    torch.manual_seed(seed)
    batch, default_steps = RECIPES.get(length, (max(1, 1024 // length), 1800))
    steps = steps or default_steps
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=length,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config)
    ids = tokens("".join(part for part, _ in parts))
    held_out = sample([part for _, part in parts])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    warm = 50
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.arange(length + 1)
    started = time.process_time()
    for step in range(steps):
        starts = torch.randint(len(ids) - length - 1, (batch, 1), generator=generator)
        rows = ids[starts + offsets]
        logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            print(f"length {length} step {step + 1}/{steps} loss {loss.item():.3f}", flush=True)
    model.eval()
    folder = to / f"byte-decoder-{length}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "calibration.txt").write_text(sample([part for part, _ in parts]))
    (folder / "heldout.txt").write_text(held_out)
    record = {
        "length": length,
        "batch": batch,
        "steps": steps,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "cpu_seconds": round(time.process_time() - started, 1),
        "held_out_loss_of_second_half": round(loss_of(model, tokens(held_out), length, 256), 4),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"{folder}: {json.dumps(record)}")


def main():
    models = Path(os.environ.get("KOKESHI_MODELS", Path.home() / ".cache/kokeshi/models"))
    data = Path(os.environ.get("KOKESHI_DATA", ROOT / "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, help="trained length in bytes (default: 32 and 128, one model each)")
    parser.add_argument("--steps", type=int, help="default: 2000 for 32, 1800 for 128")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--to", type=Path, default=models)
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = list(texts(given.data / "text_en"))
    if not parts:
        parser.exit(1, f"expected *.txt.gz in {given.data / 'text_en'}, found none; set --data or KOKESHI_DATA\n")
    for length in [given.length] if given.length else RECIPES:
        train(length, given.steps, given.seed, parts, given.to)


if __name__ == "__main__":
    main()
