"""Experiments over the API: started, fed by a user's function, followed and compared."""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING, EDITING, READING
from heliograph.accounts.secrets import encrypt
from heliograph.api.conventions import Conflict
from heliograph.api.dataset_shapes import RowPage, row_out
from heliograph.api.datasets import after_of, given_in, page_of, person
from heliograph.api.experiment_shapes import (
    ComparedPage,
    CompareParameters,
    EndpointBody,
    EndpointList,
    ExperimentIn,
    ExperimentOut,
    ExperimentPage,
    ExperimentParameters,
    ResultPage,
    ResultParameters,
    ResultsIn,
    ResultsStored,
    result_of,
    result_out,
)
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.datasets import comparisons, experiments, results
from heliograph.datasets.evaluators import InvalidEvaluatorError
from heliograph.datasets.experiments import CannotStartError, Plan
from heliograph.datasets.models import Dataset, Endpoint, Experiment
from heliograph.datasets.targets import InvalidTargetError


class EndpointsView(APIView):
    """Endpoints that experiments may call."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_endpoints", responses=answers(EndpointList))
    def get(self, request: Request) -> Response:
        """List endpoints, without their keys."""
        found = Endpoint.objects.filter(project=project_of(request))
        return Response(EndpointList({"items": found}).data)

    @extend_schema(operation_id="add_endpoint", request=EndpointBody, responses=answers(EndpointBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add an endpoint; its key is stored encrypted and never shown again. People only: it is called with it."""
        project = project_of(request)
        given = given_in(EndpointBody, request)
        if Endpoint.objects.filter(project=project).count() >= Endpoint.MOST:
            raise ValidationError({"name": [f"A project has at most {Endpoint.MOST} endpoints."]})
        key = given.pop("key", "")
        endpoint = Endpoint(project=project, api_key=encrypt(key) if key else "", **given)
        try:
            endpoint.full_clean()
        except ModelError as error:
            raise ValidationError(error.message_dict) from error
        endpoint.save()
        return Response(EndpointBody(endpoint).data, status=201)


class EndpointView(APIView):
    """One endpoint."""

    needs = CONFIGURING

    @extend_schema(operation_id="delete_endpoint", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, endpoint_id: int) -> Response:
        """Remove an endpoint; open experiments with it end."""
        get_object_or_404(Endpoint, project=project_of(request), pk=endpoint_id).delete()
        return Response(status=204)


def the_experiment(request: Request, experiment_id: int) -> Experiment:
    """Return an experiment of the project; 404 for any other."""
    return get_object_or_404(Experiment, project=project_of(request), pk=experiment_id)


class ExperimentsView(APIView):
    """Experiments of a project."""

    needs = EDITING

    @extend_schema(
        operation_id="list_experiments", parameters=[ExperimentParameters], responses=answers(ExperimentPage)
    )
    def get(self, request: Request) -> Response:
        """List experiments, newest first."""
        given = read(ExperimentParameters, request).validated_data
        found = (
            Experiment.objects.filter(project=project_of(request))
            .order_by("-pk")
            .select_related("requested_by", "project")
        )
        found = found.filter(pk__lt=after_of(given)) if given.get("cursor") else found
        for name in ("dataset", "name", "status"):
            found = found.filter(**{name: given[name]}) if name in given else found
        items, cursor = page_of(list(found[: given["limit"] + 1]), given["limit"], lambda row: row.pk)
        return Response(ExperimentPage({"items": items, "next_cursor": cursor}).data)

    @extend_schema(
        operation_id="start_experiment", request=ExperimentIn, responses=answers(ExperimentOut, 403, 404, 409, good=201)
    )
    def post(self, request: Request) -> Response:
        """Start an experiment; with `resume`, go on with one of the same name and rows that has not ended."""
        project = project_of(request)
        given = given_in(ExperimentIn, request)
        named = given.pop("dataset")
        known = Dataset.objects.filter(project=project)
        dataset = known.filter(name=named).first() or (
            known.filter(pk=int(named)).first() if named.isdecimal() else None
        )
        if dataset is None:
            raise ValidationError({"dataset": ["The project has no such data set."]})
        try:
            experiment = experiments.start(project, Plan(dataset=dataset, **given), person(request))
        except InvalidEvaluatorError as error:
            raise ValidationError({"evaluators": [str(error)]}) from error
        except InvalidTargetError as error:
            raise ValidationError({f"target.{error.field}": [error.message]}) from error
        except CannotStartError as error:
            raise Conflict(str(error)) from error
        return Response(ExperimentOut(experiment).data, status=201)


class ExperimentView(APIView):
    """One experiment."""

    needs = EDITING

    @extend_schema(operation_id="get_experiment", responses=answers(ExperimentOut, 404))
    def get(self, request: Request, experiment_id: int) -> Response:
        """Return an experiment with its progress and the means of its scores."""
        return Response(ExperimentOut(the_experiment(request, experiment_id)).data)

    @extend_schema(operation_id="delete_experiment", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, experiment_id: int) -> Response:
        """Delete an experiment with its results; its traces stay."""
        the_experiment(request, experiment_id).delete()
        return Response(status=204)


class PendingView(APIView):
    """Rows that wait for a result."""

    needs = READING

    @extend_schema(operation_id="list_pending_rows", parameters=[ResultParameters], responses=answers(RowPage, 404))
    def get(self, request: Request, experiment_id: int) -> Response:
        """List rows without a result, in their order: what a program that was stopped has left to do."""
        given = read(ResultParameters, request).validated_data
        experiment = the_experiment(request, experiment_id)
        limit = given["limit"]
        rows = experiments.pending(experiment, after=after_of(given), limit=limit + 1)
        items, cursor = page_of(rows, limit, lambda row: row.position)
        shown = [row_out(row) for row in items]
        return Response({"version": experiment.version, "items": shown, "next_cursor": cursor})


class ResultsView(APIView):
    """Results of an experiment."""

    needs = EDITING

    @extend_schema(operation_id="list_results", parameters=[ResultParameters], responses=answers(ResultPage, 404))
    def get(self, request: Request, experiment_id: int) -> Response:
        """List results, in the order of the rows."""
        given = read(ResultParameters, request).validated_data
        experiment = the_experiment(request, experiment_id)
        found = experiment.results.filter(position__gt=after_of(given)).select_related("row__content")
        found = found.filter(status=given["status"]) if "status" in given else found
        rows = list(found.order_by("position")[: given["limit"] + 1])
        items, cursor = page_of(rows, given["limit"], lambda row: row.position)
        return Response({"items": [result_out(result) for result in items], "next_cursor": cursor})

    @extend_schema(operation_id="send_results", request=ResultsIn, responses=answers(ResultsStored, 403, 404, 409, 413))
    def post(self, request: Request, experiment_id: int) -> Response:
        """Keep what a user's function answered. A row that has a result keeps it: sent again, nothing is doubled."""
        experiment = the_experiment(request, experiment_id)
        if experiment.kind != Experiment.Kind.FUNCTION or not experiment.is_open or experiment.cancel_requested:
            raise Conflict("The experiment takes no results: it has ended, or an endpoint answers its rows.")
        given = given_in(ResultsIn, request)["results"]
        keys = [each["id"] for each in given]
        rows = {row.key: row for row in experiment.item_rows.filter(key__in=keys)}
        missing = [number for number, key in enumerate(keys) if key not in rows]
        if missing:
            raise ValidationError({f"results.{number}.id": ["The experiment has no such row."] for number in missing})
        experiments.begin(experiment)
        made = [result_of(experiment, rows[each["id"]], number, each) for number, each in enumerate(given)]
        stored = experiments.store(experiment, made)
        return Response(ResultsStored({"stored": stored, "done": experiment.done, "rows": experiment.rows}).data)


class _Deed(APIView):
    """Something that is done to an experiment."""

    needs = EDITING

    def done(self, request: Request, experiment_id: int, deed: Any) -> Response:
        """Do it; 409 says why it cannot be done now."""
        experiment = the_experiment(request, experiment_id)
        try:
            deed(experiment)
        except CannotStartError as error:
            raise Conflict(str(error)) from error
        experiment.refresh_from_db()
        return Response(ExperimentOut(experiment).data)


class FinishView(_Deed):
    """The end of what a user's function sends."""

    @extend_schema(operation_id="finish_experiment", request=None, responses=answers(ExperimentOut, 403, 404, 409))
    def post(self, request: Request, experiment_id: int) -> Response:
        """Say that every row has its result; evaluators begin."""
        return self.done(request, experiment_id, experiments.finish)


class CancelExperimentView(_Deed):
    """The end of an experiment before its time."""

    @extend_schema(operation_id="cancel_experiment", request=None, responses=answers(ExperimentOut, 403, 404))
    def post(self, request: Request, experiment_id: int) -> Response:
        """Have an experiment end after the rows under way; what is done stays."""
        return self.done(request, experiment_id, experiments.cancel)


class RetryView(_Deed):
    """Another try of what failed."""

    @extend_schema(operation_id="retry_experiment", request=None, responses=answers(ExperimentOut, 403, 404, 409))
    def post(self, request: Request, experiment_id: int) -> Response:
        """Ask the rows again that ended with an error or were not asked."""
        return self.done(request, experiment_id, experiments.retry_failed)


class CompareView(APIView):
    """Runs side by side."""

    needs = READING

    @extend_schema(
        operation_id="compare_experiments", parameters=[CompareParameters], responses=answers(ComparedPage, 404)
    )
    def get(self, request: Request) -> Response:
        """Compare runs row by row, what differs most first; the first `run` is the baseline.

        `statistics` holds the paired test of each further run; null while a worker computes it.
        """
        given = read(CompareParameters, request).validated_data
        runs = [the_experiment(request, run) for run in given["run"]]
        names = results.score_names(runs)
        score = given.get("score") or (names[0] if names else "")
        offset = after_of(given)
        rows, total = results.compared(runs, score, order=given["order"], offset=offset, limit=given["limit"])
        shown = [
            {
                "id": row.key,
                "values": row.values,
                "change": row.change,
                "is_flip": row.is_flip,
                "results": [result_out(each) if each else None for each in row.results],
            }
            for row in rows
        ]
        found = comparisons.wanted(runs, score) if score else []
        body = {
            "score": score,
            "scores": names,
            "statistics": [each.result or ({"error": each.error} if each.error else None) for each in found],
            "items": shown,
            "total": total,
            "next_cursor": page_of(
                [0] * min(total - offset, given["limit"] + 1), given["limit"], lambda _: offset + given["limit"]
            )[1],
        }
        return Response(body)
