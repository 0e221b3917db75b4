"""One peer of the encoder benchmark: answers requests on standard input, as examples/encode_worker.rs does for Kokeshi.

usage: peer.py PEER THREADS WORK

PEER: onnxruntime-f32, onnxruntime-int8, openvino-f32, openvino-bf16, openvino-int8, torch, torch-bf16, sentence-transformers, fastembed,
llama.cpp-f16, llama.cpp-q8. The last three kinds take texts only, and make their own batches.
"""
import json
import os
import pathlib
import resource
import sys
import time

started = time.perf_counter()
peer, threads, work = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1")
os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
import numpy
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(str(work / "model/tokenizer.json"))
tokenizer.enable_truncation(512)
tokenizer.no_padding()


def batches(ids, size=32):
    """Padded batches of texts of similar length, with the texts' numbers."""
    order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        tokens = numpy.zeros((len(rows), len(ids[rows[0]])), dtype=numpy.int64)
        mask = numpy.zeros_like(tokens)
        for row, at in enumerate(rows):
            tokens[row, : len(ids[at])] = ids[at]
            mask[row, : len(ids[at])] = 1
        yield rows, tokens, mask


def load():
    if peer.startswith("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        file = work / f"{peer.rsplit('-')[-1]}.onnx"
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda tokens, mask: session.run(None, {"input_ids": tokens, "attention_mask": mask})[0]
    if peer.startswith("openvino"):
        import openvino

        kind = peer.rsplit("-")[-1]
        file = work / ("int8.xml" if kind == "int8" else "f32.onnx")
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if kind == "bf16" else "f32"
        request = openvino.Core().compile_model(str(file), "CPU", settings).create_infer_request()
        return lambda tokens, mask: request.infer({"input_ids": tokens, "attention_mask": mask})[0].copy()
    import torch

    torch.set_num_threads(threads)
    from transformers import AutoModel

    model = AutoModel.from_pretrained(work / "model", dtype=torch.bfloat16 if peer == "torch-bf16" else torch.float32).eval()
    model.config.use_cache = False

    def run(tokens, mask):
        with torch.inference_mode():
            mask = torch.from_numpy(mask)
            hidden = model(torch.from_numpy(tokens), mask).last_hidden_state
            weight = mask[:, :, None].to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * weight).sum(1).float()).numpy()

    return run


if peer == "sentence-transformers":
    import torch

    torch.set_num_threads(threads)
    from sentence_transformers import SentenceTransformer

    whole = SentenceTransformer(str(work / "model"), device="cpu")
    encode = lambda texts, ids: whole.encode(texts, batch_size=32)
elif peer == "fastembed":
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    # The ONNX file pools and divides by the length itself.
    TextEmbedding.add_custom_model(
        "local/model", pooling=PoolingType.DISABLED, normalization=False, sources=ModelSource(url="http://localhost/"), dim=1, model_file="model.onnx"
    )
    whole = TextEmbedding("local/model", specific_model_path=str(work / "fastembed"), threads=threads)
    encode = lambda texts, ids: list(whole.embed(texts, batch_size=32))
elif peer.startswith("llama.cpp"):
    from llama_cpp import LLAMA_POOLING_TYPE_MEAN, Llama

    # A batch is attended to as one square with a mask, so larger ones cost more.
    whole = Llama(
        str(work / f"{peer.split('-')[1]}.gguf"), embedding=True, pooling_type=LLAMA_POOLING_TYPE_MEAN, n_ctx=512, n_batch=512, n_ubatch=512,
        n_threads=threads, n_threads_batch=threads, verbose=False,
    )
    encode = lambda texts, ids: whole.embed(texts, normalize=True)
else:
    model = load()

    def encode(texts, ids):
        if ids is None:
            ids = [found.ids for found in tokenizer.encode_batch_fast(texts)]
        out = [None] * len(ids)
        for rows, tokens, mask in batches(ids):
            for at, vector in zip(rows, model(tokens, mask)):
                out[at] = vector
        return out


loaded = time.perf_counter() - started
encode(["the first text"], None)
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"loaded": loaded, "first": time.perf_counter() - started, "memory": memory()}), flush=True)
sets = json.loads((work / "data.json").read_text())
for line in sys.stdin:
    request = json.loads(line)
    texts, ids = sets[request["set"]]["texts"], sets[request["set"]]["ids"]
    if "one" in request:
        texts, ids = [texts[request["one"]]], [ids[request["one"]]]
    wall, cpu = time.perf_counter(), time.process_time()
    vectors = encode(texts, ids if request.get("ids") else None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if "vectors" in request:
        numpy.asarray(vectors, dtype="<f4").tofile(request["vectors"])
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": memory()}), flush=True)
