"""One full training step by sentence-transformers and PyTorch for crates/make/train/tests/reference.rs: loss, gradients, AdamW update.

python scripts/make_train_fixtures.py      (torch, transformers, sentence-transformers; the versions are written into the fixture)

The model is crates/make/encode/tests/fixtures/small/bases/bert, 2 layers x 32 dims; dropout is off. Matryoshka2dLoss draws a layer and a
width at random; both draws are switched off (all of them in a step), so that the loss is the same for everybody. Layers count 1 / (1 + index),
as they always did up to release 5; release 6 can do so too.
"""
import json, pathlib, sys

import sentence_transformers, torch, transformers
from sentence_transformers import SentenceTransformer
try:
    from sentence_transformers import losses
except ImportError:
    from sentence_transformers.sentence_transformer import losses

root = pathlib.Path(__file__).resolve().parent.parent
base = root / "crates/make/encode/tests/fixtures/small/bases/bert"
texts = [json.loads(line)["text"] for line in open(root / "crates/make/encode/tests/fixtures/small/texts.jsonl")]
texts = [text for text in dict.fromkeys(text.strip() for text in texts) if 2 <= len(text.split()) <= 12][:15]
size = len(texts) // 3
columns = [texts[at * size:(at + 1) * size] for at in range(3)]
labels = [((7 * at) % 5) / 5 for at in range(size)]
KEPT = 12


def load():
    model = SentenceTransformer(str(base), device="cpu")
    model.eval()  # No dropout; gradients flow all the same.
    return model


class Guide(torch.nn.Module):
    pass


def step(name, make, columns, labels):
    model = load()
    loss_function = make(model)
    features = []
    for column in columns:
        tokenized = model.tokenize(column) if not hasattr(model, "preprocess") else model.preprocess(column)
        features.append({key: value for key, value in tokenized.items() if isinstance(value, torch.Tensor)})
    ids = [[row[mask.bool()].tolist() for row, mask in zip(f["input_ids"], f["attention_mask"])] for f in features]
    decayed, free = [], []
    named = [(n, p) for n, p in model.named_parameters() if "pooler" not in n]
    for n, p in named:
        (free if n.endswith("bias") or "LayerNorm" in n else decayed).append(p)
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": free, "weight_decay": 0.0}], lr=1e-3)
    model.eval()
    value = loss_function(features, labels)
    value.backward()
    with torch.no_grad():
        length = torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
    gradients = {n: None if p.grad is None else p.grad.clone() for n, p in named}
    factor = min(1.0, 1.0 / (float(length) + 1e-6))
    optimizer.step()
    tensors = {}
    for n, p in named:
        short = n.split("auto_model.")[-1].split("model.")[-1]
        g = gradients[n] if gradients[n] is not None else torch.zeros_like(p)
        g = g / factor
        flat, moved = g.flatten(), p.detach().flatten()
        # The largest gradients: AdamW's first step is a sign, which rounding decides where there is nothing.
        at = flat.abs().topk(min(KEPT, flat.numel())).indices.sort().values
        tensors[short] = {"norm": float(g.norm()), "at": at.tolist(), "gradient": flat[at].tolist(), "moved": moved[at].tolist()}
    return {"name": name, "loss": float(value), "length": float(length), "ids": ids, "tensors": tensors}


def gist(model):
    guide = load()
    # Another guide than the student: its weights a little elsewhere, written down as vectors.
    with torch.no_grad():
        for number, p in enumerate(guide.parameters()):
            k = torch.arange(1, p.numel() + 1, dtype=torch.float64)
            p.add_((0.05 * torch.sin(0.31 * (k % 997) ** 2 + 1.3 * number)).to(p.dtype).view_as(p))
    made["guide"] = [guide.encode(column, convert_to_tensor=True).tolist() for column in columns]
    return losses.GISTEmbedLoss(model, guide, temperature=0.05)


made = {}
cases = [
    step("ranking", lambda m: losses.MultipleNegativesRankingLoss(m), columns, None),
    step("gist", gist, columns, None),
    step("cosent", lambda m: losses.CoSENTLoss(m), columns[:2], torch.tensor(labels)),
    step("matryoshka2d", lambda m: losses.Matryoshka2dLoss(
        m, losses.MultipleNegativesRankingLoss(m), [32, 16, 8], n_layers_per_step=-1, n_dims_per_step=-1, layer_weighting="linear"), columns, None),
]
out = root / "crates/make/train/tests/fixtures/step.json"
out.parent.mkdir(parents=True, exist_ok=True)
versions = {"sentence-transformers": sentence_transformers.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
out.write_text(json.dumps({"versions": versions, "labels": labels, "guide": made["guide"], "cases": cases}))
print(versions, [(case["name"], round(case["loss"], 6)) for case in cases], out.stat().st_size, "bytes")
