"""Makes a large set of vectors that looks like a small one of real text: rows and queries for scale.py, which calls this.

usage: grow.py VECTORS.npy OUT [--rows 1000000] [--queries 500]
writes OUT/rows.npy, OUT/queries.npy and OUT/grown.json, unit vectors. A new row is a real row x moved along its own neighbours n_1 ... n_50, x + sum_j g_j (n_j - x),
g_j normal with mean 0.5 / 50 and standard deviation s / sqrt(50), scaled to length 1: noise that lies where text lies, and half a step towards the middle
of the neighbourhood, without which rows would fill the rim and leave the middle empty. The scale s is calibrated on what is known: a part of the real rows
is grown to as many as all of them (by the same factor as all of them are to be), and s is chosen so that the median distance to the tenth neighbour
is what it is among all real rows. How well the rest agrees is printed: distances to the 1st, 10th and 100th neighbour, and the local
intrinsic dimension (maximum likelihood, Levina and Bickel 2004) from the nearest 10 and 100. Queries are made as rows are. Needs numpy.
"""
import argparse
import json
import os

import numpy as np

NEIGHBOURS = 50
MIDDLE = 0.5
ASKED = 500
CHUNK = 50_000
SEED = 7


def similar(rows, queries, count):
    """The similarities of each query and its `count` nearest rows, best first."""
    best = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(rows), CHUNK):
        best = np.concatenate([best, queries @ rows[start:start + CHUNK].T], axis=1)
        best = -np.partition(-best, min(count, best.shape[1]) - 1, axis=1)[:, :count]
    return -np.sort(-best, axis=1)


def looks(rows, queries):
    """Medians over the queries: distances to the 1st, 10th, 100th neighbour, and intrinsic dimension from 10 and 100 of them."""
    distances = np.sqrt(np.maximum(2 - 2 * similar(rows, queries, 100), 1e-6))
    dims = [-1 / np.log(distances[:, :count] / distances[:, count - 1:count]).mean(axis=1) for count in (10, 100)]
    names = ("1st", "10th", "100th", "LID 10", "LID 100")
    return dict(zip(names, (float(np.median(values)) for values in (*distances[:, [0, 9, 99]].T, *dims))))


def neighbours(rows):
    """The nearest other rows of each row."""
    near = np.empty((len(rows), NEIGHBOURS), np.int32)
    for start in range(0, len(rows), 1000):
        part = rows[start:start + 1000] @ rows.T
        part[np.arange(len(part)), np.arange(start, start + len(part))] = -2
        near[start:start + 1000] = np.argpartition(-part, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return near


def make(rows, near, scale, count, seed):
    """`count` new rows in random order."""
    random = np.random.default_rng(seed)
    copies = np.bincount(random.integers(0, len(rows), count), minlength=len(rows))
    places = random.permutation(count)
    out = np.empty((count, rows.shape[1]), np.float32)
    at = 0
    for row, some in enumerate(copies):
        if some:
            weights = random.standard_normal((some, NEIGHBOURS), np.float32) * np.float32(scale / NEIGHBOURS**0.5) + np.float32(MIDDLE / NEIGHBOURS)
            new = weights @ rows[near[row]] + (1 - weights.sum(axis=1, keepdims=True)) * rows[row]
            out[places[at:at + some]] = new / np.linalg.norm(new, axis=1, keepdims=True)
            at += some
    return out


def grow(vectors, out, wanted, asked):
    random = np.random.default_rng(SEED)
    rows = np.load(vectors)
    rows = rows[random.permutation(len(rows))]
    rows, held_out = rows[:-ASKED], rows[-ASKED:]
    few = rows[: int(len(rows) * len(rows) / wanted)]
    around = neighbours(few)
    real = looks(rows, held_out)
    low, high = 0.5, 1.5
    for _ in range(7):
        scale = (low + high) / 2
        trial = looks(make(few, around, scale, len(rows), 8), make(few, around, scale, ASKED, 9))
        low, high = (scale, high) if trial["10th"] < real["10th"] else (low, scale)
    print(f"scale {scale:.3f}: {len(few)} real rows grown to {len(rows)}: {trial}; that many real rows: {real}", flush=True)
    os.makedirs(out, exist_ok=True)
    np.save(os.path.join(out, "real.npy"), rows)
    np.save(os.path.join(out, "real-queries.npy"), held_out)
    np.save(os.path.join(out, "trial.npy"), make(few, around, scale, len(rows), 8))
    np.save(os.path.join(out, "trial-queries.npy"), make(few, around, scale, ASKED, 9))
    near = neighbours(rows)
    np.save(os.path.join(out, "queries.npy"), make(rows, near, scale, asked, SEED + 1))
    np.save(os.path.join(out, "rows.npy"), make(rows, near, scale, wanted, SEED))
    with open(os.path.join(out, "grown.json"), "w", encoding="utf-8") as file:
        json.dump({"from": len(few), "scale": scale, "trial": trial, "real": real}, file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors")
    parser.add_argument("out")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    arguments = parser.parse_args()
    grow(arguments.vectors, arguments.out, arguments.rows, arguments.queries)


if __name__ == "__main__":
    main()
