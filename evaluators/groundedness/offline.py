"""The default that needs no download: packaged MiniLM with trained adapters, word counts, a calibrated layer on top.

The verifier reads the answer as a whole and sentence by sentence, each beside the sentences of the context that cover
it best; a logistic layer weighs what it says with the share of unseen words and with how near the loneliest words come
to the context (nearest.py), as README.md beside the weights tells.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from evaluators.batching import Stats, run_batched
from evaluators.compiling import compiled
from evaluators.groundedness.adapted import load_adapted
from evaluators.groundedness.lexical import Overlap, Vocabulary
from evaluators.groundedness.minilm import Tokens, collate, packaged_folder, packaged_tokenizer, tokenize
from evaluators.groundedness.nearest import Claim, Nearest, Tokenized, make_claim, tokenize_claims
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
# Tokens of a batch in bfloat16, whatever was asked for: scores must not depend on that. A core is busy with this many.
TILE_TOKENS = 512
# Beyond this it would, or be cut itself (the longer text is cut first, down to half): the answer is then not judged.
MAX_CLAIM_TOKENS = 188


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
    """What the verifier says of a pair: logit of support, highest logit of a wrong token, tokens of the claim."""

    support: float
    worst_token: float
    claim_tokens: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """The pairs of one sample: its sentences first, then the groups of sentences that are not a sentence already."""

    parts: list[Span]
    groups: list[Span]
    pairs: list[Pair]
    overlaps: list[Overlap]
    whole: Overlap
    claims: list[Claim]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Plans with their tokens: of each pair, where the claim begins beside them, and of the nearest words' texts."""

    plans: list[_Plan]
    pairs: list[tuple[Tokens, int]]
    nearest: list[Tokenized]


@dataclass(frozen=True, slots=True)
class _Read:
    """A plan with what was read: the verifier's pairs, and the similarity of each sentence's loneliest words."""

    plan: _Plan
    pairs: list[Reading]
    nearest: list[float]


def plan(sample: Sample) -> _Plan:
    context = IndexedContext.of(sample.context)
    vocabulary = Vocabulary(sample.context)
    parts = claims(sample.answer)
    runs = windows(parts, lambda span: span.end - span.start, GROUP_CHARS, overlap=0.0)
    groups = [Span(parts[first].start, parts[last - 1].end) for first, last in runs if last - first > 1]
    pairs = [make_pair(context, sample.question, span.of(sample.answer), CLAIM_EVIDENCE_WORDS) for span in parts]
    pairs += [make_pair(context, sample.question, span.of(sample.answer), ANSWER_EVIDENCE_WORDS) for span in groups]
    overlaps = [vocabulary.compare(span.of(sample.answer)) for span in parts]
    beside = [make_claim(context, span.of(sample.answer)) for span in parts]
    return _Plan(parts, groups, pairs, overlaps, vocabulary.compare(sample.answer), beside)


def features(
    sentences: Sequence[Reading], groups: Sequence[Reading], overlap: Overlap, worst: float, nearest: float
) -> dict[str, float]:
    """What the logistic layer sees of an answer, or of a sentence taken as one. `worst` is the highest share of unseen
    words in a sentence, `nearest` the lowest similarity of a sentence's loneliest words."""
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
        "nearest": nearest,
    }


def _features(item: _Read) -> dict[str, float]:
    count = len(item.plan.parts)
    worst = max(overlap.unseen_words for overlap in item.plan.overlaps)
    return features(item.pairs[:count], item.pairs[count:], item.plan.whole, worst, min(item.nearest))


@dataclass(slots=True)
class OfflineBackend:
    """Reads pairs in batches of at most `batch_tokens` padded tokens; in bfloat16, of TILE_TOKENS."""

    loaded: Loaded
    nearest: Nearest
    calibration: Calibration
    batch_tokens: int
    family: str = "offline"
    stats: Stats = field(default_factory=Stats)
    nearest_stats: Stats = field(default_factory=Stats)

    @property
    def model(self) -> str:
        return self.loaded.name

    @property
    def revision(self) -> str:
        return f"{self.loaded.revision}+{self.calibration.id}"

    @property
    def threshold(self) -> float:
        return self.calibration.threshold

    def compile(self) -> None:
        self.loaded = compiled(self.loaded)
        self.nearest.compile()

    def prepare(self, samples: Sequence[Sample]) -> _Prepared:
        plans = [plan(sample) for sample in samples]
        pairs = _tokenized([pair for item in plans for pair in item.pairs])
        return _Prepared(plans, pairs, tokenize_claims([item.claims for item in plans]))

    def judge(self, prepared: _Prepared) -> list[AnswerVerdict]:
        return [self._verdict(item) for item in self._read_plans(prepared)]

    def features(self, samples: Sequence[Sample]) -> list[dict[str, float]]:
        """What the logistic layer sees of each sample."""
        return [_features(item) for item in self._read_plans(self.prepare(samples))]

    def _read_plans(self, prepared: _Prepared) -> list[_Read]:
        readings = iter(self._read(prepared.pairs))
        found = [[next(readings) for _ in item.pairs] for item in prepared.plans]
        nearest = self.nearest.similarities(prepared.nearest, self.nearest_stats)
        return [_Read(*row) for row in zip(prepared.plans, found, nearest, strict=True)]

    def _verdict(self, item: _Read) -> AnswerVerdict:
        found = tuple(
            SentenceVerdict(
                span,
                self.calibration.probability(features([reading], [], overlap, overlap.unseen_words, nearest)),
                pair.evidence,
            )
            for span, reading, overlap, pair, nearest in zip(
                item.plan.parts, item.pairs, item.plan.overlaps, item.plan.pairs, item.nearest, strict=False
            )
        )
        probability = self.calibration.probability(_features(item))
        return AnswerVerdict(probability, found, cut=too_long(item.pairs))

    def read(self, pairs: Sequence[Pair]) -> list[Reading]:
        """What the verifier says of each pair, in order."""
        return self._read(_tokenized(pairs))

    def _read(self, items: list[tuple[Tokens, int]]) -> list[Reading]:
        lengths = [len(item.ids) for item, _ in items]
        tokens_at_once, fixed = tiling(self.loaded.dtype, self.batch_tokens)
        return run_batched(items, lengths, self._compute, tokens_at_once, self.stats, fixed=fixed)

    @torch.inference_mode()
    def _compute(self, items: list[tuple[Tokens, int]], length: int) -> list[Reading]:
        inputs, offsets = collate([item for item, _ in items], length)
        starts = torch.tensor([start for _, start in items])[:, None]
        claim = (inputs["token_type_ids"] == 1) & (offsets[..., 1] > offsets[..., 0]) & (offsets[..., 0] >= starts)
        support, tokens = self.loaded.model(**{name: item.to(self.loaded.device) for name, item in inputs.items()})
        worst = tokens.cpu().masked_fill(~claim, -20.0).amax(dim=1)
        lengths = claim.sum(dim=1)
        return [Reading(*row) for row in zip(support.cpu().tolist(), worst.tolist(), lengths.tolist(), strict=True)]


def _tokenized(pairs: Sequence[Pair]) -> list[tuple[Tokens, int]]:
    tokens = tokenize([(pair.premise, pair.text) for pair in pairs], READ_TOKENS)
    return [(item, pair.claim_start) for item, pair in zip(tokens, pairs, strict=True)]


def tiling(dtype: torch.dtype, batch_tokens: int) -> tuple[int, bool]:
    """Tokens of a batch, and whether all have the same number of rows."""
    return (batch_tokens, False) if dtype == torch.float32 else (TILE_TOKENS, True)


def too_long(sentences: Sequence[Reading]) -> str | None:
    """Why some of the sentences could not be read whole, or None."""
    longest = max(reading.claim_tokens for reading in sentences)
    if longest > MAX_CLAIM_TOKENS:
        return f"one sentence of the answer has {longest} tokens or more, and the model reads {MAX_CLAIM_TOKENS}"
    return None


@lru_cache(maxsize=1)
def packaged_revision() -> str:
    return hash_files([packaged_folder() / "model.safetensors", ADAPTERS, CALIBRATION])


def _load(device: torch.device, dtype: torch.dtype) -> Loaded:
    model = load_adapted(packaged_folder(), ADAPTERS, dtype)
    return Loaded(model.to(device), packaged_tokenizer(), NAME, packaged_revision(), device, dtype)


def load(device: torch.device, dtype: torch.dtype, batch_tokens: int) -> OfflineBackend:
    """The offline default on `device`: bfloat16 on a CPU that has it, else fp32, which for 22 M parameters no GPU
    feels, so that a score there is the same as without one."""
    chosen = dtype if device.type == "cpu" else torch.float32
    loaded = CACHE.get(("offline", device, chosen), lambda: _load(device, chosen))
    return backend_of(loaded, Calibration.read(CALIBRATION), batch_tokens)


def backend_of(loaded: Loaded, calibration: Calibration, batch_tokens: int) -> OfflineBackend:
    """The verifier with the plain encoder beside it, on the same device and in the same number format."""
    nearest = Nearest(loaded.device, loaded.dtype, *tiling(loaded.dtype, batch_tokens))
    return OfflineBackend(loaded, nearest, calibration, batch_tokens)
