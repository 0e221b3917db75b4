"""Recall and scan speed of Kokeshi's codecs beside FAISS's at equal bytes, interleaved, medians, one thread.

usage: run.py CODEC_WORKER VECTORS.npy QUERIES.npy [--runs 5] [--queries 200] [--cache DIR] [--json FILE]
CODEC_WORKER is target/release/examples/codec_worker (cargo build --release -p kokeshi-codec --example codec_worker). VECTORS.npy and QUERIES.npy
hold unit vectors, such as `kokeshi embed` writes. Every code is scanned for every query, as FAISS's flat indexes do: no graph, no lists.
Recall@10 is the share of the ten exact neighbours among the ten best by codes; "in 100" among the hundred best, which is what ordering by the
vectors themselves would keep. FAISS takes minutes to train some; --cache keeps its indexes and what they took, so that another run has
only the scans. Times to train and encode are seconds of one thread. Needs numpy and faiss-cpu.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
import faiss
import numpy as np

faiss.omp_set_num_threads(1)

# What is compared with what: ours, theirs (a factory string, or bits of RaBitQ).
PAIRS = [
    ("pq:{d8}", "PQ{d8}"),
    ("opq:{d8}", "OPQ{d8},PQ{d8}"),
    ("pq:{d4}x4", "PQ{d4}x4fs"),
    ("opq:{d4}x4", "OPQ{d4},PQ{d4}x4fs"),
    ("rabitq:1", "RaBitQ"),
    ("rabitq:2", "RaBitQ2"),
    ("rabitq:4", "RaBitQ4"),
    ("int8", "SQ8"),
    ("int4", "SQ4"),
]


class Ours:
    def __init__(self, worker, vectors, queries, folder):
        self.out = os.path.join(folder, "ids")
        self.process = subprocess.Popen([worker, vectors, queries], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def train(self, spec):
        size, train, encode = self.ask(f"train {spec}")
        return int(size), train, encode

    def scan(self, k, count):
        (took,) = self.ask(f"scan {self.out} {k}")
        return took, np.fromfile(self.out, dtype="<u4").reshape(count, k)


class Faiss:
    def __init__(self, rows, queries, cache):
        self.rows, self.queries, self.cache = rows, queries, cache

    def train(self, name):
        if not self.cache:
            return self.fresh(name)
        stem = os.path.join(self.cache, name.replace(",", "-"))
        if not os.path.exists(stem + ".json"):
            took = self.fresh(name)
            faiss.write_index(self.index, stem + ".index")
            with open(stem + ".json", "w") as file:
                json.dump(took, file)
        self.index = faiss.read_index(stem + ".index")
        with open(stem + ".json") as file:
            return json.load(file)

    def fresh(self, name):
        bits = name.removeprefix("RaBitQ")
        if bits.isdigit():
            self.index = faiss.IndexRaBitQ(self.rows.shape[1], faiss.METRIC_INNER_PRODUCT, int(bits))
        else:
            self.index = faiss.index_factory(self.rows.shape[1], name, faiss.METRIC_INNER_PRODUCT)
        started = time.process_time()
        self.index.train(self.rows)
        train = time.process_time() - started
        started = time.process_time()
        self.index.add(self.rows)
        return self.index.sa_code_size(), train, time.process_time() - started

    def scan(self, k, _):
        started = time.process_time()
        ids = self.index.search(self.queries, k)[1]
        return time.process_time() - started, ids


def recall(ids, truth):
    return float(np.mean([len(set(found) & set(wanted)) / len(wanted) for found, wanted in zip(ids.tolist(), truth.tolist())]))


def main():
    parser = argparse.ArgumentParser()
    for name in ["worker", "vectors", "queries"]:
        parser.add_argument(name)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--queries", dest="count", type=int, default=200)
    parser.add_argument("--only", help="pairs to run, by our codec's name, with commas between")
    parser.add_argument("--cache")
    parser.add_argument("--json")
    given = parser.parse_args()
    rows = np.ascontiguousarray(np.load(given.vectors), dtype=np.float32)
    queries = np.ascontiguousarray(np.load(given.queries)[: given.count], dtype=np.float32)
    dims = rows.shape[1]
    truth = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        asked = os.path.join(folder, "queries.npy")
        np.save(asked, queries)
        ours, theirs = Ours(given.worker, given.vectors, asked, folder), Faiss(rows, queries, given.cache)
        print(f"{len(rows)} x {dims}, {len(queries)} queries, faiss {faiss.__version__}")
        print(f"{'codec':14} {'bytes':>5} {'recall@10':>9} {'in 100':>6} {'queries/CPU-s':>13} {'train s':>8} {'encode s':>8}")
        for pair in PAIRS:
            pair = [name.format(d4=dims // 4, d8=dims // 8) for name in pair]
            if given.only and pair[0] not in given.only.split(","):
                continue
            sides = [(pair[0], ours), (f"faiss {pair[1]}", theirs)]
            made, times, found = {}, {name: [] for name, _ in sides}, {}
            for (name, side), spec in zip(sides, pair):
                made[name] = side.train(spec)
            for _ in range(given.runs):
                for name, side in sides:
                    took, ids = side.scan(100, len(queries))
                    times[name].append(took)
                    found[name] = ids
            for name, _ in sides:
                size, train, encode = made[name]
                line = {
                    "codec": name, "bytes": size, "recall": recall(found[name][:, :10], truth), "in_100": recall(found[name], truth),
                    "queries_per_cpu_second": len(queries) / statistics.median(times[name]), "train_seconds": train, "encode_seconds": encode,
                }
                results.append(line)
                print(f"{name:14} {size:5} {line['recall']:9.3f} {line['in_100']:6.3f} {line['queries_per_cpu_second']:13.0f} {train:8.1f} {encode:8.1f}", flush=True)
    if given.json:
        with open(given.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
