"""A redactor over the columns of one request: spans and log records, before they are stored."""

from typing import Any

from collectors.otlp.columns import SPAN_COLUMNS
from collectors.semconv.content import content_of
from collectors.semconv.dialects import INDEX
from collectors.semconv.table import Index
from heliograph.rules.redaction import Action, KeyRule, Pass, Redactor, label_of

Columns = dict[str, list[Any]]

# Which rules changed what, one entry a rule and place, such as "e-mail: input"; a log record says it in an attribute.
REDACTED = "redacted"
REDACTED_KEY = "heliograph.redacted"
# Columns of text, and those whose value is a copy of one attribute.
_TEXTS = ("input", "output", "documents", "tools", "status_message", "name", "user_id", "session_id", "response_id")
_COPIES = ("user_id", "session_id", "response_id", "tool_name", "prompt_name", "input", "output", "status_message")
_PREVIEWS = {"input": ("input_preview", "user"), "output": ("output_preview", "assistant")}
# Where a canonical field that is no column ends up.
_COLUMN_OF_FIELD = {
    **{name: name for name in SPAN_COLUMNS},
    "system_instructions": "input",
    "input_messages": "input",
    "embedded_texts": "input",
    "output_messages": "output",
    "output_tool_calls": "output",
    "output_reasoning": "output",
    "error_message": "status_message",
    "entity_name": "tool_name",
}
# Columns of entries that are canonical fields of their own, `request.seed`.
_MAPS = ("request", "response")
_BLANKABLE = frozenset({*_TEXTS, "tool_name", "prompt_name", "tags"})


def redact_spans(columns: Columns, redactor: Redactor, index: Index = INDEX) -> int:
    """Blank the spans of one request in place, add the column `redacted`, return how many spans were changed.

    A key rule takes an attribute, and what was read out of it: the column of its meaning, and every copy of its value.
    """
    passed = redactor.pass_over()
    marks: list[list[str]] = []
    resources: dict[int, tuple[dict[str, str], list[str]]] = {}
    for place in range(len(columns["span_id"])):
        found: dict[str, None] = {}
        attributes = columns["attributes"][place]
        new, rules, taken = passed.attributes(attributes)
        if new is not attributes:
            columns["attributes"][place] = new
            found.update((f"{rule}: attributes", None) for rule in rules)
            for key, rule in taken.items():
                _take_column(columns, place, index, key, attributes[key], rule, redactor, found)
        for name in _TEXTS:
            text = columns[name][place]
            if text:
                blanked, rules = passed.redact(text)
                if rules:
                    _put(columns, place, name, blanked)
                    found.update((f"{rule}: {name}", None) for rule in rules)
        _lists(columns, place, passed, found)
        columns["resource"][place] = _resource(columns["resource"][place], passed, resources, found)
        marks.append(list(found))
    columns[REDACTED] = marks
    return sum(bool(mark) for mark in marks)


def redact_logs(columns: Columns, redactor: Redactor) -> int:
    """Blank the log records of one request in place; return how many were changed."""
    passed = redactor.pass_over()
    changed = 0
    resources: dict[int, tuple[dict[str, str], list[str]]] = {}
    for place in range(len(columns["body"])):
        found: dict[str, None] = {}
        body, rules = passed.redact(columns["body"][place])
        if rules:
            columns["body"][place] = body
            found.update((f"{rule}: body", None) for rule in rules)
        attributes, rules, _ = passed.attributes(columns["attributes"][place])
        found.update((f"{rule}: attributes", None) for rule in rules)
        columns["resource"][place] = _resource(columns["resource"][place], passed, resources, found)
        if found:
            changed += 1
            columns["attributes"][place] = attributes | {REDACTED_KEY: ", ".join(found)}
    return changed


def _take_column(
    columns: Columns,
    place: int,
    index: Index,
    key: str,
    value: str,
    rule: KeyRule,
    redactor: Redactor,
    found: dict[str, None],
) -> None:
    """Blank the columns that hold what a taken attribute said."""
    hit = index.lookup(key)
    meant = {_COLUMN_OF_FIELD.get(hit.field, "")} if hit else set()
    if hit and hit.field == "several":  # an object with several fields in it
        meant = {"input", "output", "user_id", "session_id"}
    for name in _MAPS if hit else ():
        entries = columns[name][place]
        entry = hit.field.removeprefix(f"{name}.") if hit else ""
        left = {} if hit and hit.field == "several" else {each: text for each, text in entries.items() if each != entry}
        if left != entries:
            columns[name][place] = left
            found[f"{rule.name}: {name}"] = None
    copies = {name for name in _COPIES if columns[name][place] == value} if value else set()
    for name in (meant | copies) & _BLANKABLE:
        old = columns[name][place]
        if old:
            token = redactor.token(rule.action, label_of(key), old if isinstance(old, str) else value)
            _put(columns, place, name, token if isinstance(old, str) else ([token] if token else []))
            found[f"{rule.name}: {name}"] = None


def _put(columns: Columns, place: int, name: str, text: Any) -> None:
    columns[name][place] = text
    if name in _PREVIEWS:
        # A preview may hold half of a find; made anew of the blanked text, it holds none.
        preview, role = _PREVIEWS[name]
        columns[preview][place] = content_of(text, role)[1] if text else ""


def _lists(columns: Columns, place: int, passed: Pass, found: dict[str, None]) -> None:
    tags = columns["tags"][place]
    if tags:
        blanked = [passed.redact(tag) for tag in tags]
        if any(rules for _, rules in blanked):
            columns["tags"][place] = [text for text, _ in blanked if text]
            found.update((f"{rule}: tags", None) for _, rules in blanked for rule in rules)
    for name in _MAPS:
        entries = columns[name][place]
        if entries:
            new, rules, _ = passed.attributes(entries)
            if rules:
                columns[name][place] = new
                found.update((f"{rule}: {name}", None) for rule in rules)
    for name, where in (("events.attributes", "events"), ("links.attributes", "links")):
        each = columns[name][place]
        if each:
            maps = [passed.attributes(attributes) for attributes in each]
            if any(rules for _, rules, _ in maps):
                columns[name][place] = [new for new, _, _ in maps]
                found.update((f"{rule}: {where}", None) for _, rules, _ in maps for rule in rules)


def _resource(
    resource: dict[str, str],
    passed: Pass,
    known: dict[int, tuple[dict[str, str], list[str]]],
    found: dict[str, None],
) -> dict[str, str]:
    """Blank a resource; all spans of a service share one object, which is looked at once."""
    answer = known.get(id(resource))
    if answer is None:
        new, rules, _ = passed.attributes(resource)
        answer = known[id(resource)] = (new, [f"{rule}: resource" for rule in rules])
    found.update(dict.fromkeys(answer[1]))
    return answer[0]


__all__ = ["REDACTED", "REDACTED_KEY", "Action", "redact_logs", "redact_spans"]
