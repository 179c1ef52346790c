"""Documents read into text."""

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
from heliograph.query import ocr


class OcrParameters(RangeParameters):
    """From which character error rate on a page does not count as read."""

    max_cer = serializers.FloatField(default=ocr.MAX_CER, min_value=0, max_value=10)


GridOut: Any = serializer_of(ocr.Grid)
_PROBLEMS: dict[Any, Any] = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 422, 503)}


class OcrView(APIView):
    """Engines against kinds of documents."""

    needs = READING

    @extend_schema(
        operation_id="ocr_grid",
        parameters=[OcrParameters],
        responses={(200, "application/json"): OpenApiResponse(GridOut), **_PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Return error rates, pages, time and cost per successful page, by engine and kind of document."""
        given = read(OcrParameters, request)
        assert isinstance(request.auth, Project)  # Permitted saw to it
        found = ocr.grid(request.auth.pk, given.time_range(), max_cer=given.validated_data["max_cer"])
        return Response(GridOut(found).data)
