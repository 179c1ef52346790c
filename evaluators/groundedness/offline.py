"""The default that needs no download: packaged MiniLM with trained adapters, word counts, a calibrated layer on top.

The verifier reads the answer as a whole and sentence by sentence, each beside the sentences of the context that cover
it best; a logistic layer weighs what it says with the share of unseen words, as README.md beside the weights tells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from evaluators.batching import Stats, default_budget, run_batched
from evaluators.devices import choose_device, choose_dtype
from evaluators.groundedness.adapted import load_adapted
from evaluators.groundedness.lexical import Overlap, Vocabulary
from evaluators.groundedness.minilm import encode, packaged_folder, packaged_tokenizer
from evaluators.groundedness.pairs import ANSWER_EVIDENCE_WORDS, CLAIM_EVIDENCE_WORDS, Pair, make_pair
from evaluators.groundedness.verdict import AnswerVerdict, SentenceVerdict
from evaluators.models import CACHE, Loaded, hash_files
from evaluators.score import Sample
from evaluators.text import IndexedContext, Span, claims, windows

NAME = "all-MiniLM-L6-v2 with adapters"
WEIGHTS = Path(__file__).parents[1] / "weights"
ADAPTERS = WEIGHTS / "groundedness-minilm.safetensors"
CALIBRATION = WEIGHTS / "groundedness-minilm.json"
# Sentences of an answer read together, so that a claim whose subject stands a sentence before is understood.
GROUP_CHARS = 480
# Trained on pairs of up to 224 tokens; a long claim gets some more, so that it does not crowd out its own evidence.
READ_TOKENS = 384
# Beyond this it would: the answer is then not judged.
MAX_CLAIM_TOKENS = 224


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic layer over features, its threshold, and the id of the development data both were fitted on."""

    id: str
    bias: float
    weights: dict[str, float]
    threshold: float

    @classmethod
    def read(cls, path: Path) -> Calibration:
        given = json.loads(path.read_text())
        return cls(given["id"], given["bias"], given["weights"], given["threshold"])

    def probability(self, features: dict[str, float]) -> float:
        logit = self.bias + sum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the verifier says of one pair: logit of support, and the highest logit of an unsupported token."""

    support: float
    worst_token: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """The pairs of one sample: its sentences first, then the groups of sentences that are not a sentence already."""

    parts: list[Span]
    groups: list[Span]
    pairs: list[Pair]
    overlaps: list[Overlap]
    whole: Overlap


def plan(sample: Sample) -> _Plan:
    context = IndexedContext.of(sample.context)
    vocabulary = Vocabulary(sample.context)
    parts = claims(sample.answer)
    runs = windows(parts, lambda span: span.end - span.start, GROUP_CHARS, overlap=0.0)
    groups = [Span(parts[first].start, parts[last - 1].end) for first, last in runs if last - first > 1]
    pairs = [make_pair(context, sample.question, span.of(sample.answer), CLAIM_EVIDENCE_WORDS) for span in parts]
    pairs += [make_pair(context, sample.question, span.of(sample.answer), ANSWER_EVIDENCE_WORDS) for span in groups]
    overlaps = [vocabulary.compare(span.of(sample.answer)) for span in parts]
    return _Plan(parts, groups, pairs, overlaps, vocabulary.compare(sample.answer))


def features(
    sentences: Sequence[Reading], groups: Sequence[Reading], overlap: Overlap, worst: float
) -> dict[str, float]:
    """What the logistic layer sees of an answer, or of a sentence taken as one. `worst` is the highest share of unseen
    words in a sentence."""
    supports = [reading.support for reading in sentences]
    whole = [reading.support for reading in groups] or supports
    return {
        "whole": min(whole),
        "weakest": min(supports),
        "mean": sum(supports) / len(supports),
        "worst_token": max(reading.worst_token for reading in sentences),
        "unseen_words": overlap.unseen_words,
        "unseen_pairs": overlap.unseen_pairs,
        "unseen_numbers": overlap.unseen_numbers,
        "worst_unseen": worst,
    }


@dataclass(slots=True)
class OfflineBackend:
    """Reads pairs in batches of at most `batch_tokens` padded tokens."""

    loaded: Loaded
    calibration: Calibration
    batch_tokens: int
    family: str = "offline"
    english_only: bool = True
    stats: Stats = field(default_factory=Stats)

    @property
    def model(self) -> str:
        return self.loaded.name

    @property
    def revision(self) -> str:
        return f"{self.loaded.revision}+{self.calibration.id}"

    @property
    def threshold(self) -> float:
        return self.calibration.threshold

    def judge(self, samples: Sequence[Sample]) -> list[AnswerVerdict]:
        plans = [plan(sample) for sample in samples]
        readings = self.read([pair for item in plans for pair in item.pairs])
        verdicts, at = [], 0
        for item in plans:
            verdicts.append(self._verdict(item, readings[at : at + len(item.pairs)]))
            at += len(item.pairs)
        return verdicts

    def _verdict(self, item: _Plan, readings: Sequence[Reading]) -> AnswerVerdict:
        sentences, groups = readings[: len(item.parts)], readings[len(item.parts) :]
        worst = max(overlap.unseen_words for overlap in item.overlaps)
        covered = groups if item.groups else sentences
        found = tuple(
            SentenceVerdict(
                span,
                self.calibration.probability(features([reading], [], overlap, overlap.unseen_words)),
                pair.evidence,
            )
            for span, reading, overlap, pair in zip(item.parts, sentences, item.overlaps, item.pairs, strict=False)
        )
        return AnswerVerdict(
            self.calibration.probability(features(sentences, covered, item.whole, worst)),
            found,
            cut=too_long(item.pairs),
        )

    def read(self, pairs: Sequence[Pair]) -> list[Reading]:
        """What the verifier says of each pair, in order."""
        lengths = (
            [
                len(ids)
                for ids in packaged_tokenizer()(
                    [pair.premise for pair in pairs],
                    [pair.text for pair in pairs],
                    truncation="longest_first",
                    max_length=READ_TOKENS,
                )["input_ids"]
            ]
            if pairs
            else []
        )
        return run_batched(pairs, lengths, self._compute, self.batch_tokens, self.stats)

    @torch.inference_mode()
    def _compute(self, pairs: list[Pair], length: int) -> list[Reading]:
        encoded = encode(packaged_tokenizer(), [(pair.premise, pair.text) for pair in pairs], length, READ_TOKENS)
        offsets = encoded.pop("offset_mapping")
        starts = torch.tensor([pair.claim_start for pair in pairs])[:, None]
        claim = (encoded["token_type_ids"] == 1) & (offsets[..., 1] > offsets[..., 0]) & (offsets[..., 0] >= starts)
        support, tokens = self.loaded.model(**{name: item.to(self.loaded.device) for name, item in encoded.items()})
        worst = tokens.cpu().masked_fill(~claim, -20.0).amax(dim=1)
        return [Reading(a, b) for a, b in zip(support.cpu().tolist(), worst.tolist(), strict=True)]


def too_long(pairs: Sequence[Pair]) -> str | None:
    counts = [
        len(ids) for ids in packaged_tokenizer()([pair.text for pair in pairs], add_special_tokens=False)["input_ids"]
    ]
    if max(counts) > MAX_CLAIM_TOKENS:
        return f"a part of the answer has {max(counts)} tokens and the model reads {MAX_CLAIM_TOKENS}"
    return None


@lru_cache(maxsize=1)
def packaged_revision() -> str:
    return hash_files([packaged_folder() / "model.safetensors", ADAPTERS])


def _load(device: torch.device, dtype: torch.dtype) -> Loaded:
    model = load_adapted(packaged_folder(), ADAPTERS)
    model.encoder.to(dtype)
    return Loaded(
        model.to(device), packaged_tokenizer(), "all-MiniLM-L6-v2 with adapters", packaged_revision(), device, dtype
    )


def load(device: str | None = None, batch_tokens: int | None = None) -> OfflineBackend:
    """The offline default on `device`. Raises DeviceError if the device is not there."""
    where = choose_device(device)
    dtype = choose_dtype(where)
    loaded = CACHE.get(("offline", where, dtype), lambda: _load(where, dtype))
    return OfflineBackend(loaded, Calibration.read(CALIBRATION), batch_tokens or default_budget(where))
