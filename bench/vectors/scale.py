"""What Kokeshi's graph costs as rows grow: build, bytes, comparisons and time a query at recall@10 0.95, with fitted exponents.

usage: scale.py GRAPH_WORKER FOLDER [--sizes 10000,...] [--build]
FOLDER is what grow.py wrote; graphs over its first rows are built there on all threads (`--build` does only that) and kept. Searches are on one thread;
the list is the shortest that finds 0.95, between two that were tried. Needs numpy.
"""
import argparse
import os

import run
from run import K, np

LISTS = (10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CHUNK = 50_000


def tenth(rows, queries):
    best = np.empty((len(queries), 0), np.float32)
    for start in range(0, len(rows), CHUNK):
        best = np.concatenate([best, queries @ rows[start:start + CHUNK].T], axis=1)
        best = -np.partition(-best, K - 1, axis=1)[:, :K]
    return best.min(axis=1)


def at(points, wanted):
    """List, seconds and comparisons a query at a recall, on the straight line between the two lists around it."""
    for (low, *before), (high, *after) in zip(points, points[1:]):
        if low <= wanted <= high:
            part = (wanted - low) / max(high - low, 1e-9)
            return [a + (b - a) * part for a, b in zip(before, after)]
    return points[0][1:] if points[0][0] >= wanted else [float("nan")] * 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("folder")
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--build", action="store_true")
    arguments = parser.parse_args()
    file = lambda name: os.path.join(arguments.folder, name)
    rows, queries = np.load(file("rows.npy"), mmap_mode="r"), np.load(file("queries.npy"))
    table = []
    for size in (int(size) for size in arguments.sizes.split(",")):
        folder = file(str(size))
        os.makedirs(folder, exist_ok=True)
        part = os.path.join(folder, "rows.npy")
        if not os.path.exists(part):
            np.save(part, rows[:size])
        ours = run.Kokeshi(arguments.worker, part, file("queries.npy"), folder)
        print(f"{size} rows: built in {ours.build:.1f} CPU-s, {ours.bytes / size:.0f} bytes a row beside the vectors", flush=True)
        if arguments.build:
            ours.process.stdin.close()
            ours.process.wait()
            continue
        some = np.load(part, mmap_mode="r")
        worst = tenth(some, queries)
        points = []
        ours.search(LISTS[-1])
        for effort in LISTS:
            took, ids = ours.search(effort)
            scores = np.einsum("qkd,qd->qk", some[ids.ravel()].reshape(len(queries), K, -1), queries)
            points.append((float((scores >= worst[:, None] - 1e-6).mean()), effort, took / len(queries) * 1e6, ours.distances))
        length, micros, distances = at(points, 0.95)
        print(f"    list {length:.1f}, {distances:.0f} comparisons, {micros:.1f} us a query at recall 0.95", flush=True)
        table.append((size, ours.build, ours.bytes, distances, micros))
        ours.process.stdin.close()
        ours.process.wait()
    if len(table) > 1:
        columns = np.log(np.array(table))
        for name, column in zip(("build CPU-s", "bytes", "comparisons", "time"), columns.T[1:]):
            slope, base = np.polyfit(columns[:, 0], column, 1)
            rest = column - (slope * columns[:, 0] + base)
            print(f"{name}: {np.exp(base):.4g} n^{slope:.3f} (R^2 {1 - rest.var() / max(column.var(), 1e-12):.4f})")


if __name__ == "__main__":
    main()
