"""Scheduled jobs, their runs, and the kinds of jobs that there are."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING, EDITING
from heliograph.api.evaluation_rules import checked, person_of
from heliograph.api.ordered_rules import answers, project_of
from heliograph.evals import jobs, schedules
from heliograph.evals.models import Run, Schedule
from heliograph.evals.queue import wake_worker
from heliograph.query.paging import decode_cursor, encode_cursor

MAX_RUNS = 100


class ScheduleBody(serializers.ModelSerializer[Schedule]):
    """A schedule: an interval in seconds or a cron expression in a time zone, and the arguments of its kind of job."""

    arguments = serializers.DictField(required=False)

    class Meta:
        model = Schedule
        fields = (
            *("id", "name", "kind", "arguments", "every_seconds", "cron", "timezone", "enabled", "missed", "retries"),
            *("next_at", "created_at"),
        )
        read_only_fields = ("id", "next_at", "created_at")
        # The model says it in words of its own.
        validators: list[Any] = []


class JobKindOut(serializers.Serializer[Any]):
    """A kind of job, and the JSON schema of its arguments."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name is what the API shows
    arguments = serializers.DictField(source="schema")


class ScheduleList(serializers.Serializer[Any]):
    """The schedules by name, and the kinds of jobs that there are."""

    items = ScheduleBody(many=True)
    kinds = JobKindOut(many=True)


class RunOut(serializers.ModelSerializer[Run]):
    """One run: when it was due, how long it took, what it used up, its log, and its result or why there is none."""

    duration_s = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            *("id", "kind", "status", "arguments", "result", "error", "log", "scored", "unscored", "device_seconds"),
            *("usd", "due_at", "retry", "created_at", "started_at", "finished_at", "duration_s"),
        )

    def get_duration_s(self, run: Run) -> float | None:
        """Seconds from start to end."""
        return run.duration.total_seconds() if run.duration else None


class RunList(serializers.Serializer[Any]):
    """Runs, the newest first."""

    items = RunOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


def _stored(given: ScheduleBody, schedule: Schedule) -> Schedule:
    checked(given, schedule)
    if faults := schedules.faults(schedule):
        raise ValidationError(faults)
    schedule.store()
    return schedule


class SchedulesView(APIView):
    """A project's schedules."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_schedules", responses=answers(ScheduleList))
    def get(self, request: Request) -> Response:
        """List the schedules, and what can be scheduled."""
        rows = project_of(request).schedules.all()
        kinds = JobKindOut(jobs.kinds(), many=True).data
        return Response({"items": ScheduleBody(rows, many=True).data, "kinds": kinds})

    @extend_schema(operation_id="add_schedule", request=ScheduleBody, responses=answers(ScheduleBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a schedule; its first run is due at the first of its times from now on."""
        given = ScheduleBody(data=request.data)
        new = _stored(given, Schedule(project=project_of(request), created_by=person_of(request)))
        return Response(ScheduleBody(new).data, status=201)


class ScheduleView(APIView):
    """One schedule."""

    needs = CONFIGURING

    def _schedule(self, request: Request, schedule_id: int) -> Schedule:
        return get_object_or_404(project_of(request).schedules, pk=schedule_id)

    @extend_schema(operation_id="get_schedule", responses=answers(ScheduleBody, 404))
    def get(self, request: Request, schedule_id: int) -> Response:
        """Return a schedule."""
        return Response(ScheduleBody(self._schedule(request, schedule_id)).data)

    @extend_schema(operation_id="change_schedule", request=ScheduleBody, responses=answers(ScheduleBody, 403, 404))
    def patch(self, request: Request, schedule_id: int) -> Response:
        """Change a schedule, or pause it with `enabled`; what is not named stays."""
        schedule = self._schedule(request, schedule_id)
        return Response(ScheduleBody(_stored(ScheduleBody(schedule, data=request.data, partial=True), schedule)).data)

    @extend_schema(operation_id="delete_schedule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, schedule_id: int) -> Response:
        """Remove a schedule with its runs."""
        self._schedule(request, schedule_id).delete()
        return Response(status=204)


class ScheduleRunsView(APIView):
    """The runs of a schedule."""

    needs = EDITING

    @extend_schema(
        operation_id="list_schedule_runs",
        parameters=[OpenApiParameter("cursor", str, description="`next_cursor` of the page before.")],
        responses=answers(RunList, 404),
    )
    def get(self, request: Request, schedule_id: int) -> Response:
        """List the runs, the newest first."""
        schedule = get_object_or_404(project_of(request).schedules, pk=schedule_id)
        rows = schedule.runs.order_by("-pk")
        if cursor := request.query_params.get("cursor"):
            rows = rows.filter(pk__lt=decode_cursor(cursor, int)[0])
        page = list(rows[: MAX_RUNS + 1])
        more = encode_cursor(page[MAX_RUNS - 1].pk) if len(page) > MAX_RUNS else None
        return Response({"items": RunOut(page[:MAX_RUNS], many=True).data, "next_cursor": more})

    @extend_schema(operation_id="run_schedule", request=None, responses=answers(RunOut, 403, 404, good=201))
    def post(self, request: Request, schedule_id: int) -> Response:
        """Run a schedule now, beside its times; a program with a key may do that too."""
        schedule = get_object_or_404(project_of(request).schedules, pk=schedule_id)
        run = schedules.run_now(schedule, person_of(request))
        wake_worker()
        return Response(RunOut(run).data, status=201)
