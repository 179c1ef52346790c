"""Families that judge a claim beside a passage: claims of the answer, windows of the context, how they combine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from evaluators.batching import Stats, run_batched
from evaluators.compiling import compiled
from evaluators.groundedness.lexical import overlaps
from evaluators.groundedness.verdict import AnswerVerdict, SentenceVerdict
from evaluators.models import Loaded
from evaluators.score import Sample
from evaluators.text import IndexedContext, Span, claims, joined, select_evidence, windows, words

# Tokens kept free for the claim, the prompt and special tokens when the context is cut into windows.
CLAIM_ROOM = 192
# Windows read for one claim. A context with more is narrowed to those that share most with the claim, so that the cost
# of a sentence is bounded; 32 windows of 2,000 tokens are a book chapter.
MAX_WINDOWS = 32
# Sentences named as the evidence within the window that decided.
EVIDENCE_SENTENCES = 3

Rendered = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of sentences of a context as one premise."""

    text: str
    sentences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Question:
    sample: int
    claim: int
    passage: Passage
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class _Answer:
    support: float
    passage: Passage
    cut: bool


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Samples with their contexts and claims, and every question about them with its tokens."""

    samples: Sequence[Sample]
    contexts: list[IndexedContext]
    parts: list[list[Span]]
    questions: list[_Question]
    rows: list[dict[str, list[int]]]


@dataclass(slots=True)
class ClaimBackend:
    """`render` makes a model's input of (premise, claim); `read` makes (n,) probabilities of support of its outputs.

    A sentence is as well supported as by the best window of the context (the maximum, as in SummaC, AlignScore and
    MiniCheck) or by the sentences picked from all windows for it; an answer as its weakest sentence.
    """

    family: str
    loaded: Loaded
    max_tokens: int
    render: Callable[[str, str], Rendered]
    read: Callable[[Any, dict[str, Tensor]], Tensor]
    batch_tokens: int
    threshold: float = 0.5
    stats: Stats = field(default_factory=Stats)

    @property
    def model(self) -> str:
        return self.loaded.name

    @property
    def revision(self) -> str:
        return self.loaded.revision

    def compile(self) -> None:
        self.loaded = compiled(self.loaded)

    def prepare(self, samples: Sequence[Sample]) -> _Prepared:
        contexts = [IndexedContext.of(sample.context) for sample in samples]
        parts = [claims(sample.answer) for sample in samples]
        questions = [
            _Question(at, index, passage, self.render(passage.text, span.of(sample.answer)))
            for at, sample in enumerate(samples)
            for passages in [self.passages(contexts[at])]
            for index, span in enumerate(parts[at])
            for passage in self.chosen(contexts[at], passages, span.of(sample.answer))
        ]
        return _Prepared(samples, contexts, parts, questions, self._tokenize([item.rendered for item in questions]))

    def judge(self, prepared: _Prepared) -> list[AnswerVerdict]:
        lengths = [min(len(row["input_ids"]), self.max_tokens) for row in prepared.rows]
        supports = run_batched(prepared.rows, lengths, self._compute, self.batch_tokens, self.stats)
        answers: list[list[list[_Answer]]] = [[[] for _ in found] for found in prepared.parts]
        for item, support, row in zip(prepared.questions, supports, prepared.rows, strict=True):
            found = _Answer(support, item.passage, len(row["input_ids"]) > self.max_tokens)
            answers[item.sample][item.claim].append(found)
        return [
            self._verdict(sample, context, spans, found)
            for sample, context, spans, found in zip(
                prepared.samples, prepared.contexts, prepared.parts, answers, strict=True
            )
        ]

    def passages(self, context: IndexedContext) -> list[Passage]:
        """The context in windows that leave room for a claim, each overlapping the next by a quarter."""
        texts = [span.of(context.text) for span in context.spans]
        counted = self.loaded.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        sizes = {span: len(ids) for span, ids in zip(context.spans, counted, strict=True)}
        runs = windows(context.spans, lambda span: sizes[span], max(32, self.max_tokens - CLAIM_ROOM))
        return [
            Passage(context.text[context.spans[first].start : context.spans[last - 1].end], tuple(range(first, last)))
            for first, last in runs
        ]

    def chosen(self, context: IndexedContext, passages: list[Passage], claim: str) -> list[Passage]:
        """The windows to read for a claim, and last, where there are several, the best sentences of all of them."""
        if len(passages) == 1:
            return passages
        weights = overlaps(context, claim)
        ranked = sorted(passages, key=lambda item: -sum(weights[index] for index in item.sentences))[:MAX_WINDOWS]
        # Half the room, counted in words, so that the picked sentences fit even where a word is two tokens.
        picked = select_evidence(context, claim, max(24, (self.max_tokens - CLAIM_ROOM) // 2))
        return [*ranked, Passage(joined(context, picked), tuple(picked))]

    def _tokenize(self, texts: Sequence[Rendered]) -> list[dict[str, list[int]]]:
        """What the tokenizer says its model reads (ids, mask, segments where it has them), a dictionary a text."""
        if not texts:
            return []
        if isinstance(texts[0], str):
            encoded = self.loaded.tokenizer(list(texts))
        else:
            encoded = self.loaded.tokenizer([text[0] for text in texts], [text[1] for text in texts])
        names = list(encoded)
        return [dict(zip(names, row, strict=True)) for row in zip(*(encoded[name] for name in names), strict=True)]

    @torch.inference_mode()
    def _compute(self, batch: list[dict[str, list[int]]], length: int) -> list[float]:
        pad = self.loaded.tokenizer.pad_token_id or 0
        inputs = {
            name: torch.tensor(
                [(row[name] + [pad if name == "input_ids" else 0] * length)[:length] for row in batch],
                device=self.loaded.device,
            )
            for name in batch[0]
        }
        return [float(value) for value in self.read(self.loaded.model, inputs).float().cpu()]

    def _verdict(
        self, sample: Sample, context: IndexedContext, spans: list[Span], found: list[list[_Answer]]
    ) -> AnswerVerdict:
        sentences, cut = [], None
        for span, candidates in zip(spans, found, strict=True):
            best = max(candidates, key=lambda item: item.support)
            text = span.of(sample.answer)
            if any(item.cut for item in candidates):
                cut = f"a sentence of {len(words(text))} words beside its evidence exceeds {self.max_tokens} tokens"
            sentences.append(SentenceVerdict(span, best.support, _evidence(context, best.passage, text)))
        return AnswerVerdict(min(item.probability for item in sentences), tuple(sentences), cut=cut)


def _evidence(context: IndexedContext, passage: Passage, claim: str) -> tuple[Span, ...]:
    """The sentences of the deciding passage that share most with the claim, in reading order."""
    weights = overlaps(context, claim)
    best = sorted(passage.sentences, key=lambda index: -weights[index])[:EVIDENCE_SENTENCES]
    kept = [index for index in best if weights[index] > 0] or best[:1]
    return tuple(context.spans[index] for index in sorted(kept))


def two_class(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Probability of class 1 of a two-class head."""
    return torch.softmax(model(**inputs).logits.float(), dim=-1)[:, 1]
