"""Training examples from labelled rows: whole answers, their sentences, and errors made on purpose."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evaluators.groundedness.pairs import ANSWER_EVIDENCE_WORDS, CLAIM_EVIDENCE_WORDS, make_pair
from evaluators.text import IndexedContext, Span, claims, sentences, words
from evaluators.training.corruption import Corruption, corrupt

_TOKENS = re.compile(r"\S+")

# How often a row is seen in a round: natural answers once, short image captions (SNLI) seldom.
ROUND_WEIGHT = {"snli_dev": 0.4, "snli_test": 0.4, "synthetic_corruption": 0.3, "fever_dev": 1.0, "fm2": 2.0}
NATURAL_WEIGHT = 1.0
# Of the corruptions, so many are of claims; the rest are of sentences of the documents.
CORRUPTED_CLAIMS = 0.45


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the data: `label` 1 means that the answer is not supported by the context."""

    source: str
    context: str
    question: str
    answer: str
    label: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """`unsupported` are characters of `text` known to be wrong; None means that it is not known which are."""

    premise: str
    text: str
    claim_start: int
    supported: bool
    unsupported: tuple[Span, ...] | None


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file, gzipped or not. Raises KeyError or json.JSONDecodeError on a malformed line."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [_row(json.loads(line)) for line in lines]


def _row(item: dict[str, Any]) -> Row:
    spans = tuple(Span(start, end) for start, end in item.get("spans") or ())
    return Row(item["source"], item["context"], item["question"], item["answer"], item["label"], spans)


def document_key(context: str) -> str:
    """The same for all rows about one document."""
    return hashlib.sha256(context[:300].encode()).hexdigest()


def is_held_out(row: Row, share: float) -> bool:
    """Whether the document is in the `share` kept for validation, decided by its hash."""
    return int(document_key(row.context)[:8], 16) / 0xFFFFFFFF < share


@lru_cache(maxsize=20_000)
def indexed(context: str) -> IndexedContext:
    return IndexedContext.of(context)


def _example(
    context: str, question: str, text: str, supported: bool, spans: Iterable[Span] | None, whole: bool
) -> Example:
    limit = ANSWER_EVIDENCE_WORDS if whole else CLAIM_EVIDENCE_WORDS
    pair = make_pair(indexed(context), question, text, limit)
    moved = None if spans is None else tuple(Span(s.start + pair.claim_start, s.end + pair.claim_start) for s in spans)
    return Example(pair.premise, pair.text, pair.claim_start, supported, () if supported else moved)


def changed(wrong: str, right: str) -> tuple[Span, ...]:
    """The characters of `wrong` that differ from `right`, by whole words."""
    cut = [[Span(m.start(), m.end()) for m in _TOKENS.finditer(text)] for text in (wrong, right)]
    left, other = ([span.of(text) for span in spans] for spans, text in zip(cut, (wrong, right), strict=True))
    matcher = difflib.SequenceMatcher(None, left, other, autojunk=False)
    spans = []
    for tag, start, end, _, _ in matcher.get_opcodes():
        if (tag in ("replace", "insert") and start < end) or tag == "delete":
            spans.append(Span(cut[0][start].start, cut[0][end - 1].end))
    return tuple(spans)


def natural_examples(rows: Sequence[Row]) -> dict[str, list[Example]]:
    """By source: every answer as a whole, and its sentences where their label is known."""
    found: dict[str, list[Example]] = defaultdict(list)
    by_document: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_document[row.source, row.context].append(row)
    for (source, _), group in by_document.items():
        right = _right_sentences(group)
        for row in group:
            found[source].extend(_of_row(row, right))
    return found


def _right_sentences(group: Sequence[Row]) -> set[str]:
    """Sentences known to be supported: those of a supported answer, and those that several edited copies of one
    summary share, since each copy has one error in a place of its own."""
    seen: dict[str, int] = defaultdict(int)
    for row in group:
        for text in {span.of(row.answer) for span in claims(row.answer)}:
            seen[text] += len(group) if not row.label else 1
    return {text for text, count in seen.items() if count >= max(2, min(len(group), 3))}


def _of_row(row: Row, right: set[str]) -> Iterator[Example]:
    parts = claims(row.answer)
    wrong = [span for span in parts if span.of(row.answer) not in right] if row.label else []
    spans: tuple[Span, ...] | None = row.spans or None
    if len(wrong) == 1 and right:
        text = wrong[0].of(row.answer)
        near = difflib.get_close_matches(text, sorted(right), n=1, cutoff=0.75)
        spans = (
            tuple(Span(s.start + wrong[0].start, s.end + wrong[0].start) for s in changed(text, near[0]))
            if near
            else None
        )
    yield _example(row.context, row.question, row.answer, not row.label, spans, whole=len(parts) > 1)
    if len(parts) < 2:
        return
    for part in parts:
        text = part.of(row.answer)
        if not row.label or text in right:
            yield _example(row.context, row.question, text, True, (), whole=False)
        elif len(wrong) == 1:
            inside = None if spans is None else [Span(s.start - part.start, s.end - part.start) for s in spans]
            yield _example(row.context, row.question, text, False, inside, whole=False)


def corrupted_claims(rows: Sequence[Row], count: int, rng: random.Random) -> Iterator[Example]:
    """Supported claims with one fact changed."""
    supported = [row for row in rows if not row.label and not row.source.startswith(("snli", "synthetic"))]
    for row in rng.choices(supported, k=count if supported else 0):
        span = rng.choice(claims(row.answer) or [Span(0, len(row.answer))])
        made = corrupt(span.of(row.answer), row.context[:20_000], rng)
        if made is not None:
            yield _example(row.context, row.question, made.text, False, [Span(made.start, made.end)], whole=False)


def corrupted_sentences(rows: Sequence[Row], count: int, rng: random.Random) -> Iterator[Example]:
    """A sentence of a document as claim, with one fact changed in the claim, in the document, in both or in neither.

    The change stands in the document as often as in the claim, so that nothing but a comparison of the two tells.
    """
    contexts = sorted({row.context for row in rows if not row.source.startswith("snli") and len(row.context) > 200})
    for context in rng.choices(contexts, k=count if contexts else 0):
        options = [span for span in sentences(context) if 6 <= len(words(span.of(context))) <= 45]
        if not options:
            continue
        span = rng.choice(options)
        original = span.of(context)
        made = corrupt(original, context[:20_000], rng)
        if made is None:
            continue
        # A slice of the document: the altered copies are not worth caching whole.
        start, end = max(0, span.start - 1_500), span.end + 1_500
        other = context[start : span.start] + made.text + context[span.end : end]
        was = Span(made.start, len(original) - (len(made.text) - made.end))
        yield from _variants(context[start:end], other, original, made, was, rng)


def _variants(
    context: str, altered: str, original: str, made: Corruption, was: Span, rng: random.Random
) -> Iterator[Example]:
    document, claim = rng.choice([(False, False), (False, True), (True, False), (True, True)])
    text = made.text if claim else original
    supported = document == claim
    spans = [Span(made.start, made.end) if claim else was]
    pair = make_pair(IndexedContext.of(altered if document else context), "", text, CLAIM_EVIDENCE_WORDS)
    unsupported = () if supported else tuple(span for span in spans if span.start < span.end)
    yield Example(pair.premise, pair.text, 0, supported, unsupported)


def training_round(
    rows: Sequence[Row], natural: dict[str, list[Example]], corruptions: int, rng: random.Random
) -> list[Example]:
    """One pass: every source by its weight, and `corruptions` made afresh."""
    chosen: list[Example] = []
    for source, examples in sorted(natural.items()):
        weight = ROUND_WEIGHT.get(source, NATURAL_WEIGHT)
        chosen.extend(examples * int(weight))
        chosen.extend(rng.sample(examples, int(len(examples) * (weight % 1))))
    of_claims = int(CORRUPTED_CLAIMS * corruptions)
    chosen.extend(corrupted_claims(rows, of_claims, rng))
    chosen.extend(corrupted_sentences(rows, corruptions - of_claims, rng))
    rng.shuffle(chosen)
    return chosen
