"""Every evaluator by name. A new one is a line here; nothing is imported before it is asked for."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any

from evaluators.score import Scorer


@dataclass(frozen=True, slots=True)
class Entry:
    """`factory` is `module:function`; the function takes settings and returns a scorer.

    `needs` names parts of a sample without which there is nothing to judge, so that a stream of answers passes those
    over: `context`, `question`, or a key of `extra`. `not_settings` are parameters that whoever runs the evaluator
    gives, and no rule. `is_light` says that importing it does not load torch.
    """

    factory: str
    summary: str
    needs: tuple[str, ...] = ()
    not_settings: tuple[str, ...] = ()
    is_light: bool = False


class UnknownEvaluatorError(ValueError):
    """No evaluator has this name; the text lists those that exist."""


EVALUATORS: dict[str, Entry] = {
    "groundedness": Entry(
        "evaluators.groundedness:groundedness",
        "is the answer supported by its context: probability, and verdict and evidence for each sentence",
        needs=("context",),
    ),
    "answer_relevance": Entry(
        "evaluators.judges.answer_relevance:answer_relevance",
        "is the answer about the question: embedding similarity",
        needs=("question",),
    ),
    "bleu": Entry(
        "evaluators.judges.bleu:bleu",
        "sentence BLEU against a reference (sacrebleu)",
        needs=("reference",),
        is_light=True,
    ),
    "chrf": Entry(
        "evaluators.judges.bleu:chrf",
        "chrF against a reference (sacrebleu)",
        needs=("reference",),
        is_light=True,
    ),
    "context_relevance": Entry(
        "evaluators.judges.context_relevance:context_relevance",
        "is the retrieved context about the question: embedding similarity by passage",
        needs=("context", "question"),
    ),
    "exact_match": Entry(
        "evaluators.judges.exact_match:exact_match",
        "does the answer equal a reference",
        needs=("reference",),
        is_light=True,
    ),
    "field_f1": Entry(
        "evaluators.judges.ocr:field_f1",
        "F1 of extracted fields against the expected ones",
        needs=("reference",),
        is_light=True,
    ),
    "fuzzy_match": Entry(
        "evaluators.judges.fuzzy_match:fuzzy_match",
        "how close the answer is to a reference in letters or words",
        needs=("reference",),
        is_light=True,
    ),
    "json_schema": Entry(
        "evaluators.judges.json_schema:json_schema",
        "is the answer JSON that obeys a schema",
        is_light=True,
    ),
    "language": Entry(
        "evaluators.judges.language:language",
        "which language the answer is in, or whether it is the expected one",
        is_light=True,
    ),
    "llm_judge": Entry(
        "evaluators.judges.llm_judge:llm_judge",
        "a language model as judge: rubric, or pairwise with swapped places",
        not_settings=(
            *("model", "base_url", "api_key", "input_usd_per_million", "output_usd_per_million", "timeout", "tries"),
            *("workers", "client", "cache", "raises_when_away"),
        ),
        is_light=True,
    ),
    "ocr": Entry(
        "evaluators.judges.ocr:ocr",
        "character error rate, word error rate or ANLS of a transcription",
        needs=("reference",),
        is_light=True,
    ),
    "pii": Entry(
        "evaluators.judges.pii:pii",
        "personal data in the answer: patterns with check digits, and names by a small tagger",
    ),
    "prompt_injection": Entry(
        "evaluators.judges.prompt_injection:prompt_injection",
        "does the question or context give the model orders: heuristics",
        is_light=True,
    ),
    "refusal": Entry(
        "evaluators.judges.refusal:refusal",
        "did the model refuse: patterns",
        is_light=True,
    ),
    "regex": Entry(
        "evaluators.judges.regex:regex",
        "does the answer match a pattern",
        is_light=True,
    ),
    "repetition": Entry(
        "evaluators.judges.repetition:repetition",
        "share of the answer's 4-grams that repeat",
        is_light=True,
    ),
    "retrieval": Entry(
        "evaluators.judges.retrieval:retrieval",
        "nDCG, recall, precision, MRR of retrieved documents",
        needs=("relevant",),
        is_light=True,
    ),
    "rouge": Entry(
        "evaluators.judges.rouge:rouge",
        "ROUGE-1, -2 or -L F1 against a reference",
        needs=("reference",),
        is_light=True,
    ),
    "teds": Entry(
        "evaluators.judges.teds:teds",
        "tree similarity of an HTML table with a reference table",
        needs=("reference",),
        is_light=True,
    ),
    "tool_calls": Entry(
        "evaluators.judges.tool_calls:tool_calls",
        "do the tool calls name offered tools and obey their schemas",
        needs=("tools",),
        is_light=True,
    ),
    "toxicity": Entry(
        "evaluators.judges.toxicity:toxicity",
        "is the answer abusive or obscene: trained head, word list or any classifier",
    ),
}


def names() -> list[str]:
    return sorted(EVALUATORS)


def create(name: str, **settings: Any) -> Scorer:
    """The scorer `name` with its settings.

    Raises UnknownEvaluatorError for a name that is not in the table, TypeError for a setting it does not take.
    """
    if name not in EVALUATORS:
        raise UnknownEvaluatorError(f"no evaluator is called {name!r}; there are {', '.join(names())}")
    scorer: Scorer = pkgutil.resolve_name(EVALUATORS[name].factory)(**settings)
    return scorer
