"""Phoenix: the frame of `get_spans_dataframe()` as Parquet, JSONL or CSV, the spans of its API, and annotations.

Its spans are OpenInference's. A frame has a column an attribute (`attributes.llm.model_name`), some of which hold lists
and objects; on the wire these are flat (`llm.input_messages.0.message.role`), and so they become again.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from heliograph.importing.model import Report, Score, Span, UnusableError, nanoseconds, span_id_of, trace_id_of

# OpenInference sends these as JSON texts; everything else that is nested is flat.
_JSON = frozenset(
    {
        "metadata",
        "llm.invocation_parameters",
        "llm.prompt_template.variables",
        "tool.parameters",
        "input.value",
        "output.value",
        "retrieval.documents.document.metadata",
    }
)
_LIST_OF_TEXTS = frozenset({"tag.tags", "session.tags"})
# A span with more than this many flat attributes is beyond what the server keeps (HELIOGRAPH_MAX_ATTRIBUTES).
_MOST = 4_096


class Phoenix:
    """Converts spans, and annotations of spans that stand in the files before or after them."""

    name = "phoenix"

    def __init__(self) -> None:
        # An annotation of a frame names its span only.
        self._traces: dict[str, str] = {}

    def scan(self, record: dict[str, Any]) -> None:
        """Learn the trace of each span."""
        row = _flat_context(record)
        if "annotation_name" not in row and row.get("context.span_id") and row.get("context.trace_id"):
            try:
                self._traces[span_id_of(row["context.span_id"])] = trace_id_of(row["context.trace_id"])
            except UnusableError:
                return  # `convert` says so

    def convert(self, record: dict[str, Any], report: Report) -> Iterator[Span | Score]:
        """Yield a record's span, or the score that an annotation is. Raises UnusableError for anything else."""
        row = _flat_context(record)
        if row.get("annotation_name") or ("result" in row and "span_id" in row):
            yield self._score(row)
        elif row.get("context.span_id"):
            yield _span(row, report)
        else:
            raise UnusableError("neither a span nor an annotation of Phoenix")

    def _score(self, row: dict[str, Any]) -> Score:
        result = row["result"] if isinstance(row.get("result"), dict) else {}
        value = _first(result.get("score"), row.get("result.score"), row.get("score"))
        label = _first(result.get("label"), row.get("result.label"), row.get("label"))
        explanation = _first(result.get("explanation"), row.get("result.explanation"), row.get("explanation"))
        span_id = span_id_of(_first(row.get("span_id"), row.get("context.span_id")))
        trace_id = self._traces.get(span_id)
        if trace_id is None:
            raise UnusableError("an annotation of a span that is in none of the files")
        try:
            number = None if value is None or value != value else float(value)  # noqa: PLR0124  # NaN of a frame
        except (TypeError, ValueError):
            raise UnusableError("an annotation whose score is no number") from None
        if number is None and not label and not explanation:
            raise UnusableError("an annotation without a result")
        name = str(_first(row.get("annotation_name"), row.get("name"), "annotation"))
        made_by = str(row.get("annotator_kind") or "").lower()
        return Score(
            {
                "id": f"phoenix:{row.get('id') or row.get('identifier') or ''}:{span_id}:{name}:{made_by}"[:200],
                "name": name,
                "value": number,
                "label": str(label or "")[:200],
                "explanation": str(explanation or ""),
                "author": made_by,
                "time": row.get("created_at"),
                "trace_id": trace_id,
                "span_id": span_id,
            }
        )


def _span(row: dict[str, Any], report: Report) -> Span:
    start = nanoseconds(row.get("start_time"))
    end = row.get("end_time")
    attributes: dict[str, Any] = {}
    if row.get("span_kind"):
        attributes["openinference.span.kind"] = str(row["span_kind"]).upper()
    for key, value in _attributes(row):
        _flatten(key, value, attributes)
    if len(attributes) >= _MOST:
        report.note(f"a span's attributes beyond {_MOST} are left out")
    status = str(row.get("status_code") or "").upper()
    parent = row.get("parent_id")
    return Span(
        trace_id=trace_id_of(row.get("context.trace_id")),
        span_id=span_id_of(row["context.span_id"]),
        parent_id=span_id_of(parent) if isinstance(parent, str) and parent else "",
        name=str(row.get("name") or "span"),
        start_ns=start,
        end_ns=max(start, nanoseconds(end)) if end else start,
        attributes=attributes,
        events=list(_events(row.get("events"), start)),
        status={"OK": "ok", "ERROR": "error"}.get(status, "unset"),
        message=str(row.get("status_message") or ""),
    )


def _flat_context(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with `context.span_id` and `context.trace_id`, however it names them."""
    row = dict(record)
    context = row.get("context")
    if isinstance(context, dict):
        row.setdefault("context.span_id", context.get("span_id"))
        row.setdefault("context.trace_id", context.get("trace_id"))
    return row


def _attributes(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    whole = row.get("attributes")
    if isinstance(whole, str):
        try:
            whole = json.loads(whole)
        except ValueError:
            raise UnusableError("attributes that are no JSON") from None
    if isinstance(whole, dict):
        yield from whole.items()
    for name, value in row.items():
        if name.startswith("attributes."):
            yield name.removeprefix("attributes."), value


def _flatten(key: str, value: Any, into: dict[str, Any]) -> None:
    """Put a value under flat keys; None, which a frame has for every column that a span lacks, is nothing."""
    if value is None or (isinstance(value, float) and value != value) or len(into) >= _MOST:  # noqa: PLR0124  # NaN
        return
    if key in _JSON:
        into[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _flatten(f"{key}.{name}", inner, into)
    elif isinstance(value, list) and value and isinstance(value[0], (dict, list)) and key not in _LIST_OF_TEXTS:
        for number, inner in enumerate(value):
            _flatten(f"{key}.{number}", inner, into)
    elif isinstance(value, list):
        kept = [each for each in value if each is not None]
        if kept:
            into[key] = kept
    elif isinstance(value, (str, bool, int, float)):
        into[key] = value
    else:
        into[key] = str(value)


def _events(rows: Any, start: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            attributes = row.get("attributes")
            flat: dict[str, Any] = {}
            for key, value in attributes.items() if isinstance(attributes, dict) else ():
                _flatten(key, value, flat)
            time = row.get("timestamp")
            yield str(row.get("name") or "event"), nanoseconds(time) if time else start, flat


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
