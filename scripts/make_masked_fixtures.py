"""Masked language modelling and SMAE by transformers and PyTorch for crates/make/train/tests/masked.rs: loss and gradients.

python scripts/make_masked_fixtures.py      (torch, transformers; the versions are written into the fixture)

The model is crates/make/encode/tests/fixtures/small/bases/bert, 2 layers x 32 dims, with a head whose values are sines; dropout is off. `mlm` is
transformers' BertForMaskedLM. `smae` is the forward of ielab/Starbucks (Apache-2.0), smae/modeling.py, with sizes 1x8, 1x16 and 2x32: for each size the
head over cut states, and a decoder of the first block whose first row is the transformed state of the first token.
"""
import copy, json, math, pathlib, random

import torch, transformers
from torch.nn import functional as F
from transformers import BertForMaskedLM, BertModel

root = pathlib.Path(__file__).resolve().parent.parent
base = root / "crates/make/encode/tests/fixtures/small/bases/bert"
SIZES = [(1, 8), (1, 16), (2, 32)]
KEPT = 12
VOCABULARY, MASK, FIRST, CLS, SEP = 114, 4, 5, 2, 3


def sines(tag, scale, *shape):
    count = math.prod(shape)
    values = [scale * math.sin(0.31 * k * k + 1.3 * tag) for k in range(1, count + 1)]
    return torch.tensor(values, dtype=torch.float64).float().reshape(shape)


def load():
    model = BertForMaskedLM(BertModel.from_pretrained(base).config)
    model.bert.load_state_dict(BertModel.from_pretrained(base, add_pooling_layer=False).state_dict())
    head = model.cls.predictions
    with torch.no_grad():
        head.transform.dense.weight.copy_(sines(1, 0.2, 32, 32))
        head.transform.dense.bias.copy_(sines(2, 0.1, 32))
        head.transform.LayerNorm.weight.copy_(1 + sines(3, 0.1, 32))
        head.transform.LayerNorm.bias.copy_(sines(4, 0.1, 32))
        head.bias.copy_(sines(5, 0.1, VOCABULARY))
    head.decoder.bias = head.bias
    assert head.decoder.weight is model.bert.embeddings.word_embeddings.weight
    return model.eval()


def draw():
    """Texts of random tokens, twice: some tokens masked for the encoder, those and more for the decoder."""
    choose = random.Random(3)
    texts = []
    for length in [9, 4, 12, 7, 5]:
        ids = [CLS] + [choose.randrange(FIRST, VOCABULARY) for _ in range(length)] + [SEP]
        places = choose.sample(range(1, length + 1), max(2, round(0.4 * len(ids))))
        both = []
        for chosen in (places[:max(1, len(places) // 2)], places):
            masked = list(ids)
            for place in chosen:
                masked[place] = choose.choice([MASK] * 8 + [choose.randrange(FIRST, VOCABULARY), ids[place]])
            both.append({"ids": masked, "targets": [[p, ids[p]] for p in sorted(chosen)]})
        texts.append(both)
    return [[text[side] for text in texts] for side in range(2)]


def tensors(texts):
    longest = max(len(text["ids"]) for text in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask, labels = ids.clone(), torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        ids[row, :len(text["ids"])] = torch.tensor(text["ids"])
        mask[row, :len(text["ids"])] = 1
        for place, token in text["targets"]:
            labels[row, place] = token
    return ids, mask, labels


def mlm(model, decoder, encoder_texts, decoder_texts):
    ids, mask, labels = tensors(encoder_texts)
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss


def smae(model, decoder, encoder_texts, decoder_texts):
    ids, mask, labels = tensors(encoder_texts)
    other, other_mask, other_labels = tensors(decoder_texts)
    hidden = model.bert(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    head = model.cls.predictions

    def transform(h):
        h = F.linear(h, head.transform.dense.weight[:, :h.size(-1)], head.transform.dense.bias)
        return head.transform.LayerNorm(head.transform.transform_act_fn(h))

    def loss(h, labels):
        return F.cross_entropy(head.decoder(h).view(-1, VOCABULARY), labels.view(-1))

    total = 0
    for layer, dims in SIZES:
        t = transform(hidden[layer][:, :, :dims])
        embedded = torch.cat([t[:, :1], model.bert.embeddings(other)[:, 1:]], 1)
        bias = torch.where(other_mask[:, None, None, :].bool(), 0.0, torch.finfo(torch.float32).min)
        out = decoder(embedded, attention_mask=bias)
        out = out[0] if isinstance(out, tuple) else out
        total = total + (loss(t, labels) + loss(transform(out), other_labels)) / 2
    return total / len(SIZES)


encoder_texts, decoder_texts = draw()
cases = []
for name, function in [("mlm", mlm), ("smae", smae)]:
    model = load()
    decoder = copy.deepcopy(model.bert.encoder.layer[0])
    value = function(model, decoder, encoder_texts, decoder_texts)
    value.backward()
    named = {n.removeprefix("bert."): p for n, p in model.named_parameters() if "pooler" not in n}
    named |= {f"decoder.{n}": p for n, p in decoder.named_parameters()}
    square, kept = 0.0, {}
    for n, p in named.items():
        gradient = torch.zeros_like(p) if p.grad is None else p.grad
        square += float((gradient.double() ** 2).sum())
        flat = gradient.flatten()
        at = [(7919 * k + 13) % flat.numel() for k in range(min(KEPT, flat.numel()))]
        kept[n] = {"at": at, "gradient": [float(flat[i]) for i in at], "norm": float(flat.norm())}
    cases.append({"name": name, "loss": float(value), "length": square ** 0.5, "tensors": kept})
    print(name, float(value), square ** 0.5, len(kept))
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
fixture = {"versions": versions, "sizes": SIZES, "encoder": encoder_texts, "decoder": decoder_texts, "cases": cases}
(root / "crates/make/train/tests/fixtures/masked.json").write_text(json.dumps(fixture) + "\n")
