"""Sentences, windows and evidence, all as character offsets into the text they came from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple


class Span(NamedTuple):
    """Characters [start, end) of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
# A mark that may end a sentence, with the quotes and brackets that close behind it, or the end of a paragraph.
_BOUNDARY = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n\s*\n|\n(?=\s*(?:[-*•#]|\d{1,3}[.)])\s)")
_TITLES = """mr mrs ms dr prof st sr jr vs etc inc ltd co corp gen gov sen rep rev hon capt lt col sgt jan feb mar apr
jun jul aug sep sept oct nov dec al approx dept est mt ave blvd e.g i.e u.s u.k u.n a.m p.m ph.d"""
_ABBREVIATIONS = frozenset(_TITLES.split())
# These are words too ("No."), and abbreviations only before a number.
_BEFORE_NUMBERS = frozenset({"no", "nos", "vol", "fig", "figs", "sec", "art", "ch"})
# Beyond this many characters without a mark (tables, logs, transcripts) a text is cut at a space: a verifier reads
# a few hundred tokens, and one endless "sentence" could never be evidence.
MAX_SENTENCE_CHARS = 600
_FUNCTION_WORDS = """
a an the and or but if of to in on at by for with from as is are was were be been being am it its this that these
those he she they them his her their our your my i you we us me him do does did done has have had having will would
can could may might shall should not no nor so than then there here what which who whom whose when where why how
all any both each few more most other some such only own same too very s t just also into over about after before
between during through up down out off again once because while until
"""
_STOPWORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """Lower-cased words and numbers of `text`, in order."""
    return [match.group().lower() for match in _WORD.finditer(text)]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A crude English stem: enough to match plural with singular and `moved` with `moving`, nothing more."""
    if word[0].isdigit():
        return word.replace(",", "").rstrip(".")
    word = word.replace("’", "'").removesuffix("'s")
    for suffix in ("ingly", "edly", "ing", "ies", "ied", "es", "ed", "ly", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word.removesuffix("e") if len(word) > 4 else word


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning; of all words where nothing but function words is left."""
    tokens = words(text)
    return [stem(token) for token in tokens if token not in _STOPWORDS] or [stem(token) for token in tokens]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    if match.group()[0] == "\n":
        return True
    head = text[max(0, match.start() - 12) : match.start()]
    last = re.split(r"[\s(\"“]", head)[-1].lower()
    following = text[match.end() : match.end() + 40].lstrip()[:1]
    if match.group() == ".":
        # A single letter is an initial; a short number that opens its line counts a list.
        if last in _ABBREVIATIONS or (len(last) == 1 and last.isalpha()):
            return False
        if (last in _BEFORE_NUMBERS and following.isdigit()) or _is_item_number(text, match.start(), last):
            return False
    return not (match.group()[0] == "." and following.islower())


def _is_item_number(text: str, end: int, last: str) -> bool:
    return last.isdigit() and len(last) <= 3 and text[: end - len(last)].rpartition("\n")[2].strip() == ""


def _trimmed(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end) if end > start else None


def sentences(text: str) -> list[Span]:
    """Sentences of `text` in order, without the space between them; list items and paragraphs end a sentence too.

    Every character that is not white space lies in exactly one of them, and none is longer than MAX_SENTENCE_CHARS.
    """
    cuts = [match.end() for match in _BOUNDARY.finditer(text) if _ends_sentence(text, match)]
    found: list[Span] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        piece = _trimmed(text, start, end)
        while piece is not None and piece.end - piece.start > MAX_SENTENCE_CHARS:
            limit = piece.start + MAX_SENTENCE_CHARS
            cut = text.rfind(" ", piece.start + MAX_SENTENCE_CHARS // 2, limit)
            cut = cut if cut > 0 else limit
            head = _trimmed(text, piece.start, cut)
            if head is not None:
                found.append(head)
            piece = _trimmed(text, cut, piece.end)
        if piece is not None:
            found.append(piece)
    return found


def claims(answer: str) -> list[Span]:
    """Sentences of an answer that say something: one without a letter or digit is left out."""
    return [span for span in sentences(answer) if any(char.isalnum() for char in span.of(answer))]


def windows(
    spans: Sequence[Span], size: Callable[[Span], int], limit: int, overlap: float = 0.25
) -> list[tuple[int, int]]:
    """Runs [first, last) of `spans` whose sizes sum to at most `limit`; each repeats up to `overlap` of the one before.

    `size` is usually a token count. A span larger than `limit` stands alone: the caller cuts it, and says so.
    """
    runs: list[tuple[int, int]] = []
    first = 0
    sizes = [size(span) for span in spans]
    while first < len(spans):
        last, total = first, 0
        while last < len(spans) and (last == first or total + sizes[last] <= limit):
            total += sizes[last]
            last += 1
        runs.append((first, last))
        if last == len(spans):
            break
        back, repeated = last, 0
        while back - 1 > first and repeated + sizes[back - 1] <= overlap * limit:
            back -= 1
            repeated += sizes[back]
        # The next run must reach beyond this one, or the loop would not end.
        first = back if repeated + sizes[last] <= limit else last
    return runs


@dataclass(frozen=True, slots=True)
class IndexedContext:
    """A context cut into sentences, with the stems of each and how rare every stem is among them."""

    text: str
    spans: tuple[Span, ...]
    stems: tuple[frozenset[str], ...]
    lengths: tuple[int, ...]
    idf: dict[str, float]

    @classmethod
    def of(cls, text: str) -> IndexedContext:
        spans = tuple(sentences(text))
        tokens = [words(span.of(text)) for span in spans]
        stems = tuple(frozenset(stem(token) for token in found) for found in tokens)
        frequency = Counter(item for found in stems for item in found)
        idf = {item: math.log(1 + len(spans) / count) for item, count in frequency.items()}
        return cls(text, spans, stems, tuple(len(found) for found in tokens), idf)

    def weight(self, item: str) -> float:
        """Inverse document frequency over the sentences of this context; 0 for a stem that it does not hold."""
        return self.idf.get(item, 0.0)


def select_evidence(context: IndexedContext, claim: str, max_words: int) -> list[int]:
    """Indexes, in reading order, of the context's sentences that best cover the claim within `max_words` words.

    Greedy coverage: take the sentence that covers the most idf weight of the claim's content stems not covered yet,
    start over when all that can be covered is, and stop at the budget. The first sentence is always taken, so there
    is evidence for every claim (the caller truncates one that is larger than its model).
    """
    wanted = set(content_stems(claim))
    chosen: list[int] = []
    left, used = set(wanted), 0
    gains = [sum(context.weight(item) for item in wanted & found) for found in context.stems]
    candidates = {index for index in range(len(context.spans)) if gains[index] > 0}
    while candidates:
        best = max(candidates, key=lambda i: (_gain(context, i, left), gains[i], -i))
        if _gain(context, best, left) <= 0:
            if left == wanted:
                break
            left = set(wanted)
            continue
        chosen.append(best)
        used += context.lengths[best]
        left -= context.stems[best]
        # What does not fit any more is dropped at once: a long context has thousands of candidates.
        candidates = {i for i in candidates if i != best and used + context.lengths[i] <= max_words}
    for index in range(len(context.spans)):
        # What room is left goes to the opening, which names what pronouns further down stand for.
        if index not in chosen and used + context.lengths[index] <= max_words:
            chosen.append(index)
            used += context.lengths[index]
    return sorted(chosen) or ([0] if context.spans else [])


def _gain(context: IndexedContext, index: int, left: set[str]) -> float:
    return sum(context.weight(item) for item in left & context.stems[index])


def joined(context: IndexedContext, indexes: Iterable[int]) -> str:
    """The chosen sentences as one text."""
    return " ".join(context.spans[index].of(context.text) for index in indexes)
