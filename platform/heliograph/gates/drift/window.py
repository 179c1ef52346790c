"""Both windows of a look, brought from the store once: the sampled spans, and what is worked out from their texts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast

from django.conf import settings
from numpy.typing import NDArray

from evaluators.drift.topics import topics
from evaluators.embedding import embed
from evaluators.judges.language import CONFIDENT, identify
from heliograph.query import drift_samples
from heliograph.query.drift_samples import Place, SampledSpan
from heliograph.query.filters import SpanFilter

# Embedded in seconds on a CPU; a change of a tenth of the traffic shows in far fewer.
MAX_TEXTS = 1_500

Side = Literal["input", "output"]


def device() -> str | None:
    """The device of the evaluators, None to choose one."""
    return None if settings.EVALUATOR_DEVICE == "auto" else settings.EVALUATOR_DEVICE


@dataclass(slots=True)
class Texts:
    """The texts of one side of one window: `rows` are the numbers of the spans that have one."""

    rows: list[int]
    texts: list[str]


@dataclass
class Window:
    """One window. Everything is in the order of `spans`."""

    project_id: int
    chosen: SpanFilter
    attributes: tuple[str, ...] = ()
    _texts: dict[str, Texts] = field(default_factory=dict)
    _scores: dict[str, dict[Place, float]] = field(default_factory=dict)
    _vectors: dict[str, NDArray[Any]] = field(default_factory=dict)

    @cached_property
    def spans(self) -> list[SampledSpan]:
        """Model calls, where the monitor's scope names no kind."""
        chosen = self.chosen if self.chosen.kind else replace(self.chosen, kind=("llm",))
        return drift_samples.sample(self.project_id, chosen, attributes=self.attributes)

    @cached_property
    def all_spans(self) -> list[SampledSpan]:
        """Spans of every kind."""
        return drift_samples.sample(self.project_id, self.chosen, attributes=self.attributes)

    def texts(self, side: Side) -> Texts:
        """The texts of the first MAX_TEXTS spans, which are as random as the others."""
        if side not in self._texts:
            given = [span.place for span in self.spans[:MAX_TEXTS]]
            found = drift_samples.texts(self.project_id, self.chosen.range, given, side)
            rows = [number for number, place in enumerate(given) if place in found]
            self._texts[side] = Texts(rows, [found[given[number]] for number in rows])
        return self._texts[side]

    def vectors(self, side: Side) -> NDArray[Any]:
        """The embeddings of `texts`."""
        if side not in self._vectors:
            model = settings.EMBEDDING_MODEL or None
            self._vectors[side] = embed(self.texts(side).texts, model=model, device=device())
        return self._vectors[side]

    def scores(self, name: str) -> dict[Place, float]:
        """The values of a score of the sampled spans."""
        if name not in self._scores:
            chosen = self.chosen if self.chosen.kind else replace(self.chosen, kind=("llm",))
            self._scores[name] = drift_samples.score_values(self.project_id, chosen, name)
        return self._scores[name]

    @cached_property
    def languages(self) -> dict[int, str]:
        """The language of the input by the number of the span, where it could be told."""
        found = {}
        for row, text in zip(self.texts("input").rows, self.texts("input").texts, strict=True):
            guess = identify(text)
            if guess and guess[1] >= CONFIDENT:
                found[row] = guess[0]
        return found


_NUMBERS: dict[str, Callable[[SampledSpan], float | None]] = {
    "latency": lambda span: span.duration_ns,
    "ttft": lambda span: span.ttft_ns,
    "input_tokens": lambda span: span.input_tokens,
    "output_tokens": lambda span: span.output_tokens,
    "cost": lambda span: span.cost,
}
_CATEGORIES: dict[str, Callable[[SampledSpan], str]] = {
    "finish_reason": lambda span: span.finish_reason,
    "status": lambda span: span.status,
    "model": lambda span: span.model,
    "kind": lambda span: span.kind,
    "tool": lambda span: span.tool,
}


def numbers(window: Window, name: str) -> dict[int, float]:
    """Return the values of a number by the number of the span."""
    if name in ("input_length", "output_length"):
        given = window.texts(cast("Side", name.removesuffix("_length")))
        return {row: float(len(text)) for row, text in zip(given.rows, given.texts, strict=True)}
    if name.startswith("score."):
        scores = window.scores(name.removeprefix("score."))
        found = {row: scores.get(span.place) for row, span in enumerate(window.spans)}
    else:
        found = {row: _NUMBERS[name](span) for row, span in enumerate(window.spans)}
    return {row: float(value) for row, value in found.items() if value is not None}


def categories(window: Window, name: str) -> dict[int, str]:
    """Return the values of a category by the number of the span; of `kind` and `tool`, of `all_spans`."""
    if name == "language":
        return window.languages
    spans = window.all_spans if name in ("kind", "tool") else window.spans
    found = {row: _CATEGORIES[name](span) for row, span in enumerate(spans)}
    return {row: value for row, value in found.items() if value}


def topics_of(reference: Window, current: Window) -> tuple[dict[int, str], dict[int, str]]:
    """Return the topic of every span with an input, by its number, in both windows."""
    sides = (reference, current)
    named = topics(
        reference.vectors("input"),
        current.vectors("input"),
        reference.texts("input").texts,
        current.texts("input").texts,
        device=device(),
    )
    found = [dict(zip(side.texts("input").rows, names, strict=True)) for side, names in zip(sides, named, strict=True)]
    return found[0], found[1]
