"""Score a file of samples, chunk by chunk, with progress, and go on past a line that cannot be used."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from evaluators import registry
from evaluators.errors import UsageError
from evaluators.jsonl import read_lines, to_json
from evaluators.score import Sample, Scorer

# Enough for a scorer to sort by length and fill its batches, few enough to show progress and bound memory.
CHUNK = 512
TEXTS = ("context", "question", "answer")


def command(options: argparse.Namespace) -> int:
    """`score`: 0, or 1 when a line was skipped; raises UsageError for an unknown evaluator or setting."""
    settings = {
        name: value for name in ("model", "device", "batch_tokens") if (value := getattr(options, name)) is not None
    }
    for item in options.set:
        key, separator, text = item.partition("=")
        if not separator:
            raise UsageError(f"--set takes KEY=VALUE, got {item!r}")
        settings[key.replace("-", "_")] = _value(text)
    try:
        scorer = registry.create(options.name, **settings)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    skipped = score_file(scorer, options.input, options.output, sys.stderr)
    return 1 if skipped else 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def sample_of(row: Mapping[str, Any]) -> Sample:
    """The sample in one input object; other keys go to `extra`.

    `id` may be a string or a whole number; a text that is absent or null is empty; a context may be a list of texts.
    Raises ValueError when there is no id or a text is something else.
    """
    key = row.get("id")
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ValueError("no id" if key is None else f"id must be a string or a whole number, got {key!r}")
    texts = {name: _text(row.get(name), name) for name in TEXTS}
    extra = {name: value for name, value in row.items() if name not in TEXTS and name != "id"}
    if isinstance(row.get("context"), list):
        extra.setdefault("contexts", row["context"])
    return Sample(id=str(key), extra=extra, **texts)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if name == "context" and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {type(value).__name__}")
    return value


def score_file(scorer: Scorer, source: Path, target: Path, messages: IO[str]) -> int:
    """Score every line of `source` into `target` in its order; returns the number of lines skipped.

    Each skipped line is named on `messages` with its number and fault; the progress bar goes there too.
    """
    if target.exists() and target.samefile(source):
        raise OSError(f"the output would overwrite the input {source}")
    skipped = scored = 0
    chunk: list[Sample] = []
    with (
        target.open("w", encoding="utf-8") as out,
        tqdm(desc=scorer.name, unit=" samples", file=messages, mininterval=0.5) as progress,
    ):
        for number, row in read_lines(source):
            try:
                if isinstance(row, ValueError):
                    raise row
                chunk.append(sample_of(row))
            except ValueError as error:
                skipped += 1
                progress.write(f"{source}, line {number}: {error}; skipped", file=messages)
            if len(chunk) == CHUNK:
                scored += _write(scorer, chunk, out, progress)
                chunk = []
        if chunk:
            scored += _write(scorer, chunk, out, progress)
    messages.write(f"{scored} scored, {skipped} skipped\n")
    return skipped


def _write(scorer: Scorer, chunk: list[Sample], out: IO[str], progress: tqdm[Any]) -> int:
    for sample, score in zip(chunk, scorer.score(chunk), strict=True):
        row = {
            "id": sample.id,
            "value": score.value,
            "label": score.label,
            "explanation": score.explanation,
            "details": score.details,
        }
        out.write(to_json(row) + "\n")
    out.flush()
    progress.update(len(chunk))
    return len(chunk)
