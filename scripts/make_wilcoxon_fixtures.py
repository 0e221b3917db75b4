#!/usr/bin/env python3
"""Writes crates/judge/eval/tests/fixtures/wilcoxon.json: SciPy's signed-rank test on random paired scores.

Without ties `method="exact"`; with ties all patterns of signs of the pairs that differ (`PermutationMethod` with no limit); above 50 pairs
`method="asymptotic"`. Needs numpy and scipy; the versions that were used are in the file.
"""
import json
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import PermutationMethod, wilcoxon

rng = np.random.default_rng(11)
cases = []


def add(a, b, method):
    # SciPy would also flip the signs of pairs that are equal, which changes nothing and takes twice as long for each.
    differ = a != b
    found = wilcoxon(a[differ], b[differ], zero_method="wilcox", alternative="two-sided", method=method)
    cases.append({"a": list(a), "b": list(b), "statistic": float(found.statistic), "p": float(found.pvalue)})


for n in (1, 2, 5, 6, 7, 10, 13, 18, 25, 40):
    for shift in (0.0, 0.4):
        add(rng.normal(shift, 1, n), rng.normal(0, 1, n), "exact")
for n in (4, 6, 9, 12):
    for levels in (2, 4):
        # Quarters are exact in binary, so equal differences are equal; some are zero.
        a, b = (rng.integers(0, levels + 1, n) / 4 for _ in range(2))
        a[0], b[0] = 0, 0.25
        add(a, b, PermutationMethod(n_resamples=np.inf))
for _ in range(2):
    # Twenty-five pairs, more than half of them equal: few enough patterns to try them all.
    a, b = rng.integers(0, 9, 25) / 4, rng.integers(0, 9, 25) / 4
    b[:13] = a[:13]
    add(a, b, PermutationMethod(n_resamples=np.inf))
for n in (100, 200):
    add(rng.normal(0.1, 1, n), rng.normal(0, 1, n), "asymptotic")
    add(rng.integers(0, 9, n) / 4, rng.integers(0, 9, n) / 4, "asymptotic")

path = Path(__file__).resolve().parent.parent / "crates/judge/eval/tests/fixtures/wilcoxon.json"
path.write_text(json.dumps({"scipy": scipy.__version__, "numpy": np.__version__, "cases": cases}) + "\n")
print(len(cases), "cases")
