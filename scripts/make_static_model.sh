#!/usr/bin/env bash
# Makes the compiled-in model, crates/make/encode/assets/kokeshi-static.bin, from all-MiniLM-L6-v2 and the shared English texts, and prints
# its figures beside those of the plain static distillation. Seeded: the same texts, teacher and number of threads give the same bytes.
# SPANS=N shows the teacher fewer or more spans than 30,000; it takes most of the time.
set -euo pipefail
cd "$(dirname "$0")/.."
data="${KOKESHI_DATA:-../shared/data}"
out="${OUT:-target/static-model}"
asset=crates/make/encode/assets/kokeshi-static.bin
teacher=$(scripts/fetch-model.sh)
cargo build --quiet --release --bin kokeshi
kokeshi() { "${CARGO_TARGET_DIR:-target}/release/kokeshi" "$@"; }

# Papers' titles and abstracts (arXiv metadata, CC0), daily papers, and English prose. No evaluation set is among them.
texts=("$data/arxiv" "$data/daily_papers" "$data/text_en")
kokeshi distill "$teacher" --texts "${texts[@]}" --to "$out/plain" --seed 42 --spans 10000 --no-training
kokeshi distill "$teacher" --texts "${texts[@]}" --to "$out/trained" --seed 42 --spans "${SPANS:-30000}" --compact "$out/kokeshi-static.bin"

size=$(wc -c < "$out/kokeshi-static.bin")
if [ "$size" -gt 8000000 ]; then
    echo "make_static_model: $size bytes, expected at most 8000000" >&2
    exit 1
fi
for model in plain trained; do
    for dims in 64 256; do
        for set in scifact nfcorpus stsb; do
            echo "$model, $dims dims, $set:"
            kokeshi eval "$data/$set" --model "$out/$model" --size "$dims"
        done
    done
done
cp "$out/kokeshi-static.bin" "$asset"
