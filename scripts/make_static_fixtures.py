#!/usr/bin/env python3
"""Makes the fixtures of crates/make/encode/tests/static.rs: a small tokenizer, and what sentence-transformers' StaticEmbedding gives for some
texts with a table that both sides compute. Needs sentence-transformers 6.2; run it from the root of the checkout."""
import json
import pathlib
import string

import numpy as np
import sentence_transformers
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

DIMS = 16
TEXTS = ["the cat sat on the mat", "The CAT!", "", "zebra unknown \u00e7", "ca ts unthe matmat", "\u2603", " a\tb\nc "]

letters = list(string.ascii_lowercase) + ["##" + letter for letter in string.ascii_lowercase]
words = ["the", "cat", "sat", "mat", "##s", "un", "##the", "!", ".", ","]
vocabulary = {token: at for at, token in enumerate(dict.fromkeys(["[PAD]", "[UNK]", *letters, *words]))}
tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

here = pathlib.Path("crates/make/encode/tests/fixtures/static")
here.mkdir(parents=True, exist_ok=True)
tokenizer.save(str(here / "tokenizer.json"))

try:
    from sentence_transformers.models import StaticEmbedding
except ImportError:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
table = np.sin(np.arange(len(vocabulary) * DIMS)).astype(np.float32).reshape(-1, DIMS)
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
vectors = model.encode(TEXTS)
expected = {
    "made_by": f"scripts/make_static_fixtures.py, sentence-transformers {sentence_transformers.__version__}",
    "table": "row r, column c: sin(r * dims + c)",
    "dims": DIMS,
    "rows": len(vocabulary),
    "texts": TEXTS,
    "vectors": [[round(float(value), 7) for value in row] for row in vectors],
}
(here / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
