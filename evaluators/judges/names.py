"""Names of people, places and organisations, titles, addresses and dates in English text: a small offline tagger.

A linear layer over the second layer of the packaged MiniLM and the shape of each word, trained by train_names.py on 746
synthetic texts from a hundred templates. It finds most names in sentences like those and fewer elsewhere, and the
package's model does not tell upper from lower case, so the shape has to. Nationalities and titles come from lists.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from transformers import AutoModel

from evaluators.batching import Stats, default_budget, run_batched
from evaluators.devices import choose_device, choose_dtype
from evaluators.groundedness.minilm import packaged_folder
from evaluators.models import CACHE, Loaded, load_pretrained
from evaluators.text import Span, sentences, windows
from personal_data.pii import Found

HEAD_FILE = Path(__file__).with_name("names_head.json")
COUNTRIES_FILE = Path(__file__).with_name("countries.txt")
# What the layer tells apart; a word outside all of them is "O".
TYPES = ("PERSON", "GPE", "ORGANIZATION", "STREET_ADDRESS", "DATE_TIME")
NAME_TYPES = (*TYPES, "NRP", "TITLE", "ZIP_CODE")
OUTSIDE = "O"
# Of the six layers the second did best: higher ones say what a sentence is about rather than what a word is.
LAYER = 2
# Characters tagged at once: whole sentences, within the model's 256 tokens.
CHUNK_CHARS, MAX_TOKENS = 600, 256
WORD = re.compile(r"\w+(?:['’.]\w+)*|[^\w\s]")
_CODE = r"[A-Z0-9][A-Z0-9-]{1,8}[A-Z0-9]\b"
_ZIP = re.compile(r"(?i:(?<=zip code is )|(?<=zip code: )|(?<=zip code )|(?<=postcode )|(?<=postal code is ))" + _CODE)
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof)\b\.?|\b(?:Miss|Sir|Madam|Professor|Doctor)\b(?= [A-Z])")
Floats = NDArray[np.float64]


@cache
def _lists() -> tuple[frozenset[str], re.Pattern[str], re.Pattern[str]]:
    """Words of country names in lower case, the pattern of countries, and that of peoples and languages."""
    lines = [line.partition(":") for line in COUNTRIES_FILE.read_text("utf-8").splitlines() if line[:1] != "#"]
    countries = [name for name, _, _ in lines if name != "-"]
    peoples = [one.strip() for _, _, listed in lines for one in listed.split(";") if one.strip()]
    # "polish" and "turkey" in lower case are other words.
    adjectives = [*(one.title() for one in peoples), *(one for one in peoples if one != "polish")]
    return (
        frozenset(word for name in countries for word in name.split()),
        re.compile(rf"\b(?:{_either([name.title() for name in countries])})\b"),
        re.compile(rf"\b(?:{_either(adjectives)})(?:m[ae]n|s)?\b"),
    )


def _either(names: Sequence[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def word_spans(text: str) -> list[Span]:
    """Words and single signs of a text."""
    return [Span(*match.span()) for match in WORD.finditer(text)]


def shapes(text: str, spans: Sequence[Span]) -> Floats:
    """`(n, 42)` how each word, the one before and the one after it are written."""
    own = np.zeros((len(spans) + 2, 14))
    places, _, _ = _lists()
    for row, (start, end) in enumerate(spans, start=1):
        word = text[start:end]
        before = text[spans[row - 2].start : start] if row > 1 else "."
        own[row] = (
            word[0].isupper(),
            word.isupper() and len(word) > 1,
            word.islower(),
            word.isdigit(),
            any(char.isdigit() for char in word) and not word.isdigit(),
            not word[0].isalnum(),
            len(word) == 1,
            len(word) >= 5,
            len(word) in (4, 5) and word.isdigit(),
            "." in word,
            "\n" in before,
            before.strip()[-1:] in (".", "!", "?", '"'),
            word == ",",
            word.lower() in places,
        )
    return 0.5 * np.concatenate([own[1:-1], own[:-2], own[2:]], axis=1)


def word_states(texts: Sequence[str], device: str | None = None) -> list[Floats]:
    """`(words, 384)` of each text: the mean state of a word's pieces; zeros beyond MAX_TOKENS."""
    if not texts:
        return []
    where = choose_device(device)
    dtype = choose_dtype(where)
    name = str(packaged_folder())
    loaded = CACHE.get(("embedding", name, where, dtype), lambda: load_pretrained(name, AutoModel, where, dtype))
    encoded = loaded.tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    states = run_batched(
        ids, [len(row) for row in ids], lambda b, n: _states(loaded, b, n), default_budget(where), Stats()
    )
    return [_by_word(word_spans(text), found, at) for text, found, at in zip(texts, states, offsets, strict=True)]


@torch.inference_mode()
def _states(loaded: Loaded, batch: list[list[int]], length: int) -> list[Floats]:
    ids = torch.tensor([row + [0] * (length - len(row)) for row in batch], device=loaded.device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in batch], device=loaded.device)
    hidden = loaded.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[LAYER]
    return [np.asarray(row, dtype=np.float64) for row in hidden.float().cpu().numpy()]


def _by_word(spans: Sequence[Span], states: Floats, offsets: Sequence[tuple[int, int]]) -> Floats:
    found, counts, at = np.zeros((len(spans), states.shape[1])), np.zeros(len(spans)), 0
    for row, (start, end) in enumerate(offsets):
        if end <= start:
            continue
        while at < len(spans) and spans[at].end <= start:
            at += 1
        if at < len(spans):
            found[at] += states[row]
            counts[at] += 1
    return found / np.maximum(counts, 1)[:, None]


def features(texts: Sequence[str], device: str | None = None) -> list[Floats]:
    """`(words, 426)` of each text."""
    spans = [word_spans(text) for text in texts]
    states = word_states(texts, device)
    return [np.hstack([state, shapes(t, s)]) for state, t, s in zip(states, texts, spans, strict=True)]


@dataclass(frozen=True, slots=True)
class Head:
    """A softmax layer over `features`: labels are O, B-TYPE for the first word of a name and I-TYPE for the others."""

    labels: tuple[str, ...]
    weights: Floats
    bias: Floats

    def tag(self, rows: Floats) -> list[str]:
        """The likeliest run of labels in which no name begins in its middle (Viterbi)."""
        if not len(rows):
            return []
        logits: Floats = special.log_softmax(rows @ self.weights.T + self.bias, axis=1)
        inner = np.array([label.startswith("I-") for label in self.labels])
        same = np.array([[a[2:] == b[2:] and a != OUTSIDE for b in self.labels] for a in self.labels])
        barred = np.where(inner[None, :] & ~same, -np.inf, 0.0)
        best = np.where(inner, -np.inf, logits[0])
        back = []
        for row in logits[1:]:
            reached = best[:, None] + barred
            back.append(reached.argmax(axis=0))
            best = reached.max(axis=0) + row
        path = [int(best.argmax())]
        for step in reversed(back):
            path.append(int(step[path[-1]]))
        return [self.labels[index] for index in reversed(path)]


@cache
def head() -> Head:
    given = json.loads(HEAD_FILE.read_text("utf-8"))
    return Head(tuple(given["labels"]), np.array(given["weights"]), np.array(given["bias"]))


def revision() -> str:
    """Hash of all that decides what is found."""
    return hashlib.sha256(HEAD_FILE.read_bytes() + COUNTRIES_FILE.read_bytes()).hexdigest()[:12]


def spans_of(labels: Sequence[str], spans: Sequence[Span]) -> list[Found]:
    """The names that a run of labels marks."""
    found: list[Found] = []
    for label, span in zip(labels, spans, strict=True):
        if label.startswith("B-"):
            found.append(Found(span.start, span.end, label[2:]))
        elif label != OUTSIDE:
            found[-1] = Found(found[-1].start, span.end, found[-1].type)
    return found


def chunks(text: str) -> list[Span]:
    """Whole sentences up to CHUNK_CHARS together."""
    parts = sentences(text)
    runs = windows(parts, lambda span: span.end - span.start, CHUNK_CHARS, overlap=0.0)
    return [Span(parts[first].start, parts[last - 1].end) for first, last in runs]


def tagged(texts: Sequence[str], device: str | None = None) -> list[list[Found]]:
    """What the layer finds in each text, in order of place."""
    parts = [(index, span) for index, text in enumerate(texts) for span in chunks(text)]
    pieces = [span.of(texts[index]) for index, span in parts]
    found: list[list[Found]] = [[] for _ in texts]
    for (index, span), piece, rows in zip(parts, pieces, features(pieces, device), strict=True):
        for start, end, kind in spans_of(head().tag(rows), word_spans(piece)):
            found[index].append(Found(span.start + start, span.start + end, kind))
    return found


def listed(text: str) -> list[Found]:
    """Titles, postal codes that are called so, countries and peoples, by pattern and list."""
    _, countries, peoples = _lists()
    return [
        Found(*match.span(), kind)
        for kind, pattern in (("TITLE", _TITLE), ("ZIP_CODE", _ZIP), ("GPE", countries), ("NRP", peoples))
        for match in pattern.finditer(text)
    ]


def combined(patterns: Sequence[Found], names: Sequence[Found], from_lists: Sequence[Found]) -> list[Found]:
    """One list without overlaps, in order of place. Patterns come first, then addresses by the tagger, then the lists,
    then its names, and last the pattern of addresses, which knows few ways to write one."""
    ranked = [
        [one for one in patterns if one.type != "STREET_ADDRESS"],
        [one for one in names if one.type == "STREET_ADDRESS"],
        from_lists,
        [one for one in names if one.type != "STREET_ADDRESS"],
        [one for one in patterns if one.type == "STREET_ADDRESS"],
    ]
    kept: list[Found] = []
    taken: set[int] = set()
    for one in (item for group in ranked for item in group):
        if taken.isdisjoint(range(one.start, one.end)):
            taken.update(range(one.start, one.end))
            kept.append(one)
    return sorted(kept)
