"""The endpoints: each reads its parameters, asks one question and answers."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import OPEN, READING, SCORING
from heliograph.accounts.models import Project, User
from heliograph.api.parameters import (
    MetricParameters,
    ScoreParameters,
    ScoresIn,
    ScoresStored,
    SpanParameters,
    read,
)
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import MetricOut, ScorePage, SpanOut, SpanPage, TraceOut, TracePage
from heliograph.blobs import serve
from heliograph.blobs.store import BlobsAwayError
from heliograph.query import attribution_totals, completeness, metrics, scores, spans, traces
from heliograph.query.critical_path import time_on_path
from heliograph.query.filters import to_ns
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import Score
from heliograph.rules.pins import pinned_of


def _answers(kind: Any, *statuses: int) -> Any:
    """Describe the answers of an endpoint: the good one, and the problems that any may give."""
    return {(200, "application/json"): OpenApiResponse(kind), **_problems(*statuses)}


def _problems(*statuses: int) -> dict[Any, Any]:
    return {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}


def _project(request: Request) -> Project:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth


def beside(request: Request, rows: Sequence[traces.TraceRow]) -> dict[str, Any]:
    """Return the traces' shares of GPUs, how far they are and which are pinned, for their serializers."""
    project_id = _project(request).pk
    ids = [row.trace_id for row in rows]
    return {
        "gpu_shares": attribution_totals.of_traces(project_id, rows, gpu_prices(project_id)),
        "completeness": completeness.states(project_id, ids),
        "pinned": pinned_of(project_id, ids),
    }


class TracesView(APIView):
    """Traces of a project."""

    needs = READING

    @extend_schema(operation_id="list_traces", parameters=[SpanParameters], responses=_answers(TracePage))
    def get(self, request: Request) -> Response:
        """List traces that have a matching span, newest first; an unfinished page may be shorter than `limit`."""
        given = read(SpanParameters, request)
        page = traces.list_traces(
            _project(request).pk,
            given.span_filter(),
            cursor=given.validated_data.get("cursor"),
            limit=given.validated_data["limit"],
        )
        return Response(TracePage(page, context=beside(request, page.items)).data)


class TraceView(APIView):
    """One trace."""

    needs = READING

    @extend_schema(operation_id="get_trace", responses=_answers(TraceOut, 404))
    def get(self, request: Request, trace_id: str) -> Response:
        """Return a trace with its spans, without their texts, and its scores."""
        project = _project(request)
        trace = traces.get_trace(project.pk, trace_id)
        if trace is None:
            raise NotFound("The project has no such trace.")
        found = scores.of_trace(project.pk, trace_id)
        around = beside(request, [trace.summary])
        body = {
            "summary": trace.summary,
            "reported_cost": trace.reported_cost,
            "spans": trace.spans,
            "is_cut": trace.is_cut,
            "completeness": around["completeness"].get(trace_id),
            "scores": found,
            "critical_path": time_on_path(trace.spans),
        }
        return Response(TraceOut(body, context=around).data)


class SpanView(APIView):
    """One span."""

    needs = READING

    @extend_schema(operation_id="get_span", responses=_answers(SpanOut, 404))
    def get(self, request: Request, trace_id: str, span_id: str) -> Response:
        """Return a span with its messages, attributes, events and links."""
        span = spans.get_span(_project(request).pk, trace_id, span_id)
        if span is None:
            raise NotFound("The project has no such span.")
        return Response(SpanOut(span).data)


class BlobView(APIView):
    """An image, a sound or a file that was cut out of a span."""

    needs = READING

    @extend_schema(
        operation_id="get_blob",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **_problems(404)},
    )
    def get(self, request: Request, until: str, digest: str) -> FileResponse:
        """Return the bytes that a reference `blob:sha256-<digest>;<type>;<bytes>;until=<until>` stands for."""
        try:
            response = serve.answer(_project(request).pk, until, digest)
        except BlobsAwayError as error:
            raise BlobsAway from error
        if response is None:
            raise NotFound("The project has no such blob.")
        return response


class BlobsAway(APIException):
    """The blob store does not answer."""

    status_code = 503
    default_detail = "The blob store does not answer; try again later."
    wait = 5


class SpansView(APIView):
    """Spans of a project."""

    needs = READING

    @extend_schema(operation_id="list_spans", parameters=[SpanParameters], responses=_answers(SpanPage))
    def get(self, request: Request) -> Response:
        """List matching spans, newest first, without their texts."""
        given = read(SpanParameters, request)
        page = spans.list_spans(
            _project(request).pk,
            given.span_filter(),
            cursor=given.validated_data.get("cursor"),
            limit=given.validated_data["limit"],
        )
        return Response(SpanPage(page).data)


class MetricsView(APIView):
    """Metrics of a project."""

    needs = READING

    @extend_schema(operation_id="query_metric", parameters=[MetricParameters], responses=_answers(MetricOut, 404))
    def get(self, request: Request) -> Response:
        """Return one metric over time, in groups."""
        given = read(MetricParameters, request)
        result = metrics.query_metric(
            _project(request).pk,
            given.validated_data["name"],
            given.time_range(),
            group_by=given.validated_data.get("group_by", ()),
            aggregate=given.validated_data.get("aggregate"),
            step_s=given.validated_data.get("step"),
            filters=given.labels(),
        )
        if result is None:
            raise NotFound("The project has no such metric in this time range.")
        return Response(MetricOut(result).data)


class ScoresView(APIView):
    """Scores of a project."""

    needs = SCORING

    @extend_schema(operation_id="list_scores", parameters=[ScoreParameters], responses=_answers(ScorePage))
    def get(self, request: Request) -> Response:
        """List scores, newest first, by the time of what they judge."""
        given = read(ScoreParameters, request)
        page = scores.list_scores(
            _project(request).pk,
            given.score_filter(),
            cursor=given.validated_data.get("cursor"),
            limit=given.validated_data["limit"],
        )
        return Response(ScorePage(page).data)

    @extend_schema(operation_id="write_scores", request=ScoresIn, responses=_answers(ScoresStored, 403, 413, 415))
    def post(self, request: Request) -> Response:
        """Store verdicts. A verdict that is sent again with its id (same name and target) is replaced, not added."""
        given = ScoresIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = _project(request)
        rows = [_score(entry, request) for entry in given.validated_data["scores"]]
        scores.write_scores(project.pk, rows, project.effective_retention_days)
        return Response(ScoresStored({"ids": [row.score_id for row in rows]}).data)


def _score(entry: dict[str, Any], request: Request) -> Score:
    person = request.user if isinstance(request.user, User) else None
    return Score(
        score_id=entry.get("id") or str(uuid.uuid4()),
        time_ns=to_ns(entry.get("time") or timezone.now()),
        source="human" if person else "api",
        author=person.get_username() if person else entry["author"],
        **{
            field: entry[field]
            for field in (
                "name",
                "value",
                "kind",
                "trace_id",
                "span_id",
                "session_id",
                "dataset_item_id",
                "label",
                "explanation",
            )
        },
    )


@extend_schema(exclude=True)
class UnknownView(APIView):
    """Any other address below the API."""

    authentication_classes = ()
    permission_classes = ()
    needs = OPEN

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer 404 for every method, as a problem."""
        self.http_method_not_allowed = self._unknown  # type: ignore[method-assign]  # what DRF calls for no handler
        return super().dispatch(request, *args, **kwargs)

    def _unknown(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        raise NotFound("There is no such endpoint; /api/schema lists them.")
