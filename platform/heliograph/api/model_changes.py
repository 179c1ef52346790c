"""Which models answered what was asked for, and when that changed."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, Texts, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import model_changes
from heliograph.query.model_changes import ModelChange, Served


class ModelChangeParameters(RangeParameters):
    """Of which services and which models as they were asked for."""

    service = Texts(required=False)
    model = Texts(required=False, help_text="As it was asked for.")


class ModelChangeOut(serializer_of(ModelChange)):  # type: ignore[misc]  # the base is made from the dataclass
    """A change, with its words."""

    words = serializers.CharField()


class ServedOut(serializer_of(Served)):  # type: ignore[misc]  # the base is made from the dataclass
    """What answered, first and last seen within the range's hours."""

    first_ns = serializers.IntegerField(help_text="Nanoseconds since the epoch.")
    last_ns = serializers.IntegerField(help_text="Nanoseconds since the epoch.")


class ModelChangesOut(serializers.Serializer[Any]):
    """What answered in the range, and the moments from which something else did."""

    served = ServedOut(many=True)
    changes = ModelChangeOut(many=True)


class ModelChangesView(APIView):
    """Served models."""

    needs = READING

    @extend_schema(
        operation_id="get_model_changes",
        parameters=[ModelChangeParameters],
        responses={
            (200, "application/json"): OpenApiResponse(ModelChangesOut),
            **{(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 422, 503)},
        },
    )
    def get(self, request: Request) -> Response:
        """Return requested against served models with their fingerprints, and each change of either."""
        assert isinstance(request.auth, Project)  # Permitted saw to it
        given = read(ModelChangeParameters, request)
        narrowed = {name: tuple(given.validated_data.get(name, ())) for name in ("service", "model")}
        span = given.time_range()
        body = {
            "served": model_changes.served(request.auth.pk, span, **narrowed),
            "changes": model_changes.changes(request.auth.pk, span, **narrowed),
        }
        return Response(ModelChangesOut(body).data)
