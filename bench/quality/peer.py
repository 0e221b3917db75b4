"""Dense nDCG@10 of sentence-transformers on a BEIR directory: what `kokeshi eval DIR --mode dense --model MODEL` is compared with.

usage: peer.py MODEL_DIR BEIR_DIR [--split test]
Documents are title, a blank and text; cosine; the 100 best documents are judged by pytrec_eval.
"""
import argparse
import glob
import gzip
import json
import os

import numpy as np
import pytrec_eval
from sentence_transformers import SentenceTransformer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("--split", default="test")
arguments = parser.parse_args()


def rows(pattern):
    for name in sorted(glob.glob(os.path.join(arguments.data, pattern))):
        with (gzip.open if name.endswith(".gz") else open)(name, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


qrels = {}
with open(os.path.join(arguments.data, "qrels", arguments.split + ".tsv")) as lines:
    next(lines)
    for line in lines:
        query, document, grade = line.rstrip("\n").split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
corpus = [(row["_id"], (row.get("title", "") + " " + row["text"]).strip()) for row in rows("corpus*")]
queries = [(row["_id"], row["text"]) for row in rows("queries*") if row["_id"] in qrels]
model = SentenceTransformer(arguments.model, device="cpu")
encode = lambda texts: model.encode(texts, batch_size=32, normalize_embeddings=True)
documents, questions = encode([text for _, text in corpus]), encode([text for _, text in queries])
run = {}
for (query, _), scores in zip(queries, questions @ documents.T):
    best = np.argsort(-scores)[:100]
    run[query] = {corpus[at][0]: float(scores[at]) for at in best}
values = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
print(f"{arguments.data}: nDCG@10 {sum(v['ndcg_cut_10'] for v in values.values()) / len(qrels):.4f} over {len(qrels)} queries")
