"""Makes crates/judge/eval/tests/fixtures/metrics.json.gz: random runs and pairs with the values of the reference libraries.

pip install pytrec-eval-terrier==0.5.11 ir-measures==0.4.3 scipy==1.17.1
python scripts/make_metric_fixtures.py
"""

import gzip
import importlib.metadata
import json
import pathlib
import random

import ir_measures
import pytrec_eval
import scipy.stats

MEASURES = ["ndcg_cut_1", "ndcg_cut_3", "ndcg_cut_10", "ndcg", "map", "map_cut_5", "recall_5", "recall_100", "P_1", "P_10", "success_1",
            "success_5", "Rprec", "recip_rank"]
# With trec_eval behind them; ir_measures has other providers, which order ties and cut MRR differently.
IR_MEASURES = {"MRR": ir_measures.RR, "nDCG@5": ir_measures.nDCG @ 5, "MAP@10": ir_measures.AP @ 10, "Rprec": ir_measures.Rprec}


def one_run(rng: random.Random) -> dict:
    """Judgements and a run with ties, unjudged documents, missing and unknown queries, negative grades, equal single-precision scores."""
    documents = [f"{rng.choice(['d', 'D', 'doc-', 'é', '0'])}{number}" for number in range(rng.randint(3, 60))]
    queries = [f"q{number}" for number in range(rng.randint(1, 8))]
    grades = rng.choice([[0, 1], [0, 0, 1, 2, 3], [-1, 0, 1, 2], [0], [1, 5]])
    qrels, run = {}, {}
    for query in queries:
        judged = rng.sample(documents, rng.randint(1, min(12, len(documents))))
        qrels[query] = {document: rng.choice(grades) for document in judged}
        if rng.random() < 0.2:
            continue
        found = rng.sample(documents, rng.randint(1, min(25, len(documents))))
        scale = rng.choice([3, 10, 1000])
        run[query] = {}
        for document in found:
            score = rng.randint(-scale, scale) / 7
            if rng.random() < 0.3:
                score = 1 + rng.randint(0, 3) * 1e-9  # one number in single precision
            run[query][document] = score
    if rng.random() < 0.3:
        run["unknown"] = {documents[0]: 1.0}
    return {"qrels": qrels, "run": run}


def expect(case: dict) -> None:
    evaluator = pytrec_eval.RelevanceEvaluator(
        case["qrels"], {"ndcg_cut.1,3,10", "ndcg", "map", "map_cut.5", "recall.5,100", "P.1,10", "success.1,5", "Rprec", "recip_rank"})
    found = evaluator.evaluate(case["run"])
    case["expected"] = {query: [round(values[name], 9) for name in MEASURES] for query, values in found.items()}
    # ir_measures counts a query that the run doesn't answer as 0 when it averages.
    case["aggregate"] = {}
    if any(query in case["qrels"] for query in case["run"]):
        aggregate = ir_measures.pytrec_eval.calc_aggregate(IR_MEASURES.values(), case["qrels"], case["run"])
        case["aggregate"] = {name: round(aggregate[measure], 9) for name, measure in IR_MEASURES.items()}


def correlation(rng: random.Random) -> dict:
    count = rng.randint(2, 40)
    levels = rng.choice([2, 5, 1000])
    a = [rng.randint(0, levels) / 4 for _ in range(count)]
    b = [x + rng.gauss(0, 2) if rng.random() < 0.7 else rng.randint(0, levels) / 4 for x in a]
    constant = len(set(a)) == 1 or len(set(b)) == 1
    return {"a": a, "b": b, "pearson": None if constant else scipy.stats.pearsonr(a, b).statistic,
            "spearman": None if constant else scipy.stats.spearmanr(a, b).statistic}


def main() -> None:
    rng = random.Random(2)
    cases = [one_run(rng) for _ in range(200)]
    for case in cases:
        expect(case)
    versions = {name: importlib.metadata.version(name) for name in ["pytrec-eval-terrier", "ir-measures", "scipy"]}
    fixture = {"made_by": "scripts/make_metric_fixtures.py", "versions": versions, "measures": MEASURES, "cases": cases,
               "correlations": [correlation(rng) for _ in range(60)]}
    path = pathlib.Path(__file__).parents[1] / "crates/judge/eval/tests/fixtures/metrics.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")).encode(), mtime=0)
    path.write_bytes(packed)
    print(path, len(packed), "bytes")


if __name__ == "__main__":
    main()
