"""Training jobs."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import training


class JobParameters(RangeParameters):
    """Which job, and over how many buckets of time."""

    job = serializers.CharField(max_length=500)
    buckets = serializers.IntegerField(default=120, min_value=1, max_value=500)


class JobList(serializers.Serializer[Any]):
    """Jobs, latest first."""

    items = serializer_of(training.Job)(many=True)


JobOut = serializer_of(training.JobDetail)


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project_id(request: Request) -> int:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth.pk


class TrainingJobsView(APIView):
    """Training jobs of a project."""

    needs = READING

    @extend_schema(operation_id="list_training_jobs", parameters=[RangeParameters], responses=_answers(JobList))
    def get(self, request: Request) -> Response:
        """List the jobs that reported in the range."""
        span = read(RangeParameters, request).time_range()
        return Response(JobList({"items": training.jobs(_project_id(request), span)}).data)


class TrainingJobView(APIView):
    """One training job."""

    needs = READING

    @extend_schema(operation_id="get_training_job", parameters=[JobParameters], responses=_answers(JobOut, 404))
    def get(self, request: Request) -> Response:
        """Return a job over time, and how slow each of its ranks is."""
        given = read(JobParameters, request)
        asked = given.validated_data
        found = training.job(_project_id(request), given.time_range(), asked["job"], buckets=asked["buckets"])
        if found is None:
            raise NotFound("The project has no such training job in this time range.")
        return Response(JobOut(found).data)
