"""Queries per CPU-second at a recall, memory and build time of Kokeshi's graph beside other indexes, interleaved, medians.

usage: run.py GRAPH_WORKER VECTORS.npy QUERIES.npy [--runs 5] [--single] [--keep FOLDER] [--without NAME,...] [--json FILE]
GRAPH_WORKER is target/release/examples/graph_worker (cargo build --release -p kokeshi-index --example graph_worker). VECTORS.npy and
QUERIES.npy hold unit vectors, such as prepare.py writes. One thread, cosine, k = 10. Peers are called once for all queries, so that Python costs
them nothing, and once for each (--single), as their users do; Kokeshi answers one query after the other in both. Needs numpy, faiss-cpu,
hnswlib, usearch, scalable-vs (SVS; ends the program on processors that are not Intel's: leave it out with --without svs), ngt, pyvsag and diskannpy
(which wants a NumPy before 2 and so an environment of its own); one that is missing is said and left out. `--runs 0 --keep FOLDER` only builds.
Filters: see filtered.py.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np

K = 10
LISTS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256]


class Kokeshi:
    name = "Kokeshi"

    def __init__(self, worker, vectors, queries, folder):
        self.out = os.path.join(tempfile.mkdtemp(), "ids")
        graph = os.path.join(folder, "kokeshi.bin")
        self.process = subprocess.Popen([worker, vectors, queries, graph], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        built, size = self.process.stdout.readline().split()
        _, self.build = once(graph, lambda: float(built), lambda *_: None, lambda _: None, took=float(built))
        self.bytes = int(size)

    def search(self, effort, mask=None):
        self.process.stdin.write(f"{effort} {self.out}" + (f" {mask}" if mask else "") + "\n")
        self.process.stdin.flush()
        took, self.distances = map(float, self.process.stdout.readline().split())
        return took, np.fromfile(self.out, dtype="<u4").reshape(-1, K)


class Peer:
    """One that is called from here: `make` gives a function of queries, effort and filter, bytes in memory, and what building took."""

    def __init__(self, name, make, rows, queries, single, folder):
        self.name, self.queries, self.single = name, queries, single
        self.run, self.bytes, self.build = make(rows, os.path.join(folder, name.split(",")[0].replace(" ", "-")))

    def search(self, effort, mask=None):
        started = time.process_time()
        if self.single:
            ids = np.concatenate([np.atleast_2d(self.run(self.queries[at:at + 1], effort, mask)) for at in range(len(self.queries))])
        else:
            ids = self.run(self.queries, effort, mask)
        return time.process_time() - started, np.asarray(ids)


def once(path, build, save, load, took=None):
    """An index and the processor seconds it took: the one kept at `path`, or a new one that is kept there."""
    note = path + ".seconds"
    if os.path.exists(note):
        with open(note) as file:
            return load(path), float(file.read())
    started = time.process_time()
    index = build()
    took = time.process_time() - started if took is None else took
    save(index, path)
    with open(note, "w") as file:
        file.write(str(took))
    return index, took


def hnswlib_index(rows, path):
    import hnswlib

    def build():
        index = hnswlib.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=16, ef_construction=200)
        index.set_num_threads(1)
        index.add_items(rows)
        return index

    def load(path):
        index = hnswlib.Index("ip", rows.shape[1])
        index.load_index(path, len(rows))
        return index

    index, took = once(path, build, lambda index, path: index.save_index(path), load)

    def run(queries, effort, mask):
        index.set_ef(max(effort, K))
        allowed = None if mask is None else mask.tolist().__getitem__
        return index.knn_query(queries, K, num_threads=1, filter=allowed)[0]

    return run, index.index_file_size(), took


def faiss_once(path, build):
    import faiss
    faiss.omp_set_num_threads(1)
    return once(path, build, lambda index, path: faiss.write_index(index, path), faiss.read_index)


def selector(mask):
    import faiss
    return None if mask is None else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def faiss_sq8(rows, path):
    import faiss

    def build():
        index = faiss.IndexHNSWSQ(rows.shape[1], faiss.ScalarQuantizer.QT_8bit, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.train(rows)
        index.add(rows)
        return index

    index, took = faiss_once(path, build)

    def run(queries, effort, mask):
        return index.search(queries, K, params=faiss.SearchParametersHNSW(efSearch=effort, sel=selector(mask)))[1]

    return run, len(rows) * (rows.shape[1] + 64 * 4), took


def faiss_fast_scan(rows, path):
    import faiss
    lists = int(4 * len(rows) ** 0.5)

    def build():
        index = faiss.index_factory(rows.shape[1], f"IVF{lists},PQ{rows.shape[1] // 2}x4fs,Refine(SQ8)", faiss.METRIC_INNER_PRODUCT)
        index.train(rows)
        index.add(rows)
        return index

    index, took = faiss_once(path, build)

    def run(queries, effort, mask):
        inner = faiss.SearchParametersIVF(nprobe=max(1, min(effort // 4, lists)), sel=selector(mask))
        return index.search(queries, K, params=faiss.IndexRefineSearchParameters(k_factor=4, base_index_params=inner))[1]

    return run, len(rows) * (rows.shape[1] // 4 + rows.shape[1] + 8), took


def usearch_index(rows, path):
    from usearch.index import Index

    def build():
        index = Index(ndim=rows.shape[1], metric="cos", dtype="i8", connectivity=16, expansion_add=200)
        index.add(np.arange(len(rows)), rows, threads=1)
        return index

    index, took = once(path, build, lambda index, path: index.save(path), lambda path: Index.restore(path))

    def run(queries, effort, _):
        index.expansion_search = effort
        return index.search(queries, K, threads=1).keys

    return run, index.serialized_length, took


def svs_index(rows, path, loader, bits):
    import svs

    def build():
        name = os.path.join(tempfile.mkdtemp(), "rows.fvecs")
        svs.write_vecs(rows, name)
        data = loader(svs, svs.VectorDataLoader(name, svs.DataType.float32, rows.shape[1]))
        parameters = svs.VamanaBuildParameters(alpha=1.2, graph_max_degree=32, window_size=100)
        # Unit vectors: the order of L2 is that of cosine.
        return svs.Vamana.build(parameters, data, svs.DistanceType.L2, num_threads=1)

    def parts(path):
        return [os.path.join(path, part) for part in ("config", "graph", "data")]

    def save(index, path):
        os.makedirs(path)
        index.save(*parts(path))

    def load(path):
        config, graph, data = parts(path)
        return svs.Vamana(config, svs.GraphLoader(graph), loader(svs, data), svs.DistanceType.L2, num_threads=1)

    index, took = once(path, build, save, load)

    def run(queries, effort, _):
        index.search_window_size = max(effort, K)
        return index.search(queries, K)[0]

    return run, len(rows) * (bits // 8 + 32 * 4), took


def svs_lvq(rows, path):
    def loader(svs, data):
        return svs.LVQLoader(data) if isinstance(data, str) else svs.LVQLoader(data, primary=4, residual=8)

    return svs_index(rows, path, loader, 12 * rows.shape[1])


def svs_leanvec(rows, path):
    dims = 160

    def loader(svs, data):
        if isinstance(data, str):
            return svs.LeanVecLoader(data)
        return svs.LeanVecLoader(data, dims, primary_kind=svs.LeanVecKind.lvq4, secondary_kind=svs.LeanVecKind.lvq8)

    return svs_index(rows, path, loader, 4 * dims + 8 * rows.shape[1])


def ngt_index(rows, path):
    import ngtpy

    def build():
        ngtpy.create(path, rows.shape[1], distance_type="Normalized Cosine", edge_size_for_creation=10, edge_size_for_search=40)
        index = ngtpy.Index(path)
        index.batch_insert(rows, num_threads=1)
        return index

    index, took = once(path, build, lambda index, _: index.save(), ngtpy.Index)

    def run(queries, effort, _):
        # What widens NGT's search is epsilon; an effort of 10 to 256 stands for -0.05 to 0.25.
        index.set(epsilon=np.log(effort / 10) / np.log(25.6) * 0.3 - 0.05)
        return np.array([[hit[0] for hit in index.search(query, K)] + [0] * K for query in queries])[:, :K]

    return run, len(rows) * (rows.shape[1] * 4 + 40 * 8), took


def vsag_index(rows, path):
    import pyvsag
    pyvsag.set_logger_off()
    # Unit vectors: the order of L2 is that of cosine. (With sq4_uniform under cosine 0.18.5 finds next to nothing of MiniLM's.)
    made = {"dtype": "float32", "metric_type": "l2", "dim": rows.shape[1], "index_param": {
        "base_quantization_type": "sq8", "precise_quantization_type": "fp32", "use_reorder": True,
        "max_degree": 32, "ef_construction": 200, "build_thread_count": 1}}

    def build():
        index = pyvsag.Index("hgraph", json.dumps(made))
        index.build(rows.reshape(-1), np.arange(len(rows)), len(rows), rows.shape[1])
        return index

    def load(path):
        index = pyvsag.Index("hgraph", json.dumps(made))
        index.load(path)
        return index

    index, took = once(path, build, lambda index, path: index.save(path), load)

    def run(queries, effort, _):
        # Its Python package takes one query a call.
        parameters = json.dumps({"hgraph": {"ef_search": max(effort, K)}})
        return np.stack([index.knn_search(query, K, parameters)[0] for query in queries])

    return run, os.path.getsize(path), took


def diskann_index(rows, path):
    import diskannpy

    def build():
        os.makedirs(path, exist_ok=True)
        # Unit vectors: the order of L2 is that of cosine.
        diskannpy.build_memory_index(rows, "l2", path, complexity=100, graph_degree=32, num_threads=1, alpha=1.2)

    def load(path):
        return diskannpy.StaticMemoryIndex(path, num_threads=1, initial_search_complexity=256)

    index, took = once(path, build, lambda *_: None, load)
    index = index or load(path)

    def run(queries, effort, _):
        return index.batch_search(queries, K, complexity=max(effort, K), num_threads=1).identifiers

    return run, sum(os.path.getsize(os.path.join(path, name)) for name in ("ann", "ann.data")), took


PEERS = {
    "hnswlib M16": hnswlib_index,
    "FAISS HNSW32-SQ8": faiss_sq8,
    "FAISS IVF-PQ fast scan, refined": faiss_fast_scan,
    "usearch i8": usearch_index,
    "svs LVQ4x8": svs_lvq,
    "svs LeanVec 160, 4x8": svs_leanvec,
    "ngt anng": ngt_index,
    "vsag HGraph SQ8, rescored": vsag_index,
    "DiskANN": diskann_index,
}


def exact(rows, queries, mask=None):
    scores = queries @ rows.T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    return -np.sort(-scores, axis=1)[:, :K], scores


def recall(ids, truth, scores):
    """A hit counts if it scores as well as the last exact one: copies of one row are equally right."""
    right = total = 0
    for row, found in enumerate(ids):
        good = truth[row][np.isfinite(truth[row])]
        if len(good) == 0:
            continue
        known = found[found < scores.shape[1]]
        right += min(len(good), int((scores[row, np.unique(known)] >= good[-1] - 1e-6).sum()))
        total += len(good)
    return right / max(total, 1)


def at(points, wanted):
    """Queries a CPU-second at a recall: of the straight line between the two efforts around it."""
    points = sorted(points)
    for (r0, q0), (r1, q1) in zip(points, points[1:]):
        if r0 <= wanted <= r1:
            return q0 + (q1 - q0) * (wanted - r0) / max(r1 - r0, 1e-9)
    return points[0][1] if points and points[0][0] >= wanted else None


def unfiltered(engines, rows, queries, runs):
    truth, scores = exact(rows, queries)
    took, found = {}, {}
    for turn in range(runs):
        for engine in engines:
            for effort in LISTS:
                seconds, ids = engine.search(effort)
                took.setdefault((engine.name, effort), []).append(seconds)
                found.setdefault((engine.name, effort), ids)
    results = []
    for engine in engines:
        points = [(recall(found[engine.name, effort], truth, scores), len(queries) / statistics.median(took[engine.name, effort])) for effort in LISTS]
        results.append({"engine": engine.name, "qps_95": at(points, 0.95), "qps_99": at(points, 0.99), "bytes_per_vector": engine.bytes / len(rows),
                        "build_cpu_s": engine.build, "points": points})
    print(f"{'index':<34}{'q/CPU-s at .95':>16}{'at .99':>10}{'bytes a vector':>16}{'build CPU-s':>13}")
    for result in results:
        q95, q99 = (f"{result[key]:,.0f}" if result[key] else "-" for key in ("qps_95", "qps_99"))
        print(f"{result['engine']:<34}{q95:>16}{q99:>10}{result['bytes_per_vector']:>16,.0f}{result['build_cpu_s']:>13.1f}")
    ours, others = results[0], results[1:]
    for key, label in (("qps_95", "0.95"), ("qps_99", "0.99")):
        best = max((other for other in others if other[key]), key=lambda other: other[key], default=None)
        if best and ours[key]:
            print(f"at recall {label}: {ours[key] / best[key]:.2f}x the best peer, {best['engine']}")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("vectors")
    parser.add_argument("queries")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--without", default="")
    parser.add_argument("--keep", help="a folder where indexes of these vectors are kept for the next run")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows, queries = np.ascontiguousarray(np.load(arguments.vectors)), np.ascontiguousarray(np.load(arguments.queries))
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.keep or folder
        os.makedirs(folder, exist_ok=True)
        ours = Kokeshi(arguments.worker, arguments.vectors, arguments.queries, folder)
        peers = []
        for name, make in PEERS.items():
            if any(word and word in name for word in arguments.without.split(",")):
                continue
            try:
                peers.append(Peer(name, make, rows, queries, arguments.single, folder))
            except Exception as error:  # what is not installed or changed its interface is said, not hidden
                print(f"left out: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{len(rows)} rows, {rows.shape[1]} dims, {len(queries)} queries, one thread, {'one by one' if arguments.single else 'in a batch'}, median of {arguments.runs}")
        results = unfiltered([ours, *peers], rows, queries, arguments.runs) if arguments.runs else []
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
