"""Score a file of samples, chunk by chunk, with progress, and go on past a line that cannot be used."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from evaluators import registry
from evaluators.errors import UsageError
from evaluators.jsonl import read_lines, to_json
from evaluators.parallel import Usage, score_by_processes, score_here
from evaluators.score import Sample, Score

# Enough for a scorer to sort by length and fill its batches, few enough to show progress and bound memory.
CHUNK = 512
TEXTS = ("context", "question", "answer")
Scored = Iterator[tuple[list[Sample], list[Score]]]


def command(options: argparse.Namespace) -> int:
    """`score`: 0, or 1 when a line was skipped; raises UsageError for an unknown evaluator or setting."""
    named = ("model", "device", "batch_tokens", "compile_model")
    settings = {name: value for name in named if (value := getattr(options, name)) is not None}
    for item in options.set:
        key, separator, text = item.partition("=")
        if not separator:
            raise UsageError(f"--set takes KEY=VALUE, got {item!r}")
        settings[key.replace("-", "_")] = _value(text)
    devices = (options.device or "").split(",")
    if len(devices) > 1:
        usage = Usage(len(devices))
        shared = {name: value for name, value in settings.items() if name != "device"}
        return _run(options, partial(score_by_processes, options.name, shared, devices), usage)
    usage = Usage(1)
    try:
        scorer = registry.create(options.name, **settings)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    code = _run(options, partial(score_here, scorer), usage)
    # Asked by name: importing Stats imports torch, which a scorer without a model need not wait for.
    if stats := getattr(scorer, "stats", None):
        sys.stderr.write(f"{stats.report()}\n")
    return code


def _run(options: argparse.Namespace, scored: Callable[[Iterable[list[Sample]], Usage], Scored], usage: Usage) -> int:
    try:
        skipped = score_file(options.name, scored, options.input, options.output, sys.stderr, usage)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
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


def score_file(
    name: str,
    scored: Callable[[Iterable[list[Sample]], Usage], Scored],
    source: Path,
    target: Path,
    messages: IO[str],
    usage: Usage,
) -> int:
    """Score every line of `source` into `target` in its order; returns the number of lines skipped.

    Each skipped line is named on `messages` with its number and fault; the progress bar goes there too.
    """
    if target.exists() and target.samefile(source):
        raise OSError(f"the output would overwrite the input {source}")
    faults: list[str] = []
    count = 0
    with (
        target.open("w", encoding="utf-8") as out,
        tqdm(desc=name, unit=" samples", file=messages, mininterval=0.5) as progress,
    ):

        def skip(fault: str) -> None:
            faults.append(fault)
            progress.write(f"{source}, {fault}; skipped", file=messages)

        for chunk, scores in scored(_chunks(source, skip), usage):
            _write(chunk, scores, out)
            count += len(chunk)
            progress.update(len(chunk))
    messages.write(f"{count} scored, {len(faults)} skipped; {usage.devices} device(s) {usage.busy_share:.0%} busy")
    messages.write(f", at most {usage.longest_queue} chunks waiting\n" if usage.devices > 1 else "\n")
    return len(faults)


def _chunks(source: Path, skip: Callable[[str], None]) -> Iterator[list[Sample]]:
    """The samples of a file, CHUNK at a time; a line that is none is handed to `skip`."""
    chunk: list[Sample] = []
    for number, row in read_lines(source):
        try:
            if isinstance(row, ValueError):
                raise row
            chunk.append(sample_of(row))
        except ValueError as error:
            skip(f"line {number}: {error}")
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _write(chunk: Sequence[Sample], scores: Sequence[Score], out: IO[str]) -> None:
    for sample, score in zip(chunk, scores, strict=True):
        row = {
            "id": sample.id,
            "value": score.value,
            "label": score.label,
            "explanation": score.explanation,
            "details": score.details,
        }
        out.write(to_json(row) + "\n")
    out.flush()
