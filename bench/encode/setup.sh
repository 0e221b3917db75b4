#!/bin/sh
# Sets up what run.py compares with: a Python environment with the peers, the texts, and MiniLM in the peers' formats.
# usage: setup.sh VENV WORK DATA MINILM [more]   (DATA: the folder of shared data sets; MINILM: what scripts/fetch-model.sh prints;
# "more": the peers that run.py runs only if --only names them, llama.cpp, rten and candle, too, which are slow to compile)
set -eu
here=$(dirname "$0")
[ -x "$1/bin/python" ] || python3 -m venv "$1"
"$1/bin/pip" install --quiet torch --index-url "${TORCH_INDEX:-$("$1/bin/pip" config get global.index-url 2>/dev/null || echo https://pypi.org/simple)}"
"$1/bin/pip" install --quiet sentence-transformers onnx onnxruntime openvino nncf fastembed
mkdir -p "$2"
"$1/bin/python" "$here/prepare.py" "$2" "$3" "$4"
if [ "${5:-}" = more ]; then
    "$1/bin/pip" install --quiet llama-cpp-python gguf
    "$1/bin/python" "$here/gguf_file.py" "$2/model" "$2/f16.gguf" f16
    "$1/bin/python" "$here/gguf_file.py" "$2/model" "$2/q8.gguf" q8_0
    cargo build --release --manifest-path "$here/peers-rs/Cargo.toml"
    cargo build --release --manifest-path "$here/peers-rs/Cargo.toml" --features x86-v4 --target-dir "$here/peers-rs/target/x86-v4"
fi
