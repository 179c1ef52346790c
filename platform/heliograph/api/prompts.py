"""Prompts and their versions over the API: what their pages show."""

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
from heliograph.query import prompts
from heliograph.query.paging import MAX_PAGE


class PromptParameters(RangeParameters):
    """Which prompts."""

    cursor = serializers.CharField(required=False, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)


class VersionParameters(RangeParameters):
    """Which prompt."""

    name = serializers.CharField(max_length=prompts.MAX_NAME_CHARACTERS)


class PromptPage(serializers.Serializer[Any]):
    """Prompts by name."""

    items = serializer_of(prompts.PromptRow)(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class PromptVersionOut(serializer_of(prompts.VersionRow)):  # type: ignore[misc]  # the base is made from the dataclass
    """One version with the text that it sent."""

    cost_per_call = serializers.DecimalField(max_digits=38, decimal_places=12, allow_null=True)
    text = serializers.SerializerMethodField(help_text="null where its newest call carries none.")

    def get_text(self, row: prompts.VersionRow) -> str | None:
        """Return the version's text by its newest call."""
        found = self.context["texts"].get(row.version)
        return found.text if found else None


class PromptVersions(serializers.Serializer[Any]):
    """Versions of one prompt, the newest first."""

    items = PromptVersionOut(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


class PromptsView(APIView):
    """Prompts of a project."""

    needs = READING

    @extend_schema(operation_id="list_prompts", parameters=[PromptParameters], responses=_answers(PromptPage))
    def get(self, request: Request) -> Response:
        """List the prompts that spans name, by name, in whole hours."""
        assert isinstance(request.auth, Project)  # Permitted saw to it
        given = read(PromptParameters, request)
        asked = given.validated_data
        page = prompts.list_prompts(
            request.auth.pk, given.time_range(), cursor=asked.get("cursor"), limit=asked["limit"]
        )
        return Response(PromptPage(page).data)


class VersionsView(APIView):
    """Versions of one prompt."""

    needs = READING

    @extend_schema(
        operation_id="list_prompt_versions", parameters=[VersionParameters], responses=_answers(PromptVersions, 404)
    )
    def get(self, request: Request) -> Response:
        """Return a prompt's versions with costs, latencies, scores and texts; a name is anything, so a parameter."""
        assert isinstance(request.auth, Project)  # Permitted saw to it
        given = read(VersionParameters, request)
        name, span, project_id = given.validated_data["name"], given.time_range(), request.auth.pk
        rows = prompts.versions(project_id, name, span)
        if not rows:
            raise NotFound("No span of this time range names such a prompt.")
        # A question each: texts are looked up for the versions that a person reads.
        texts = {
            row.version: prompts.text_of_version(project_id, name, row.version, span, last_seen_ns=row.last_seen_ns)
            for row in rows[:10]
        }
        return Response(PromptVersions({"items": rows}, context={"texts": texts}).data)
