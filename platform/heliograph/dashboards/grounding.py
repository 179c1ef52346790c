"""The verdict on an answer sentence by sentence, each with the words of the documents that decided it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.query.evaluation import EvaluationSpan, Watermark, spans_to_evaluate
from heliograph.query.filters import from_ns
from heliograph.query.messages import text_of
from heliograph.query.scores import Score
from heliograph.query.spans import SpanDetail

NAME = "groundedness"
# The scorer reads answers of up to 50,000 characters; a page shows so many sentences, and so much evidence for each.
MAX_SENTENCES, MAX_EVIDENCE = 200, 6
# The scorer joins the documents with this; the offsets of the evidence count it.
SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the answer, whether it is supported, how probable that is, and quotes of the documents."""

    text: str
    is_supported: bool
    probability: float
    evidence: tuple[str, ...]


def sentences(span: SpanDetail, given: Sequence[Score]) -> tuple[Sentence, ...]:
    """Return the judged sentences of a span's answer, without evidence; nothing where no verdict names sentences."""
    return _sentences(given, text_of(span.output), "")


def sentences_with_evidence(project_id: int, span: SpanDetail, given: Sequence[Score]) -> tuple[Sentence, ...]:
    """Return the same with quotes of the documents, which have to be read from the store."""
    read = _as_judged(project_id, span)
    if read is None:
        return sentences(span, given)
    return _sentences(given, read.answer, SEPARATOR.join(document.content for document in read.documents))


def _sentences(given: Sequence[Score], answer: str, context: str) -> tuple[Sentence, ...]:
    judged = next((entries for score in given if score.name == NAME and (entries := _entries(score))), [])
    found = (_sentence(entry, answer, context) for entry in judged[:MAX_SENTENCES])
    return tuple(sentence for sentence in found if sentence is not None)


def _entries(score: Score) -> list[Any]:
    try:
        details = json.loads(score.details or "{}")
    except ValueError:
        return []  # anybody may send a score by the API, with whatever details
    entries = details.get("sentences") if isinstance(details, dict) else None
    return entries if isinstance(entries, list) else []


def _as_judged(project_id: int, span: SpanDetail) -> EvaluationSpan | None:
    """Read the span as the evaluator did, so that its offsets fit: the next one after the place before it."""
    received_us = round(span.received_at.timestamp() * 1_000_000)
    before = Watermark(received_us, span.trace_id, f"{int(span.span_id, 16) - 1:016x}")
    found = spans_to_evaluate(project_id, before, from_ns((received_us + 1) * 1_000), limit=1)
    return next((read for read in found if read.span_id == span.span_id), None)


def _sentence(entry: object, answer: str, context: str) -> Sentence | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("probability"), int | float):
        return None
    evidence = entry.get("evidence")
    quotes = [_cut(span, context) for span in evidence[:MAX_EVIDENCE]] if isinstance(evidence, list) else []
    text = _cut(entry, answer)
    is_supported = entry.get("verdict") == "grounded"
    return Sentence(text, is_supported, entry["probability"], tuple(filter(None, quotes))) if text else None


def _cut(span: object, text: str) -> str:
    start, end = (span.get("start"), span.get("end")) if isinstance(span, dict) else (None, None)
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(text):
        return ""
    return text[start:end].strip()
