"""One PyTorch training step beside ours: the same shapes, loss and optimizer (fused AdamW). Prints JSON.

python peer.py MODEL STEPS THREADS
"""
import json, os, resource, sys, time

model_path, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch
from transformers import BertConfig, BertModel

torch.set_num_threads(threads)
torch.manual_seed(1)
config = BertConfig.from_pretrained(model_path)
config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
model = BertModel(config, add_pooling_layer=False)
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
times = []
for step in range(steps + 3):
    ids = torch.randint(1000, config.vocab_size, (32, 32))
    start = time.perf_counter()
    vectors = torch.nn.functional.normalize(model(input_ids=ids).last_hidden_state.mean(1), dim=-1)
    scores = 20.0 * vectors[:16] @ vectors[16:].T
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(16))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if step >= 3:
        times.append((time.perf_counter() - start) * 1e3)
times.sort()
print(json.dumps({"ms": round(times[len(times) // 2], 1), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                  "torch": torch.__version__}))
