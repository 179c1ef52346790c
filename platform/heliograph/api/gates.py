"""Regression gates, their runs, their watches and their verdicts."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import User
from heliograph.api.ordered_rules import OfProject, answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.datasets.models import Experiment
from heliograph.gates import checks, metrics, watches
from heliograph.gates.models import Gate, GateRun, Watch
from heliograph.gates.requests import QueueFullError, run_soon


class TooManyWaiting(APIException):
    """The queue of a project is full."""

    status_code = 429
    wait = 10


class MetricBody(serializers.Serializer[Any]):
    """One metric: errors, latency, latency_p95, ttft, ttft_p95, input_tokens, output_tokens, cost or score.NAME."""

    name = serializers.CharField(max_length=metrics.MAX_NAME)
    margin = serializers.FloatField(
        required=False,
        min_value=0,
        help_text="Worse by less is the same; absolute for errors and scores, else a share.",
    )
    higher_is_better = serializers.BooleanField(required=False, help_text="Of a score; true without it.")


class WatchOut(serializers.ModelSerializer[Watch]):
    """Live traffic followed by a test that may be looked at any time."""

    class Meta:
        model = Watch
        fields = ("is_on", "verdict", "decided_at", "looked_at", "error", "result")
        read_only_fields = fields


class GateBody(serializers.ModelSerializer[Gate]):
    """A gate. On live traffic `baseline` and `candidate` are filters; on a data set the runs are ids of experiments."""

    metrics = MetricBody(many=True)
    baseline_run = OfProject(queryset=Experiment.objects.all(), required=False, allow_null=True)
    candidate_run = OfProject(queryset=Experiment.objects.all(), required=False, allow_null=True)
    watch = WatchOut(read_only=True, allow_null=True, default=None)

    class Meta:
        model = Gate
        fields = (
            *("id", "name", "source", "scope", "baseline", "candidate", "hours", "baseline_run", "candidate_run"),
            *("metrics", "alpha", "created_at", "watch"),
        )
        read_only_fields = ("id", "created_at")

    def to_representation(self, instance: Gate) -> dict[str, Any]:
        """A gate that was never watched has no watch."""
        body: dict[str, Any] = super().to_representation(instance)
        return body | {"watch": WatchOut(instance.watch).data if hasattr(instance, "watch") else None}


class GateRunOut(serializers.ModelSerializer[GateRun]):
    """One run of a gate; `result` has the verdict, the metrics with their intervals and the worst examples."""

    class Meta:
        model = GateRun
        fields = ("id", "status", "result", "error", "created_at", "started_at", "finished_at")
        read_only_fields = fields


class GatePage(serializers.Serializer[Any]):
    """Gates, newest first."""

    items = GateBody(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class GateRunPage(serializers.Serializer[Any]):
    """Runs of a gate, newest first."""

    items = GateRunOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class VerdictOut(serializers.Serializer[Any]):
    """What a pipeline asks: pass, fail or not_enough_data, and the exit code that says it."""

    gate = serializers.IntegerField()
    verdict = serializers.ChoiceField(["pass", "fail", "not_enough_data"])
    exit_code = serializers.IntegerField(help_text="0, 1 or 2.")
    run = serializers.IntegerField(allow_null=True, help_text="null where the watch says it.")
    at = serializers.DateTimeField(allow_null=True)
    metrics = serializers.DictField(child=serializers.JSONField())
    reason = serializers.CharField(allow_blank=True)


def saved(serializer: serializers.ModelSerializer[Any], row: Any, errors: Any) -> Any:
    """Put what was sent into a row, check it as the pages do, and save it. Raises ValidationError."""
    serializer.is_valid(raise_exception=True)
    for name, value in serializer.validated_data.items():
        setattr(row, name, value)
    if found := errors(row):
        raise ValidationError({field: [text] for field, text in found.items()})
    row.save()
    return row


def _gate(request: Request, gate_id: int) -> Gate:
    return get_object_or_404(Gate, project=project_of(request), pk=gate_id)


class GatesView(APIView):
    """Gates of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_gates", parameters=[RowParameters], responses=answers(GatePage))
    def get(self, request: Request) -> Response:
        """List gates, newest first."""
        given = read(RowParameters, request).validated_data
        page = row_page(Gate.objects.filter(project=project_of(request)).select_related("watch"), given)
        return Response(GatePage(page).data)

    @extend_schema(operation_id="add_gate", request=GateBody, responses=answers(GateBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a gate."""
        gate = saved(
            GateBody(data=request.data, context={"project": project_of(request)}),
            Gate(project=project_of(request)),
            checks.gate_errors,
        )
        return Response(GateBody(gate).data, status=201)


class GateView(APIView):
    """One gate."""

    needs = EDITING

    @extend_schema(operation_id="get_gate", responses=answers(GateBody, 404))
    def get(self, request: Request, gate_id: int) -> Response:
        """Return a gate."""
        return Response(GateBody(_gate(request, gate_id)).data)

    @extend_schema(operation_id="change_gate", request=GateBody, responses=answers(GateBody, 403, 404))
    def patch(self, request: Request, gate_id: int) -> Response:
        """Change a gate; what is not named stays. A watch starts anew: what it saw was of another question."""
        gate = _gate(request, gate_id)
        saved(
            GateBody(gate, data=request.data, partial=True, context={"project": gate.project}), gate, checks.gate_errors
        )
        watches.restart_if_on(gate)
        return Response(GateBody(_gate(request, gate_id)).data)

    @extend_schema(operation_id="remove_gate", responses=answers(None, 403, 404, good=204))
    def delete(self, request: Request, gate_id: int) -> Response:
        """Remove a gate with its runs."""
        _gate(request, gate_id).delete()
        return Response(status=204)


class GateRunsView(APIView):
    """Runs of a gate."""

    needs = EDITING

    @extend_schema(operation_id="list_gate_runs", parameters=[RowParameters], responses=answers(GateRunPage, 404))
    def get(self, request: Request, gate_id: int) -> Response:
        """List runs, newest first."""
        page = row_page(_gate(request, gate_id).runs.all(), read(RowParameters, request).validated_data)
        return Response(GateRunPage(page).data)

    @extend_schema(operation_id="run_gate", request=None, responses=answers(GateRunOut, 403, 404, 429, good=202))
    def post(self, request: Request, gate_id: int) -> Response:
        """Run a gate; ask for the run until its status is done or failed."""
        gate = _gate(request, gate_id)
        try:
            run = run_soon(gate, request.user if isinstance(request.user, User) else None)
        except QueueFullError as error:
            raise TooManyWaiting(str(error)) from error
        return Response(GateRunOut(run).data, status=202)


class GateRunView(APIView):
    """One run of a gate."""

    needs = READING

    @extend_schema(operation_id="get_gate_run", responses=answers(GateRunOut, 404))
    def get(self, request: Request, gate_id: int, run_id: int) -> Response:
        """Return a run."""
        return Response(GateRunOut(get_object_or_404(_gate(request, gate_id).runs, pk=run_id)).data)


class GateWatchView(APIView):
    """The watch of a gate on live traffic."""

    needs = EDITING

    @extend_schema(operation_id="start_gate_watch", request=None, responses=answers(WatchOut, 400, 403, 404))
    def put(self, request: Request, gate_id: int) -> Response:
        """Watch from now on, anew where it was watched before."""
        gate = _gate(request, gate_id)
        try:
            watch = watches.start(gate, timezone.now())
        except watches.NotWatchableError as error:
            raise ValidationError({"metrics" if gate.source == Gate.Source.LIVE else "source": [str(error)]}) from error
        return Response(WatchOut(watch).data)

    @extend_schema(operation_id="stop_gate_watch", responses=answers(None, 403, 404, good=204))
    def delete(self, request: Request, gate_id: int) -> Response:
        """Watch no more; what was seen stays."""
        watches.stop(_gate(request, gate_id))
        return Response(status=204)


class GateVerdictView(APIView):
    """The verdict of a gate."""

    needs = READING

    @extend_schema(operation_id="get_gate_verdict", responses=answers(VerdictOut, 404))
    def get(self, request: Request, gate_id: int) -> Response:
        """Return the latest verdict: of the newest run, or of the watch where that looked later."""
        gate = _gate(request, gate_id)
        run, watched = gate.latest, getattr(gate, "watch", None)
        at = watched.looked_at if watched and watched.result else None
        if run is not None and (at is None or (run.finished_at and run.finished_at >= at)):
            result, at, run_id = run.result, run.finished_at, run.pk
        elif watched is not None and at is not None:
            result, run_id = watched.result, None
        else:
            raise NotFound("The gate has not come to a verdict yet: run it, or watch it.")
        return Response(VerdictOut({"reason": "", **result, "gate": gate.pk, "run": run_id, "at": at}).data)
