"""A project's redaction and sampling rules on one decoded export; nothing at all where a project has none.

What is spooled while the store is away is the body as it came: it is decoded again at replay, with the rules of that
moment, and then removed.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from collectors.contents import SIDES
from collectors.otlp.logs import DecodedLogs
from collectors.otlp.traces import DecodedSpans
from collectors.semconv.table import Index
from heliograph.clickhouse.errors import StoreError
from heliograph.ingest.refusals import Busy
from heliograph.ingest.signals import Columns, Decoded
from heliograph.query.completeness import removed
from heliograph.rules.blanking import redact_logs, redact_spans
from heliograph.rules.head import sample_spans
from heliograph.rules.project import ProjectRules, RulesUnknownError, UnusableRuleError, rules_of


class Ruled(NamedTuple):
    """What is left of an export, how many items were left out, and of how many something was blanked."""

    decoded: Decoded
    sampled: int = 0
    redacted: int = 0


# Columns of `spans` that only rules fill; the store's defaults stand where no request of a group has them.
FILLED_BY_RULES: dict[str, Any] = {"redacted": [], "adjusted_count": 1.0}


def rules_in_force(project_id: int) -> ProjectRules:
    """Return a project's rules. Raises Busy where they cannot be read: without them too much might be stored."""
    try:
        return rules_of(project_id)
    except (RulesUnknownError, UnusableRuleError) as error:
        raise Busy(str(error)) from error


def apply_rules(decoded: Decoded, rules: ProjectRules, index: Index, project_id: int) -> Ruled:
    """Return an export as its project's rules leave it. Metrics have no texts, and pass as they are.

    `index` is the table of keys with the project's own.
    """
    if isinstance(decoded, DecodedSpans) and not rules.head and any(map(_says_sampled, decoded.columns["trace_state"])):
        # Without a rule of our own all are kept, and stand for as many as their sender says.
        decoded = replace(decoded, columns=sample_spans(decoded.columns, ())[0])
    if not rules or not decoded.accepted or not isinstance(decoded, (DecodedSpans, DecodedLogs)):
        return Ruled(decoded)
    if isinstance(decoded, DecodedLogs):
        return Ruled(decoded, 0, redact_logs(decoded.columns, rules.redactor) if rules.redactor else 0)
    sampled = redacted = 0
    if rules.head:
        decoded, sampled = _sampled(decoded, *sample_spans(decoded.columns, rules.head))
    if rules.has_tail and decoded.accepted:
        decoded, late = _sampled(decoded, *_without_removed(project_id, decoded.columns))
        sampled += late
    if rules.redactor and decoded.accepted:
        redacted = redact_spans(decoded.columns, rules.redactor, index)
    if decoded.blobs and (sampled or redacted):
        decoded = replace(decoded, blobs=_referred_to(decoded))
    return Ruled(decoded, sampled, redacted)


def _says_sampled(trace_state: str) -> bool:
    return "th:" in trace_state


def _without_removed(project_id: int, columns: Columns) -> tuple[Columns, list[int]]:
    """Return the spans whose trace is not one that sampling removed, and which were left out: a sender's late retry
    would be counted a second time, and a late span would be all that is left of its trace."""
    try:
        gone = removed(project_id, set(columns["trace_id"]))
    except StoreError:  # it is spooled then, and asked about again at replay; else the next pass removes it
        return columns, []
    if not gone:
        return columns, []
    kept = [place for place, trace_id in enumerate(columns["trace_id"]) if trace_id not in gone]
    left_out = [place for place, trace_id in enumerate(columns["trace_id"]) if trace_id in gone]
    return {name: [values[place] for place in kept] for name, values in columns.items()}, left_out


def _sampled(decoded: DecodedSpans, columns: Columns, dropped: list[int]) -> tuple[DecodedSpans, int]:
    """Return the spans that are left; the rows with long texts have other places then."""
    if not dropped:
        return replace(decoded, columns=columns), 0
    gone = set(dropped)
    places = {old: new for new, old in enumerate(old for old in range(decoded.accepted) if old not in gone)}
    long_rows = [places[row] for row in decoded.long_rows if row in places]
    return replace(decoded, columns=columns, accepted=len(places), long_rows=long_rows), len(dropped)


def _referred_to(decoded: DecodedSpans) -> dict[str, bytes]:
    """Return the blobs that a span still refers to: a picture that a rule took is not kept either."""
    columns = decoded.columns
    texts = [columns[name][row] for name, _ in SIDES for row in decoded.long_rows]
    for row in decoded.long_rows:
        texts += columns["attributes"][row].values()
        for attributes in columns["events.attributes"][row]:
            texts += attributes.values()
    return {digest: blob for digest, blob in decoded.blobs.items() if any(digest in text for text in texts)}


def with_rule_columns(columns: list[Columns]) -> None:
    """Give every request of a group the columns that some of it has."""
    for name, default in FILLED_BY_RULES.items():
        if any(name in each for each in columns):
            for each in columns:
                if name not in each:
                    each[name] = [default] * len(each["span_id"])
