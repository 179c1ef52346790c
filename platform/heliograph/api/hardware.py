"""Goodput, the calculator and the engines' use of their GPUs."""

from dataclasses import fields
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, SpanParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import engine_use, goodput, roofline
from serving_math import memory


class CalculatorParameters(serializers.Serializer[Any]):
    """A model on GPUs."""

    model = serializers.CharField(max_length=300, help_text="As it is served; quantisation is read from it.")
    gpu = serializers.CharField(required=False, default="", max_length=200, help_text="As the driver names it.")
    gpus = serializers.IntegerField(required=False, default=1)
    config_json = serializers.CharField(
        required=False, default="", max_length=200_000, help_text="Where the table lacks the model."
    )
    params_b = serializers.FloatField(required=False, help_text="Parameters in billions.")
    active_params_b = serializers.FloatField(required=False, help_text="Of a mixture of experts, those of one token.")
    bits = serializers.FloatField(required=False, help_text="Of a weight; by the name, else 16.")
    kv_bits = serializers.FloatField(required=False, default=16)
    precision = serializers.ChoiceField(["bf16", "fp16", "fp8", "fp4", "int8"], default="bf16")
    batch = serializers.IntegerField(required=False, default=1)
    context = serializers.IntegerField(  # type: ignore[assignment]  # a field, which the metaclass takes out
        required=False, default=2048
    )
    usable = serializers.FloatField(required=False, default=0.9, help_text="Share of the memory that the engine takes.")
    tokens_per_s = serializers.FloatField(required=False, help_text="Measured; MFU and MBU need it.")


class GoodputParameters(SpanParameters):
    """Limits in milliseconds, beside the filters of spans; 0 is no limit."""

    ttft_ms = serializers.FloatField(default=goodput.TTFT_MS, min_value=0)
    tpot_ms = serializers.FloatField(default=goodput.TPOT_MS, min_value=0)
    e2e_ms = serializers.FloatField(default=0, min_value=0)
    buckets = serializers.IntegerField(default=60, min_value=1, max_value=500)


class ZeroParameters(serializers.Serializer[Any]):
    """A model in training."""

    params_b = serializers.FloatField(min_value=1e-6, max_value=1e6, help_text="Parameters in billions.")
    gpus = serializers.IntegerField(min_value=1, max_value=1_000_000)


class ZeroStage(serializers.Serializer[Any]):
    """Bytes a GPU of weights, gradients and optimizer; activations come on top."""

    stage = serializers.IntegerField()
    bytes_per_gpu = serializers.FloatField()


class ZeroOut(serializers.Serializer[Any]):
    """Every stage of ZeRO."""

    stages = ZeroStage(many=True)


class GoodputOut(serializers.Serializer[Any]):
    """Of the range and over time."""

    total = serializer_of(goodput.Goodput)()
    series = serializer_of(goodput.GoodputPoint)(many=True)


class EngineUseList(serializers.Serializer[Any]):
    """Engines and their use of their GPUs."""

    items = serializer_of(engine_use.EngineUse)(many=True)


EstimateOut = serializer_of(roofline.Estimate)


def _answers(kind: Any) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project_id(request: Request) -> int:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth.pk


class CalculatorView(APIView):
    """Roofline and memory."""

    needs = READING

    @extend_schema(operation_id="calculate", parameters=[CalculatorParameters], responses=_answers(EstimateOut))
    def get(self, request: Request) -> Response:
        """Return memory, ceiling, MBU and MFU of a model on GPUs; what is not known is null with the reason."""
        given = read(CalculatorParameters, request).validated_data
        names = {field.name for field in fields(roofline.Asked)}
        asked = roofline.Asked(**{name: value for name, value in given.items() if name in names})
        return Response(EstimateOut(roofline.estimate(asked)).data)


class ZeroView(APIView):
    """Memory of training."""

    needs = READING

    @extend_schema(operation_id="calculate_zero", parameters=[ZeroParameters], responses=_answers(ZeroOut))
    def get(self, request: Request) -> Response:
        """Return the bytes a GPU of mixed-precision Adam under each stage of ZeRO."""
        given = read(ZeroParameters, request).validated_data
        params, gpus = given["params_b"] * 1e9, given["gpus"]
        stages = [{"stage": each, "bytes_per_gpu": memory.zero_bytes(params, gpus, each)} for each in range(4)]
        return Response(ZeroOut({"stages": stages}).data)


class GoodputView(APIView):
    """Goodput of a project."""

    needs = READING

    @extend_schema(operation_id="goodput", parameters=[GoodputParameters], responses=_answers(GoodputOut))
    def get(self, request: Request) -> Response:
        """Return requests and tokens a second that met every limit, and the share with its 95 % interval."""
        given = read(GoodputParameters, request)
        limits = {name: given.validated_data[name] or None for name in ("ttft_ms", "tpot_ms", "e2e_ms")}
        slo, chosen = goodput.Slo(**limits), given.span_filter()
        series = goodput.over_time(_project_id(request), chosen, slo, buckets=given.validated_data["buckets"])
        return Response(
            GoodputOut({"total": goodput.goodput(_project_id(request), chosen, slo), "series": series}).data
        )


class EngineUseView(APIView):
    """MFU and MBU."""

    needs = READING

    @extend_schema(operation_id="engine_use", parameters=[RangeParameters], responses=_answers(EngineUseList))
    def get(self, request: Request) -> Response:
        """Return how much of their GPUs the engines used, by their own counters and the table of GPUs."""
        span = read(RangeParameters, request).time_range()
        return Response(EngineUseList({"items": engine_use.of_engines(_project_id(request), span)}).data)
