"""Fit the layer over the verifier: `python -m evaluators.training.calibrate --train PATH --dev PATH`.

Uses the development rows whose documents the adapters were not trained on, every source weighted the same. Printed and
written: figures for rows whose whole source was left out of the fit (and, where said, of the training too).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import optimize, special

from evaluators.batching import default_budget
from evaluators.calibration import metrics
from evaluators.calibration.threshold import best_threshold
from evaluators.devices import choose_device, choose_dtype
from evaluators.groundedness import offline
from evaluators.groundedness.adapted import load_adapted
from evaluators.groundedness.minilm import packaged_folder, packaged_tokenizer
from evaluators.models import Loaded
from evaluators.score import Sample
from evaluators.training.data import Row, document_key, is_held_out, read_rows

Floats = NDArray[np.float64]
FOR_SUPPORT = ("whole", "weakest", "mean", "nearest")
AGAINST = ("worst_token", "unseen_words", "unseen_pairs", "unseen_numbers", "worst_unseen")
FEATURES = (*FOR_SUPPORT, *AGAINST)
RIDGE = 1e-2


def group(source: str) -> str:
    """Domains of one benchmark count as one group, as in the figures to compare with."""
    return source.partition("_")[0] if source.startswith("summedits") else source


def trained_on(adapters: Path, train: Path, dev: Path) -> tuple[set[str], set[str]]:
    """Documents and sources that the adapters have seen, by the recipe in their header."""
    with safe_open(adapters, "pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    held = {row.context[:300] for row in read_rows(dev) if is_held_out(row, recipe["held_out_documents"])}
    seen = [
        row for row in read_rows(train) if row.source not in recipe["without_sources"] and row.context[:300] not in held
    ]
    return {row.context[:300] for row in seen}, {row.source for row in seen}


def measure(adapters: Path, rows: list[Row]) -> Floats:
    """`(rows, features)` of the answers."""
    device = choose_device("cpu")
    dtype = choose_dtype(device)
    model = load_adapted(packaged_folder(), adapters, dtype)
    loaded = Loaded(model, packaged_tokenizer(), offline.NAME, "", device, dtype)
    blank = offline.Calibration("", 0.0, {}, 0.5)
    backend = offline.backend_of(loaded, blank, default_budget(device))
    found = backend.features([Sample("", row.context, row.question, row.answer) for row in rows])
    return np.array([[item[name] for name in FEATURES] for item in found])


def fit(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Bias and weights of a logistic layer; every weight has the sign that its feature's meaning has, so that a layer
    fitted on few sources cannot learn that, say, unseen words speak for an answer."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = (x - mean) / scale

    def loss(parameters: Floats) -> float:
        logit = parameters[0] + z @ parameters[1:]
        return float((weight * (np.logaddexp(0, logit) - y * logit)).sum() / weight.sum()) + RIDGE * float(
            (parameters[1:] ** 2).sum()
        )

    bounds = [(None, None), *((0.0, None) if name in FOR_SUPPORT else (None, 0.0) for name in FEATURES)]
    found = optimize.minimize(loss, np.zeros(len(FEATURES) + 1), method="L-BFGS-B", bounds=bounds).x
    return np.concatenate([[found[0] - (found[1:] * mean / scale).sum()], found[1:] / scale])


def predicted(parameters: Floats, x: Floats) -> Floats:
    return np.asarray(special.expit(parameters[0] + x @ parameters[1:]))


def cross_fitted(x: Floats, y: Floats, weight: Floats, groups: NDArray[Any]) -> Floats:
    """Probability for each row from a layer fitted on all other groups (sources, or folds of documents)."""
    out = np.zeros(len(y))
    for name in np.unique(groups):
        out[groups == name] = predicted(
            fit(x[groups != name], y[groups != name], weight[groups != name]), x[groups == name]
        )
    return out


def summary(groups: list[str], y: Floats, probability: Floats, threshold: float) -> dict[str, float | int]:
    each = metrics.by_group(groups, y, probability)
    return {
        "rows": len(y),
        "auroc_pooled": round(metrics.auroc(y, probability), 4),
        "auroc_macro": round(float(np.mean(list(each.values()))), 4),
        "balanced_accuracy": round(metrics.balanced_accuracy(y, probability >= threshold), 4),
        "ece": round(metrics.expected_calibration_error(y, probability), 4),
        **{f"auroc_{name}": round(value, 4) for name, value in each.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluators.training.calibrate", description=__doc__)
    parser.add_argument("--adapters", type=Path, default=offline.ADAPTERS)
    parser.add_argument("--train", type=Path, required=True, help="rows that the adapters were trained on")
    parser.add_argument("--dev", type=Path, required=True, help="rows to fit the layer and the threshold on")
    parser.add_argument("--output", type=Path, default=offline.CALIBRATION)
    given = parser.parse_args()
    documents, sources = trained_on(given.adapters, given.train, given.dev)
    rows = [row for row in read_rows(given.dev) if row.context[:300] not in documents]
    with torch.inference_mode():
        x = measure(given.adapters, rows)
    y = np.array([1.0 - row.label for row in rows])
    groups = [group(row.source) for row in rows]
    names, counts = np.unique(groups, return_counts=True)
    # The root: a source of ten rows must not weigh as much as one of three hundred.
    weight = np.array([1 / np.sqrt(dict(zip(names, counts, strict=True))[name]) for name in groups])
    out_of_source = cross_fitted(x, y, weight, np.array(groups))
    folds = np.array([int(document_key(row.context)[:8], 16) % 10 for row in rows])
    out_of_document = cross_fitted(x, y, weight, folds)
    threshold = best_threshold(y, out_of_source)
    parameters = fit(x, y, weight)
    unseen = np.array([row.source not in sources for row in rows])
    digest = hashlib.sha256(given.dev.read_bytes()).hexdigest()[:8]
    written = {
        "id": f"dev-{digest}",
        "bias": parameters[0],
        "weights": dict(zip(FEATURES, parameters[1:].tolist(), strict=True)),
        "threshold": threshold,
        "figures": {
            "layer fitted on other sources": summary(groups, y, out_of_source, threshold),
            "layer fitted on other documents": summary(groups, y, out_of_document, threshold),
            "sources that the verifier was not trained on": summary(
                [name for name, kept in zip(groups, unseen, strict=True) if kept],
                y[unseen],
                out_of_source[unseen],
                threshold,
            ),
            "unseen words alone": summary(groups, y, 1 - x[:, FEATURES.index("unseen_words")], threshold),
            "verifier alone, whole answer": summary(groups, y, special.expit(x[:, 0]), 0.5),
        },
    }
    given.output.write_text(json.dumps(written, indent=1) + "\n")
    sys.stdout.write(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
