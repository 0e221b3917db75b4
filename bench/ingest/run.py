"""Documents a second and peak memory of `kokeshi index` beside the Python pipeline in peer.py, interleaved, medians.

usage: run.py KOKESHI_BINARY DATA_DIR [--runs 5] [--python PYTHON]
DATA_DIR holds *.jsonl.gz with id, title, abstract (the arXiv set). Needs model2vec, bm25s, PyStemmer, hnswlib in PYTHON,
and the real MiniLM (scripts/fetch-model.sh) to distil the peer's model from, once.
"""
import argparse
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def measured(command, **options):
    """Wall seconds, CPU seconds and peak MB of one command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, **options)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} ended with status {status}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kokeshi")
    parser.add_argument("data")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--model", default=os.path.expanduser("~/.cache/kokeshi/models/model2vec-minilm-256"))
    arguments = parser.parse_args()
    files = sorted(glob.glob(os.path.join(arguments.data, "*.jsonl.gz")))
    if not files:
        sys.exit(f"no *.jsonl.gz in {arguments.data}")
    environment = dict(os.environ, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="true")
    if not os.path.exists(arguments.model):
        code = ("import sys; from model2vec.distill import distill; "
                "distill(sys.argv[1], pca_dims=256).save_pretrained(sys.argv[2])")
        teacher = os.path.expanduser("~/.cache/kokeshi/models/all-MiniLM-L6-v2")
        subprocess.run([arguments.python, "-c", code, teacher, arguments.model], check=True, env=environment)
    documents = 0
    rows = {"kokeshi": [], "python": []}
    for run in range(arguments.runs):
        work = tempfile.mkdtemp()
        try:
            rows["kokeshi"].append(measured(
                [arguments.kokeshi, "index", *files, "--to", work + "/k", "--id", "id", "--text", "title,abstract",
                 "--attr", "primary,created:date", "--quiet"], stdout=subprocess.DEVNULL))
            peer = work + "/peer.json"
            with open(peer, "w") as out:
                rows["python"].append(measured(
                    [arguments.python, HERE + "/peer.py", arguments.model, work + "/p", *files],
                    stdout=out, stderr=subprocess.DEVNULL, env=environment))
            last = json.load(open(peer))
            documents = last["documents"]
            print(f"run {run + 1}: " + ", ".join(f"{name} {times[-1][0]:.1f} s" for name, times in rows.items()),
                  "python stages", last["stages"], flush=True)
        finally:
            shutil.rmtree(work)
    print(f"\n{documents} documents, median of {arguments.runs}, interleaved")
    print(f"{'pipeline':<10}{'documents/s':>14}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}")
    middle = {}
    for name, times in rows.items():
        middle[name] = [statistics.median(column) for column in zip(*times)]
        wall, cpu, peak = middle[name]
        print(f"{name:<10}{documents / wall:>14.0f}{wall:>10.1f}{cpu:>10.1f}{peak:>10.0f}")
    print(f"kokeshi / python: {middle['python'][0] / middle['kokeshi'][0]:.2f}x documents/s, "
          f"{middle['kokeshi'][2] / middle['python'][2]:.2f}x peak memory")


main()
