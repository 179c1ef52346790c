"""Groundedness: how right, how honest, how fast, how large, beside baselines in the same run.

    python benchmarks/evaluators.py --data dev.jsonl [--train train.jsonl.gz] [--limit 400] [--model ID ...]

`--data` holds JSON lines {context, question, answer, label, source}, label 1 for an unsupported answer. With `--train`,
rows about documents that the offline default was trained on are left out. Baselines: every answer grounded; the share
of unseen words; sentence-transformers' CrossEncoder (where installed) reading the same pairs with the same weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import BertForSequenceClassification

# Run as a script, this file's own folder comes first and this file would be what `import evaluators` finds.
sys.path.insert(0, str(Path(__file__).parents[1]))

from evaluators.calibration import metrics
from evaluators.groundedness import groundedness, offline
from evaluators.groundedness.lexical import Vocabulary
from evaluators.groundedness.minilm import MAX_TOKENS, packaged_folder, packaged_tokenizer
from evaluators.groundedness.offline import OfflineBackend, plan
from evaluators.groundedness.scorer import GroundednessScorer
from evaluators.score import Sample
from evaluators.training.calibrate import group, trained_on
from evaluators.training.data import Row, read_rows

if importlib.util.find_spec("sentence_transformers"):
    from sentence_transformers import CrossEncoder
else:
    CrossEncoder = None  # type: ignore[misc]  # a peer to compare with, not a dependency


@dataclass(frozen=True)
class Line:
    """What one method reached."""

    name: str
    scores: list[float]
    threshold: float
    cpu_s: float
    wall_s: float
    pairs: int

    def report(self, rows: Sequence[Row], base_s: float) -> str:
        truth = np.array([1 - row.label for row in rows])
        values = np.array(self.scores)
        each = metrics.by_group([group(row.source) for row in rows], truth, values)
        said = values >= self.threshold
        rates = f"{said[truth == 1].mean():.3f}  {(~said[truth == 0]).mean():.3f}"
        return (
            f"{self.name:34} {metrics.auroc(truth, values):.3f}   {np.mean(list(each.values())):.3f}  "
            f"{metrics.balanced_accuracy(truth, said):.3f}   {rates}  "
            f"{metrics.expected_calibration_error(truth, values):.3f}  {self.pairs / self.cpu_s:9.1f}  "
            f"{self.cpu_s / base_s:7.2f}"
        )


def timed(name: str, threshold: float, pairs: int, run: Callable[[], list[float]]) -> Line:
    cpu, wall = time.process_time(), time.perf_counter()
    scores = run()
    return Line(name, scores, threshold, time.process_time() - cpu, time.perf_counter() - wall, pairs)


def lexical(samples: Sequence[Sample]) -> list[float]:
    return [1 - Vocabulary(sample.context).compare(sample.answer).unseen_words for sample in samples]


def cross_encoder(backend: OfflineBackend, folder: Path) -> object:
    """The default's verifier, merged, in the layout that sentence-transformers loads."""
    trained = backend.loaded.model
    plain = BertForSequenceClassification.from_pretrained(packaged_folder(), num_labels=1)
    assert plain.bert.pooler is not None
    weights = {name: tensor for name, tensor in trained.encoder.state_dict().items() if not name.startswith("pooler")}
    plain.bert.load_state_dict(weights, strict=False)
    with torch.no_grad():
        for own, other in (
            (plain.bert.pooler.dense, trained.pooler),
            (plain.classifier, trained.pair_head),
        ):
            own.weight.copy_(other.weight)
            own.bias.copy_(other.bias)
    plain.save_pretrained(folder)
    packaged_tokenizer().save_pretrained(folder)
    return CrossEncoder(str(folder), max_length=MAX_TOKENS, device="cpu", activation_fn=nn.Sigmoid())


def peer(samples: Sequence[Sample], model: object) -> list[float]:
    """What CrossEncoder says of the same pairs; an answer as its weakest pair."""
    plans = [plan(sample) for sample in samples]
    pairs = [(pair.premise, pair.text) for item in plans for pair in item.pairs]
    scores = iter(model.predict(pairs, batch_size=32, show_progress_bar=False))  # type: ignore[attr-defined]  # a CrossEncoder
    return [min(float(next(scores)) for _ in item.pairs) for item in plans]


def values_of(scorer: GroundednessScorer, samples: Sequence[Sample]) -> list[float]:
    """What the scorer says; what it does not judge counts as undecided."""
    return [0.5 if score.value is None else score.value for score in scorer(samples)]


def repeatability(samples: Sequence[Sample]) -> str:
    """The largest difference between the score of a sample alone and among others."""
    scorer = groundedness(device="cpu")
    together = [score.value for score in scorer(samples)]
    alone = [scorer([sample])[0].value for sample in samples]
    gap = max(abs(a - b) for a, b in zip(together, alone, strict=True) if a is not None and b is not None)
    return f"same sample alone and in a batch: largest difference {gap:.1e} over {len(samples)} samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train", type=Path, help="leave out rows about documents of these training rows")
    parser.add_argument("--limit", type=int, help="at most so many rows, spread over the file")
    parser.add_argument("--model", nargs="*", default=[], help="more models, by folder or Hugging Face id")
    given = parser.parse_args()
    rows = read_rows(given.data)
    if given.train:
        documents, _ = trained_on(offline.ADAPTERS, given.train, given.data)
        rows = [row for row in rows if row.context[:300] not in documents]
    if given.limit and len(rows) > given.limit:
        rows = rows[:: -(-len(rows) // given.limit)]
    samples = [Sample(str(index), row.context, row.question, row.answer) for index, row in enumerate(rows)]
    pairs = sum(len(plan(sample).pairs) for sample in samples)
    scorer = groundedness(device="cpu")
    backend = scorer.backend
    assert isinstance(backend, OfflineBackend)
    scorer(samples[:8])
    lines = [
        timed("all grounded", 0.5, len(rows), lambda: [1.0] * len(rows)),
        timed("share of words seen", 0.85, len(rows), lambda: lexical(samples)),
    ]

    label = f"offline default ({str(backend.loaded.dtype).removeprefix('torch.')})"
    lines.append(timed(label, scorer.threshold, pairs, partial(values_of, scorer, samples)))
    base = lines[-1].cpu_s
    if CrossEncoder is not None:
        with tempfile.TemporaryDirectory() as folder:
            model = cross_encoder(backend, Path(folder))
            lines.append(timed("CrossEncoder, same weights (fp32)", 0.5, pairs, lambda: peer(samples, model)))
    for name in given.model:
        other = groundedness(name)
        lines.append(timed(name, other.threshold, pairs, partial(values_of, other, samples)))
    print(f"{len(rows)} answers, {pairs} pairs, {torch.get_num_threads()} threads")
    print(f"{'':34} AUROC   macro  bal.acc  TPR    TNR    ECE    pairs/CPU-s  CPU x")
    for line in lines:
        print(line.report(rows, base))
    stats = scorer.stats
    print(f"offline default: padding waste {stats.padding_waste:.1%}, {stats.pairs_per_second:.0f} pairs/s wall")
    print(repeatability(samples[:60]))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
