"""Makes the vectors that bench/vectors/run.py and `kokeshi bench filtered` measure on: the arXiv abstracts through MiniLM.

usage: prepare.py KOKESHI DATA/arxiv MINILM OUT [--precision int8] [--context 128] [--held-out 1000]
KOKESHI is target/release/kokeshi, MINILM the directory that scripts/fetch-model.sh prints, or kokeshi-static for the compiled-in model (then give another
OUT; the rows are arxiv-static.npy). Writes to OUT, rows in the order of the files:
  arxiv-minilm.npy    [n, 384] unit vectors of the abstracts, as f32
  arxiv-attrs.jsonl   a line a row: id, primary, categories, authors, created, year
  arxiv-queries.npy   abstracts that were held out, never rows; arxiv-queries-attrs.jsonl beside it
  arxiv-titles.npy    the titles of the held-out abstracts: shorter than the rows, as people's queries are
The first 128 tokens of an abstract are read, at int8: half the time of 256, and a cosine of 0.999 to f32. A file of the set at a time; what OUT/parts has already is kept, so that an interrupted run goes on. Needs numpy.
"""
import argparse
import glob
import gzip
import json
import os
import subprocess
import sys

import numpy as np

COMPILED_IN = "kokeshi-static"


def embed(arguments, texts, to):
    if os.path.exists(to):
        return
    lines = to.removesuffix(".npy") + ".jsonl"
    with open(lines, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    part = to.removesuffix(".npy") + ".part.npy"
    command = [arguments.kokeshi, "embed", lines, "--field", "text", "--to", part]
    if arguments.model != COMPILED_IN:
        command += ["--model", arguments.model, "--precision", arguments.precision, "--context", str(arguments.context)]
    subprocess.run(command, check=True)
    os.rename(part, to)
    os.remove(lines)


def attributes(record):
    return {"id": record["id"], "primary": record["primary"], "categories": record["categories"], "authors": record["authors"],
            "created": record["created"], "year": int(record["created"][:4])}


def write(path, records):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(attributes(record)) + "\n" for record in records)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kokeshi")
    parser.add_argument("arxiv")
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--held-out", type=int, default=1000)
    arguments = parser.parse_args()
    parts = os.path.join(arguments.out, "parts")
    os.makedirs(parts, exist_ok=True)
    shards = []
    for path in sorted(glob.glob(os.path.join(arguments.arxiv, "arxiv.*.jsonl.gz"))):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            shards.append((os.path.basename(path).removesuffix(".jsonl.gz"), [json.loads(line) for line in file]))
    records = [record for _, shard in shards for record in shard]
    held_out = np.zeros(len(records), dtype=bool)
    held_out[np.random.default_rng(1).choice(len(records), arguments.held_out, replace=False)] = True
    write(os.path.join(arguments.out, "arxiv-attrs.jsonl"), [record for record, out in zip(records, held_out) if not out])
    queries = [record for record, out in zip(records, held_out) if out]
    write(os.path.join(arguments.out, "arxiv-queries-attrs.jsonl"), queries)
    embed(arguments, [record["title"] for record in queries], os.path.join(arguments.out, "arxiv-titles.npy"))
    for name, shard in shards:
        print(f"{name}: {len(shard)} abstracts", file=sys.stderr, flush=True)
        embed(arguments, [record["abstract"] for record in shard], os.path.join(parts, name + ".npy"))
    rows = np.concatenate([np.load(os.path.join(parts, name + ".npy")) for name, _ in shards]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    name = "static" if arguments.model == COMPILED_IN else "minilm"
    np.save(os.path.join(arguments.out, f"arxiv-{name}.npy"), rows[~held_out])
    np.save(os.path.join(arguments.out, "arxiv-queries.npy"), rows[held_out])
    print(f"{(~held_out).sum()} rows, {held_out.sum()} queries, {rows.shape[1]} dims")


if __name__ == "__main__":
    main()
