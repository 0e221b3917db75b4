"""Makes what the encoder benchmark reads: texts with their token ids, and a BERT model in the formats of the peers.

usage: prepare.py WORK DATA MODEL [PART] [FORMATS]

WORK gets data.json (short: 1,000 titles; passages: 300 abstracts of 127 to 256 tokens; long: 50 runs of abstracts, 512 tokens each;
query: 200 titles of 10 to 14 tokens), f32.onnx, int8.onnx (ONNX Runtime, dynamic, per channel), int8.xml (OpenVINO, NNCF's post-training
quantisation calibrated on 100 other abstracts), fastembed/ (f32.onnx and the tokenizer) and model/ (MODEL, reading up to 512 tokens).
PART 10 takes a tenth of the texts, for large models; FORMATS names what to make of f32.onnx,int8.onnx,int8.xml ("-": nothing).
"""
import gzip
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModel, AutoTokenizer

work, data, source = (pathlib.Path(argument) for argument in sys.argv[1:4])
part = int(sys.argv[4]) if len(sys.argv) > 4 else 1
formats = sys.argv[5].split(",") if len(sys.argv) > 5 else ["f32.onnx", "int8.onnx", "int8.xml"]
wanted = lambda name: name in formats and not (work / name).exists()
work.mkdir(parents=True, exist_ok=True)
tokenizer = AutoTokenizer.from_pretrained(source)
rows = [json.loads(line) for line in gzip.open(data / "arxiv/arxiv.00.jsonl.gz", "rt", encoding="utf-8")]
titles = [" ".join(row["title"].split()) for row in rows]
abstracts = [" ".join(row["abstract"].split()) for row in rows]
ids = lambda texts, most: tokenizer(texts, truncation=True, max_length=most)["input_ids"]
measured = [(text, len(found)) for text, found in zip(abstracts, ids(abstracts, 512))]
passages = [text for text, count in measured if 127 <= count <= 256][:300]
runs = [" ".join(abstracts[at : at + 8]) for at in range(400, 800, 8)]
queries = [text for text, found in zip(titles, ids(titles, 64)) if 10 <= len(found) <= 14][:200]
sets = {"short": (titles[:1000], 512), "passages": (passages, 512), "long": (runs, 512), "query": (queries, 512)}


def middle(texts, most):
    """A part of the texts, those of middle length: any others would make small sets of mostly padding for the peers."""
    order = sorted(texts, key=lambda text: len(ids([text], most)[0]))
    keep = max(1, len(texts) // part)
    return order[(len(order) - keep) // 2 :][:keep]


sets = {name: (texts if name == "query" or part == 1 else middle(texts, most), most) for name, (texts, most) in sets.items()}
made = {name: {"texts": texts, "ids": ids(texts, most)} for name, (texts, most) in sets.items()}
(work / "data.json").write_text(json.dumps(made))
for name, found in made.items():
    print(name, len(found["texts"]), "texts,", sum(map(len, found["ids"])), "tokens")

model_dir = work / "model"
if not model_dir.exists():
    model_dir.mkdir()
    for file in source.iterdir():
        (model_dir / file.name).symlink_to(file.resolve())
    (model_dir / "sentence_bert_config.json").unlink()
    (model_dir / "sentence_bert_config.json").write_text('{"max_seq_length": 512, "do_lower_case": false}')


class Encoder(torch.nn.Module):
    """The mean of the last layer's vectors, at unit length."""

    def __init__(self):
        super().__init__()
        self.model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()

    def forward(self, input_ids, attention_mask):
        hidden = self.model(input_ids, attention_mask).last_hidden_state
        mask = attention_mask[:, :, None].to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))


example = tokenizer(titles[:2], padding=True, return_tensors="pt")
if wanted("f32.onnx"):
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        Encoder(), tuple(example[name] for name in names), work / "f32.onnx", input_names=names, output_names=["vector"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names}, opset_version=17, dynamo=False,
    )
if (work / "f32.onnx").exists() and not (work / "fastembed").exists():
    (work / "fastembed").mkdir()
    (work / "fastembed/model.onnx").symlink_to((work / "f32.onnx").resolve())
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (work / "fastembed" / name).symlink_to((model_dir / name).resolve())
if wanted("int8.onnx"):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(work / "f32.onnx", work / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
if wanted("int8.xml"):
    import nncf
    import openvino

    batches = [dict(tokenizer([text], truncation=True, max_length=256, return_tensors="np")) for text in abstracts[2000:2100:part]]
    batches = [{name: batch[name] for name in ("input_ids", "attention_mask")} for batch in batches]
    model = openvino.Core().read_model(work / "f32.onnx")
    openvino.save_model(nncf.quantize(model, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)), work / "int8.xml")
