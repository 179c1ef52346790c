"""LoRA adapters: the most used, cold against warm, and cost against how many are in use."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, RollupParameters, Texts, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import adapter_cost, adapters, residency
from heliograph.query.prices import gpu_prices


class AdapterParameters(RollupParameters):
    """How many adapters are named, and over how many buckets of time."""

    top = serializers.IntegerField(min_value=1, max_value=adapters.MAX_TOP, default=20)
    buckets = serializers.IntegerField(min_value=1, max_value=500, default=60)


class ResidencyParameters(RangeParameters):
    """Which calls are looked at."""

    model = Texts(required=False)
    adapter = Texts(required=False)
    limit = serializers.IntegerField(min_value=1, max_value=1_000, default=200)


class CostParameters(RangeParameters):
    """The GPUs of which models, in steps of how many seconds."""

    model = Texts(required=False)
    step = serializers.IntegerField(min_value=60, max_value=7 * 86_400, default=3_600)


class AdaptersOut(serializers.Serializer[Any]):
    """The most used adapters, the others as one, the calls without; `series` are the same over time."""

    items = serializer_of(adapters.AdapterRow)(many=True)
    series = serializer_of(adapters.AdapterSeries)(many=True)


def _answers(kind: Any) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project_id(request: Request) -> int:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth.pk


class AdaptersView(APIView):
    """Adapters of a project."""

    needs = READING

    @extend_schema(operation_id="list_adapters", parameters=[AdapterParameters], responses=_answers(AdaptersOut))
    def get(self, request: Request) -> Response:
        """Return calls, errors, latency, tokens and cost by adapter: the `top` by calls, and the others as one."""
        given = read(AdapterParameters, request)
        chosen, top = given.rollup_filter(), given.validated_data["top"]
        body = {
            "items": adapters.by_adapter(_project_id(request), chosen, top=top),
            "series": adapters.over_time(
                _project_id(request), chosen, top=top, buckets=given.validated_data["buckets"]
            ),
        }
        return Response(AdaptersOut(body).data)


ResidencyOut = serializer_of(residency.Residency)
AdapterCostOut = serializer_of(adapter_cost.AdapterCost)


class ResidencyView(APIView):
    """Cold and warm calls."""

    needs = READING

    @extend_schema(operation_id="adapter_residency", parameters=[ResidencyParameters], responses=_answers(ResidencyOut))
    def get(self, request: Request) -> Response:
        """Return by adapter how many calls found it loaded, how many waited for it, and for how long."""
        given = read(ResidencyParameters, request)
        found = residency.residency(
            _project_id(request),
            given.time_range(),
            model=tuple(given.validated_data.get("model", ())),
            adapter=tuple(given.validated_data.get("adapter", ())),
            limit=given.validated_data["limit"],
        )
        return Response(ResidencyOut(found).data)


class CostView(APIView):
    """Cost against adapters in use."""

    needs = READING

    @extend_schema(operation_id="adapter_cost", parameters=[CostParameters], responses=_answers(AdapterCostOut))
    def get(self, request: Request) -> Response:
        """Return USD a million tokens by how many adapters were in use at once."""
        given = read(CostParameters, request)
        found = adapter_cost.cost_by_active_adapters(
            _project_id(request),
            given.time_range(),
            gpu_prices(_project_id(request)),
            step_s=given.validated_data["step"],
            model=tuple(given.validated_data.get("model", ())),
        )
        return Response(AdapterCostOut(found).data)
