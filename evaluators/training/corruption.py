"""Errors made on purpose: a claim or a sentence with one fact changed, and the characters that were changed.

The kinds follow the error types of FRANK (Pagnoni et al., arXiv 2104.13346): entity, number, predicate (antonym,
negation) and circumstance, and a swap of two entities within the sentence for wrong roles.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from evaluators.text import content_stems, stem

_ANTONYMS = """
increase decrease|increased decreased|increases decreases|increasing decreasing|rise fall|rose fell|rising falling
more less|most least|higher lower|highest lowest|high low|large small|larger smaller|largest smallest|big little
before after|early late|earlier later|first last|begin end|began ended|begins ends|start finish|started finished
open closed|opened closed|win lose|won lost|wins loses|accept reject|accepted rejected|agree disagree|agreed disagreed
support oppose|supported opposed|allow forbid|allowed forbidden|buy sell|bought sold|arrive leave|arrived left
add remove|added removed|include exclude|includes excludes|including excluding|male female|man woman|men women
boy girl|father mother|son daughter|brother sister|husband wife|king queen|north south|northern southern|east west
eastern western|old young|older younger|new old|good bad|better worse|best worst|positive negative|success failure
successful unsuccessful|always never|all some|many few|every no|both neither|same different|near far|above below
up down|inside outside|inside out|public private|rich poor|strong weak|hot cold|fast slow|happy sad|true false|easy
difficult|possible impossible|likely unlikely|able unable|known unknown|born killed|alive dead|love hate|loved hated
remember forget|gained lost|improved worsened|encouraged discouraged|approved denied|confirmed denied|daily weekly
monthly annually|morning evening|day night|summer winter|january june|march november|monday thursday|only also
international local|national local|american british|english french|german italian|president minister|actor director
singer writer|film book|song album|city village|company charity|football basketball|teacher student|doctor lawyer
"""
_PAIRS: dict[str, str] = {}
for _pair in re.split(r"[|\n]", _ANTONYMS):
    if len(_pair.split()) == 2:
        _left, _right = _pair.split()
        _PAIRS.setdefault(_left, _right)
        _PAIRS.setdefault(_right, _left)

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ENTITY = re.compile(r"\b[A-Z][\w'’-]+(?:\s+(?:of\s+)?[A-Z][\w'’-]+){0,3}")
_PLAIN = re.compile(r"\b[a-z]{5,}\b")
_TOKEN = re.compile(r"[A-Za-z]+")
_AUXILIARY = re.compile(r"\b(is|was|are|were|has|have|had|can|could|will|would|did|does|do|should|may)\b(?! not)")
_NEGATION = re.compile(r"\b(is|was|are|were|has|have|had|can|could|will|would|did|does|do|should|may)( not|n't)\b")


class Corruption(NamedTuple):
    """`text` with characters [start, end) changed."""

    text: str
    start: int
    end: int


def _replaced(text: str, start: int, end: int, new: str) -> Corruption:
    return Corruption(text[:start] + new + text[end:], start, start + len(new))


def number(text: str, source: str, rng: random.Random) -> Corruption | None:
    """Another number: one from the source, or the same one with a digit changed."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    others = sorted({item for item in _NUMBER.findall(source) if item != match.group()})
    others = [item for item in others if abs(len(item) - len(match.group())) <= 1]
    if others and rng.random() < 0.5:
        return _replaced(text, *match.span(), rng.choice(others))
    digits = [index for index, char in enumerate(match.group()) if char.isdigit()]
    place = rng.choice(digits)
    digit = rng.choice([char for char in "123456789" if char != match.group()[place]])
    return _replaced(text, *match.span(), match.group()[:place] + digit + match.group()[place + 1 :])


def entity(text: str, source: str, rng: random.Random) -> Corruption | None:
    """Another name from the source in place of one that the text holds."""
    found = [match for match in _ENTITY.finditer(text) if match.start() > 0 or " " in match.group()]
    others = {match.group() for match in _ENTITY.finditer(source) if match.start() > 0}
    if not found:
        return None
    match = rng.choice(found)
    held = text.lower()
    candidates = sorted(
        item for item in others if item.lower() not in held and match.group().lower() not in item.lower()
    )
    return _replaced(text, *match.span(), rng.choice(candidates)) if candidates else None


def role(text: str, source: str, rng: random.Random) -> Corruption | None:
    """Two names of the text swapped: all the words are there, the meaning is not."""
    found = list(_ENTITY.finditer(text))
    distinct = [(a, b) for a in found for b in found if a.end() < b.start() and a.group() != b.group()]
    if not distinct:
        return None
    first, second = rng.choice(distinct)
    middle = text[first.end() : second.start()]
    if re.fullmatch(r",?\s*(and|or|,)?\s*", middle):
        return None
    return _replaced(text, first.start(), second.end(), second.group() + middle + first.group())


def antonym(text: str, source: str, rng: random.Random) -> Corruption | None:
    """A word that says the opposite."""
    found = [match for match in _TOKEN.finditer(text) if match.group().lower() in _PAIRS]
    if not found:
        return None
    match = rng.choice(found)
    new = _PAIRS[match.group().lower()]
    return _replaced(text, *match.span(), new.capitalize() if match.group()[0].isupper() else new)


def negation(text: str, source: str, rng: random.Random) -> Corruption | None:
    """A `not` put in or taken out."""
    negated = list(_NEGATION.finditer(text))
    if negated:
        match = rng.choice(negated)
        return _replaced(text, *match.span(), match.group(1))
    found = list(_AUXILIARY.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    return _replaced(text, *match.span(), match.group() + rng.choice([" not", " not", " never"]))


def word(text: str, source: str, rng: random.Random) -> Corruption | None:
    """A plain word replaced by another of the source with the same ending, so that the sentence still reads well."""
    found = list(_PLAIN.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    held = set(content_stems(text))
    candidates = sorted(
        item
        for item in set(_PLAIN.findall(source))
        if item[-2:] == match.group()[-2:] and abs(len(item) - len(match.group())) <= 4 and stem(item) not in held
    )
    return _replaced(text, *match.span(), rng.choice(candidates)) if candidates else None


_Kind = Callable[[str, str, random.Random], Corruption | None]
_KINDS: list[tuple[_Kind, float]] = [
    (number, 1.0),
    (entity, 1.2),
    (role, 0.6),
    (antonym, 1.2),
    (negation, 0.5),
    (word, 1.0),
]


def corrupt(text: str, source: str, rng: random.Random) -> Corruption | None:
    """`text` with one fact changed, with material from `source` where there is some; None where nothing fits."""
    kinds = sorted(_KINDS, key=lambda kind: rng.random() ** (1 / kind[1]), reverse=True)
    for kind, _ in kinds:
        made = kind(text, source, rng)
        if made is not None and made.text.lower() != text.lower():
            return made
    return None
