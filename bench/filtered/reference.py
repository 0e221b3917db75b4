"""Recall of reference implementations beside ours, at equal settings, on the packages of Debian (debian.py makes the set).

    cargo build --release -p kokeshi-bench --example reference
    python bench/filtered/reference.py target/release/examples/reference DATA/debian

Every third row is searched, every 300th (but one) asks for its own section. hnswlib's filter is the result gate; diskannpy's labels are
FilteredVamana. Needs numpy < 2, diskannpy (0.7.0) and hnswlib (0.8.0).
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import diskannpy
import hnswlib
import numpy

K, LISTS = 10, [10, 20, 40, 80, 160, 320]


def recall(found, truth):
    return numpy.mean([len(set(f) & set(t)) / len(t) for f, t in zip(found, truth)])


def main(worker, folder):
    folder = pathlib.Path(folder)
    vectors = numpy.load(folder / "vectors.npy")
    sections = [json.loads(line)["section"] for line in open(folder / "attributes.jsonl")]
    base = list(range(0, len(vectors), 3))
    asking = [row for row in range(1, len(vectors), 300)]
    rows, queries = vectors[base], vectors[asking]
    own = [sections[row] for row in base]
    wanted = [sections[row] for row in asking]
    members = {s: numpy.flatnonzero(numpy.array(own) == s) for s in set(own)}
    kept = [at for at, s in enumerate(wanted) if len(members.get(s, [])) >= K]
    truth = {}
    for at in kept:
        ids = members[wanted[at]]
        truth[at] = ids[numpy.argsort(-(rows[ids] @ queries[at]), kind="stable")[:K]]

    print("| list | " + " | ".join(map(str, LISTS)) + " |")
    hnsw = hnswlib.Index("l2", rows.shape[1])
    hnsw.init_index(len(rows), M=16, ef_construction=200, random_seed=1)
    hnsw.add_items(rows, num_threads=1)
    figures = []
    for ef in LISTS:
        hnsw.set_ef(ef)
        found = []
        for at in kept:
            passing = set(members[wanted[at]].tolist())
            try:
                ids, _ = hnsw.knn_query(queries[at], K, num_threads=1, filter=lambda row: row in passing)
                found.append(ids[0].tolist())
            except RuntimeError:  # fewer than K results: it gives none
                found.append([])
        figures.append(recall(found, [truth[at] for at in kept]))
    print("| hnswlib 0.8.0, filter | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")

    with tempfile.TemporaryDirectory() as place:
        diskannpy.build_memory_index(
            rows, "l2", place, complexity=80, graph_degree=48, num_threads=1, alpha=1.2,
            filter_labels=[[s] for s in own], filter_complexity=80,
        )
        index = diskannpy.StaticMemoryIndex(place, num_threads=1, initial_search_complexity=320, enable_filters=True)
        figures = []
        for list_length in LISTS:
            found = [
                index.search(queries[at], K, list_length, filter_label=wanted[at]).identifiers.tolist() for at in kept
            ]
            figures.append(recall(found, [truth[at] for at in kept]))
        print("| diskannpy 0.7.0, labels | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |", flush=True)
    subprocess.run([worker, str(folder)] + [str(length) for length in LISTS], check=True)


main(*sys.argv[1:])
