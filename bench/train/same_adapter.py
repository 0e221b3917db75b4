"""An adapter that a recipe wrote, loaded by PEFT on its base, beside the merged model in Kokeshi; and the adapter as PEFT saves it again, merged by Kokeshi.

python same_adapter.py KOKESHI BASE_DIR MODEL_DIR TEXTS.tsv     (MODEL_DIR/adapter is the adapter; the last two columns are texts; the first 200 rows)
Prints the largest difference of normalised vectors; exits with 1 if one is above 1e-5, or if the adapter changes nothing.
"""
import json, os, subprocess, sys, tempfile

import numpy as np
import peft, torch, transformers
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

kokeshi, base, model_dir, table = sys.argv[1:5]
BAR = 1e-5
rows = [line.rstrip("\n").split("\t") for line in open(table, encoding="utf-8")][1:201]
texts = list(dict.fromkeys(text.strip() for row in rows for text in row[-2:]))
tokenizer = AutoTokenizer.from_pretrained(base)
plain = AutoModel.from_pretrained(base).eval()


def vectors(model):
    out = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            tokens = tokenizer(texts[start : start + 32], return_tensors="pt", padding=True, truncation=True, max_length=256)
            mask = tokens["attention_mask"][..., None]
            means = (model(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)
            out.append(torch.nn.functional.normalize(means).numpy())
    return np.concatenate(out)


def kokeshi_vectors(model):
    with tempfile.TemporaryDirectory() as folder:
        source, file = os.path.join(folder, "texts.jsonl"), os.path.join(folder, "vectors.npy")
        with open(source, "w", encoding="utf-8") as out:
            out.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        command = [kokeshi, "embed", source, "--field", "text", "--model", model, "--normalize", "--to", file, "--quiet"]
        subprocess.run(command, check=True)
        return np.load(file)


before = vectors(plain)
adapted = PeftModel.from_pretrained(plain, os.path.join(model_dir, "adapter")).eval()
theirs = vectors(adapted)
changed = float(np.abs(theirs - before).max())
ours = float(np.abs(kokeshi_vectors(model_dir) - theirs).max())
with tempfile.TemporaryDirectory() as folder:
    saved, merged = os.path.join(folder, "adapter"), os.path.join(folder, "merged")
    adapted.save_pretrained(saved)
    subprocess.run([kokeshi, "merge", base, "--adapter", saved, "--to", merged, "--quiet"], check=True)
    again = float(np.abs(kokeshi_vectors(merged) - theirs).max())
print(f"{len(texts)} texts; peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
print(f"the adapter changes vectors by up to {changed:.1e}")
print(f"written model beside PEFT's adapter: {ours:.1e}; PEFT's file merged by Kokeshi: {again:.1e} (bar {BAR:.0e})")
sys.exit(not (changed > 100 * BAR and max(ours, again) <= BAR))
