"""Spans over OTLP and scores over the API, in batches, with a note of how far it came."""

import contextlib
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from heliograph.importing.model import Report, Score, Span

BATCH_SPANS, BATCH_BYTES = 500, 8 * 2**20
BATCH_SCORES = 500
# The API takes times of the last 366 days; a score without one takes its span's time.
_OLDEST = timedelta(days=365)
_STATUS = {"unset": 0, "ok": 1, "error": 2}
_MAX_EXPLANATION = 20_000


@dataclass
class Sender:
    """Batches what converters make. `post_spans` takes a gzipped OTLP body, `post_scores` a list of scores.

    Scores of a batch go after its spans, so that the server knows what they judge.
    """

    post_spans: Callable[[bytes], bytes]
    post_scores: Callable[[list[dict[str, Any]]], None]
    report: Report
    service: str
    source: str
    _spans: list[Span] = field(default_factory=list)
    _bytes: int = 0
    _scores: list[dict[str, Any]] = field(default_factory=list)

    def put(self, made: Span | Score) -> None:
        """Take a span or a score."""
        if isinstance(made, Score):
            self._scores.append(_bounded(made.body))
            return
        self._spans.append(made)
        self._bytes += sum(len(value) if isinstance(value, str) else 16 for value in made.attributes.values()) + 200

    @property
    def is_full(self) -> bool:
        """Whether it is time to `flush`."""
        return len(self._spans) >= BATCH_SPANS or self._bytes >= BATCH_BYTES or len(self._scores) >= BATCH_SCORES

    def flush(self) -> None:
        """Send what is there."""
        if self._spans:
            body = _request(self._spans, self.service, self.source).SerializeToString()
            rejected, reason = _partial(self.post_spans(gzip.compress(body, 6)))
            self.report.spans += len(self._spans) - rejected
            if rejected:
                self.report.leave_out(f"span: the server refused it ({reason})", rejected)
        self._spans, self._bytes = [], 0
        while self._scores:
            batch, self._scores = self._scores[:BATCH_SCORES], self._scores[BATCH_SCORES:]
            self.post_scores(batch)
            self.report.scores += len(batch)


def _request(spans: list[Span], service: str, source: str) -> ExportTraceServiceRequest:
    by_service: dict[str, list[Span]] = {}
    for span in spans:
        by_service.setdefault(span.service or service or source, []).append(span)
    request = ExportTraceServiceRequest()
    for name, members in by_service.items():
        resource: ResourceSpans = request.resource_spans.add()
        resource.resource.attributes.append(_pair("service.name", name))
        scope: ScopeSpans = resource.scope_spans.add()
        scope.scope.name = f"heliograph.import.{source}"
        for span in members:
            _fill(scope.spans.add(), span)
    return request


def _fill(out: OtlpSpan, span: Span) -> None:
    out.trace_id, out.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    out.parent_span_id = bytes.fromhex(span.parent_id)
    out.name, out.kind = span.name, OtlpSpan.SPAN_KIND_INTERNAL
    out.start_time_unix_nano, out.end_time_unix_nano = span.start_ns, span.end_ns
    out.attributes.extend(_pair(key, value) for key, value in span.attributes.items() if value is not None)
    for name, time, attributes in span.events:
        event = out.events.add()
        event.name, event.time_unix_nano = name, time
        event.attributes.extend(_pair(key, value) for key, value in attributes.items() if value is not None)
    out.status.code = _STATUS[span.status]  # type: ignore[assignment]  # the numbers of the enumeration
    out.status.message = span.message


def _pair(key: str, value: Any) -> KeyValue:
    return KeyValue(key=key, value=_value(value))


def _value(value: Any) -> AnyValue:
    if isinstance(value, str):
        # A surrogate from broken JSON is no UTF-8, which protobuf refuses.
        return AnyValue(string_value=value.encode("utf-8", "replace").decode())
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[_value(each) for each in value]))
    return AnyValue(string_value=json.dumps(value, ensure_ascii=True, default=str))


def _partial(answer: bytes) -> tuple[int, str]:
    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""
    return partial.rejected_spans, partial.error_message


def _bounded(body: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in body.items() if value not in ("", None) or key == "value"}
    found["explanation"] = str(body.get("explanation") or "")[:_MAX_EXPLANATION]
    found["name"], found["id"] = str(body["name"])[:200], str(body["id"])[:200]
    if body["value"] is None and not (found.get("label") or found["explanation"]):
        found["explanation"] = "imported without a value"
    time = found.pop("time", None)
    with contextlib.suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(str(time)) if isinstance(time, str) else time
        if moment is not None and moment.replace(tzinfo=moment.tzinfo or UTC) > datetime.now(UTC) - _OLDEST:
            found["time"] = moment.replace(tzinfo=moment.tzinfo or UTC).isoformat()
    return found


class Progress:
    """How many records of these files are sent to this place, kept in a file until all are.

    An import that is started again goes on there. Nothing depends on it: ids make what is sent twice count once.
    """

    def __init__(self, folder: Path, files: list[Path], place: str) -> None:
        described = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        key = hashlib.sha256(json.dumps([described, place]).encode()).hexdigest()[:24]
        self._path = folder / f"import-{key}.json"

    def read(self) -> int:
        """Return the number; 0 for a beginning."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))["records"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return found if isinstance(found, int) and found > 0 else 0

    def write(self, records: int) -> None:
        """Note that so many records are sent."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps({"records": records}), encoding="utf-8")
        draft.replace(self._path)

    def forget(self) -> None:
        """All is sent."""
        self._path.unlink(missing_ok=True)


def state_folder() -> Path:
    """Return `$XDG_STATE_HOME/heliograph`, `~/.local/state/heliograph` without the variable."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "heliograph"


def numbered(records: Iterator[dict[str, Any]], start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield records with their numbers, those up to `start` left out."""
    for number, record in enumerate(records, 1):
        if number > start:
            yield number, record
