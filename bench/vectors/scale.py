"""What Kokeshi's graph costs as rows grow: build, bytes, memory, comparisons and time a query at recall@10 0.95 and 0.99, with fitted exponents.

usage: scale.py GRAPH_WORKER VECTORS.npy FOLDER [--sizes 10000,...] [--build]
Makes what is not in FOLDER yet: the largest set out of the real VECTORS.npy (grow.py), graphs over its first rows and over two sets that show how real it is
(`real`: the real rows; `grown`: as many grown from a part of them), on all threads. `--build` does only that. Then searches all on one thread; the list is the
shortest that finds as much, between two that were tried; and at the default effort. Needs numpy.
"""
import argparse
import json
import os
import time

import grow
import run
from run import K, np

LISTS = (10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
RECALLS = (0.95, 0.99)
# What the worker takes for the effort of a search that does not say what it wants.
DEFAULT = 0


class Part:
    """One set of rows with its queries and its graph, in a folder of its own."""

    def __init__(self, worker, folder, rows, queries):
        self.folder, self.worker = folder, worker
        os.makedirs(folder, exist_ok=True)
        self.queries = queries
        if not os.path.exists(self.file("rows.npy")):
            if isinstance(rows, str):
                os.link(rows, self.file("rows.npy"))
            else:
                np.save(self.file("rows.npy"), rows)
        self.rows = np.load(self.file("rows.npy"), mmap_mode="r")

    def file(self, name):
        return os.path.join(self.folder, name)

    def build(self):
        """Seconds of processor and of the clock on the wall, and the most memory, mapped vectors included."""
        note = self.file("built.json")
        if not os.path.exists(note):
            started = time.time()
            worker = self.start()
            wall = time.time() - started
            with open(f"/proc/{worker.process.pid}/status", encoding="utf-8") as file:
                peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
            self.stop(worker)
            asked = np.load(self.queries)
            worst = grow.similar(self.rows, asked, K)[:, -1]
            np.save(self.file("worst.npy"), worst)
            built = {"cpu": worker.build, "wall": wall, "peak": peak, "bytes": worker.bytes, "looks": grow.looks(self.rows, asked)}
            with open(note, "w", encoding="utf-8") as file:
                json.dump(built, file)
        with open(note, encoding="utf-8") as file:
            return json.load(file)

    def start(self):
        return run.Kokeshi(self.worker, self.file("rows.npy"), self.queries, self.folder)

    def stop(self, worker):
        worker.process.stdin.close()
        worker.process.wait()

    def search(self):
        """List, microseconds and comparisons a query at each of RECALLS; recall, microseconds and comparisons at the default effort."""
        worker = self.start()
        asked, worst = np.load(self.queries), np.load(self.file("worst.npy"))

        def one(effort):
            took, ids = worker.search(effort)
            scores = np.einsum("qkd,qd->qk", self.rows[ids.ravel()].reshape(len(asked), K, -1), asked)
            return float((scores >= worst[:, None] - 1e-6).mean()), effort, took / len(asked) * 1e6, worker.distances

        points = []
        worker.search(LISTS[-1])
        for effort in LISTS:
            points.append(one(effort))
            if points[-1][0] > max(RECALLS):
                break
        default = one(DEFAULT)
        self.stop(worker)
        return [at(points, recall) for recall in RECALLS], default


def at(points, wanted):
    """List, microseconds and comparisons a query at a recall, on the straight line between the two lists around it."""
    for (low, *before), (high, *after) in zip(points, points[1:]):
        if low <= wanted <= high:
            part = (wanted - low) / max(high - low, 1e-9)
            return [a + (b - a) * part for a, b in zip(before, after)]
    return list(points[0][1:]) if points[0][0] >= wanted else [float("nan")] * 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("vectors")
    parser.add_argument("folder")
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--build", action="store_true")
    arguments = parser.parse_args()
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    file = lambda name: os.path.join(arguments.folder, name)
    if not os.path.exists(file("grown.json")):
        grow.grow(arguments.vectors, arguments.folder, sizes[-1], grow.ASKED)
    whole = np.load(file("rows.npy"), mmap_mode="r")
    parts = {"real": Part(arguments.worker, file("real"), file("real.npy"), file("real-queries.npy")),
             "grown": Part(arguments.worker, file("grown"), file("trial.npy"), file("trial-queries.npy"))}
    for size in sizes:
        rows = file("rows.npy") if size == len(whole) else whole[:size]
        parts[str(size)] = Part(arguments.worker, file(str(size)), rows, file("queries.npy"))
    table = []
    for name, part in parts.items():
        built = part.build()
        count = len(part.rows)
        looks = ", ".join(f"{key} {value:.3f}" for key, value in built["looks"].items())
        print(f"{name}: {count} rows; {looks}\n    build {built['cpu']:.1f} CPU-s, {built['wall']:.0f} s, at most {built['peak'] / 2**30:.2f} GiB with mapped "
              f"vectors, {built['bytes'] / count:.0f} bytes a row beside them", flush=True)
        if arguments.build:
            continue
        found, (recall, _, micros, distances) = part.search()
        print(f"    default effort: recall {recall:.3f}, {distances:.0f} comparisons, {micros:.1f} us a query", flush=True)
        for recall, (length, micros, distances) in zip(RECALLS, found):
            print(f"    recall {recall}: list {length:.1f}, {distances:.0f} comparisons, {micros:.1f} us a query", flush=True)
        if name.isdigit():
            table.append((count, built["cpu"], built["bytes"], *(figure for _, micros, distances in found for figure in (distances, micros))))
    if len(table) > 1:
        columns = np.log(np.array(table))
        names = ("build CPU-s", "bytes", *(f"{what} at {recall}" for recall in RECALLS for what in ("comparisons", "us")))
        for name, column in zip(names, columns.T[1:]):
            known = np.isfinite(column)
            slope, base = np.polyfit(columns[known, 0], column[known], 1)
            rest = column[known] - (slope * columns[known, 0] + base)
            print(f"{name}: {np.exp(base):.4g} n^{slope:.3f} (R^2 {1 - rest.var() / max(column[known].var(), 1e-12):.4f})")


if __name__ == "__main__":
    main()
