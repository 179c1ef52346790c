"""Redaction rules on one text or one span, to see what they would blank; nothing is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heliograph.rules.blanking import REDACTED, redact_spans
from heliograph.rules.redaction import Hit, Pass, Redactor

# A person pastes this; Presidio reads about as much in a second.
MAX_CHARACTERS = 20_000
# Finds that are listed; the text itself shows them all.
MAX_FINDS = 200


@dataclass(frozen=True, slots=True)
class Find:
    """What a rule found, and what stands in its place; `replacement` is '' where it is removed."""

    rule: str
    text: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A text as it would be stored, and what was blanked in it, in the order in which it was found."""

    text: str
    finds: tuple[Find, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlaceTrial:
    """One place of a span before and after, such as `input` or `attributes: user.email`."""

    place: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SpanTrial:
    """What would change of a span, and which rules say so, as the span itself would (`e-mail: input`)."""

    places: tuple[PlaceTrial, ...]
    redacted: tuple[str, ...]


class _Watching(Pass):
    """A pass that remembers what it found."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(redactor)
        self.hits: list[Hit] = []
        self._watched = redactor

    def _plain(self, text: str, rules: dict[str, None], visible: Callable[[str], str] = str) -> str:
        result, hits = self._watched.replace(text, visible)
        self.hits += hits
        rules.update((hit.rule, None) for hit in hits)
        return result


def try_text(redactor: Redactor, text: str) -> Trial:
    """Return what the rules make of a text, as of a message or an attribute's value."""
    passed = _Watching(redactor)
    result, rules = passed.redact(text[:MAX_CHARACTERS])
    finds = tuple(dict.fromkeys(Find(hit.rule, hit.text, hit.replacement) for hit in passed.hits))
    return Trial(result, finds[:MAX_FINDS], rules)


def try_span(redactor: Redactor, row: dict[str, Any]) -> SpanTrial:
    """Return what the rules make of one span, a row by the names of SPAN_COLUMNS."""
    columns = {name: [value] for name, value in row.items()}
    redact_spans(columns, redactor)
    places = []
    for name, before in row.items():
        after = columns[name][0]
        if before == after or name.endswith("_preview"):
            continue
        if isinstance(before, dict):
            places += _of_map(name, before, after)
        elif isinstance(before, list):
            maps = before and isinstance(before[0], dict)
            places += _of_maps(name, before, after) if maps else [PlaceTrial(name, ", ".join(before), ", ".join(after))]
        else:
            places.append(PlaceTrial(name, before, after))
    return SpanTrial(tuple(places), tuple(columns[REDACTED][0]))


def _of_map(name: str, before: dict[str, str], after: dict[str, str]) -> list[PlaceTrial]:
    changed = (key for key in before if before[key] != after.get(key))
    return [PlaceTrial(f"{name}: {key}", before[key], after.get(key, "")) for key in changed]


def _of_maps(name: str, before: list[dict[str, str]], after: list[dict[str, str]]) -> list[PlaceTrial]:
    return [place for one, other in zip(before, after, strict=True) for place in _of_map(name, one, other)]
