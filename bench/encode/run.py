"""Compares Kokeshi's encoder with its peers on CPUs, in turns in the same run; prints losses too.

usage: run.py WORK [--build DIR] [--rounds 7] [--threads 1,2] [--only NAMES] [--inputs ids,texts] [--json FILE]

WORK is what setup.sh made; DIR is where cargo put the examples (target/release/examples). Tables are printed, and FILE written, after every
round, so that a run that is interrupted has its figures. Every contender is a process of its own that
keeps its model; rounds go through all of them, and a figure is the median of its rounds. Tokens per CPU-second is the figure that counts:
the clock on the wall moves with whoever else uses the machine.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy

here = pathlib.Path(__file__).parent
PEERS = ["onnxruntime-f32", "onnxruntime-int8", "openvino-f32", "openvino-bf16", "openvino-int8", "torch", "sentence-transformers"]
# Slow to set up (setup.sh ... more), or of another precision; --only asks for them.
MORE = ["torch-bf16", "fastembed", "llama.cpp-f16", "llama.cpp-q8", "rten-f32", "rten-int8", "candle", "candle-x86-v4"]
TEXTS_ONLY = ["sentence-transformers", "fastembed", "llama.cpp-f16", "llama.cpp-q8"]
OURS = ["kokeshi-f32", "kokeshi-bf16", "kokeshi-int8"]
parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
parser.add_argument("work", type=pathlib.Path)
parser.add_argument("--build", type=pathlib.Path, default=here / "../../target/release/examples")
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--threads", default="1,2")
parser.add_argument("--only", help=f"contenders, separated by commas; these, too: {', '.join(MORE)}")
parser.add_argument("--inputs", default="ids,texts", help="what is timed: ids (given) or texts (tokenisation included)")
parser.add_argument("--rust-peers", type=pathlib.Path, default=here / "peers-rs/target", help="cargo's target directory of peers-rs")
parser.add_argument("--llama-python", default=sys.executable, help="the Python that has llama-cpp-python")
parser.add_argument("--sets", default="short,passages,long,query", help="separated by commas")
parser.add_argument("--json", type=pathlib.Path)
arguments = parser.parse_args()
names = arguments.only.split(",") if arguments.only else OURS + PEERS
threads = [int(count) for count in arguments.threads.split(",")]
sets = arguments.sets.split(",")
data = json.loads((arguments.work / "data.json").read_text())
tokens = {name: sum(map(len, found["ids"])) for name, found in data.items()}
inputs = arguments.inputs.split(",")


def precision(name):
    """What a contender computes in; eight-bit weights and activations are one class, whatever the scales are taken over."""
    if name.endswith(("int8", "q8")):
        return "int8"
    return next((kind for kind in ("bf16", "f16") if name.endswith(kind)), "f32")


class Contender:
    def __init__(self, name, count):
        self.name, self.threads, self.times = name, count, {}
        if name in OURS:
            command = [arguments.build / "encode_worker", arguments.work / "model", precision(name), count, arguments.work / "data.json"]
        elif name.startswith(("rten", "candle")):
            folder = "x86-v4/release" if name.endswith("x86-v4") else "release"
            peer = name.removesuffix("-x86-v4")
            command = [arguments.rust_peers / folder / "encode-peers", peer, count, arguments.work]
        else:
            python = arguments.llama_python if name.startswith("llama") else sys.executable
            command = [python, here / "peer.py", name, count, arguments.work]
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(count)},
        )
        self.ready = self.answer()

    def answer(self):
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} ended: run it alone to see why")

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self, key, **request):
        self.last = self.ask(**request)
        self.times.setdefault(key, []).append((self.last["cpu"], self.last["wall"]))

    def median(self, key, kind):
        return statistics.median(time[kind] for time in self.times[key])


def vectors(contender, name):
    with tempfile.NamedTemporaryFile() as file:
        contender.ask(set=name, ids=contender.name not in TEXTS_ONLY, vectors=file.name)
        return numpy.fromfile(file.name, "<f4").reshape(len(data[name]["ids"]), -1)


contenders = []
for count in threads:
    for name in names:
        try:
            contenders.append(Contender(name, count))
        except SystemExit as problem:
            print(problem, file=sys.stderr)
found = {}
reference = next((one for one in contenders if one.name == "torch"), contenders[0])
truth = {name: vectors(reference, name) for name in ("short", "passages")}
for one in contenders:
    cosines = numpy.concatenate([(vectors(one, name) * truth[name]).sum(1) for name in truth])
    found[one.name, one.threads] = {"cosine mean": float(cosines.mean()), "cosine least": float(cosines.min())}
bulk = [name for name in sets if name != "query"]


def summary(one):
    row = found[one.name, one.threads]
    for name, kind in one.times:
        if name == "query":
            row["query p50 ms"] = 1e3 * one.median((name, kind), 1)
            row["query cpu ms"] = 1e3 * one.median((name, kind), 0)
        else:
            row[f"{name} {kind}, tokens/CPU-s"] = tokens[name] / one.median((name, kind), 0)
            row[f"{name} {kind}, tokens/s"] = tokens[name] / one.median((name, kind), 1)
    row["first result ms"] = 1e3 * one.ready["first"]
    row["memory MB"] = one.last["memory"]


columns = ["cosine mean", "cosine least"] + [f"{name} {kind}, tokens/{unit}" for name in bulk for kind in ("ids", "texts") for unit in ("CPU-s", "s")]
columns += ["query p50 ms", "first result ms", "memory MB"]
shown = lambda value: "-" if value is None else f"{value:.5f}" if value <= 1.0001 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def tables():
    for count in threads:
        rows = [(name, row) for (name, many), row in found.items() if many == count]
        used = [column for column in columns if any(column in row for _, row in rows)]
        print(f"\n{count} thread{'s' * (count > 1)}\n| engine | " + " | ".join(used) + " |\n|---" + "|---:" * len(used) + "|")
        for name, row in rows:
            print(f"| {name} | " + " | ".join(shown(row.get(column)) for column in used) + " |")
        for ours in (name for name, _ in rows if name in OURS):
            rivals = [(name, row) for name, row in rows if name not in OURS and precision(name) == precision(ours)]
            for column in used[2:-2]:
                mine = found[ours, count].get(column)
                theirs = [(row[column], name) for name, row in rivals if column in row]
                if mine and theirs:
                    best = min(theirs) if column.endswith("ms") else max(theirs)
                    print(f"{ours}, {column}: {mine / best[0]:.2f}x the best peer's ({best[1]})")


def save(**more):
    if arguments.json:
        rows = [{"engine": name, "threads": count, **row} for (name, count), row in found.items()]
        arguments.json.write_text(json.dumps({"rows": rows, **more}, indent=1))


for round in range(arguments.rounds):
    for one in contenders:
        for name in bulk:
            for kind in inputs:
                if kind == "texts" or one.name not in TEXTS_ONLY:
                    one.run((name, kind), set=name, ids=kind == "ids")
        for at in range(40) if "query" in sets else ():
            one.run(("query", "texts"), set="query", one=(40 * round + at) % len(data["query"]["texts"]))
        summary(one)
    print(f"\nAfter round {round + 1} of {arguments.rounds}")
    tables()
    save()
    sys.stdout.flush()


def layers(one):
    """CPU time by number of layers, a straight line through it, and how well it fits."""
    depths = range(1, depth + 1)
    times = {exit: [] for exit in depths}
    for _ in range(arguments.rounds):
        for exit in depths:
            times[exit].append(one.ask(set="passages", ids=True, layers=exit)["cpu"])
    medians = [statistics.median(times[exit]) for exit in depths]
    slope, intercept = numpy.polyfit(depths, medians, 1)
    residual = numpy.array(medians) - (slope * numpy.array(depths) + intercept)
    fit = 1 - residual.var() / numpy.var(medians)
    print(
        f"{one.name}, passages by layers: {', '.join(f'{1e3 * time:.0f}' for time in medians)} ms of CPU; R^2 {fit:.4f}, "
        f"intercept {1e3 * intercept:.0f} ms ({100 * intercept / medians[-1]:.1f} % of all layers); "
        f"{depth // 2} layers {medians[-1] / medians[depth // 2 - 1]:.2f}x as fast as {depth}"
    )
    return {"ms": [1e3 * time for time in medians], "r2": float(fit), "intercept ms": 1e3 * intercept}


def operations(count):
    """Multiplications and additions that a text of `count` tokens takes: linear layers, and attention (a causal one sees half)."""
    heads = config["num_attention_heads"]
    queries = heads * config.get("head_dim", width // heads)
    keys = queries // heads * config.get("num_key_value_heads", heads)
    decoder = "num_key_value_heads" in config
    linear = width * (2 * queries + 2 * keys) + (3 if decoder else 2) * width * inner
    return depth * (2 * count * linear + 4 * count * count * queries / (2 if decoder else 1))


config = json.loads((arguments.work / "model/config.json").read_text())
width, inner, depth = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
print()
depths = {one.name: layers(one) for one in contenders if one.name in OURS and one.threads == threads[0] and "passages" in bulk}
kernels = json.loads(subprocess.run([str(arguments.build / "kernel_speed"), "--json"], capture_output=True, text=True, check=True).stdout)
for ours in (name for name in OURS if (name, 1) in found):
    # The register loop now and then lands badly in memory and is slower than a product, which is then the better bound.
    kind = precision(ours)
    ceiling = max((speed for what, speed in kernels.items() if what.startswith((f"ceiling {kind}", f"{kind} ")) and "attention" not in what and "prepare" not in what), default=None)
    if ceiling is None:
        continue
    for name in bulk:
        if f"{name} ids, tokens/CPU-s" not in found[ours, 1]:
            continue
        work = sum(operations(len(ids)) for ids in data[name]["ids"])
        rate = work / tokens[name] * found[ours, 1][f"{name} ids, tokens/CPU-s"]
        print(f"{ours}, {name}: {rate / 1e9:.0f} G operations a CPU-second, {100 * rate / ceiling:.0f} % of the ceiling of {ceiling / 1e9:.0f}")
save(layers=depths, kernels=kernels)
