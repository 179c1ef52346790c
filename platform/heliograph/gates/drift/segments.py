"""The parts of the traffic that are looked at apart: by a field of the span, its language, or its topic."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from heliograph.gates.drift.signals import InvalidSignalError
from heliograph.query.drift_samples import MAX_ATTRIBUTES, SampledSpan

# Fewer rows a side have little power, and "no drift" would say more than is known.
MIN_ROWS = 40
# The largest values of a field; a field of thousands is an identifier.
MAX_VALUES = 20
MAX_FIELDS = 6
ATTRIBUTE = "attribute."

FIELDS: dict[str, Callable[[SampledSpan], str]] = {
    "service": lambda span: span.service,
    "environment": lambda span: span.environment,
    "release": lambda span: span.release,
    "model": lambda span: span.model,
    "prompt": lambda span: span.prompt,
    "user": lambda span: span.user,
}
# Found from the texts, or several for one span.
FURTHER = ("tag", "language", "topic")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of both windows, as numbers of their rows; the empty field is all of the traffic."""

    field: str
    value: str
    reference: tuple[int, ...]
    current: tuple[int, ...]


def fields(names: Iterable[object]) -> list[str]:
    """Read the segment fields of a monitor. Raises InvalidSignalError."""
    found: list[str] = []
    for name in names:
        is_attribute = isinstance(name, str) and name.startswith(ATTRIBUTE) and len(ATTRIBUTE) < len(name) <= 200
        if not isinstance(name, str) or not (name in FIELDS or name in FURTHER or is_attribute):
            choices = ", ".join([*FIELDS, *FURTHER, "attribute.KEY"])
            raise InvalidSignalError(f"{str(name)[:50]!r} is nothing to segment by. Choose from {choices}.")
        found.append(name)
    if len(found) > MAX_FIELDS or len(set(found)) < len(found):
        raise InvalidSignalError(f"Segment by at most {MAX_FIELDS} different fields.")
    if len(attribute_keys(found)) > MAX_ATTRIBUTES:
        raise InvalidSignalError(f"Segment by at most {MAX_ATTRIBUTES} attributes.")
    return found


def attribute_keys(names: Sequence[str]) -> list[str]:
    """Return the keys of the attributes among segment fields."""
    return [name.removeprefix(ATTRIBUTE) for name in names if name.startswith(ATTRIBUTE)]


def values_of(field: str, spans: Sequence[SampledSpan], keys: Sequence[str]) -> list[list[str]]:
    """Return the values of a field of FIELDS, `tag` or an attribute for every span; '' is none."""
    if field == "tag":
        return [sorted(set(span.tags)) for span in spans]
    if field.startswith(ATTRIBUTE):
        number = keys.index(field.removeprefix(ATTRIBUTE))
        return [[span.attributes[number]] for span in spans]
    return [[FIELDS[field](span)] for span in spans]


def split(field: str, reference: Sequence[Sequence[str]], current: Sequence[Sequence[str]]) -> list[Segment]:
    """Return the segments of a field that have MIN_ROWS in both windows, the largest MAX_VALUES of them.

    The choice looks at the windows together, so that it favours no change.
    """
    sizes = [Counter(value for row in side for value in row if value) for side in (reference, current)]
    chosen = [
        value for value, _ in (sizes[0] + sizes[1]).most_common() if min(sizes[0][value], sizes[1][value]) >= MIN_ROWS
    ]
    return [
        Segment(
            field,
            value,
            tuple(number for number, row in enumerate(reference) if value in row),
            tuple(number for number, row in enumerate(current) if value in row),
        )
        for value in chosen[:MAX_VALUES]
    ]
