"""Models over the API: what their page shows, with what each name says."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import attribution, models
from heliograph.query.overview import Measures
from heliograph.query.prices import gpu_prices
from heliograph.query.scores import ScoreStats


class ModelParameters(RangeParameters):
    """Which models, and by which score."""

    model = serializers.ListField(child=serializers.CharField(max_length=1_000), required=False, default=list)
    family = serializers.CharField(required=False, max_length=200, default="", help_text="Such as llama-3.1.")
    score = serializers.CharField(required=False, max_length=200, default="", help_text="Shown as quality.")
    limit = serializers.IntegerField(min_value=1, max_value=1_000, default=200)


class ModelNameOut(serializers.Serializer[Any]):
    """What a name says; null where it does not."""

    org = serializers.CharField(allow_null=True)
    family = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    tier = serializers.CharField(allow_null=True)
    params_total = serializers.FloatField(allow_null=True, help_text="Billions.")
    params_active = serializers.FloatField(allow_null=True)
    experts = serializers.CharField(allow_null=True)
    variant = serializers.ListField(child=serializers.CharField())
    quantization = serializers.CharField(allow_null=True)
    bits = serializers.FloatField(allow_null=True)
    format = serializers.CharField(allow_null=True)
    provider = serializers.CharField(allow_null=True)


class ModelOut(serializers.Serializer[Any]):
    """One model: what its name says, how fast, how dear and how good it was."""

    model = serializers.CharField()
    family = serializers.CharField(allow_blank=True)
    name = ModelNameOut()
    providers = serializers.ListField(child=serializers.CharField())
    adapters = serializers.IntegerField()
    measures = serializer_of(Measures)()
    tpot = serializer_of(models.Tpot)(allow_null=True)
    quality = serializer_of(ScoreStats)(allow_null=True)
    gpu = serializer_of(attribution.Cost)(allow_null=True)
    usd_per_million = serializers.DecimalField(max_digits=38, decimal_places=12, allow_null=True)
    joules_per_token = serializers.FloatField(allow_null=True)


class Models(serializers.Serializer[Any]):
    """Models, most calls first."""

    items = ModelOut(many=True)


class ModelsView(APIView):
    """Models of a project."""

    needs = READING

    @extend_schema(
        operation_id="list_models",
        parameters=[ModelParameters],
        responses={
            (200, "application/json"): OpenApiResponse(Models),
            **{(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 422, 503)},
        },
    )
    def get(self, request: Request) -> Response:
        """List the models that answered, with what their names say, side by side."""
        assert isinstance(request.auth, Project)  # Permitted saw to it
        given = read(ModelParameters, request)
        asked = given.validated_data
        found = models.by_model(
            request.auth.pk,
            given.time_range(),
            score=asked["score"],
            prices=gpu_prices(request.auth.pk),
            models=asked["model"],
            limit=asked["limit"],
        )
        return Response(Models({"items": [row for row in found if asked["family"] in ("", row.family)]}).data)
