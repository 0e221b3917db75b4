"""Queries per CPU-second at a recall, memory and build time of Kokeshi's graph beside other indexes, interleaved, medians.

usage: run.py GRAPH_WORKER VECTORS.npy QUERIES.npy [--runs 5] [--single] [--filtered] [--without NAME,...] [--json FILE]
GRAPH_WORKER is target/release/examples/graph_worker (cargo build --release -p kokeshi-index --example graph_worker). VECTORS.npy and
QUERIES.npy hold unit vectors, such as prepare.py writes. One thread, cosine, k = 10. Peers are called once for all queries, so that Python costs
them nothing, and once for each (--single), as their users do; Kokeshi answers one query after the other in both. Needs numpy, faiss-cpu,
hnswlib, usearch, scalable-vs (SVS; ends the program on processors that are not Intel's: leave it out with --without svs) and ngt; one
that is missing is said and left out. With --filtered: random filters of falling selectivity at Kokeshi's default effort, beside hnswlib's
filter (which calls Python for each row) and a scan of the matches.
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
        self.out = os.path.join(folder, "ids")
        self.process = subprocess.Popen([worker, vectors, queries], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        built, size = self.process.stdout.readline().split()
        self.build, self.bytes = float(built), int(size)

    def search(self, effort, mask=None):
        self.process.stdin.write(f"{effort} {self.out}" + (f" {mask}" if mask else "") + "\n")
        self.process.stdin.flush()
        took = float(self.process.stdout.readline())
        return took, np.fromfile(self.out, dtype="<u4").reshape(-1, K)


class Peer:
    """One that is called from here: `make` returns a function of effort, and bytes in memory besides Python's."""

    def __init__(self, name, make, rows, queries, single):
        self.name, self.queries, self.single = name, queries, single
        started = time.process_time()
        self.run, self.bytes = make(rows)
        self.build = time.process_time() - started

    def search(self, effort, mask=None):
        started = time.process_time()
        if self.single:
            ids = np.concatenate([np.asarray(self.run(self.queries[at:at + 1], effort, mask)) for at in range(len(self.queries))])
        else:
            ids = self.run(self.queries, effort, mask)
        return time.process_time() - started, np.asarray(ids)


def hnswlib_index(rows):
    import hnswlib
    index = hnswlib.Index("ip", rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=200)
    index.set_num_threads(1)
    index.add_items(rows)

    def run(queries, effort, mask):
        index.set_ef(effort)
        allowed = None if mask is None else (lambda row: bool(mask[row]))
        return index.knn_query(queries, K, num_threads=1, filter=allowed)[0]

    return run, index.index_file_size()


def faiss_sq8(rows):
    import faiss
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWSQ(rows.shape[1], faiss.ScalarQuantizer.QT_8bit, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    index.train(rows)
    index.add(rows)

    def run(queries, effort, _):
        index.hnsw.efSearch = effort
        return index.search(queries, K)[1]

    return run, len(rows) * (rows.shape[1] + 64 * 4)


def faiss_fast_scan(rows):
    import faiss
    faiss.omp_set_num_threads(1)
    lists = int(4 * len(rows) ** 0.5)
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},PQ{rows.shape[1] // 2}x4fs,Refine(SQ8)", faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)

    def run(queries, effort, _):
        index.k_factor = 4
        faiss.extract_index_ivf(index.base_index).nprobe = max(1, effort // 4)
        return index.search(queries, K)[1]

    return run, len(rows) * (rows.shape[1] // 4 + rows.shape[1] + 8)


def usearch_index(rows):
    from usearch.index import Index
    index = Index(ndim=rows.shape[1], metric="cos", dtype="i8", connectivity=16, expansion_add=200)
    index.add(np.arange(len(rows)), rows, threads=1)

    def run(queries, effort, _):
        index.expansion_search = effort
        return index.search(queries, K, threads=1).keys

    return run, index.serialized_length


def svs_index(rows, loader, bits):
    import svs
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "rows.fvecs")
    svs.write_vecs(rows, path)
    data = loader(svs, svs.VectorDataLoader(path, svs.DataType.float32, rows.shape[1]))
    parameters = svs.VamanaBuildParameters(alpha=1.2, graph_max_degree=32, window_size=100)
    # Unit vectors: the order of L2 is that of cosine.
    index = svs.Vamana.build(parameters, data, svs.DistanceType.L2, num_threads=1)

    def run(queries, effort, _):
        index.search_window_size = max(effort, K)
        return index.search(queries, K)[0]

    return run, len(rows) * (bits // 8 + 32 * 4)


def svs_lvq(rows):
    return svs_index(rows, lambda svs, data: svs.LVQLoader(data, primary=4, residual=8), 12 * rows.shape[1])


def svs_leanvec(rows):
    dims = 160
    kinds = lambda svs: {"primary_kind": svs.LeanVecKind.lvq4, "secondary_kind": svs.LeanVecKind.lvq8}
    return svs_index(rows, lambda svs, data: svs.LeanVecLoader(data, dims, **kinds(svs)), 4 * dims + 8 * rows.shape[1])


def ngt_index(rows):
    import ngtpy
    path = os.path.join(tempfile.mkdtemp(), "anng")
    ngtpy.create(path, rows.shape[1], distance_type="Normalized Cosine", edge_size_for_creation=10, edge_size_for_search=40)
    index = ngtpy.Index(path)
    index.batch_insert(rows, num_threads=1)

    def run(queries, effort, _):
        # What widens NGT's search is epsilon; an effort of 10 to 256 stands for -0.05 to 0.25.
        index.set(epsilon=np.log(effort / 10) / np.log(25.6) * 0.3 - 0.05)
        return np.array([[hit[0] for hit in index.search(query, K)] + [0] * K for query in queries])[:, :K]

    return run, len(rows) * (rows.shape[1] * 4 + 40 * 8)


PEERS = {
    "hnswlib M16": hnswlib_index,
    "FAISS HNSW32-SQ8": faiss_sq8,
    "FAISS IVF-PQ fast scan, refined": faiss_fast_scan,
    "usearch i8": usearch_index,
    "svs LVQ4x8": svs_lvq,
    "svs LeanVec 160, 4x8": svs_leanvec,
    "ngt anng": ngt_index,
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


def filtered(ours, rows, queries, runs, folder, hnsw):
    random = np.random.default_rng(1)
    results = []
    print(f"{'selectivity':>12}{'recall':>9}{'q/CPU-s':>10}{'scan of matches':>17}{'hnswlib':>10}{'recall':>9}")
    for share in (1, 0.5, 0.2, 0.1, 0.05, 0.01, 0.005, 0.001):
        mask = random.random(len(rows)) < share
        path = os.path.join(folder, "mask")
        mask.astype(np.uint8).tofile(path)
        truth, scores = exact(rows, queries, mask)
        mine, scan, theirs = [], [], []
        few = queries[:100]
        for _ in range(runs):
            seconds, ids = ours.search(0, path)
            mine.append(seconds)
            part = rows[mask]
            started = time.process_time()
            for query in few:
                one = part @ query
                np.argpartition(-one, min(K, len(one) - 1))[:K]
            scan.append((time.process_time() - started) / len(few))
            if hnsw is not None and share >= 0.01:
                hnsw.queries = few
                seconds, their_ids = hnsw.search(max(64, int(10 / share)), mask)
                theirs.append(seconds / len(few))
        row = {"selectivity": share, "recall": recall(ids, truth, scores), "qps": len(queries) / statistics.median(mine),
               "scan_qps": 1 / statistics.median(scan)}
        text = f"{share:>12}{row['recall']:>9.4f}{row['qps']:>10,.0f}{row['scan_qps']:>17,.0f}"
        if theirs:
            row |= {"hnswlib_qps": 1 / statistics.median(theirs), "hnswlib_recall": recall(their_ids, truth[:100], scores[:100])}
            text += f"{row['hnswlib_qps']:>10,.0f}{row['hnswlib_recall']:>9.4f}"
        print(text)
        results.append(row)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("vectors")
    parser.add_argument("queries")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--filtered", action="store_true")
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--without", default="")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows, queries = np.ascontiguousarray(np.load(arguments.vectors)), np.ascontiguousarray(np.load(arguments.queries))
    with tempfile.TemporaryDirectory() as folder:
        ours = Kokeshi(arguments.worker, arguments.vectors, arguments.queries, folder)
        peers = []
        for name, make in PEERS.items():
            if arguments.filtered and make is not hnswlib_index:
                continue
            if any(word and word in name for word in arguments.without.split(",")):
                continue
            try:
                peers.append(Peer(name, make, rows, queries, arguments.single))
            except Exception as error:  # what is not installed or changed its interface is said, not hidden
                print(f"left out: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"{len(rows)} rows, {rows.shape[1]} dims, {len(queries)} queries, one thread, {'one by one' if arguments.single else 'in a batch'}, median of {arguments.runs}")
        if arguments.filtered:
            results = filtered(ours, rows, queries, arguments.runs, folder, peers[0] if peers else None)
        else:
            results = unfiltered([ours, *peers], rows, queries, arguments.runs)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
