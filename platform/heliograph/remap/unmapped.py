"""Attribute keys that came lately and that neither the built-in table nor the project's rules read."""

from dataclasses import dataclass, replace

from collectors.semconv.table import Index
from heliograph.query import attribute_keys
from heliograph.query.attribute_keys import SeenKey
from heliograph.query.filters import TimeRange

# A person looks through one screen or two; what is below is rarer than all of these.
SHOWN_KEYS = 100


@dataclass(frozen=True, slots=True)
class Unmapped:
    """The most frequent unmapped keys, how many there are in all, and of how many spans the counts speak."""

    keys: tuple[SeenKey, ...]
    total: int
    mapped: int
    sampled_spans: int


def unmapped_keys(project_id: int, span: TimeRange, index: Index, containing: str = "") -> Unmapped:
    """Return the keys of the newest spans that `index` does not read, each with an example. Raises StoreError."""
    sample = attribute_keys.recent_keys(project_id, span)
    unread = [key for key in sample.keys if index.lookup(key.as_sent) is None]
    wanted = [key for key in unread if containing.lower() in key.key.lower()]
    shown = wanted[:SHOWN_KEYS]
    found = attribute_keys.examples(project_id, span, [key.as_sent for key in shown])
    with_examples = tuple(replace(key, example=found.get(key.as_sent, "")) for key in shown)
    return Unmapped(with_examples, len(wanted), len(sample.keys) - len(unread), sample.spans)
