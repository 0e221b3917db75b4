"""The pipeline people glue together today: model2vec + bm25s + hnswlib over JSONL files, measured as one process.

usage: peer.py MODEL_DIR OUT_DIR FILE...
MODEL_DIR is a model2vec directory (see run.py). Prints one JSON line with documents, seconds and peak memory.
"""
import glob
import gzip
import json
import os
import resource
import sys
import time


def main():
    model_dir, out, files = sys.argv[1], sys.argv[2], sorted(sys.argv[3:])
    started = time.perf_counter()
    import bm25s
    import hnswlib
    import numpy as np
    import Stemmer
    from model2vec import StaticModel

    ids, texts = [], []
    for name in files:
        with gzip.open(name, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                ids.append(row["id"])
                texts.append(row["title"] + "\n" + row["abstract"])
    read = time.perf_counter()

    model = StaticModel.from_pretrained(model_dir)
    vectors = model.encode(texts, use_multiprocessing=False)
    embedded = time.perf_counter()

    tokens = bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    lexical = bm25s.BM25(k1=1.2, b=0.75)
    lexical.index(tokens, show_progress=False)
    worded = time.perf_counter()

    graph = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    graph.init_index(max_elements=len(ids), M=16, ef_construction=200)
    graph.add_items(vectors)
    linked = time.perf_counter()

    os.makedirs(out, exist_ok=True)
    np.save(os.path.join(out, "vectors.npy"), vectors)
    lexical.save(os.path.join(out, "bm25"), corpus=[{"id": i, "text": t} for i, t in zip(ids, texts)])
    graph.save_index(os.path.join(out, "graph.bin"))
    done = time.perf_counter()
    print(json.dumps({
        "documents": len(ids),
        "seconds": round(done - started, 2),
        "documents_per_second": round(len(ids) / (done - started), 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "stages": {"import_read": round(read - started, 2), "embed": round(embedded - read, 2),
                   "bm25": round(worded - embedded, 2), "graph": round(linked - worded, 2), "save": round(done - linked, 2)},
    }))


main()
