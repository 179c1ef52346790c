"""Langfuse: traces, observations and scores, of the API, the interface's export or the export to blob storage.

Names come in camel case (API, interface) or snake case (blob storage). Observations stand in their trace (`GET
/api/public/traces/{id}`) or in files of their own; attributes are those of Langfuse's SDK over OTLP. A trace is a row
of its own at Langfuse, so it becomes a root span of its own, and observations without a parent its children.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from heliograph.importing.model import Report, Score, Span, UnusableError, nanoseconds, span_id_of, trace_id_of

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_PREFIX = "langfuse.observation."


class Langfuse:
    """Converts records in any order; `scan` sees all of them first."""

    name = "langfuse"

    def __init__(self) -> None:
        # Of each trace that has a row: the end of its latest observation.
        self._ends: dict[str, int] = {}
        self._rows: set[str] = set()

    def scan(self, record: dict[str, Any]) -> None:
        """Learn which traces have a row, and when they end."""
        row = _snake(record)
        try:
            if _kind(row) == "trace":
                trace_id = trace_id_of(row.get("id"))
                self._rows.add(trace_id)
                for inner in _dicts(row.get("observations")):
                    self._scan_end(trace_id, _snake(inner))
            elif _kind(row) == "observation":
                self._scan_end(trace_id_of(row.get("trace_id")), row)
        except UnusableError:
            return  # `convert` says so

    def _scan_end(self, trace_id: str, row: dict[str, Any]) -> None:
        end = nanoseconds(row.get("end_time") or row.get("start_time"))
        self._ends[trace_id] = max(end, self._ends.get(trace_id, 0))

    def convert(self, record: dict[str, Any], report: Report) -> Iterator[Span | Score]:
        """Yield a record's spans and scores. Raises UnusableError for a record that has none."""
        row = _snake(record)
        kind = _kind(row)
        if kind == "trace":
            yield self._trace(row)
            service = _service(row)
            for inner in _dicts(row.get("observations")):
                yield from _kept(
                    report, "observation", lambda each=inner: self._observation(_snake(each), row, service)
                )
            for inner in _dicts(row.get("scores")):
                yield from _kept(report, "score", lambda each=inner: _score({"trace_id": row["id"], **_snake(each)}))
        elif kind == "observation":
            yield self._observation(row, {}, _service(row))
        else:
            yield _score(row)

    def _trace(self, row: dict[str, Any]) -> Span:
        trace_id = trace_id_of(row.get("id"))
        start = nanoseconds(row.get("timestamp") or row.get("created_at"))
        latency = row.get("latency")
        end = self._ends.get(trace_id, 0) or start + int(float(latency or 0) * 10**9)
        attributes = {
            "langfuse.trace.name": row.get("name"),
            "langfuse.trace.input": _text(row.get("input")),
            "langfuse.trace.output": _text(row.get("output")),
            "langfuse.trace.tags": _texts(row.get("tags")),
            "langfuse.trace.public": row.get("public"),
            **_shared(row, row),
            **_metadata("langfuse.trace.metadata", row.get("metadata")),
        }
        return _span(trace_id, _root_id(trace_id), "", str(row.get("name") or "trace"), start, end, attributes, row)

    def _observation(self, row: dict[str, Any], trace: Mapping[str, Any], service: str) -> Span:
        trace_id = trace_id_of(row.get("trace_id") or trace.get("id"))
        parent = row.get("parent_observation_id")
        root = _root_id(trace_id) if trace_id in self._rows else ""
        start = nanoseconds(row.get("start_time"))
        end = nanoseconds(row["end_time"]) if row.get("end_time") else start
        usage = _numbers(row.get("usage_details")) or _usage(row)
        first = row.get("completion_start_time")
        if not first and row.get("time_to_first_token"):
            first_ns = start + int(float(row["time_to_first_token"]) * 10**9)
            attributes_first: dict[str, Any] = {"gen_ai.response.time_to_first_chunk": (first_ns - start) / 1e9}
        else:
            attributes_first = {_PREFIX + "completion_start_time": json.dumps(first) if first else None}
        attributes = {
            _PREFIX + "type": str(row.get("type") or "span").lower(),
            _PREFIX + "input": _text(row.get("input")),
            _PREFIX + "output": _text(row.get("output")),
            _PREFIX + "model.name": row.get("model") or row.get("provided_model_name"),
            _PREFIX + "model.parameters": _text(row.get("model_parameters")),
            _PREFIX + "usage_details": json.dumps(usage) if usage else None,
            _PREFIX + "cost_details": _text(_numbers(row.get("cost_details"))),
            _PREFIX + "level": row.get("level"),
            _PREFIX + "status_message": row.get("status_message"),
            _PREFIX + "prompt.name": row.get("prompt_name"),
            _PREFIX + "prompt.version": row.get("prompt_version"),
            **attributes_first,
            **_shared(row, trace),
            **_metadata(_PREFIX + "metadata", row.get("metadata")),
        }
        span_id = span_id_of(row.get("id"))
        parent_id = span_id_of(parent) if parent else root
        name = str(row.get("name") or row.get("type") or "observation")
        return _span(trace_id, span_id, parent_id, name, start, end, attributes, row, service)


def _span(
    trace_id: str,
    span_id: str,
    parent_id: str,
    name: str,
    start: int,
    end: int,
    attributes: dict[str, Any],
    row: dict[str, Any],
    service: str = "",
) -> Span:
    is_error = str(row.get("level") or "").upper() == "ERROR"
    given = {key: value for key, value in attributes.items() if value not in (None, "", [], {})}
    if span_id != row.get("id") and trace_id != row.get("id"):
        given["langfuse.id"] = str(row.get("id"))
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=name,
        start_ns=start,
        end_ns=max(start, end),
        attributes=given,
        status="error" if is_error else "unset",
        message=str(row.get("status_message") or "") if is_error else "",
        service=service or _service(row),
    )


def _score(row: dict[str, Any]) -> Score:
    """Of a trace, an observation or a session; V3 of the API names it as `subject`."""
    subject = _snake(row["subject"]) if isinstance(row.get("subject"), dict) else {}
    kind, subject_id = str(subject.get("kind") or "").lower(), subject.get("id")
    trace = row.get("trace_id") or subject.get("trace_id") or (subject_id if kind == "trace" else None)
    span = row.get("observation_id") or (subject_id if kind == "observation" else None)
    session = row.get("session_id") or (subject_id if kind == "session" else None)
    if not trace and not session:
        raise UnusableError("a score of neither a trace nor a session (a data set run?)")
    value = row.get("value")
    if isinstance(value, bool):
        number: float | None = float(value)
    else:
        try:
            number = float(value) if value is not None else None
        except (TypeError, ValueError):
            number = None
    label = str(row.get("string_value") or (value if number is None and value is not None else ""))
    if number is None and not label:
        raise UnusableError("a score without a value")
    target = {"trace_id": trace_id_of(trace)} if trace else {"session_id": str(session)}
    if trace and span:
        target["span_id"] = span_id_of(span)
    source = str(row.get("source") or "").lower()
    body = {
        "id": f"langfuse:{row.get('id') or hashlib.sha256(json.dumps(row, default=str).encode()).hexdigest()}",
        "name": str(row.get("name") or "score"),
        "value": number,
        "label": label[:200],
        "explanation": str(row.get("comment") or ""),
        "author": f"langfuse:{row.get('author_user_id') or source}"[:200],
        "time": row.get("timestamp") or row.get("created_at"),
        **target,
    }
    return Score(body)


def _kind(row: dict[str, Any]) -> str:
    if "observations" in row:
        return "trace"
    if {"data_type", "observation_id", "config_id", "queue_id", "subject"} & row.keys() and "start_time" not in row:
        return "score"
    if "start_time" in row:
        return "observation"
    if "value" in row and "trace_id" in row:
        return "score"
    if "id" in row and ("timestamp" in row or "created_at" in row):
        return "trace"
    raise UnusableError("neither a trace, an observation nor a score of Langfuse")


def _kept(report: Report, what: str, make: Any) -> Iterator[Span | Score]:
    """Yield what is made; a part that cannot be used costs no other part of its trace."""
    try:
        yield make()
    except UnusableError as error:
        report.leave_out(f"{what}: {error}")


def _root_id(trace_id: str) -> str:
    return hashlib.sha256(f"langfuse trace {trace_id}".encode()).hexdigest()[:16]


def _snake(record: Mapping[str, Any]) -> dict[str, Any]:
    return {_CAMEL.sub(r"_\1", str(key)).lower(): value for key, value in record.items()}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _shared(row: Mapping[str, Any], trace: Mapping[str, Any]) -> dict[str, Any]:
    def first(name: str) -> Any:
        return row.get(name) or trace.get(name)

    return {
        "user.id": first("user_id"),
        "session.id": first("session_id"),
        "langfuse.environment": first("environment"),
        "langfuse.release": first("release"),
        "langfuse.version": first("version"),
    }


def _usage(row: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of older exports: `usage: {input, output, total}`, or a column each."""
    usage = row.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    found = {
        "input": counts.get("input") or row.get("prompt_tokens") or row.get("input_usage"),
        "output": counts.get("output") or row.get("completion_tokens") or row.get("output_usage"),
        "total": counts.get("total") or row.get("total_tokens") or row.get("total_usage"),
    }
    return _numbers(found)


def _numbers(value: Any) -> dict[str, Any]:
    """Return the numbers of an object, also of one that is written as JSON, or as texts in a CSV."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    if isinstance(value, list):  # Parquet has maps as pairs
        value = {pair[0]: pair[1] for pair in value if isinstance(pair, (tuple, list)) and len(pair) == 2}
    if not isinstance(value, dict):
        return {}
    found = {}
    for name, number in value.items():
        try:
            amount = float(number)
        except (TypeError, ValueError):
            continue
        found[str(name)] = int(amount) if amount.is_integer() else amount
    return found


def _metadata(prefix: str, value: Any) -> dict[str, Any]:
    """Return a flat attribute a key, as Langfuse's SDK sends them; what is no object is one attribute."""
    if isinstance(value, dict):
        return {
            f"{prefix}.{key}": _text(each) for key, each in value.items() if key not in {"resourceAttributes", "scope"}
        }
    return {prefix: _text(value)}


def _service(row: Mapping[str, Any]) -> str:
    metadata = row.get("metadata")
    resource = metadata.get("resourceAttributes") if isinstance(metadata, dict) else None
    name = resource.get("service.name") if isinstance(resource, dict) else None
    return name if isinstance(name, str) else ""


def _text(value: Any) -> str | None:
    if value is None or value == {}:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, Iterable) else []
