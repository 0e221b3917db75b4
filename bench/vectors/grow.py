"""Makes a large set of vectors that looks like a small one of real text: rows and queries for scale.py.

usage: grow.py VECTORS.npy OUT [--rows 1000000] [--queries 500]
writes OUT/rows.npy and OUT/queries.npy, unit vectors. A new row is a real row, drawn at random, plus s (a - b), where a is another real row and b one
of its ten nearest neighbours: noise that has the directions and the lengths of real differences. The scale s is calibrated: how far the tenth neighbour
is falls with the number of real rows n as c n^-e, which is fitted on parts of the real set; s is chosen so that the median distance in the new set is what
that law says for its size. Queries are made as rows are. Needs numpy.
"""
import argparse
import os

import numpy as np

NEIGHBOURS = 10
ASKED = 500
CHUNK = 20_000


def tenth(rows, queries, own):
    """The distance of each query to its tenth neighbour; `own` says that queries are rows themselves."""
    best = np.full((len(queries), 0), 0, np.float32)
    count = NEIGHBOURS + own
    for start in range(0, len(rows), CHUNK):
        best = np.concatenate([best, queries @ rows[start:start + CHUNK].T], axis=1)
        best = -np.partition(-best, min(count, best.shape[1] - 1), axis=1)[:, :count]
    return np.sqrt(np.maximum(2 - 2 * np.sort(best, axis=1)[:, 0], 0))


def differences(rows, random, count=4000):
    """Differences of rows from one of their ten nearest neighbours."""
    ids = random.choice(len(rows), count, replace=False)
    out = np.empty((count, rows.shape[1]), np.float32)
    for start in range(0, count, 500):
        part = rows[ids[start:start + 500]]
        near = np.argsort(-(part @ rows.T), axis=1)[:, 1:NEIGHBOURS + 1]
        picked = near[np.arange(len(part)), random.integers(0, NEIGHBOURS, len(part))]
        out[start:start + 500] = part - rows[picked]
    return out


def make(rows, noise, scale, count, random, into=None):
    """`count` new rows."""
    out = np.empty((count, rows.shape[1]), np.float32) if into is None else into
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        part = rows[random.integers(0, len(rows), size)] + scale * noise[random.integers(0, len(noise), size)]
        out[start:start + size] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors")
    parser.add_argument("out")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    arguments = parser.parse_args()
    random = np.random.default_rng(7)
    rows = np.load(arguments.vectors)
    rows = rows[random.permutation(len(rows))]
    sizes = [len(rows) // part for part in (8, 4, 2, 1)]
    real = [tenth(rows[:size], rows[:ASKED], True) for size in sizes]
    slope, base = np.polyfit(np.log(sizes), [np.log(np.median(distances)) for distances in real], 1)
    target = float(np.exp(base + slope * np.log(arguments.rows)))
    print(f"real: median distance to the 10th neighbour {', '.join(f'{np.median(d):.4f} of {n}' for d, n in zip(real, sizes))}: {np.exp(base):.3f} n^{slope:.4f}")
    print(f"expected of {arguments.rows}: {target:.4f}")
    noise = differences(rows, random)
    # The neighbours of a new row are mostly copies of the same row: a set of fewer real rows with as many copies each tells how far they are.
    copies = arguments.rows / len(rows)
    few = rows[: max(1000, int(60_000 / copies))]
    low, high = 0.0, 2.0
    for _ in range(8):
        scale = (low + high) / 2
        trial = make(few, noise, scale, int(len(few) * copies), np.random.default_rng(8))
        asked = make(few, noise, scale, ASKED, np.random.default_rng(9))
        middle = np.median(tenth(trial, asked, False))
        low, high = (scale, high) if middle < target else (low, scale)
    os.makedirs(arguments.out, exist_ok=True)
    file = np.lib.format.open_memmap(os.path.join(arguments.out, "rows.npy"), "w+", np.float32, (arguments.rows, rows.shape[1]))
    make(rows, noise, scale, arguments.rows, random, file)
    queries = make(rows, noise, scale, arguments.queries, random)
    np.save(os.path.join(arguments.out, "queries.npy"), queries)
    file.flush()
    quantiles = lambda distances: ", ".join(f"{value:.4f}" for value in np.quantile(distances, (0.1, 0.5, 0.9)))
    print(f"scale {scale:.3f}; 10th neighbour of new queries (10, 50, 90 %): {quantiles(tenth(file, queries, False))}; among {len(rows)}: "
          f"{quantiles(tenth(file[:len(rows)], queries, False))}, of real rows there {quantiles(real[-1])}")


if __name__ == "__main__":
    main()
