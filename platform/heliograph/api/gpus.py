"""GPUs and serving engines over the API: the answers that their pages show."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import fleet, gpu_series, gpu_served, serving
from heliograph.query.paging import decode_cursor, encode_cursor

# A row of the fleet is about a kilobyte.
MAX_GPUS = 1_000
MAX_ASKED = 20


class GpuListParameters(RangeParameters):
    """Which GPUs."""

    host = serializers.CharField(required=False, max_length=500)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_GPUS, default=200)
    cursor = serializers.CharField(required=False, max_length=1_000, help_text="`next_cursor` of the page before.")


class GpuSeriesParameters(RangeParameters):
    """Which readings of one GPU."""

    metric = serializers.ListField(child=serializers.CharField(max_length=300), min_length=1, max_length=MAX_ASKED)
    rate = serializers.BooleanField(default=False, help_text="A counter's rise a second, instead of a gauge's mean.")
    buckets = serializers.IntegerField(min_value=1, max_value=1_500, default=240)


class GpuEventParameters(RangeParameters):
    """Which events."""

    host = serializers.CharField(required=False, max_length=500)
    gpu = serializers.CharField(required=False, max_length=200, default="")
    limit = serializers.IntegerField(min_value=1, max_value=fleet.MAX_EVENTS, default=200)


class GpuRequestParameters(RangeParameters):
    """How many of the requests that a GPU served."""

    limit = serializers.IntegerField(min_value=1, max_value=1_000, default=50)


class EngineParameters(RangeParameters):
    """Which engines, and what of them."""

    engine = serializers.CharField(required=False, max_length=100, default="")
    service = serializers.CharField(required=False, max_length=500, default="")
    metric = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, default=list, help_text="Canonical names."
    )
    step = serializers.IntegerField(
        required=False, min_value=1, max_value=86_400, help_text="Seconds; one reading over the range without it."
    )


GpuOut = serializer_of(fleet.FleetGpu)
EventOut = serializer_of(fleet.GpuEvent)
RequestOut = serializer_of(gpu_served.ServedRequest)
InstanceOut = serializer_of(serving.EngineInstance)
CanonicalOut = serializer_of(serving.CanonicalSeries)


class GpuPage(serializers.Serializer[Any]):
    """GPUs by host and UUID."""

    items = GpuOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class GpuDetail(serializers.Serializer[Any]):
    """One GPU: what it is, and how it was over the range (null where nothing was heard of it)."""

    device = serializer_of(fleet.Device)()
    condition = GpuOut(allow_null=True)


class PointLine(serializers.Serializer[Any]):
    """One line: `points` are pairs of epoch seconds and value."""

    metric = serializers.CharField()
    # Not `label`, which is DRF's own word for a field's title.
    detail = serializers.CharField(source="label", allow_blank=True)
    unit = serializers.CharField(allow_blank=True)
    step_s = serializers.IntegerField()
    points = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))


class GpuSeries(serializers.Serializer[Any]):
    """Readings of one GPU."""

    items = PointLine(many=True)


class GpuEvents(serializers.Serializer[Any]):
    """Events, newest first."""

    items = EventOut(many=True)


class GpuRequests(serializers.Serializer[Any]):
    """Requests by what they took of the GPU."""

    items = RequestOut(many=True)


class EngineMetrics(serializers.Serializer[Any]):
    """One engine with its canonical metrics."""

    instance = InstanceOut()
    metrics = CanonicalOut(many=True)


class Engines(serializers.Serializer[Any]):
    """Engines that reported."""

    items = EngineMetrics(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project(request: Request) -> int:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth.pk


class GpusView(APIView):
    """GPUs of a project."""

    needs = READING

    @extend_schema(operation_id="list_gpus", parameters=[GpuListParameters], responses=_answers(GpuPage))
    def get(self, request: Request) -> Response:
        """List GPUs and MIG instances with how they were over the range and what is wrong with them."""
        given = read(GpuListParameters, request)
        asked = given.validated_data
        after = decode_cursor(asked["cursor"], str, str) if "cursor" in asked else ("", "")
        found = fleet.fleet(
            _project(request),
            given.time_range(),
            host=asked.get("host"),
            after=(str(after[0]), str(after[1])),
            limit=asked["limit"],
        )
        last = found.last
        cursor = encode_cursor(*last) if found.is_cut and last else None
        return Response(GpuPage({"items": found.gpus, "next_cursor": cursor}).data)


class GpuView(APIView):
    """One GPU."""

    needs = READING

    @extend_schema(operation_id="get_gpu", parameters=[RangeParameters], responses=_answers(GpuDetail, 404))
    def get(self, request: Request, gpu_uuid: str) -> Response:
        """Return what a GPU is and how it was over the range."""
        span = read(RangeParameters, request).time_range()
        device = _device(request, gpu_uuid, span)
        of_host = fleet.fleet(_project(request), span, host=device.host).gpus
        condition = next((gpu for gpu in of_host if gpu.gpu_uuid == gpu_uuid), None)
        return Response(GpuDetail({"device": device, "condition": condition}).data)


class GpuSeriesView(APIView):
    """Readings of one GPU."""

    needs = READING

    @extend_schema(operation_id="get_gpu_series", parameters=[GpuSeriesParameters], responses=_answers(GpuSeries, 404))
    def get(self, request: Request, gpu_uuid: str) -> Response:
        """Return metrics of one GPU over time, a line for each of its sensors, directions or reasons."""
        given = read(GpuSeriesParameters, request)
        span = given.time_range()
        device = _device(request, gpu_uuid, span)
        ask = gpu_series.rates if given.validated_data["rate"] else gpu_series.levels
        lines = ask(
            _project(request),
            span,
            given.validated_data["metric"],
            gpu_uuid=gpu_uuid,
            host=device.host,
            buckets=given.validated_data["buckets"],
        )
        return Response(GpuSeries({"items": lines}).data)


class GpuRequestsView(APIView):
    """Requests that a GPU served."""

    needs = READING

    @extend_schema(operation_id="list_gpu_requests", parameters=[GpuRequestParameters], responses=_answers(GpuRequests))
    def get(self, request: Request, gpu_uuid: str) -> Response:
        """List the requests that took most of a GPU's time; an estimate, some minutes after the fact."""
        given = read(GpuRequestParameters, request)
        limit = given.validated_data["limit"]
        found = gpu_served.requests_on(_project(request), gpu_uuid, given.time_range(), limit=limit)
        return Response(GpuRequests({"items": found}).data)


class GpuEventsView(APIView):
    """What happened to GPUs."""

    needs = READING

    @extend_schema(operation_id="list_gpu_events", parameters=[GpuEventParameters], responses=_answers(GpuEvents))
    def get(self, request: Request) -> Response:
        """List XIDs, losses, driver reloads and the like, newest first."""
        given = read(GpuEventParameters, request)
        asked = given.validated_data
        found = fleet.events(
            _project(request),
            given.time_range(),
            host=asked.get("host"),
            gpu_uuid=asked["gpu"],
            limit=asked["limit"],
        )
        return Response(GpuEvents({"items": found}).data)


class EnginesView(APIView):
    """Serving engines of a project."""

    needs = READING

    @extend_schema(operation_id="list_engines", parameters=[EngineParameters], responses=_answers(Engines))
    def get(self, request: Request) -> Response:
        """List engines with their canonical metrics; a value that there is not is null, with the reason."""
        given = read(EngineParameters, request)
        asked = given.validated_data
        found = serving.canonical(
            _project(request),
            given.time_range(),
            step_s=asked.get("step"),
            metrics=asked["metric"],
            service=asked["service"],
            engine=asked["engine"],
        )
        return Response(Engines({"items": found}).data)


def _device(request: Request, gpu_uuid: str, span: Any) -> fleet.Device:
    device = fleet.device(_project(request), gpu_uuid, span)
    if device is None:
        raise NotFound("The project has no such GPU before the end of this time range.")
    return device
