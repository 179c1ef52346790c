"""Dashboards that people make: the catalogue of measures, dashboards as JSON, and the numbers of their panels."""

from dataclasses import asdict
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import Project, User
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.query.boards import InvalidBoardError, answers, read_panels, write_panel
from heliograph.query.measures import MEASURES
from heliograph.saved.models import Dashboard, dashboards_for


class MeasureOut(serializers.Serializer[Any]):
    """A number that a panel may show; `unit` is UCUM's."""

    key = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField()
    dimensions = serializers.ListField(child=serializers.CharField(), help_text="What it may be grouped by.")
    needs = serializers.ListField(child=serializers.CharField(), help_text="What else a panel has to give.")


class MeasureList(serializers.Serializer[Any]):
    """The catalogue."""

    items = MeasureOut(many=True)


class DashboardIn(serializers.Serializer[Any]):
    """A dashboard: panels of `title`, `measure`, `chart` (line, bar, number), `by`, `filter`, `name` and `bound`."""

    name = serializers.CharField(max_length=80)
    panels = serializers.JSONField(help_text="A list of panels.")


class DashboardOut(DashboardIn):
    """A dashboard as it is stored."""

    id = serializers.IntegerField()
    is_shared = serializers.BooleanField()
    updated_at = serializers.DateTimeField()


class DashboardList(serializers.Serializer[Any]):
    """The project's shared dashboards and the caller's own."""

    items = DashboardOut(many=True)


class LineOut(serializers.Serializer[Any]):
    """One group's values, a bucket each; null where nothing was measured."""

    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]  # see Problem
    values = serializers.ListField(child=serializers.FloatField(allow_null=True))


class AnswerOut(serializers.Serializer[Any]):
    """A panel's numbers: `starts_s` are beginnings of buckets in epoch seconds."""

    title = serializers.CharField()
    unit = serializers.CharField()
    step_s = serializers.IntegerField()
    starts_s = serializers.ListField(child=serializers.IntegerField())
    lines = LineOut(many=True)
    left_out = serializers.IntegerField()
    total = serializers.FloatField(allow_null=True)


class AnswerList(serializers.Serializer[Any]):
    """The panels' numbers, in their order."""

    items = AnswerOut(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    described: dict[Any, Any] = {(200, "application/json"): OpenApiResponse(kind)}
    for status in (400, 401, *statuses):
        described[status, CONTENT_TYPE] = OpenApiResponse(Problem)
    return described


def _project(request: Request) -> Project:
    if not isinstance(request.auth, Project):
        raise TypeError("Permitted lets only requests with a project through")
    return request.auth


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _board(request: Request, board_id: int) -> Dashboard:
    return get_object_or_404(dashboards_for(_project(request), _user(request)), pk=board_id)


def _checked(request: Request) -> dict[str, Any]:
    given = DashboardIn(data=request.data)
    given.is_valid(raise_exception=True)
    try:
        panels = read_panels(given.validated_data["panels"])
    except InvalidBoardError as error:
        raise ValidationError({error.place or "panels": [error.message]}) from error
    return {"name": given.validated_data["name"], "panels": [write_panel(panel) for panel in panels]}


class MeasuresView(APIView):
    """The catalogue of measures."""

    needs = READING

    @extend_schema(operation_id="list_measures", responses=_answers(MeasureList))
    def get(self, request: Request) -> Response:
        """Return every number that a panel may show and a rule may watch."""
        items = [asdict(measure) | {"dimensions": measure.dimensions} for measure in MEASURES.values()]
        return Response(MeasureList({"items": items}).data)


class DashboardsView(APIView):
    """Dashboards of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_dashboards", responses=_answers(DashboardList))
    def get(self, request: Request) -> Response:
        """Return the shared dashboards, and those of the caller's own."""
        return Response(DashboardList({"items": dashboards_for(_project(request), _user(request))}).data)

    @extend_schema(operation_id="create_dashboard", request=DashboardIn, responses=_answers(DashboardOut, 403))
    def post(self, request: Request) -> Response:
        """Make a dashboard that the project sees."""
        given = _checked(request)
        project = _project(request)
        if Dashboard.objects.filter(project=project).count() >= Dashboard.MOST:
            raise ValidationError({"name": [f"This project has {Dashboard.MOST} dashboards; delete one first."]})
        made = Dashboard.objects.create(project=project, author=_user(request), is_shared=True, **given)
        return Response(DashboardOut(made).data)


class DashboardView(APIView):
    """One dashboard."""

    needs = EDITING

    @extend_schema(operation_id="get_dashboard", responses=_answers(DashboardOut, 404))
    def get(self, request: Request, board_id: int) -> Response:
        """Return a dashboard."""
        return Response(DashboardOut(_board(request, board_id)).data)

    @extend_schema(operation_id="replace_dashboard", request=DashboardIn, responses=_answers(DashboardOut, 403, 404))
    def put(self, request: Request, board_id: int) -> Response:
        """Replace name and panels."""
        board = _board(request, board_id)
        given = _checked(request)
        board.name, board.panels = given["name"], given["panels"]
        board.save()
        return Response(DashboardOut(board).data)

    @extend_schema(operation_id="delete_dashboard", responses={204: None, **_answers(None, 403, 404)})
    def delete(self, request: Request, board_id: int) -> Response:
        """Delete a dashboard."""
        _board(request, board_id).delete()
        return Response(status=204)


class DashboardDataView(APIView):
    """The numbers of a dashboard."""

    needs = READING

    @extend_schema(
        operation_id="get_dashboard_data", parameters=[RangeParameters], responses=_answers(AnswerList, 404, 422, 503)
    )
    def get(self, request: Request, board_id: int) -> Response:
        """Return what each panel shows over a time range, widened to whole buckets."""
        board = _board(request, board_id)
        span = read(RangeParameters, request).time_range()
        found = answers(_project(request).pk, read_panels(board.panels), span)
        items = [asdict(each) | {"title": each.panel.title, "unit": each.panel.what.unit} for each in found]
        return Response(AnswerList({"items": items}).data)
