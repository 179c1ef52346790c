"""LettuceDetect and TinyLettuce (Kovács and Recski, arXiv 2502.17125): a token classifier over context, question and
answer that marks the unsupported tokens of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import AutoModelForTokenClassification

from evaluators.batching import Stats, run_batched
from evaluators.compiling import compiled
from evaluators.groundedness.claims import EVIDENCE_SENTENCES, MAX_WINDOWS
from evaluators.groundedness.lexical import overlaps
from evaluators.groundedness.verdict import AnswerVerdict, SentenceVerdict
from evaluators.models import CACHE, Loaded, load_pretrained, positions
from evaluators.score import Sample
from evaluators.text import IndexedContext, Span, claims, windows

# The length its authors trained with; the encoder itself would take 8,192.
TOKENS = 4096
# Tokens of the instruction around question and context, and the special ones.
PROMPT_ROOM = 96
# The instructions of RAGTruth, on whose answers the models were trained.
_QUESTION = (
    "Briefly answer the following question:\n{question}\nBear in mind that your response should be strictly based on "
    "the following {count} passages:\n{context}\nIn case the passages do not contain the necessary information to "
    'answer the question, please reply with: "Unable to answer based on given passages."\noutput:'
)
_SUMMARY = "Summarize the following text:\n{context}\noutput:"


def render(context: str, question: str) -> str:
    if not question.strip():
        return _SUMMARY.format(context=context)
    return _QUESTION.format(question=question.strip(), count=1, context=f"passage 1: {context}")


@dataclass(frozen=True, slots=True)
class _Input:
    """A tokenized prompt and answer, with the answer's tokens: their places, and their characters in the answer."""

    ids: list[int]
    segments: list[int] | None
    places: list[int]
    offsets: list[Span]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Samples with their contexts, and the inputs of each, one a window."""

    samples: Sequence[Sample]
    contexts: list[IndexedContext]
    inputs: list[list[_Input]]


@dataclass(slots=True)
class TokenBackend:
    """A token is unsupported if no window of the context supports it; a sentence or answer is as sound as its worst
    token. (The authors' own code takes the worst window instead, which marks every answer drawn from two of them.)"""

    loaded: Loaded
    max_tokens: int
    batch_tokens: int
    family: str = "lettucedect"
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
        inputs = [self._inputs(sample, context) for sample, context in zip(samples, contexts, strict=True)]
        return _Prepared(samples, contexts, inputs)

    def judge(self, prepared: _Prepared) -> list[AnswerVerdict]:
        flat = [item for group in prepared.inputs for item in group]
        lengths = [min(len(item.ids), self.max_tokens) for item in flat]
        found = iter(run_batched(flat, lengths, self._compute, self.batch_tokens, self.stats))
        return [
            self._verdict(sample, context, group, [next(found) for _ in group])
            for sample, context, group in zip(prepared.samples, prepared.contexts, prepared.inputs, strict=True)
        ]

    def _inputs(self, sample: Sample, context: IndexedContext) -> list[_Input]:
        count = self.loaded.tokenizer
        texts = [span.of(sample.context) for span in context.spans]
        sizes = [len(ids) for ids in count(texts, add_special_tokens=False)["input_ids"]]
        by_span = dict(zip(context.spans, sizes, strict=True))
        used = len(count(sample.answer)["input_ids"]) + len(count(sample.question)["input_ids"]) + PROMPT_ROOM
        room = max(32, self.max_tokens - used)
        runs = windows(context.spans, lambda span: by_span[span], room)
        if len(runs) > MAX_WINDOWS:
            weights = overlaps(context, sample.answer)
            runs = sorted(sorted(runs, key=lambda run: -sum(weights[run[0] : run[1]]))[:MAX_WINDOWS])
        parts = [sample.context[context.spans[first].start : context.spans[last - 1].end] for first, last in runs]
        return [self._input(render(part, sample.question), sample.answer) for part in parts]

    def _input(self, prompt: str, answer: str) -> _Input:
        encoded = self.loaded.tokenizer(prompt, answer, return_offsets_mapping=True)
        places = [
            place
            for place, (text, (start, end)) in enumerate(
                zip(encoded.sequence_ids(0), encoded["offset_mapping"], strict=True)
            )
            if text == 1 and end > start
        ]
        offsets = [Span(*encoded["offset_mapping"][place]) for place in places]
        return _Input(encoded["input_ids"], encoded.get("token_type_ids"), places, offsets)

    @torch.inference_mode()
    def _compute(self, batch: list[_Input], length: int) -> list[list[float]]:
        pad = self.loaded.tokenizer.pad_token_id or 0
        device = self.loaded.device
        ids = [(item.ids + [pad] * length)[:length] for item in batch]
        mask = [([1] * len(item.ids) + [0] * length)[:length] for item in batch]
        inputs = {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
        if batch[0].segments is not None:
            segments = [((item.segments or []) + [0] * length)[:length] for item in batch]
            inputs["token_type_ids"] = torch.tensor(segments, device=device)
        probabilities = torch.softmax(self.loaded.model(**inputs).logits.float(), dim=-1)[..., 1].cpu()
        return [
            [float(row[place]) for place in item.places if place < length]
            for item, row in zip(batch, probabilities, strict=True)
        ]

    def _verdict(
        self, sample: Sample, context: IndexedContext, inputs: list[_Input], found: list[list[float]]
    ) -> AnswerVerdict:
        if any(len(item.ids) > self.max_tokens for item in inputs):
            return AnswerVerdict(0.0, (), cut=f"answer and question fill the model's {self.max_tokens} tokens")
        tokens = inputs[0].offsets
        wrong = [min(values) for values in zip(*found, strict=True)]
        sentences = tuple(
            SentenceVerdict(span, 1 - _worst(span, tokens, wrong), _evidence(context, span.of(sample.answer)))
            for span in claims(sample.answer)
        )
        return AnswerVerdict(1 - max(wrong), sentences, spans_of(sample.answer, tokens, wrong, 1 - self.threshold))


def _worst(span: Span, tokens: Sequence[Span], wrong: Sequence[float]) -> float:
    inside = [value for token, value in zip(tokens, wrong, strict=True) if span.start < token.end <= span.end]
    return max(inside, default=0.0)


def spans_of(answer: str, tokens: Sequence[Span], wrong: Sequence[float], limit: float) -> tuple[Span, ...]:
    """Neighbouring tokens above `limit` as spans of the answer; only white space may stand between two of them."""
    found: list[Span] = []
    for token, probability in zip(tokens, wrong, strict=True):
        if probability <= limit:
            continue
        if found and not answer[found[-1].end : token.start].strip():
            found[-1] = Span(found[-1].start, token.end)
        else:
            found.append(token)
    return tuple(Span(span.start + _leading(span.of(answer)), span.end) for span in found)


def _leading(text: str) -> int:
    return len(text) - len(text.lstrip())


def _evidence(context: IndexedContext, text: str) -> tuple[Span, ...]:
    weights = overlaps(context, text)
    best = sorted(range(len(weights)), key=lambda index: -weights[index])[:EVIDENCE_SENTENCES]
    return tuple(context.spans[index] for index in sorted(best) if weights[index] > 0)


def load(model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> TokenBackend:
    """Raises ModelError and its kinds."""
    loaded = CACHE.get(
        (model, device, dtype), lambda: load_pretrained(model, AutoModelForTokenClassification, device, dtype)
    )
    return TokenBackend(loaded, min(TOKENS, positions(loaded)), batch_tokens)
