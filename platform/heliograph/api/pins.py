"""Pinned traces over the API: kept whatever the sampling rules say."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import User
from heliograph.api.ordered_rules import answers, project_of
from heliograph.query.completeness import removed
from heliograph.query.traces import summaries
from heliograph.rules import pins
from heliograph.rules.models import PinnedTrace


class PinOut(serializers.ModelSerializer[PinnedTrace]):
    """A pinned trace: since when, and by whom; '' where an API key did it."""

    pinned_by = serializers.SerializerMethodField()

    class Meta:
        model = PinnedTrace
        fields = ["trace_id", "created_at", "pinned_by"]

    def get_pinned_by(self, pin: PinnedTrace) -> str:
        """Return the name of who pinned it."""
        return pin.pinned_by.get_username() if pin.pinned_by else ""


class PinsOut(serializers.Serializer[Any]):
    """Pinned traces, latest first."""

    items = PinOut(many=True)


class PinsView(APIView):
    """The pinned traces of a project."""

    needs = READING

    @extend_schema(operation_id="list_pins", responses=answers(PinsOut))
    def get(self, request: Request) -> Response:
        """List the pinned traces, latest first; there are at most 1,000."""
        found = PinnedTrace.objects.filter(project=project_of(request)).select_related("pinned_by")
        return Response({"items": PinOut(found.order_by("-created_at", "-pk"), many=True).data})


class PinView(APIView):
    """The pin of one trace."""

    needs = EDITING

    @extend_schema(operation_id="pin_trace", request=None, responses=answers(PinOut, 403, 404))
    def put(self, request: Request, trace_id: str) -> Response:
        """Pin a stored trace: sampling keeps it. Pinned already, it stays as it is."""
        project = project_of(request)
        if trace_id not in summaries(project.pk, [trace_id]):
            raise NotFound("The project has no such trace.")
        if removed(project.pk, [trace_id]):
            raise ValidationError({"trace_id": ["Sampling has removed this trace."]})
        try:
            pin = pins.pin(project, trace_id, request.user if isinstance(request.user, User) else None)
        except pins.UnpinnableError as error:
            raise ValidationError({"trace_id": [str(error)]}) from error
        return Response(PinOut(pin).data)

    @extend_schema(operation_id="unpin_trace", responses=answers(None, 403, good=204))
    def delete(self, request: Request, trace_id: str) -> Response:
        """Unpin a trace, if it was pinned."""
        pins.unpin(project_of(request), trace_id)
        return Response(status=204)
