#!/bin/sh
# Sets up what run.py compares with: a Python environment with the peers, the texts, and MiniLM in the peers' formats.
# usage: setup.sh VENV WORK DATA MINILM   (DATA: the folder of shared data sets; MINILM: what scripts/fetch-model.sh prints)
set -eu
here=$(dirname "$0")
[ -x "$1/bin/python" ] || python3 -m venv "$1"
"$1/bin/pip" install --quiet torch --index-url "${TORCH_INDEX:-$("$1/bin/pip" config get global.index-url 2>/dev/null || echo https://pypi.org/simple)}"
"$1/bin/pip" install --quiet sentence-transformers onnx onnxruntime openvino nncf
mkdir -p "$2"
"$1/bin/python" "$here/prepare.py" "$2" "$3" "$4"
