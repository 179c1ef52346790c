"""The ingest ledger, the dead letters and the limits of keys."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, LIMITING, READING
from heliograph.accounts.limits import LIMIT_FIELDS
from heliograph.accounts.models import ApiKey, Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.ingest.dead_letters import DeadLetters, Letter, NoLetterError
from heliograph.ingest.letter_view import LetterView, view_of
from heliograph.ingest.refusals import Refusal
from heliograph.ingest.spool_state import SpoolState, state_of
from heliograph.query import ledger
from heliograph.query.ledger import Clock, Counts, LagPoint, ReasonCount


class CountsOut(serializer_of(Counts)):  # type: ignore[misc]  # the base is made from the dataclass
    """Requests, bytes, and items by what came of them."""

    waiting = serializers.IntegerField(help_text="Spooled and not replayed within the range.")
    unaccounted = serializers.IntegerField(help_text="Accepted items of which it is not known what came.")


class FlowOut(serializers.Serializer[Any]):
    """The counts of one key and signal; `key_id` 0 is no key."""

    key_id = serializers.IntegerField()
    signal = serializers.CharField()
    counts = CountsOut()


class FlowPointOut(serializers.Serializer[Any]):
    """The counts of one bucket of time."""

    start_s = serializers.IntegerField()
    step_s = serializers.IntegerField()
    counts = CountsOut()


class LedgerOut(serializers.Serializer[Any]):
    """What came of every export in a range; `spool` is now, of the whole installation."""

    flows = FlowOut(many=True)
    series = FlowPointOut(many=True)
    reasons = serializer_of(ReasonCount)(many=True)
    lag = serializer_of(LagPoint)(many=True)
    clocks = serializer_of(Clock)(many=True)
    spool = serializer_of(SpoolState)()


LetterSummary = serializer_of(Letter)


class LetterList(serializers.Serializer[Any]):
    """The newest dead letters, newest first."""

    items = LetterSummary(many=True)


class LetterOut(serializers.Serializer[Any]):
    """A dead letter and what can be shown of its body."""

    letter = LetterSummary()
    view = serializer_of(LetterView)()


class ReplayOut(serializers.Serializer[Any]):
    """How many items are on their way."""

    items = serializers.IntegerField()


class KeyLimits(serializers.ModelSerializer[ApiKey]):
    """The limits of one key; null takes the project's."""

    class Meta:
        model = ApiKey
        fields = ("id", "name", *LIMIT_FIELDS)
        read_only_fields = ("id", "name")


class ProjectLimits(serializers.ModelSerializer[Project]):
    """The limits of every key that has none of its own; null is no limit."""

    class Meta:
        model = Project
        fields = (*LIMIT_FIELDS, "keep_dead_letters")


class Limits(serializers.Serializer[Any]):
    """Every limit of a project."""

    project = ProjectLimits()
    keys = KeyLimits(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    described: dict[Any, Any] = {(200, "application/json"): OpenApiResponse(kind)}
    for status in (400, 401, *statuses):
        described[status, CONTENT_TYPE] = OpenApiResponse(Problem)
    return described


def _project(request: Request) -> Project:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth


def _letter(request: Request, letter_id: str) -> tuple[Letter, Any]:
    try:
        return DeadLetters(settings.SPOOL_DIR).get(_project(request).pk, letter_id)
    except NoLetterError as error:
        raise NotFound("The project has no such dead letter.") from error


class LedgerView(APIView):
    """The ingest ledger."""

    needs = READING

    @extend_schema(operation_id="get_ingest_ledger", parameters=[RangeParameters], responses=_answers(LedgerOut, 503))
    def get(self, request: Request) -> Response:
        """Return what came of every export, by key and signal and over time."""
        span = read(RangeParameters, request).time_range()
        project_id = _project(request).pk
        body = {
            "flows": ledger.flows(project_id, span),
            "series": ledger.series(project_id, span),
            "reasons": ledger.reasons(project_id, span),
            "lag": ledger.lag_series(project_id, span),
            "clocks": ledger.clocks(project_id, span),
            "spool": state_of(settings.SPOOL_DIR, settings.SPOOL_MAX_BYTES),
        }
        return Response(LedgerOut(body).data)


class LettersView(APIView):
    """Dead letters."""

    needs = READING

    @extend_schema(operation_id="list_dead_letters", responses=_answers(LetterList))
    def get(self, request: Request) -> Response:
        """List the newest 200 bodies that could not be stored."""
        return Response(LetterList({"items": DeadLetters(settings.SPOOL_DIR).all_of(_project(request).pk)}).data)


class OneLetterView(APIView):
    """One dead letter."""

    needs = EDITING

    @extend_schema(operation_id="get_dead_letter", responses=_answers(LetterOut, 404))
    def get(self, request: Request, letter_id: str) -> Response:
        """Return a dead letter with the beginning of its body."""
        letter, export = _letter(request, letter_id)
        return Response(LetterOut({"letter": letter, "view": view_of(export)}).data)

    @extend_schema(operation_id="delete_dead_letter", responses={204: None, **_answers(None, 404)})
    def delete(self, request: Request, letter_id: str) -> Response:
        """Forget a dead letter."""
        try:
            DeadLetters(settings.SPOOL_DIR).delete(_project(request).pk, letter_id)
        except NoLetterError as error:
            raise NotFound("The project has no such dead letter.") from error
        return Response(status=204)


class LetterBodyView(APIView):
    """The body of one dead letter."""

    needs = READING

    @extend_schema(
        operation_id="get_dead_letter_body", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}
    )
    def get(self, request: Request, letter_id: str) -> HttpResponse:
        """Return the body as it came, with its Content-Encoding unchanged."""
        _, export = _letter(request, letter_id)
        response = HttpResponse(export.body, content_type="application/octet-stream")
        response["X-Content-Type-Options"] = "nosniff"
        return response


class LetterReplayView(APIView):
    """The replay of one dead letter."""

    needs = EDITING

    @extend_schema(operation_id="replay_dead_letter", request=None, responses=_answers(ReplayOut, 403, 404))
    def post(self, request: Request, letter_id: str) -> Response:
        """Send a dead letter through the pipeline again, once; 400 where it still cannot be read."""
        try:
            items = DeadLetters(settings.SPOOL_DIR).replay(_project(request).pk, letter_id)
        except NoLetterError as error:
            raise NotFound("The project has no such dead letter.") from error
        except Refusal as refusal:
            raise ValidationError({"body": [refusal.message]}) from refusal
        return Response(ReplayOut({"items": items}).data)


class LimitsView(APIView):
    """The limits of a project and its keys."""

    needs = LIMITING

    @extend_schema(operation_id="get_ingest_limits", responses=_answers(Limits))
    def get(self, request: Request) -> Response:
        """Return every limit."""
        project = _project(request)
        keys = project.api_keys.filter(revoked_at=None).order_by("pk")
        return Response(Limits({"project": project, "keys": keys}).data)

    @extend_schema(operation_id="set_project_limits", request=ProjectLimits, responses=_answers(ProjectLimits, 403))
    def patch(self, request: Request) -> Response:
        """Change the project's limits; what is not named stays."""
        return _save(ProjectLimits(_project(request), data=request.data, partial=True))


class KeyLimitsView(APIView):
    """The limits of one key."""

    needs = LIMITING

    @extend_schema(operation_id="set_key_limits", request=KeyLimits, responses=_answers(KeyLimits, 403, 404))
    def patch(self, request: Request, key_id: int) -> Response:
        """Change one key's limits; what is not named stays."""
        key = get_object_or_404(_project(request).api_keys, pk=key_id, revoked_at=None)
        return _save(KeyLimits(key, data=request.data, partial=True))


def _save(serializer: serializers.ModelSerializer[Any]) -> Response:
    serializer.is_valid(raise_exception=True)
    serializer.save()
    return Response(serializer.data)
