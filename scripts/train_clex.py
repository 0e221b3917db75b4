#!/usr/bin/env python3
"""Tunes the small byte-level decoder with CLEX's frequencies (arXiv 2310.16450), and a control with plain positions.

    python scripts/train_clex.py [--steps N] [--seed N] [--data DIR] [--to DIR]

Needs byte-decoder-32 of scripts/train_byte_decoder.py. Writes byte-decoder-32/clex (config.json, model.safetensors, clex.json with the weights of
the frequencies' module) and byte-decoder-32/control, which had as many steps at the trained length without CLEX. Smaller than the paper: a
decoder of 109,000 parameters, texts of 32 bytes, factors up to 8, Runge-Kutta steps of 0.1.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import LlamaForCausalLM

from train_byte_decoder import ROOT, texts, tokens

LENGTH, LARGEST, BATCH, BASE, STEP = 32, 8, 32, 10000.0, 0.1


class ClexRotary(torch.nn.Module):
    """The rotary part of a Llama whose log frequencies solve dz/dt = tanh((z + ln n(t)) up) down + n'(t) / n(t)."""

    def __init__(self, dims):
        super().__init__()
        half = dims // 2
        self.dims, self.factor = dims, 1
        self.up = torch.nn.Parameter(torch.empty(half, dims).uniform_(-half**-0.5, half**-0.5))
        self.down = torch.nn.Parameter(torch.zeros(dims, half))
        self.register_buffer("even", 2.0 * torch.arange(half), persistent=False)

    def ntk(self, t):
        return -self.even / self.dims * math.log(BASE) - self.even / (self.dims - 2) * math.log(2 * t - 1)

    def slope(self, t, z):
        return torch.tanh((z + self.ntk(t)) @ self.up) @ self.down - 2 * self.even / ((self.dims - 2) * (2 * t - 1))

    def logarithms(self):
        z = self.ntk(1.0)
        steps = round((self.factor - 1) / STEP)
        for number in range(steps):
            t, h = 1 + number * STEP, STEP
            first = self.slope(t, z)
            second = self.slope(t + h / 2, z + h / 2 * first)
            third = self.slope(t + h / 2, z + h / 2 * second)
            fourth = self.slope(t + h, z + h * third)
            z = z + h / 6 * (first + 2 * second + 2 * third + fourth)
        return z

    def forward(self, x, position_ids):
        angles = position_ids[..., None].float() * self.logarithms().exp()
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def positions(factor, generator):
    """The first, the last and sorted draws between them: a text of LENGTH bytes spread over `factor` times as many positions."""
    if factor == 1:
        return torch.arange(LENGTH)[None]
    inner = torch.randperm(LENGTH * factor - 2, generator=generator)[: LENGTH - 2].sort().values + 1
    return torch.cat([torch.tensor([0]), inner, torch.tensor([LENGTH * factor - 1])])[None]


def tune(folder, to, clex, given, ids):
    torch.manual_seed(given.seed)
    generator = torch.Generator().manual_seed(given.seed)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    plain = model.model.rotary_emb
    rotary = ClexRotary(model.config.hidden_size // model.config.num_attention_heads)
    if clex:
        model.model.rotary_emb = rotary
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.rate)
    warm = max(1, given.steps * 3 // 100)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / given.steps))
    )
    offsets = torch.arange(LENGTH + 1)
    started = time.process_time()
    for step in range(given.steps):
        rotary.factor = int(torch.randint(1, LARGEST + 1, (1,), generator=generator)) if clex else 1
        starts = torch.randint(len(ids) - LENGTH - 1, (BATCH, 1), generator=generator)
        rows = ids[starts + offsets]
        logits = model(rows[:, :-1], position_ids=positions(rotary.factor, generator).expand(BATCH, -1)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"{to.name} step {step + 1}/{given.steps} factor {rotary.factor} loss {loss.item():.3f}", flush=True)
    model.model.rotary_emb = plain
    model.save_pretrained(to)
    if clex:
        weights = {name: getattr(rotary, name).detach().flatten().tolist() for name in ("up", "down")}
        (to / "clex.json").write_text(json.dumps({"dims": rotary.dims, "base": BASE, **weights}) + "\n")
    print(f"{to}: {time.process_time() - started:.1f} CPU-seconds")


def main():
    models = Path(os.environ.get("KOKESHI_MODELS", Path.home() / ".cache/kokeshi/models"))
    data = Path(os.environ.get("KOKESHI_DATA", ROOT / "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--to", type=Path, default=models)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = given.to / f"byte-decoder-{LENGTH}"
    if not (folder / "model.safetensors").is_file():
        parser.exit(1, f"expected a trained decoder in {folder}, found none; make it with scripts/train_byte_decoder.py --length {LENGTH}\n")
    ids = tokens("".join(part for part, _ in texts(given.data / "text_en")))
    for name in ("clex", "control"):
        tune(folder, folder / name, name == "clex", given, ids)


if __name__ == "__main__":
    main()
