"""The convention inspector of one span: which key, of which convention or rule, filled each field, what nobody read.

Worked out when it is asked, by the table of the revision that the span was stored by (docs/adr/0016).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.otlp.resources import columns_of_resource
from collectors.semconv.explain import COLUMNS, Explanation, Source, explain
from collectors.semconv.rules import compiled
from collectors.semconv.table import PROJECT
from heliograph.conventions.models import Ruleset, enabled_rules
from heliograph.query.spans import SpanDetail

# A message of a model is shown where the conversation is; here it is enough to recognise it.
VALUE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class FieldSource:
    """A key that a field was filled from: of a convention, '' for the general keys, or of a rule of the project."""

    key: str
    dialect: str
    where: str
    rule_id: str


@dataclass(frozen=True, slots=True)
class MappedField:
    """A canonical field as it is stored, cut to VALUE_CHARACTERS, and what filled it.

    `how` says in words what its keys alone do not, or why there are none.
    """

    field: str
    value: str
    sources: tuple[FieldSource, ...]
    how: str


@dataclass(frozen=True, slots=True)
class RawKey:
    """An attribute's key: `use` is `source`, `unused` (read, but another key was believed) or `unmapped`.

    `fields` are those that it filled or would have filled.
    """

    key: str
    use: str
    fields: tuple[str, ...]
    dialect: str


@dataclass(frozen=True, slots=True)
class SpanMapping:
    """What filled a span's fields; `revision` is that of the rules it was stored by, `latest` that in force now."""

    revision: int
    latest: int
    mapped_by: tuple[MappedField, ...]
    keys: tuple[RawKey, ...]

    @property
    def unmapped(self) -> int:
        """How many keys nobody maps."""
        return sum(key.use == "unmapped" for key in self.keys)


def mapping_of(project_id: int, span: SpanDetail) -> SpanMapping:
    """Return what filled a span's fields. Raises django.db.Error."""
    rulesets = {
        ruleset.revision: ruleset
        for ruleset in Ruleset.objects.filter(project=project_id, revision=span.mapping_revision)
    }
    latest = Ruleset.objects.filter(project=project_id).values_list("revision", flat=True).first() or 0
    rules = rulesets[span.mapping_revision].rules if span.mapping_revision in rulesets else []
    events = [(event.time_ns, event.name, event.attributes) for event in span.events]
    said = explain(span.attributes, events, start_ns=span.start_ns, index=compiled(enabled_rules(rules)))
    return SpanMapping(
        span.mapping_revision,
        latest,
        tuple(_fields_of(span, said, rules)),
        tuple(_keys_of(span, said)),
    )


def _fields_of(span: SpanDetail, said: Explanation, rules: Sequence[Mapping[str, Any]]) -> list[MappedField]:
    explained = {each.column: each for each in said.mapped}
    of_resource = columns_of_resource(span.resource)
    found = []
    for column in COLUMNS:
        value = _stored(span, column)
        if value in (None, "", ()):
            continue
        known = explained.get(column)
        sources = tuple(_source(source, rules) for source in known.sources) if known else ()
        how = known.how if known else ""
        if not sources and not how:
            how = "from the resource" if of_resource.get(column) == value or column == "gpu_uuids" else _ELSEWHERE
        found.append(MappedField(column, _shown(value), sources, how))
    return found


def _stored(span: SpanDetail, column: str) -> Any:
    """A column, or an entry of one: `request.seed`, `tokens.audio_input`."""
    name, dot, entry = column.partition(".")
    if not dot:
        return getattr(span, column)
    held: Mapping[str, Any] = getattr(span, "modality_tokens" if name == "tokens" else name)
    return held.get(entry)


_ELSEWHERE = "its attribute is no longer here: it was cut, blanked by a rule, or came in log records"


def _source(source: Source, rules: Sequence[Mapping[str, Any]]) -> FieldSource:
    return FieldSource(source.key, source.dialect, source.where, _rule_id(source, rules))


def _rule_id(source: Source, rules: Sequence[Mapping[str, Any]]) -> str:
    """The id of the rule that read a key: the one of this very key before those of a prefix."""
    if source.dialect != PROJECT:
        return ""
    fitting = [
        rule
        for rule in rules
        if rule["enabled"]
        and rule["field"] == source.field
        and (source.key == rule["source"] if rule["match"] == "exact" else source.key.startswith(rule["source"]))
    ]
    fitting.sort(key=lambda rule: rule["match"] != "exact")
    return str(fitting[0]["id"]) if fitting else ""


def _keys_of(span: SpanDetail, said: Explanation) -> list[RawKey]:
    used: dict[str, list[str]] = {}
    dialects: dict[str, str] = {}
    for mapped in said.mapped:
        for source in mapped.sources:
            if source.where == "attribute":
                used.setdefault(source.key, []).append(mapped.column)
                dialects[source.key] = source.dialect
    unused = {source.key: source for source in said.unused}
    keys = []
    for key in sorted(span.attributes):
        if key in used:
            keys.append(RawKey(key, "source", tuple(dict.fromkeys(used[key])), dialects[key]))
        elif key in unused:
            keys.append(RawKey(key, "unused", (unused[key].field,), unused[key].dialect))
        elif key in said.unmapped:
            keys.append(RawKey(key, "unmapped", (), ""))
        else:  # it decided about a field that is no column of its own, such as which message is the system's
            keys.append(RawKey(key, "source", (), ""))
    return keys


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
    return text if len(text) <= VALUE_CHARACTERS else text[:VALUE_CHARACTERS] + "…"
