"""How right the other judges are: personal data by type, toxicity, error rates of transcriptions.

    python -m benchmarks.judges [--pii pii.jsonl.gz] [--toxicity toxicity.jsonl.gz] [--ocr pairs.jsonl]
        [--presidio PIPELINE]

PII lines hold {text, spans: [[start, end, type]]}, toxicity lines {text, label}, OCR lines {reference, hypothesis,
cer_nfc, wer_nfc}. `--presidio` adds Presidio with that installed spaCy pipeline ("patterns" for none); its LOCATION
counts as GPE. Ratios are of CPU seconds in the same run. The tagger of names and the head of toxicity were trained on
the project's development data: on those, evaluators/judges/train_names.py and train_toxicity.py print cross-validated
figures.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluators import registry
from evaluators.judges.train_names import span_scores
from evaluators.judges.train_toxicity import auroc
from evaluators.score import Sample
from personal_data.pii import Found

ALIKE = {"LOCATION": "GPE", "URL": "DOMAIN_NAME"}


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, gzipped or not."""
    raw = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()]


def scored(name: str, texts: Sequence[str], **settings: Any) -> tuple[list[Any], float]:
    """The scores of texts as answers, and the CPU seconds they took once the judge had been loaded."""
    scorer = registry.create(name, **settings)
    samples = [Sample(str(index), "", "", text) for index, text in enumerate(texts)]
    scorer.score(samples[:1])
    start = time.process_time()
    return scorer.score(samples), time.process_time() - start


def show_pii(path: Path, pipeline: str | None) -> None:
    rows = read(path)
    texts, wanted = [row["text"] for row in rows], [row["spans"] for row in rows]
    methods: dict[str, dict[str, Any]] = {"patterns": {"names": False}, "default": {}}
    if pipeline:
        methods[f"Presidio {pipeline}"] = {"names": False, "presidio": pipeline}
    found, cost = {}, {}
    for name, settings in methods.items():
        scores, cost[name] = scored("pii", texts, **settings)
        spans = [[Found(a, b, ALIKE.get(kind, kind)) for a, b, kind in score.details["spans"]] for score in scores]
        found[name] = span_scores(spans, wanted)
    print(f"personal data: F1 of exact spans, {len(rows)} texts")
    print(f"  {'type':20}{'spans':>6}" + "".join(f"{name:>28}" for name in found))
    for kind in sorted({kind for scores in found.values() for kind in scores}):
        cells = [found[name].get(kind, (0, 0.0, 0.0, 0.0)) for name in found]
        print(f"  {kind:20}{max(cell[0] for cell in cells):>6}" + "".join(f"{cell[3]:>28.3f}" for cell in cells))
    print("  CPU seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in cost.items()))


def show_toxicity(path: Path) -> None:
    rows = read(path)
    labels = np.array([float(row["label"]) for row in rows])
    print(f"toxicity: AUROC, {len(rows)} texts")
    for method in ("words", "head"):
        scores, cpu = scored("toxicity", [row["text"] for row in rows], method=method)
        print(f"  {method:8} {auroc(np.array([score.value for score in scores]), labels):.3f}, {cpu:.2f} CPU-s")


def show_ocr(path: Path) -> None:
    print("transcriptions: error rate, and how far from the stored one")
    for row in read(path):
        for metric in ("cer", "wer"):
            sample = Sample("1", "", "", row["hypothesis"], {"expected": row["reference"]})
            scorer = registry.create("ocr", metric=metric)
            scorer.score([sample])
            start = time.process_time()
            value = scorer.score([sample])[0].value
            cpu = time.process_time() - start
            gap = abs(value - row[f"{metric}_nfc"])
            print(
                f"  {metric} {value:.4f}, off by {gap:.1e}, {len(row['reference'])} characters in {1000 * cpu:.1f} ms"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("pii", "toxicity", "ocr"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--presidio", metavar="PIPELINE")
    given = parser.parse_args()
    if given.pii:
        show_pii(given.pii, given.presidio)
    if given.toxicity:
        show_toxicity(given.toxicity)
    if given.ocr:
        show_ocr(given.ocr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
