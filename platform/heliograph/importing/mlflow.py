"""MLflow: `Trace.to_json()` of version 3, one a line or in a list, and the frame of `search_traces()`.

Its spans are OpenTelemetry's with ids in base64, and its attributes hold JSON as its OTLP export does, so they stay as
they are. Session, user and tags stand at the trace and go on its root; assessments become scores.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from heliograph.importing.model import Report, Score, Span, UnusableError, nanoseconds, span_id_of, trace_id_of

_STATUS = {"STATUS_CODE_OK": "ok", "OK": "ok", "STATUS_CODE_ERROR": "error", "ERROR": "error"}
# Of the trace's own metadata; the rest goes with its names.
_KNOWN = {"mlflow.trace.session": "session.id", "mlflow.trace.user": "user.id"}
# What MLflow keeps for itself; inputs and outputs stand at the root span already.
_OWN = (
    "mlflow.trace.size",
    "mlflow.traceInputs",
    "mlflow.traceOutputs",
    "mlflow.trace.infoFinalized",
    "mlflow.artifact",
)


class Mlflow:
    """Converts records one by one."""

    name = "mlflow"

    def scan(self, record: dict[str, Any]) -> None:
        """Each record is whole."""

    def convert(self, record: dict[str, Any], report: Report) -> Iterator[Span | Score]:
        """Yield a trace's spans and scores. Raises UnusableError for a record that is no trace."""
        trace = record.get("trace")
        if isinstance(trace, str):  # a row of the frame, with the trace as JSON beside its columns
            try:
                record = json.loads(trace)
            except ValueError:
                raise UnusableError("a column `trace` that is no JSON") from None
        elif isinstance(trace, dict):
            record = trace
        info, data = record.get("info"), record.get("data")
        if not isinstance(info, dict) or not isinstance(data, dict):
            raise UnusableError("no trace of MLflow 3: `info` and `data` are missing")
        spans = [span for span in data.get("spans") or [] if isinstance(span, dict)]
        if not spans:
            raise UnusableError("a trace without spans (exported without its data)")
        trace_id = ""
        for row in spans:
            try:
                span = _span(row, info)
            except UnusableError as error:
                report.leave_out(f"span: {error}")
                continue
            trace_id = trace_id or span.trace_id
            yield span
        if trace_id:
            yield from _scores(info.get("assessments"), trace_id, report)


def _span(row: dict[str, Any], info: dict[str, Any]) -> Span:
    parent = row.get("parent_span_id") or row.get("parent_id")
    trace_id, span_id = _ids(row)
    start = nanoseconds(row.get("start_time_unix_nano") or row.get("start_time"))
    end = row.get("end_time_unix_nano") or row.get("end_time")
    status: dict[str, Any] = row["status"] if isinstance(row.get("status"), dict) else {"code": row.get("status_code")}
    attributes = dict(row["attributes"]) if isinstance(row.get("attributes"), dict) else {}
    if not parent:
        attributes |= _of_trace(info)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=span_id_of(_hexadecimal(parent, 8)) if parent else "",
        name=str(row.get("name") or "span"),
        start_ns=start,
        end_ns=max(start, nanoseconds(end)) if end else start,
        attributes=attributes,
        events=list(_events(row.get("events"), start)),
        status=_STATUS.get(str(status.get("code")), "unset"),
        message=str(status.get("message") or ""),
    )


def _ids(row: dict[str, Any]) -> tuple[str, str]:
    context = row["context"] if isinstance(row.get("context"), dict) else {}  # version 2 has them there
    trace_id = row.get("trace_id") or context.get("trace_id")
    span_id = row.get("span_id") or context.get("span_id")
    return trace_id_of(_hexadecimal(trace_id, 16)), span_id_of(_hexadecimal(span_id, 8))


def _hexadecimal(text: Any, size: int) -> Any:
    """Return an id's hexadecimal digits where it is base64 of so many bytes, else the id."""
    if isinstance(text, str) and text.endswith("="):
        try:
            raw = base64.b64decode(text, validate=True)
        except binascii.Error:
            return text
        return raw.hex() if len(raw) == size else text
    return text


def _of_trace(info: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in {**(info.get("trace_metadata") or info.get("request_metadata") or {})}.items():
        if key in _KNOWN:
            found[_KNOWN[key]] = value
        elif value not in (None, "") and not key.startswith(_OWN):
            found[key] = value
    tags = info.get("tags")
    for key, value in tags.items() if isinstance(tags, dict) else ():
        if not key.startswith("mlflow."):
            found[f"mlflow.traceTag.{key}"] = value
    return found


def _events(rows: Any, start: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            time = row.get("time_unix_nano") or row.get("timestamp")
            attributes = row.get("attributes")
            yield (
                str(row.get("name") or "event"),
                nanoseconds(time) if time else start,
                attributes if isinstance(attributes, dict) else {},
            )


def _scores(assessments: Any, trace_id: str, report: Report) -> Iterator[Score]:
    for row in assessments if isinstance(assessments, list) else []:
        if not isinstance(row, dict):
            continue
        if "feedback" not in row:
            report.leave_out("assessment: an expectation, which belongs in a data set")
            continue
        value = row["feedback"].get("value") if isinstance(row["feedback"], dict) else None
        number = float(value) if isinstance(value, (int, float)) else None
        if row.get("valid") is False or (value is None and not row.get("rationale")):
            report.leave_out("assessment: replaced by a later one, or without a value")
            continue
        source = row["source"] if isinstance(row.get("source"), dict) else {}
        span_id = row.get("span_id")
        yield Score(
            {
                "id": f"mlflow:{row.get('assessment_id')}"[:200],
                "name": str(row.get("assessment_name") or row.get("name") or "assessment"),
                "value": number,
                "label": "" if number is not None or value is None else str(value)[:200],
                "explanation": str(row.get("rationale") or ("" if value is not None else "no value")),
                "author": f"{str(source.get('source_type') or '').lower()}:{source.get('source_id') or ''}"[:200],
                "time": row.get("create_time"),
                "trace_id": trace_id,
                **({"span_id": span_id_of(_hexadecimal(span_id, 8))} if span_id else {}),
            }
        )
