"""From a sample to what a verifier reads: the claim with its question, and the evidence for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluators.text import IndexedContext, Span, joined, select_evidence, words

# A question helps where the answer leans on it ("In 1969."); an instruction to summarise only takes room.
_INSTRUCTION = re.compile(r"\s*(please\s+)?(summari[sz]e|write|rewrite|translate|describe|explain)\b", re.IGNORECASE)
MAX_QUESTION_WORDS = 24
CLAIM_EVIDENCE_WORDS = 64
ANSWER_EVIDENCE_WORDS = 96


@dataclass(frozen=True, slots=True)
class Pair:
    """One input of a verifier. `claim_start` is where the claim begins in `text`, behind the question if there is one;
    `evidence` are the context's characters that `premise` is made of."""

    premise: str
    text: str
    claim_start: int
    evidence: tuple[Span, ...]


def prefix(question: str) -> str:
    """What stands before the claim: the question if it is short and asks something, else nothing."""
    question = " ".join(question.split())
    if not question or _INSTRUCTION.match(question) or len(words(question)) > MAX_QUESTION_WORDS:
        return ""
    return question + " "


def make_pair(context: IndexedContext, question: str, claim: str, max_words: int) -> Pair:
    """The pair for `claim`, with the sentences of the context that cover it best. A claim of few words ("Paris.")
    looks for its evidence with the words of the question too."""
    before = prefix(question)
    query = before + claim if len(words(claim)) < 6 else claim
    chosen = select_evidence(context, query, max_words)
    return Pair(joined(context, chosen), before + claim, len(before), tuple(context.spans[i] for i in chosen))
