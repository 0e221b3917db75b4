"""Queries per CPU-second and recall@10 with filters that a share of rows pass at random: Kokeshi's planner beside peers.

usage: filtered.py GRAPH_WORKER VECTORS.npy QUERIES.npy --keep FOLDER [--runs 3] [--queries 200] [--without NAME,...] [--json FILE]
FOLDER holds indexes of these vectors, as run.py --keep leaves them; what is not there is built. One thread, cosine. A peer that has an effort is asked
with growing ones, and its first that finds 0.95 counts; Kokeshi is asked at its default effort, and for a recall of 0.95, whatever it
finds. `scan` compares all queries with the matches in one product, which is the best that is
possible only where all queries share a filter; `scan, one by one` is what it is otherwise. hnswlib calls Python for each row; qdrant's local mode is
NumPy; usearch's Python package and SVS have no filters. Needs what run.py needs, qdrant-client and lancedb; one that is missing is said and left out.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import run
from run import K, np

SHARES = (0.2, 0.1, 0.05, 0.01)
EFFORTS = (16, 32, 64, 128, 256, 512, 1024, 2048)


class Filter:
    """Rows whose `value` is below `share`, in the forms that peers want."""

    def __init__(self, values, share):
        self.share, self.mask = share, values < share


def scan(rows):
    def search(queries, _, filter):
        ids = np.flatnonzero(filter.mask)
        scores = queries @ rows[ids].T
        return ids[np.argpartition(-scores, K - 1)[:, :K]]

    return search


def one_by_one(rows):
    batch = scan(rows)
    return lambda queries, effort, filter: np.concatenate([batch(queries[at:at + 1], effort, filter) for at in range(len(queries))])


def with_mask(make):
    def peer(rows, folder):
        search = make(rows, folder)[0]
        return lambda queries, effort, filter: search(queries, effort, filter.mask)

    return peer


def faiss_flat(rows):
    import faiss
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return lambda queries, _, filter: index.search(queries, K, params=faiss.SearchParameters(sel=run.selector(filter.mask)))[1]


def qdrant(rows, values):
    from qdrant_client import QdrantClient, models
    client = QdrantClient(":memory:")
    client.create_collection("rows", vectors_config=models.VectorParams(size=rows.shape[1], distance=models.Distance.COSINE))
    client.upload_collection("rows", vectors=rows, payload=({"value": float(value)} for value in values), ids=range(len(rows)))

    def search(queries, _, filter):
        passes = models.Filter(must=[models.FieldCondition(key="value", range=models.Range(lt=filter.share))])
        found = [client.query_points("rows", query=query, query_filter=passes, limit=K).points for query in queries]
        return np.array([[point.id for point in points] for points in found])

    return search


def lance(rows, values, folder):
    import lancedb
    import pyarrow as pa
    path = folder + "/lance"
    known = os.path.exists(path)
    base = lancedb.connect(path)
    if known:
        table = base.open_table("rows")
    else:
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        table = base.create_table("rows", pa.table({"id": np.arange(len(rows)), "value": values, "vector": column}))
        table.create_index(metric="cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        table.create_scalar_index("value")

    def search(queries, effort, filter):
        def ask(query):
            return table.search(query).distance_type("cosine").where(f"value < {filter.share}", prefilter=True).ef(effort).limit(K).select(["id"])

        found = [ask(query).to_arrow()["id"].to_numpy() for query in queries]
        return np.array([np.pad(ids, (0, K - len(ids)), constant_values=len(rows)) for ids in found])

    return search


def measure(search, queries, filter, truth, scores, runs, efforts):
    """Queries a CPU-second and recall at the first effort that finds 0.95, or at the last."""
    for effort in efforts:
        took = []
        for _ in range(runs):
            started = time.process_time()
            ids = search(queries, effort, filter)
            took.append(time.process_time() - started)
        found = run.recall(ids, truth, scores)
        if found >= 0.95:
            break
    return len(queries) / statistics.median(took), found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("vectors")
    parser.add_argument("queries")
    parser.add_argument("--keep", required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--queries", dest="count", type=int, default=200)
    parser.add_argument("--without", default="")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows, queries = (np.ascontiguousarray(np.load(name)) for name in (arguments.vectors, arguments.queries))
    values = np.random.default_rng(1).random(len(rows))
    ours = run.Kokeshi(arguments.worker, arguments.vectors, arguments.queries, arguments.keep)
    kept = lambda name: os.path.join(arguments.keep, name)
    makes = {
        "scan": (lambda: scan(rows), EFFORTS[:1]),
        "scan, one by one": (lambda: one_by_one(rows), EFFORTS[:1]),
        "FAISS Flat": (lambda: faiss_flat(rows), EFFORTS[:1]),
        "hnswlib M16": (lambda: with_mask(run.hnswlib_index)(rows, kept("hnswlib-M16")), EFFORTS),
        "FAISS HNSW32-SQ8": (lambda: with_mask(run.faiss_sq8)(rows, kept("FAISS-HNSW32-SQ8")), EFFORTS),
        "FAISS IVF-PQ fast scan": (lambda: with_mask(run.faiss_fast_scan)(rows, kept("FAISS-IVF-PQ-fast-scan")), EFFORTS),
        "lancedb IVF_HNSW_SQ": (lambda: lance(rows, values, arguments.keep), EFFORTS),
        "qdrant local": (lambda: qdrant(rows, values), EFFORTS[:1]),
    }
    peers = {}
    for name, (make, efforts) in makes.items():
        if any(word and word in name for word in arguments.without.split(",")):
            continue
        try:
            peers[name] = (make(), efforts)
        except Exception as error:  # what is not installed or changed its interface is said, not hidden
            print(f"left out: {name}: {type(error).__name__}: {error}", file=sys.stderr)
    if not arguments.runs:
        return
    mask = os.path.join(tempfile.mkdtemp(), "mask")
    results = []
    print(f"{len(rows)} rows, {rows.shape[1]} dims, one thread, median of {arguments.runs}; queries a CPU-second (recall@10)")
    for share in SHARES:
        filter = Filter(values, share)
        filter.mask.astype(np.uint8).tofile(mask)
        truth, scores = run.exact(rows, queries, filter.mask)
        line = {}
        for name, effort in (("Kokeshi", 0), ("Kokeshi, asked for 0.95", 0.95)):
            mine = [ours.search(effort, mask) for _ in range(arguments.runs)]
            line[name] = (len(queries) / statistics.median(took for took, _ in mine), run.recall(mine[0][1], truth, scores))
        for name, (search, efforts) in peers.items():
            # Slow ones are asked less.
            few = len(queries) if name == "scan" else 20 if "local" in name else arguments.count
            line[name] = measure(search, queries[:few], filter, truth[:few], scores[:few], arguments.runs, efforts)
        print(f"{share:>6.0%} " + "; ".join(f"{name} {speed:,.0f} ({found:.3f})" for name, (speed, found) in line.items()), flush=True)
        results.append({"share": share} | {name: list(figures) for name, figures in line.items()})
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
