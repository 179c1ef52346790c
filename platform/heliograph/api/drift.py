"""Drift monitors, their looks and what they found."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import User
from heliograph.api.gates import saved
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.gates import checks
from heliograph.gates.drift import schedule
from heliograph.gates.models import Finding, Look, Monitor
from heliograph.gates.queue import wake_worker


class LookWaiting(APIException):
    """A look of the monitor is under way."""

    status_code = 409
    default_detail = "A look of this monitor is waiting or under way; ask again when it has ended."


class MonitorBody(serializers.ModelSerializer[Monitor]):
    """A drift monitor. `scope` is a filter; a pinned reference has both its ends, a sliding one its hours."""

    signals = serializers.ListField(child=serializers.CharField(max_length=200))
    segments = serializers.ListField(child=serializers.CharField(max_length=200), default=list)

    class Meta:
        model = Monitor
        fields = (
            *("id", "name", "is_on", "is_default", "scope", "signals", "segments", "reference", "reference_hours"),
            *("pinned_from", "pinned_to", "current_hours", "every_hours", "alpha", "min_effect", "next_look_at"),
        )
        read_only_fields = ("id", "is_default", "next_look_at")


class LookOut(serializers.ModelSerializer[Look]):
    """One look; `result` has every test that it made."""

    class Meta:
        model = Look
        fields = ("id", "status", "until", "result", "error", "created_at", "started_at", "finished_at")
        read_only_fields = fields


class FindingOut(serializers.ModelSerializer[Finding]):
    """Drift of one signal in one segment; `details` has the test and what moved."""

    class Meta:
        model = Finding
        fields = (
            *("id", "monitor", "look", "signal", "segment_field", "segment_value", "effect", "q_value", "details"),
            "created_at",
        )
        read_only_fields = fields


class MonitorPage(serializers.Serializer[Any]):
    """Monitors, newest first."""

    items = MonitorBody(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class LookPage(serializers.Serializer[Any]):
    """Looks, newest first."""

    items = LookOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class FindingPage(serializers.Serializer[Any]):
    """Findings, newest first."""

    items = FindingOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class FindingParameters(RowParameters):
    """Which findings."""

    monitor = serializers.IntegerField(required=False, help_text="Of one monitor.")
    signal = serializers.CharField(required=False, max_length=200)


def _monitor(request: Request, monitor_id: int) -> Monitor:
    return get_object_or_404(Monitor, project=project_of(request), pk=monitor_id)


class MonitorsView(APIView):
    """Drift monitors of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_drift_monitors", parameters=[RowParameters], responses=answers(MonitorPage))
    def get(self, request: Request) -> Response:
        """List monitors, newest first; each project has one that nobody had to make."""
        project = project_of(request)
        schedule.default_monitor(project)
        page = row_page(Monitor.objects.filter(project=project), read(RowParameters, request).validated_data)
        return Response(MonitorPage(page).data)

    @extend_schema(operation_id="add_drift_monitor", request=MonitorBody, responses=answers(MonitorBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a monitor; it looks within the hour, and then as often as it says."""
        monitor = saved(MonitorBody(data=request.data), Monitor(project=project_of(request)), checks.monitor_errors)
        return Response(MonitorBody(monitor).data, status=201)


class MonitorView(APIView):
    """One drift monitor."""

    needs = EDITING

    @extend_schema(operation_id="get_drift_monitor", responses=answers(MonitorBody, 404))
    def get(self, request: Request, monitor_id: int) -> Response:
        """Return a monitor."""
        return Response(MonitorBody(_monitor(request, monitor_id)).data)

    @extend_schema(operation_id="change_drift_monitor", request=MonitorBody, responses=answers(MonitorBody, 403, 404))
    def patch(self, request: Request, monitor_id: int) -> Response:
        """Change a monitor; what is not named stays."""
        monitor = _monitor(request, monitor_id)
        saved(MonitorBody(monitor, data=request.data, partial=True), monitor, checks.monitor_errors)
        return Response(MonitorBody(monitor).data)

    @extend_schema(operation_id="remove_drift_monitor", responses=answers(None, 400, 403, 404, good=204))
    def delete(self, request: Request, monitor_id: int) -> Response:
        """Remove a monitor with its looks and findings; the project's own one can only be switched off."""
        monitor = _monitor(request, monitor_id)
        if monitor.is_default:
            raise ValidationError({"is_default": ["This monitor comes with the project: set is_on to false instead."]})
        monitor.delete()
        return Response(status=204)


class LooksView(APIView):
    """Looks of a monitor."""

    needs = EDITING

    @extend_schema(operation_id="list_drift_looks", parameters=[RowParameters], responses=answers(LookPage, 404))
    def get(self, request: Request, monitor_id: int) -> Response:
        """List looks, newest first."""
        page = row_page(_monitor(request, monitor_id).looks.all(), read(RowParameters, request).validated_data)
        return Response(LookPage(page).data)

    @extend_schema(operation_id="look_for_drift", request=None, responses=answers(LookOut, 403, 404, 409, good=202))
    def post(self, request: Request, monitor_id: int) -> Response:
        """Look now; ask for the look until its status is done or failed."""
        person = request.user if isinstance(request.user, User) else None
        look = schedule.queue_look(_monitor(request, monitor_id), timezone.now(), requested_by=person)
        if look is None:
            raise LookWaiting
        wake_worker()
        return Response(LookOut(look).data, status=202)


class LookView(APIView):
    """One look of a monitor."""

    needs = READING

    @extend_schema(operation_id="get_drift_look", responses=answers(LookOut, 404))
    def get(self, request: Request, monitor_id: int, look_id: int) -> Response:
        """Return a look with every test that it made."""
        return Response(LookOut(get_object_or_404(_monitor(request, monitor_id).looks, pk=look_id)).data)


class FindingsView(APIView):
    """What the monitors of a project found."""

    needs = READING

    @extend_schema(operation_id="list_drift_findings", parameters=[FindingParameters], responses=answers(FindingPage))
    def get(self, request: Request) -> Response:
        """List findings, newest first."""
        given = read(FindingParameters, request).validated_data
        found = Finding.objects.filter(project=project_of(request))
        if "monitor" in given:
            found = found.filter(monitor=given["monitor"])
        if "signal" in given:
            found = found.filter(signal=given["signal"])
        return Response(FindingPage(row_page(found, given)).data)
