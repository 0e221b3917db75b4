"""Vectors of a trained directory in sentence-transformers, loaded from disk, beside those of `kokeshi embed`, at every size that it lists.

python same_vectors.py KOKESHI MODEL_DIR TEXTS.tsv     (the second and third columns are texts, as in the STS benchmark; the first 200 rows)
Prints the largest difference for each size; exits with 1 if one is above 1e-5.
"""
import json, os, subprocess, sys, tempfile

import numpy as np
import sentence_transformers, torch, transformers
from sentence_transformers import SentenceTransformer

kokeshi, model_dir, table = sys.argv[1:4]
BAR = 1e-5
rows = [line.rstrip("\n").split("\t") for line in open(table, encoding="utf-8")][1:201]
texts = list(dict.fromkeys(text for row in rows for text in row[-2:]))
sizes = json.load(open(os.path.join(model_dir, "kokeshi.json")))["sizes"]
print(f"{len(texts)} texts; sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
worst = 0.0
with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(folder, "texts.jsonl")
    with open(source, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    # Deepest first: layers are cut off the loaded model and don't come back.
    model = SentenceTransformer(model_dir, device="cpu")
    for size in sorted(sizes, key=lambda size: -int(size.split("x")[0])):
        layers, dims = map(int, size.split("x"))
        encoder = model[0].auto_model.encoder
        encoder.layer = encoder.layer[:layers]
        theirs = model.encode(texts, truncate_dim=dims, normalize_embeddings=True, batch_size=32)
        file = os.path.join(folder, f"{size}.npy")
        subprocess.run([kokeshi, "embed", source, "--field", "text", "--model", model_dir, "--size", size, "--normalize", "--to", file, "--quiet"], check=True)
        ours = np.load(file)
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        difference = float(np.abs(ours - theirs).max())
        worst = max(worst, difference)
        print(f"{size:>8}  largest difference {difference:.1e}")
print(f"{'holds' if worst <= BAR else 'DOES NOT HOLD'}: {worst:.1e} (bar {BAR:.0e})")
sys.exit(worst > BAR)
