"""Training steps of Kokeshi and PyTorch in turns, at 2 threads: medians over rounds.

python run.py WORKER MODEL [ROUNDS] [PYTHON]
WORKER is target/release/examples/train_step, PYTHON an interpreter with torch and transformers.
"""
import json, os, statistics, subprocess, sys

worker, model = sys.argv[1:3]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
python = sys.argv[4] if len(sys.argv) > 4 else sys.executable
here = os.path.dirname(os.path.abspath(__file__))
commands = {
    "kokeshi": [worker, model, "8"],
    "torch, fused AdamW": [python, os.path.join(here, "peer.py"), model, "8", "2"],
}
found = {name: [] for name in commands}
for _ in range(rounds):
    for name, command in commands.items():
        env = dict(os.environ, RAYON_NUM_THREADS="2", OMP_NUM_THREADS="2")
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
print(f"{'engine':>20} {'ms per step':>12} {'peak MB':>8}   all rounds")
for name, results in found.items():
    times = [result["ms"] for result in results]
    print(f"{name:>20} {statistics.median(times):12.1f} {max(result['peak_mb'] for result in results):8}   {times}")
ours, theirs = (statistics.median(r["ms"] for r in found[name]) for name in commands)
print(f"time: {ours / theirs:.2f}x of PyTorch's")
