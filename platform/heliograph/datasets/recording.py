"""An endpoint's answers as spans, stored as if they had come over OTLP: by the same rules, and each once.

A span is made of a result that is stored already, under ids that the result has. So a worker that dies, or a store that
is away, costs a span nothing but time.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from heliograph.datasets.models import Experiment, Result
from heliograph.datasets.targets import Target
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Export, decode_by_rules
from heliograph.ingest.signals import SIGNALS

SERVICE = "heliograph-experiments"
EXPERIMENT_ID, EXPERIMENT_NAME, ROW_KEY = "heliograph.experiment.id", "heliograph.experiment.name", "heliograph.row.id"
# Some megabytes of texts, in one insert.
BATCH = 200


def new_ids() -> tuple[str, str]:
    """Return a trace's id and its span's."""
    return secrets.token_hex(16), secrets.token_hex(8)


def record(experiment: Experiment) -> None:
    """Store the spans of results that have none yet. Raises StoreError; what was not stored is tried again."""
    waiting = experiment.results.filter(is_recorded=False).select_related("row__content").order_by("pk")
    while results := list(waiting[:BATCH]):
        _store(experiment, results)
        Result.objects.filter(pk__in=[result.pk for result in results]).update(is_recorded=True)


def _store(experiment: Experiment, results: Sequence[Result]) -> None:
    export = Export(
        signal="traces",
        project_id=experiment.project_id,
        retention_days=experiment.project.effective_retention_days,
        content_type="protobuf",
        content_encoding="",
        received_ns=time.time_ns(),
        body=_request(experiment, results).SerializeToString(),
    )
    settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    committer = Committer(SIGNALS["traces"], settings.SPOOL_DIR)
    try:
        committer.store([decode_by_rules(export)])
    finally:
        committer.close()


def _request(experiment: Experiment, results: Sequence[Result]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(
        [_pair("service.name", SERVICE), _pair("deployment.environment.name", "experiment")]
    )
    spans = resource.scope_spans.add()
    spans.scope.name = "heliograph.datasets"
    target = Target(**experiment.target)
    for result in results:
        spans.spans.append(_span(experiment, target, result))
    return request


def _span(experiment: Experiment, target: Target, result: Result) -> Span:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": target.model,
        "gen_ai.response.model": result.call.get("model"),
        "gen_ai.response.id": result.call.get("response_id"),
        "gen_ai.response.finish_reasons": result.call.get("finish_reason"),
        "gen_ai.usage.input_tokens": result.input_tokens,
        "gen_ai.usage.output_tokens": result.output_tokens,
        "gen_ai.input.messages": json.dumps(_messages(target.messages(result.row)), ensure_ascii=False),
        EXPERIMENT_ID: experiment.pk,
        EXPERIMENT_NAME: experiment.name,
        ROW_KEY: result.key,
    }
    if not result.error:
        said = [{"role": "assistant", "content": result.output}]
        attributes["gen_ai.output.messages"] = json.dumps(_messages(said), ensure_ascii=False)
    started_ns = int(result.call["started_ns"])
    return Span(
        trace_id=bytes.fromhex(result.trace_id),
        span_id=bytes.fromhex(result.span_id),
        name=f"chat {target.model}"[:200],
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=started_ns,
        end_time_unix_nano=started_ns + round((result.duration_ms or 0.0) * 1e6),
        attributes=[_pair(key, value) for key, value in attributes.items() if value not in (None, "")],
        status=Status(code=Status.STATUS_CODE_ERROR, message=result.error) if result.error else Status(),
    )


def _messages(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return chat messages as gen_ai.input.messages has them."""
    return [{"role": turn["role"], "parts": [{"type": "text", "content": _said(turn["content"])}]} for turn in turns]


def _said(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _pair(key: str, value: Any) -> KeyValue:
    held = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=str(value))
    return KeyValue(key=key, value=held)
